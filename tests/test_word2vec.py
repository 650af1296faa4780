"""word2vec: the loss against loops, all four kinds, and what a run saves."""

import json

import numpy as np
import pytest

from .conformance import build, train
from .test_encoders import run_of, textgan

KINDS = pytest.mark.parametrize(("model", "loss"), [(m, k) for m in ("skipgram", "cbow") for k in ("negative", "hierarchical")])


def logistic(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


@KINDS
def test_the_loss_is_the_objective(model, loss, corpus):
    made, _ = build("word2vec", corpus, model=model, loss=loss, window=2)
    for i in range(3):
        made.step(i)
    wv, predictions = made.model.wv, []
    for words in made.sentences(0, len(corpus.train)):
        ids = [wv.key_to_index[w] for w in words if w in wv.key_to_index]
        for i, centre in enumerate(ids):
            near = [ids[j] for j in range(max(0, i - 2), min(len(ids), i + 3)) if j != i]
            if model == "cbow":
                predictions.append((wv.vectors[near].mean(0), centre))
            else:
                predictions += [(wv.vectors[k], centre) for k in near]
    p = np.array([wv.get_vecattr(w, "count") for w in wv.index_to_key], dtype=float) ** 0.75
    p /= p.sum()
    found = []
    for x, centre in predictions:
        if loss == "hierarchical":
            code, point = (np.asarray(wv.get_vecattr(centre, a), dtype=int) for a in ("code", "point"))
            found.append(-np.log(logistic((1 - 2 * code) * (made.model.syn1[point] @ x))).sum())
        else:  # the expectation over the negatives, exactly
            scores = made.model.syn1neg @ x
            others = -np.log(logistic(-scores))
            others[centre] = 0
            found.append(-np.log(logistic(scores[centre])) + 5 * (p * others).sum())
    assert made.objective(corpus.train) == pytest.approx(np.mean(found), rel=1e-4 if loss == "hierarchical" else 0.02)


@KINDS
def test_the_loss_falls_and_a_seed_gives_the_same_vectors(model, loss, corpus, tmp_path):
    settings = {"model": model, "loss": loss, "lr": 0.1, "epochs": 10}
    made, _ = train("word2vec", corpus, tmp_path / "a", **settings)
    again, _ = train("word2vec", corpus, tmp_path / "b", **settings)
    other, _ = train("word2vec", corpus, tmp_path / "c", seed=1, **settings)
    assert np.array_equal(made.model.wv.vectors, again.model.wv.vectors)
    assert not np.array_equal(made.model.wv.vectors, other.model.wv.vectors)
    losses = [
        row["w/loss"] for row in map(json.loads, (tmp_path / "a/metrics.jsonl").read_text().splitlines()) if "w/loss" in row
    ]
    assert len(losses) == 10
    assert losses[-1] < losses[0]


def test_exports_for_others(corpus, tmp_path):
    from gensim.models import KeyedVectors

    made = run_of("word2vec", corpus, tmp_path / "w")
    wv = made.model.wv
    for kind, name in (("word2vec", "vectors.bin"), ("word2vec-text", "vectors.txt"), ("gensim", "vectors.kv")):
        assert textgan("export", tmp_path / "w", tmp_path / kind, "--to", kind) == 0
        file = str(tmp_path / kind / name)
        read = KeyedVectors.load(file) if kind == "gensim" else KeyedVectors.load_word2vec_format(file, binary=kind == "word2vec")
        assert read.index_to_key == wv.index_to_key
        assert np.allclose(read.vectors, wv.vectors, atol=1e-6)
    assert textgan("export", tmp_path / "w", tmp_path / "no", "--to", "sentence-transformers") == 2


def test_evaluate_gives_the_figures_of_training(text, tmp_path, capsys):
    lines = text.read_text().splitlines()
    (tmp_path / "t.txt").write_text("\n\n".join("\n".join(lines[k : k + 5]) for k in range(0, len(lines), 5)))
    base = [
        "--data",
        tmp_path / "t.txt",
        "--held-out",
        0.3,
        "--length",
        8,
        "--batch",
        16,
        "--epochs",
        2,
        "--embedding-dim",
        6,
        "--hidden-dim",
        8,
        "--threads",
        1,
    ]
    assert textgan("train", "skipthought", *base, "--run", tmp_path / "s") == 0
    capsys.readouterr()
    assert textgan("evaluate", tmp_path / "s", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    last = json.loads(sorted((tmp_path / "s" / "eval").iterdir())[-1].read_text())
    assert found["nll_next"] == pytest.approx(last["nll_next"], rel=1e-6)
    assert found["nll_previous"] != pytest.approx(last["nll_next"], rel=1e-6)
    assert (tmp_path / "s" / "data" / "words").is_dir()  # learnt on the way
    assert textgan("nearest", tmp_path / "s", lines[0], "-n", 3) == 0  # among the run's own sentences
    assert capsys.readouterr().out.splitlines()[0] == f"1.000  {lines[0]}"
    assert textgan("train", "skipthought", "--data", text, *base[4:], "--run", tmp_path / "one") == 0
    capsys.readouterr()
    assert textgan("evaluate", tmp_path / "one") == 2
    assert "no sentences in a row" in capsys.readouterr().err
