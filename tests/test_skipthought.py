"""Skip-Thought's losses against what they must be."""

import math

import numpy as np
import pytest
import torch

from textgan.corpus import prepare
from textgan.errors import UserError
from textgan.objectives import SampledSoftmax

from .conformance import build


@pytest.mark.parametrize("decoder", ["conditioned", "initialised"])
def test_the_first_loss_is_that_of_guessing_and_counts_eos(decoder, corpus):
    made, _ = build("skipthought", corpus, decoder=decoder, softmax="full", word_dropout=0.0)
    t = made.triples[:40]
    before, after, m, n = made.losses(corpus.train, t, True)
    sizes = corpus.train.lengths()
    assert (m, n) == (sum(sizes[t - 1] + 1), sum(sizes[t + 1] + 1))
    for loss, count in ((before, m), (after, n)):
        assert loss.item() / count.item() == pytest.approx(math.log(corpus.vocab_size), rel=0.02)


@pytest.mark.parametrize("decoder", ["conditioned", "initialised"])
def test_turning_the_text_round_swaps_the_losses(decoder, corpus):
    made, _ = build("skipthought", corpus, decoder=decoder, softmax="full", word_dropout=0.0)
    t = made.triples[:30]
    before, after, *_ = made.losses(corpus.train, t, True)
    made.model.previous, made.model.next = made.model.next, made.model.previous

    class Mirror:
        """Gives i + 1 for i - 1 and the other way round."""

        def rows(self, indices, length):
            shift = np.asarray(indices) - t
            assert len(set(shift.tolist())) == 1
            return corpus.train.rows(t - shift, length)

    swapped_before, swapped_after, *_ = made.losses(Mirror(), t, True)
    assert torch.allclose(before, swapped_after)
    assert torch.allclose(after, swapped_before)
    assert not torch.allclose(before, after)


def test_it_overfits_fifty_triples(tmp_path):
    words = [f"w{i}" for i in range(60)]
    r = np.random.default_rng(0)
    text = "\n\n".join("\n".join(" ".join(r.choice(words, 4)) for _ in range(3)) for _ in range(50))
    (tmp_path / "t.txt").write_text(text)
    small = prepare(str(tmp_path / "t.txt"), tmp_path / "c", length=8, held_out=1e-9, split="line")
    made, workers = build(
        "skipthought", small, softmax="full", word_dropout=0.0, hidden_dim=128, embedding_dim=32, batch=25, lr=5e-3
    )
    assert len(made.triples) == 50
    for i in range(300):
        workers.seed(0, i)
        found = made.step(i)
    assert found["e/nll_previous"] < 0.1
    assert found["e/nll_next"] < 0.1


def test_a_text_without_neighbours_is_refused(tmp_path):
    (tmp_path / "t.txt").write_text("one two\n\nthree four\n\nfive six\n")
    small = prepare(str(tmp_path / "t.txt"), tmp_path / "c", length=8, held_out=0.3)
    for name in ("skipthought", "quickthought"):
        with pytest.raises(UserError, match="in a row"):
            build(name, small)


def test_sampled_softmax_estimates_the_full_one():
    torch.manual_seed(0)
    counts = torch.tensor([1000.0 / (k + 1) for k in range(200)])
    h, weight, bias = torch.randn(300, 8), torch.randn(200, 8) * 0.5, counts.log()
    tokens = torch.multinomial(counts, 300, replacement=True)
    full = torch.nn.functional.cross_entropy(h @ weight.t() + bias, tokens, reduction="sum")
    noise = torch.Generator().manual_seed(0)
    many = SampledSoftmax(counts, 20_000)(h, tokens, weight, bias, noise)
    assert many.item() == pytest.approx(full.item(), rel=0.01)
    few = np.mean([SampledSoftmax(counts, 50)(h, tokens, weight, bias, noise).item() for _ in range(50)])
    assert few == pytest.approx(full.item(), rel=0.05)
    uncorrected = SampledSoftmax(counts, 20_000)
    uncorrected.log_expected = torch.full((200,), math.log(20_000 / 200))
    assert uncorrected(h, tokens, weight, bias, noise).item() != pytest.approx(full.item(), rel=0.05)
