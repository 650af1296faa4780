"""Figures of samples: against the reference libraries, by hand, and on inputs that are nothing like text."""

import itertools
import json
import math
import random
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from textgan.evaluate import (
    copied,
    corpus_bleu,
    distinct,
    frechet_distance,
    lengths,
    lstm_nll,
    mauve,
    ngram_nll,
    precision_recall,
    self_bleu,
    sentence_bleu,
)
from textgan.evaluate.samples import compare_texts
from textgan.evaluate.words import words

from .conftest import captions
from .test_cli import TINY, textgan

SHARED = Path(__file__).parents[2] / "shared" / "data"
ORDERS = [tuple([1 / k] * k) for k in range(1, 6)]
METHODS = ["method0", "method1", "method2", "method3", "method4"]
ODD = [[], ["a"], ["nothing"], ["a", "man"], ["x", "y", "z"], ["a"] * 9]


def sentences(n, seed):
    r = random.Random(seed)
    rows = words(captions(n, seed))
    return [row[: r.randint(1, len(row))] if r.random() < 0.3 else row for row in rows]


@pytest.mark.parametrize("method", METHODS)
def test_bleu_is_nltks(method):
    from nltk.translate import bleu_score as nltk

    smoothing = getattr(nltk.SmoothingFunction(), method)
    hypotheses, references = sentences(60, 1) + ODD, [*sentences(40, 2), [], ["a", "b"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = [[nltk.sentence_bleu(references, h, w, smoothing) for w in ORDERS] for h in hypotheses]
        others = [hypotheses[:i] + hypotheses[i + 1 :] for i in range(len(hypotheses))]
        own = [[nltk.sentence_bleu(o, h, w, smoothing) for w in ORDERS] for h, o in zip(hypotheses, others, strict=True)]
        all_ = [nltk.corpus_bleu([references] * len(hypotheses), hypotheses, w, smoothing) for w in ORDERS]
    np.testing.assert_allclose(sentence_bleu(hypotheses, references, 5, method), one, rtol=0, atol=1e-12)
    np.testing.assert_allclose(self_bleu(hypotheses, 5, method), own, rtol=0, atol=1e-12)
    np.testing.assert_allclose(corpus_bleu(hypotheses, references, 5, method), all_, rtol=0, atol=1e-12)
    assert np.ptp(np.array(own)[:, 4]) > 0.5  # the control: they are not all alike


def test_self_bleu_leaves_the_sentence_itself_out():
    rows = [row for row in sentences(30, 3) if len(row) > 1]
    assert sentence_bleu(rows, rows)[:, 1].min() > 0.99  # what a sentence among its own references would score
    assert self_bleu(rows)[:, 1].min() < 0.99
    some = np.array([4, 7])
    np.testing.assert_array_equal(self_bleu(rows, hypotheses=some), self_bleu(rows)[some])


def test_degenerate_samples():
    rows = sentences(20, 4)
    assert np.isnan(self_bleu([["a", "man"]])).all()
    assert (self_bleu([["a"] * 6] * 5) == 1).all()
    assert (sentence_bleu([[]], rows) == 0).all()
    assert (sentence_bleu(rows, [[]]) == 0).all()
    assert sentence_bleu([["a", "man"]], [["a", "man"]], 5, "method0").round(9).tolist() == [[1, 1, 0, 0, 0]]
    for samples in ([["a", "man"]], [["a", "man"]] * 10, [[], []], [[]] * 3 + rows):
        found = compare_texts(samples, rows, rows)
        known = [v for k, v in found.items() if not math.isnan(v)]
        assert found["distinct_sentences"] == len({tuple(s) for s in samples})
        assert len(known) > 10
        assert all(math.isfinite(v) for v in known)
    assert math.isnan(distinct([[]])["distinct_1"])


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the published samples are not here")
def test_published_samples_score_as_published():
    def read(name):
        return words((SHARED / name).read_text(encoding="utf-8").splitlines())

    references = read("image_coco/image_coco_test.txt")
    for name, bleu, own in (
        ("mle", [0.731, 0.497, 0.305, 0.189], [0.916, 0.769, 0.583, 0.408]),
        ("seq", [0.745, 0.498, 0.294, 0.180], [0.950, 0.840, 0.670, 0.489]),
    ):
        samples = read(f"texygen_samples/{name}.txt")
        np.testing.assert_allclose(sentence_bleu(samples, references).mean(0)[1:], bleu, atol=0.0011)
        np.testing.assert_allclose(self_bleu(samples).mean(0)[1:], own, atol=0.0011)


def test_diversity_by_hand():
    rows = [["a", "b", "a"], ["a", "b"], ["a", "b"], []]
    found = distinct(rows, 2)
    assert found == {"distinct_sentences": 3, "distinct_1": 2 / 7, "distinct_2": 2 / 4}
    found = copied([["a", "b", "c"], ["x", "b", "c", "d"], ["q"]], [["a", "b", "c"], ["b", "c", "e"], ["d"]])
    assert found == {"copied_sentences": 1 / 3, "longest_copy_mean": 5 / 3, "longest_copy_max": 3}
    assert lengths(rows) == pytest.approx(
        {"length_mean": 1.75, "length_sd": np.std([3, 2, 2, 0]), "length_p5": 0.3, "length_p50": 2, "length_p95": 2.85}
    )


def kneser_ney(training, sentence, vocabulary, order):
    """The same model, word by word with dictionaries."""
    pad = ["<s>"] * (order - 1)
    rows = [pad + [w if w in vocabulary else "<unk>" for w in s] + ["</s>"] for s in training]
    counts, before = [Counter() for _ in range(order + 1)], defaultdict(set)
    for row in rows:
        for t in range(order - 1, len(row)):
            for k in range(1, order + 1):
                gram = tuple(row[t - k + 1 : t + 1])
                counts[k][gram] += 1
                if k < order:
                    before[gram].add(row[t - k])
    use = [None, *({g: len(before[g]) for g in counts[k]} for k in range(1, order)), counts[order]]
    row, nats = pad + [w if w in vocabulary else "<unk>" for w in sentence] + ["</s>"], 0.0
    for t in range(order - 1, len(row)):
        p = 1 / (len(vocabulary) + 2)
        for k in range(1, order + 1):
            gram = tuple(row[t - k + 1 : t + 1])
            ones, twos = (sum(v == c for v in use[k].values()) for c in (1, 2))
            d = max(0.1, ones / (ones + 2 * twos)) if ones else 0.1
            same = [v for g, v in use[k].items() if g[:-1] == gram[:-1]]
            if same:
                p = (max(use[k].get(gram, 0) - d, 0) + d * len(same) * p) / sum(same)
        nats -= math.log(p)
    return nats, len(row) - order + 1


@pytest.mark.parametrize("order", [1, 2, 4])
def test_kneser_ney_is_the_model_of_the_book(order):
    training, scored = sentences(40, 5), [*sentences(8, 6), [], ["nothing"], ["a"]]
    vocabulary = {w for s in training for w in s} - {"kite"}
    found = ngram_nll(training, scored, vocabulary, order)
    expected = [kneser_ney(training, s, vocabulary, order) for s in scored]
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert np.ptp(found[:, 0] / found[:, 1]) > 0.1


def test_kneser_ney_sums_to_one():
    training, vocabulary = [["a", "b"], ["a"], ["b", "b", "a"], ["a", "b"]], {"a", "b", "c"}
    every = [list(s) for k in range(9) for s in itertools.product(["a", "b", "c", "never"], repeat=k)]
    total = np.exp(-ngram_nll(training, every, vocabulary, 3)[:, 0]).sum()
    assert 0.98 < total <= 1 + 1e-9


def test_lstm_learns_what_it_reads():
    rows = torch.tensor([[4, 5, 6, 2], [7, 5, 4, 2]]).repeat(300, 1).numpy()
    other = np.array([[6, 4, 7, 2]])
    found = lstm_nll(rows, np.concatenate([rows[:2], other]), 8, hidden_dim=32, epochs=20)
    nats = found[:, 0] / found[:, 1]
    assert found[:, 1].tolist() == [4, 4, 4]
    assert nats[:2].max() < 0.5 < 1 < nats[2]
    np.testing.assert_array_equal(found, lstm_nll(rows, np.concatenate([rows[:2], other]), 8, hidden_dim=32, epochs=20))


def test_frechet_distance():
    from scipy.linalg import sqrtm

    r = np.random.default_rng(0)
    x, y = r.normal(size=(400, 6)) @ r.normal(size=(6, 6)), r.normal(1, 2, size=(300, 6))
    cx, cy = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cx + cy - 2 * sqrtm(cx @ cy).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x[:3], y[:4]) > 0  # fewer vectors than numbers in them
    assert frechet_distance(x[:1], x[:1]) == 0
    one = np.array([[0.0], [2.0]]), np.array([[5.0], [5.0]])  # variance 2 and mean 1, variance 0 and mean 5
    assert frechet_distance(*one) == pytest.approx(16 + 2)


def test_precision_and_recall_by_hand():
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    fake = np.array([[0.5], [1.5], [1.6], [100.0]])
    # balls of reals (k = 1): radius 1, 1, 1, 8; of fakes: 1, .1, .1, 98.4
    found = precision_recall(real, fake, k=1)
    assert found == pytest.approx({"precision": 0.75, "recall": 1.0, "density": 6 / 4, "coverage": 0.75})
    assert all(math.isnan(v) for v in precision_recall(real[:1], fake, k=1).values())
    small = np.random.default_rng(1).normal(size=(50, 3))
    assert precision_recall(small, small + 100)["coverage"] == 0
    assert precision_recall(small, small, piece=7) == pytest.approx(precision_recall(small, small, piece=50))


def test_mauve():
    r = np.random.default_rng(0)
    x, y = r.normal(size=(2, 300, 8))
    assert mauve(x, x) == pytest.approx(1)
    assert mauve(x, y) > 0.8
    assert mauve(x, y + 3) < 0.1


@pytest.fixture(scope="module")
def run(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluated") / "a"
    done = textgan("train", "mle", "--data", text, "--run", path, *TINY)
    assert done.returncode == 0, done.stderr
    return path


def test_evaluate_prints_a_table_and_writes_json(run, text):
    done = textgan("evaluate", run, "-n", 50)
    assert done.returncode == 0, done.stderr
    assert "BLEU-2" in done.stdout
    assert "real text" in done.stdout
    assert "samples: 50; held-out sentences: 8. The column" in done.stdout
    saved = json.loads((run / "eval" / "samples.json").read_text())
    assert set(saved["real"]) <= set(saved["model"])
    again = json.loads(textgan("evaluate", run, "-n", 50, "--json").stdout)
    assert again == saved
    cooler = json.loads(textgan("evaluate", run, "-n", 50, "--json", "--temperature", "0.3").stdout)
    assert cooler["model"]["nll_div"] < saved["model"]["nll_div"]


def test_evaluate_judges_text_of_any_program(text, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("a man sees a kite .\nnothing of this is known\n")
    words_ = ["evaluate", "--samples", other, "--against", text, "--training", text, "--json"]
    found = json.loads(textgan(*words_).stdout)
    assert found["model"]["copied_sentences"] == 0.5
    assert found["samples"] == 2
    alone = json.loads(textgan(*words_[:-3], "--json").stdout)  # no training text: held-out text beside itself
    lines = words(text.read_text().splitlines())
    expected = self_bleu(lines)[np.sort(np.random.default_rng(0).permutation(len(lines))[:2])].mean(0)
    assert alone["real"]["bleu_3"] == pytest.approx(expected[2])
    assert "lm_nll" not in alone["real"]
    assert textgan("evaluate", "--samples", other).returncode == 2
    for wrong, told in (
        (["--against", "nowhere.txt"], "no such file"),
        (["--temperature", "0"], "--temperature"),
        (["--mauve"], "--encoder"),
    ):
        done = textgan("evaluate", "--samples", other, "--against", text, *wrong)
        assert done.returncode == 2
        assert told in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2
