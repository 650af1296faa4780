"""Skip-Thought's losses against what they must be."""

import math

import numpy as np
import pytest
import torch

from textgan.corpus import prepare
from textgan.errors import UserError
from textgan.objectives import SampledSoftmax
from textgan.recurrence import Packing

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

        def lengths(self, indices):
            return corpus.train.lengths(2 * t - indices)

        def rows(self, indices, length):
            shift = np.asarray(indices) - t
            assert len(set(shift.tolist())) == 1
            return corpus.train.rows(t - shift, length)

    swapped_before, swapped_after, *_ = made.losses(Mirror(), t, True)
    assert torch.allclose(before, swapped_after)
    assert torch.allclose(after, swapped_before)
    assert not torch.allclose(before, after)


def test_adaptive_softmax_is_a_distribution_that_learns_and_writes(corpus, tmp_path):
    from textgan.algorithms.skipthought import SkipThoughtModel

    made, workers = build("skipthought", corpus, softmax="adaptive", word_dropout=0.0, hidden_dim=32, lr=0.01)
    states, every = torch.randn(3, 32), torch.arange(corpus.vocab_size)
    each = torch.stack([made.model.nll(states[:1], every[k : k + 1]) for k in range(len(every))])
    assert (-each).exp().sum().item() == pytest.approx(1, abs=1e-5)
    before, after, m, n = made.losses(corpus.train, made.triples[:30], True)
    assert (before + after).item() / (m + n).item() == pytest.approx(math.log(corpus.vocab_size), rel=0.15)
    for i in range(60):
        workers.seed(0, i)
        found = made.step(i)
    assert found["e/nll_next"] < 0.8 * math.log(corpus.vocab_size)
    assert (made.model.log_p(states)[:, [0, 1, 3]] == -torch.inf).all()
    made.model.save_pretrained(tmp_path)
    loaded, u = SkipThoughtModel.from_pretrained(tmp_path), torch.rand(3, 6)
    made.model.eval()
    assert torch.equal(loaded.write(states, "next", 6, u), made.model.write(states, "next", 6, u))


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


def test_beam_search_finds_what_enumeration_finds(corpus):
    """With a beam as wide as the language of short sentences, the best by enumeration comes first."""
    made, _ = build("skipthought", corpus, hidden_dim=4)
    model, T = made.model, 2
    with torch.no_grad():
        model.out.weight.mul_(30)
        thought = torch.randn(4)
        words = [i for i in range(corpus.vocab_size) if i not in (0, 1, 3)]
        found = {}
        for row in [[2], *([w, 2] for w in words if w != 2)]:
            y = torch.tensor([row])
            inputs = torch.tensor([[1, *row[:-1]]])
            packing = Packing(np.array([len(row)]), len(row), inputs.device)
            scores = model.out(model.states(model.next, thought[None], inputs, packing))[None]
            scores[..., [0, 1, 3]] = -torch.inf
            p = scores.log_softmax(-1).gather(2, y[..., None]).sum().item()
            found[tuple(row)] = p / len(row)
    expected = sorted(found.items(), key=lambda item: -item[1])[:5]
    beam = model.beam(thought, "next", T, corpus.vocab_size**2)[:5]
    assert [tuple(row) for _, row in beam] == [row for row, _ in expected]
    assert [s for s, _ in beam] == pytest.approx([s for _, s in expected], abs=1e-5)
    assert beam != model.beam(thought, "previous", T, corpus.vocab_size**2)[:5]


def test_next_and_analogy_as_commands(corpus, tmp_path, capsys):
    from .test_encoders import run_of, textgan

    made = run_of("skipthought", corpus, tmp_path / "s")
    for extra in ([], ["--previous"], ["--beam", "3", "-n", "2"], ["--top-k", "0", "-n", "4"]):
        assert textgan("next", tmp_path / "s", "a man sees a kite .", *extra) == 0
        out = capsys.readouterr().out.splitlines()
        assert len(out) == (int(extra[-1]) if "-n" in extra else 1)
    from textgan.algorithms.skipthought import SkipThoughtModel

    newest = sorted((tmp_path / "s" / "checkpoints").iterdir())[-1]
    loaded = SkipThoughtModel.from_pretrained(newest / "model")
    x = torch.tensor([corpus.tokenizer.encode("a dog")])
    made.model.eval()
    assert torch.equal(loaded.encoder(x), made.model.encoder(x))
    assert textgan("next", tmp_path / "s", "a man", "--beam", "1", "-n", "2") == 2
    assert "--beam must be" in capsys.readouterr().err
    run_of("word2vec", corpus, tmp_path / "w")
    assert textgan("analogy", tmp_path / "w", "man", "dog", "horse") == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert textgan("analogy", tmp_path / "s", "man", "dog", "horse") == 2
    assert textgan("next", tmp_path / "w", "man") == 2
