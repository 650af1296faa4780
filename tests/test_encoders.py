"""Sentence encoders: against stepwise computation, whatever the batch; the contrastive loss against a loop."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from textgan import tokenizers
from textgan.encoders import GRUEncoder, GRUEncoderConfig, SentenceEncoder
from textgan.errors import UserError
from textgan.objectives import neighbour_nll
from textgan.recurrence import EightBits, Packing, gru, run


def encoder(direction="bi", layer_norm=False, vocab=30):
    torch.manual_seed(0)
    return GRUEncoder(GRUEncoderConfig(vocab, 5, 8, direction, layer_norm)).eval()


def packed(rows, width):
    x = torch.zeros(len(rows), width, dtype=torch.long)
    for k, row in enumerate(rows):
        x[k, : len(row)] = torch.tensor(row)
    return x, Packing(np.array([len(row) for row in rows]), width, x.device)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_packed_states_and_gradients_are_those_of_one_step_at_a_time(layer_norm):
    torch.manual_seed(0)
    rows = [[5, 6, 7, 2], [8, 2], [9, 10, 11, 5, 13, 2], [2]]
    x, packing = packed(rows, 9)
    rnn, e, c, h = gru(3 + 2, 4, layer_norm), *(torch.randn(n, k, requires_grad=True) for n, k in ((14, 3), (4, 2), (4, 4)))
    with torch.no_grad():
        for p in rnn.parameters():
            p.add_(0.3 * torch.randn_like(p))  # biases too
    inputs = [*rnn.parameters(), e, c, h]
    states = run(rnn, [(e, x.flatten()[packing.tokens]), (c, packing.sentence)], packing, h)
    weights = torch.randn_like(states)
    found = torch.autograd.grad((states * weights).sum(), inputs)

    def step(x, h):
        if not layer_norm:
            return torch.gru_cell(x[None], h[None], *rnn.parameters())[0]
        norm = lambda v: (v - v.mean()) / (v.var(unbiased=False) + 1e-5).sqrt()  # noqa: E731
        a = norm(rnn.below(x)) * rnn.norm_below.weight + rnn.norm_below.bias
        b = norm(rnn.before(h)) * rnn.norm_before.weight + rnn.norm_before.bias
        (ar, az, an), (br, bz, bn) = a.chunk(3), b.chunk(3)
        z = torch.sigmoid(az + bz)
        return z * h + (1 - z) * torch.tanh(an + torch.sigmoid(ar + br) * bn)

    expected = {}
    for k, row in enumerate(rows):
        state = h[k]
        for t, word in enumerate(row):
            state = step(torch.cat([e[word], c[k]]), state)
            expected[t, k] = state
    places = zip((packing.tokens % 9).tolist(), packing.sentence.tolist(), strict=True)
    slow = torch.stack([expected[place] for place in places])
    assert torch.allclose(states, slow, atol=1e-6)
    for a, b in zip(found, torch.autograd.grad((slow * weights).sum(), inputs), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
        assert a.abs().max() > 1e-3


@pytest.mark.parametrize("direction", ["uni", "bi"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_thought_is_the_state_after_the_last_real_token_from_both_ends(direction, layer_norm):
    E = encoder(direction, layer_norm)
    rows = [[5, 6, 7, 2], [8, 2], [9, 10, 11, 12, 13, 2], [2]]
    x, packing = packed(rows, 9)
    h = E(x)
    states, mask = E.states(x)
    assert mask.sum(1).tolist() == [4, 2, 6, 1]
    assert (states[~mask] == 0).all()
    for k, row in enumerate(rows):
        forwards = run(E.rnns[0], [(E.embedding.weight, torch.tensor(row))], packed([row], len(row))[1])
        assert torch.allclose(states[k, : len(row), : forwards.shape[1]], forwards, atol=1e-6)
        parts = [forwards[-1]]
        if direction == "bi":
            backwards = run(E.rnns[1], [(E.embedding.weight, torch.tensor(row[::-1]))], packed([row], len(row))[1])
            assert torch.allclose(states[k, : len(row), 4:], backwards.flip(0), atol=1e-6)
            parts.append(backwards[-1])
        assert torch.allclose(h[k], torch.cat(parts), atol=1e-6)
    assert torch.equal(h, E(x, np.array([4, 2, 6, 1])))
    assert torch.allclose(h, E.last(states, mask), atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(E(x), h, atol=1e-6)  # the way that keeps nothing
    other = E(torch.cat([x[:, :6], torch.full((4, 2), 0)], 1))
    assert torch.allclose(h, other, atol=1e-6)  # more or less padding changes nothing
    assert not torch.allclose(h[0], E(torch.tensor([[5, 6, 8, 2]]))[0], atol=1e-3)


def test_gru_starts_orthogonal():
    for layer_norm in (False, True):
        module = gru(4, 6, layer_norm)
        weight = module.before.weight if layer_norm else module.weight_hh_l0
        for part in weight.chunk(3):
            assert torch.allclose(part @ part.t(), torch.eye(6), atol=1e-5)


TEXT = ["a man rides a horse .", "two dogs run", "a", "the red car stands in the long street of the city ."] * 3


def test_encode_does_not_depend_on_the_batch_and_minds_the_empty():
    t = tokenizers.train("word", TEXT, 100)
    made = SentenceEncoder([encoder("bi", vocab=100), encoder("uni", vocab=100)], t)
    v = made.encode(TEXT)
    assert v.shape == (12, 16)
    assert v.dtype == np.float32
    for size in (1, 3, 5):
        assert np.abs(made.encode(TEXT, batch_size=size) - v).max() < 1e-6
    assert np.abs(made.encode(TEXT[3]) - v[3]).max() < 1e-6
    assert np.abs(v[0] - v[1]).max() > 1e-2
    assert np.allclose(np.linalg.norm(v[:, :8], axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(made.encode(TEXT, normalize_embeddings=True), axis=1), 1, atol=1e-5)
    with pytest.warns(UserWarning, match="there are empty sentences"):
        w = made.encode(["a", "  ", "two dogs run"], convert_to_tensor=True)
    assert torch.isfinite(w).all()
    assert made.encode([]).shape == (0, 16)


@pytest.mark.parametrize("direction", ["uni", "bi"])
def test_bfloat16_is_near(direction):
    E, x = encoder(direction), torch.randint(4, 30, (5, 9))
    expected = E(x)
    with torch.autocast("cpu", torch.bfloat16):
        near = E(x).float()
    assert torch.cosine_similarity(near, expected).min() > 0.999
    assert not torch.equal(near, expected)
    a, b = (torch.autograd.grad(v.square().sum(), E.rnns[0].weight_hh_l0)[0] for v in (near, expected))
    assert torch.cosine_similarity(a.flatten(), b.flatten(), 0) > 0.99


@pytest.mark.parametrize("direction", ["uni", "bi"])
def test_eight_bits_are_the_recurrence_with_rounded_weights_and_states(direction):
    torch.manual_seed(0)
    E = GRUEncoder(GRUEncoderConfig(30, 20, 48, direction)).eval()
    with torch.no_grad():
        for rnn in E.rnns:
            for p in rnn.parameters():
                p.normal_(0, 0.4)
            rnn.weight_hh_l0[3] *= 50  # rows have their own scales: this one spoils no other
        E.embedding.weight[5] *= 50
    x = torch.randint(3, 30, (6, 9))
    x[2, 4:] = 2
    x[3, 1:] = 0

    def rounded(w, most=127):
        scale = w.double().abs().amax(1, keepdim=True) / most
        return (w.double() / scale).round() * scale

    expected = []
    for way, rnn in enumerate(E.rnns):
        table, of_x, of_h = rounded(E.embedding.weight), rounded(rnn.weight_ih_l0, 63), rounded(rnn.weight_hh_l0, 63)
        last = []
        for row, length in zip(x.tolist(), E.lengths(x).tolist(), strict=True):
            h = torch.zeros(len(of_h) // 3, dtype=torch.double)
            for token in row[:length][:: -1 if way else 1]:
                a = of_x @ table[token] + rnn.bias_ih_l0.double()
                b = of_h @ rounded(h[None] + 1e-40)[0] + rnn.bias_hh_l0.double()
                (r, z, n), (rh, zh, nh) = a.chunk(3), b.chunk(3)
                z = (z + zh).sigmoid()
                h = (1 - z) * (n + (r + rh).sigmoid() * nh).tanh() + z * h
            last.append(h)
        expected.append(torch.stack(last))
    expected = torch.cat(expected, 1).float()
    with torch.no_grad():
        found, exact = E(x, None, [EightBits(rnn) for rnn in E.rnns]), E(x)
    assert torch.allclose(found, expected, atol=1e-4)  # a state may lie so near between two numbers that it is rounded otherwise
    assert torch.cosine_similarity(found, exact).min() > 0.999
    assert (found - exact).abs().max() > 1e-3  # they are of eight bits


def test_eight_bits_are_for_what_they_can_be():
    t = tokenizers.train("word", TEXT, 100)
    made = SentenceEncoder([encoder("bi", vocab=100)], t)
    exact, found = made.encode(TEXT), made.encode(TEXT, precision="int8")
    assert 0 < np.abs(found - exact).max() < 0.02
    assert np.abs(made.encode(TEXT, 1, precision="int8") - found).max() < 1e-6
    assert made.encode([], precision="int8").shape == (0, 8)
    with pytest.raises(UserError, match="precision int8: .* without layer norm"):
        SentenceEncoder([encoder(layer_norm=True, vocab=100)], t).encode(TEXT, precision="int8")
    with pytest.raises(UserError, match="use fp32 or bf16"):
        SentenceEncoder([encoder(vocab=100).to("meta")], t).encode(TEXT, precision="int8")
    tiny = GRUEncoder(GRUEncoderConfig(100, 5, 2, "bi"))
    with pytest.raises(UserError, match="two numbers or more"):
        SentenceEncoder([tiny], t).encode(TEXT, precision="int8")
    half = encoder(vocab=100)
    expected = half(torch.randint(3, 99, (4, 5), generator=torch.Generator().manual_seed(0)))
    half.bfloat16()
    with torch.no_grad():
        x = torch.randint(3, 99, (4, 5), generator=torch.Generator().manual_seed(0))
        assert torch.cosine_similarity(half(x, None, [EightBits(rnn) for rnn in half.rnns]).float(), expected).min() > 0.999


LARGEST = """
import torch
from torch import nn
from textgan.recurrence import EightBits
rnn = nn.GRU(620, 40)
with torch.no_grad():
    for p in rnn.parameters():
        p.fill_(0.5)
made = EightBits(rnn)
x, h = torch.ones(3, 620), -torch.ones(3, 40)
assert torch.allclose(made.of_inputs(x, torch.zeros(120)), torch.tensor(310.0)), made.of_inputs(x, torch.zeros(120))
assert torch.allclose(made.of_states(h), torch.tensor(-20.0))
"""


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE", "ALL"])
def test_the_largest_products_of_eight_bits_do_not_overflow_on_older_processors(isa):
    made = subprocess.run(
        [sys.executable, "-c", LARGEST], env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa}, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr


def test_neighbour_nll_is_the_loop():
    torch.manual_seed(0)
    scores, follows = torch.randn(6, 6), torch.tensor([True, True, False, False, True])
    total, hits, count, some = 0.0, 0, 0, 0
    for i in range(6):
        rest = [j for j in range(6) if j != i]
        p = scores[i, rest].log_softmax(0)
        near = [j for j in (i - 1, i + 1) if 0 <= j < 6 and follows[min(i, j)]]
        total -= sum(p[rest.index(j)].item() for j in near)
        count += len(near)
        hits += rest[int(p.argmax())] in near
        some += bool(near)
    loss, accuracy = neighbour_nll(scores, follows)
    assert loss.item() == pytest.approx(total / count, rel=1e-5)
    assert accuracy.item() == pytest.approx(hits / some)
    perfect = torch.full((6, 6), -50.0)
    for i in range(5):
        perfect[i, i + 1] = perfect[i + 1, i] = 50
    loss, accuracy = neighbour_nll(perfect, torch.ones(5, dtype=torch.bool))
    assert accuracy == 1
    assert loss < 0.8  # ln 2 where there are two neighbours


def run_of(name, corpus, path):
    from .conformance import train

    made, _ = train(name, corpus, path)
    for part in sorted((path / "checkpoints").iterdir())[-1].rglob("config.json"):
        corpus.tokenizer.save(part.parent)
    return made


def textgan(*words):
    from textgan.__main__ import main

    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


@pytest.mark.parametrize("name", ["quickthought", "skipthought"])
def test_encode_streams_and_goes_on(name, corpus, tmp_path, monkeypatch, capsys):
    from textgan.cli import encoding

    run_of(name, corpus, tmp_path / "r")
    (tmp_path / "in.txt").write_text("".join(f"a man sees a {'red ' * (k % 3)}car .\n" for k in range(25)))
    assert textgan("encode", tmp_path / "r", tmp_path / "in.txt", tmp_path / "whole.npy") == 0
    whole = np.load(tmp_path / "whole.npy")
    assert whole.shape == (25, 16 if name == "quickthought" else 8)
    assert np.abs(whole[0] - whole[3]).max() < 1e-6
    assert textgan("encode", tmp_path / "r", tmp_path / "in.txt", tmp_path / "few.npy", "--precision", "int8") == 0
    assert 0 < np.abs(np.load(tmp_path / "few.npy") - whole).max() < 0.03 * np.abs(whole).max()
    (tmp_path / "few.npy").unlink()
    assert textgan("encode", tmp_path / "r", tmp_path / "in.txt", tmp_path / "w.npy", "--words", 4, "--precision", "int8") == 2
    assert "--words gives states in fp32; leave --precision int8 out" in capsys.readouterr().err
    monkeypatch.setattr(encoding, "PIECE", 10)
    honest, calls = SentenceEncoder.encode, []

    def breaks(self, *args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return honest(self, *args, **options)

    monkeypatch.setattr(SentenceEncoder, "encode", breaks)
    assert textgan("encode", tmp_path / "r", tmp_path / "in.txt", tmp_path / "out.npy") == 130
    assert not (tmp_path / "out.npy").exists()
    assert textgan("encode", tmp_path / "r", tmp_path / "in.txt", tmp_path / "out.npy") == 0
    assert "going on at line 11" in capsys.readouterr().err
    assert np.abs(np.load(tmp_path / "out.npy") - whole).max() < 1e-6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.txt", "out.npy", "r", "whole.npy"]


def test_nearest_sentences_and_words(corpus, tmp_path, capsys):
    run_of("quickthought", corpus, tmp_path / "q")
    (tmp_path / "in.txt").write_text("a man sees a kite .\na dog holds the red car .\n\na man sees a kite .\n")
    assert textgan("nearest", tmp_path / "q", "a dog holds the red car .", "--among", tmp_path / "in.txt") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0] == "1.000  a dog holds the red car ."
    run_of("word2vec", corpus, tmp_path / "w")
    assert textgan("nearest", tmp_path / "w", "Horse", "-n", 3) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for words in (["w", "zebra"], ["q", "a dog"], ["none", "a dog", "--among", "x"]):
        assert textgan("nearest", tmp_path / words[0], *words[1:]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_encoders_start_from_word_vectors(corpus, tmp_path):
    from textgan.errors import UserError
    from textgan.vectors import read_vectors

    from .conformance import build

    words = run_of("word2vec", corpus, tmp_path / "w")
    made, _ = build("quickthought", corpus, embeddings=str(tmp_path / "w"))
    i = corpus.tokenizer.encode("a horse")[1]
    expected = torch.tensor(words.model.wv["horse"])
    assert torch.cosine_similarity(made.f.embedding.weight[i].detach(), expected, 0).item() == pytest.approx(1, abs=1e-5)
    with pytest.raises(UserError, match="expected 7"):
        read_vectors(str(tmp_path / "w"), corpus.tokenizer, 7)
    with pytest.raises(UserError, match="no word vectors can be read"):
        read_vectors(str(tmp_path / "nothing"), corpus.tokenizer, 6)


def test_the_suite_on_known_answers(tmp_path):
    """An encoder that knows the answer scores near 1; noise scores near chance."""
    from textgan.evaluate.sts import read_suite, score

    r = np.random.default_rng(0)
    n = 120
    y = r.uniform(1, 5, 3 * n)
    rows = [f"{k}\tleft {k}\tright {k}\t{y[k]:.4f}\tNEUTRAL" for k in range(3 * n)]
    for name, part in zip(("SICK_train", "SICK_trial", "SICK_test_annotated"), np.array_split(rows, 3), strict=True):
        (tmp_path / f"{name}.txt").write_text("pair\ta\tb\tscore\tlabel\n" + "\n".join(part) + "\n")
    (tmp_path / "kind.all").write_text("".join(f"{k % 2} text {k}\n" for k in range(100)))

    def knows(texts):
        out = []
        for text in texts:
            name, number = text.split()
            k = int(number)
            angle = 0 if name == "left" else (5 - y[k]) / 4 * np.pi / 2
            out.append([np.cos(angle), np.sin(angle), 1.0 * (name == "text" and k % 2)])
        return np.array(out, dtype=np.float32)

    suite = read_suite(tmp_path)
    good = score(knows, suite)
    assert good["SICK cosine rho"] > 0.999
    assert good["SICK head r"] > 0.9
    assert good["kind accuracy"] == 100
    bad = score(lambda texts: np.random.default_rng(1).normal(size=(len(texts), 5)).astype(np.float32), suite)
    assert abs(bad["SICK cosine r"]) < 0.3
    assert bad["kind accuracy"] < 75
