"""Quality against diversity over temperatures: what is concluded, and the command."""

import io
import json
import math
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from textgan.__main__ import main
from textgan.corpus import Corpus
from textgan.evaluate.bleu import self_bleu
from textgan.evaluate.sweep import PAIRS, bootstrap, front, gain, jackknife, measure, measure_vectors
from textgan.generators import RNNConfig, RNNGenerator

from .test_cli import GAN, TINY


def textgan(*words):
    """The command in this process; each process of its own would take seconds to start."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(word) for word in words])
            code = 0
        except SystemExit as left:
            code = left.code
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


PAIR = PAIRS[2]  # NLL_oracle and NLL_test: less is better in both


def curve(points, error=0.01):
    return {1.0 - k / 10: {"nll_oracle": (q, error), "nll_test": (d, error)} for k, (q, d) in enumerate(points)}


def test_the_bootstrap_knows_the_error_of_a_mean_and_of_a_ratio():
    r = np.random.default_rng(0)
    x = r.normal(3, 2, 4000)
    mean, error = bootstrap(x)
    assert mean == pytest.approx(x.mean())
    assert error == pytest.approx(2 / math.sqrt(4000), rel=0.1)
    tokens = r.integers(1, 20, 4000)
    mean, error = bootstrap(np.stack([5.0 * tokens, tokens], 1))  # always 5 nats a token, however many there are
    assert mean == pytest.approx(5)
    assert error < 1e-9
    assert all(math.isnan(v) for v in bootstrap(np.array([1.0, math.nan])))


def test_a_gain_is_measured_at_the_same_quality():
    baseline = curve([(9, 7), (8, 8), (7, 9)])
    better = gain(curve([(8.5, 7.2)]), [baseline], PAIR)  # the line is at 7.5 there
    assert (better.gain, better.temperature, better.significant) == (pytest.approx(0.3), 1.0, True)
    sharper = gain(curve([(7.5, 8.5), (7.2, 9.4)]), [baseline], PAIR)  # of better quality, but on the line
    assert not sharper.significant
    assert sharper.gain == pytest.approx(0)
    assert gain(curve([(6, 9.5)]), [baseline], PAIR) is None
    assert not gain(curve([(8.5, 7.2)], error=0.3), [baseline], PAIR).significant
    two = gain(curve([(8.5, 7.2)]), [baseline, curve([(8.4, 7.1)])], PAIR)  # another baseline draws the line lower
    assert two.gain < 0


def test_a_gain_must_be_larger_than_what_straight_lines_leave_open():
    bent = curve([(9, 7), (8, 7.2), (7, 9)], error=0.001)
    inside = gain(curve([(7.5, 7.9)], error=0.001), [bent], PAIR)  # 0.2 below the line, but a convex curve may lie there
    assert inside.gain == pytest.approx(0.2)
    assert not inside.significant
    assert gain(curve([(7.5, 7.2)], error=0.001), [bent], PAIR).significant  # no convex curve lies so low


def test_beyond_the_baseline_a_generator_can_win_but_not_lose():
    baseline = curve([(9, 7), (8, 8), (7, 9)])
    sharper = gain(curve([(6.5, 8.5)]), [baseline], PAIR)  # of better quality than any, and more diverse than the best
    assert (sharper.gain, sharper.significant) == (pytest.approx(0.5), True)
    assert gain(curve([(6.5, 9.5)]), [baseline], PAIR) is None
    assert gain(curve([(10, 6)]), [baseline], PAIR) is None
    worse = gain(curve([(10, 7.5)]), [baseline], PAIR)
    assert (worse.gain, worse.significant) == (pytest.approx(-0.5), False)


def test_more_comparisons_ask_for_more_evidence():
    baseline, close = curve([(9, 7), (8, 8), (7, 9)]), curve([(8.5, 7.46)])
    assert gain(close, [baseline], PAIR).significant
    assert not gain(close, [baseline], PAIR, comparisons=50).significant


def test_the_jackknife_knows_the_error_of_a_mean_and_of_self_bleu():
    r = np.random.default_rng(0)
    x = r.normal(3, 2, 4000)
    assert jackknife(lambda rows: float(np.mean(rows)), list(x)) == pytest.approx(2 / math.sqrt(4000), rel=0.5)
    assert math.isnan(jackknife(np.mean, list(x[:19])))
    words = [[f"w{k}" for k in r.integers(0, 6, 6)] for _ in range(4000)]

    def figure(rows):
        return float(self_bleu(rows)[:, 1].mean())

    truth = np.std([figure(words[i : i + 200]) for i in range(0, 4000, 200)])  # of 20 draws
    assert 0.4 < jackknife(figure, words[:200]) / truth < 2.5


def test_the_distance_of_vectors_has_a_floor_and_an_error():
    r = np.random.default_rng(0)
    real, same, other = r.normal(0, 1, (400, 4)), r.normal(0, 1, (400, 4)), r.normal(0.5, 1, (500, 4))
    floor, moved = measure_vectors(same, real), measure_vectors(other, real)
    assert floor[0] < 0.15 < moved[0] - 3 * moved[1]
    assert moved[0] == pytest.approx(1, abs=0.3)  # four times a half squared


def test_bleu_counts_upwards():
    pair = PAIRS[0]
    points = {
        "a": {1.0: {"bleu_5": (0.2, 0), "self_bleu_5": (0.4, 0)}, 0.5: {"bleu_5": (0.3, 0), "self_bleu_5": (0.6, 0)}},
        "b": {1.0: {"bleu_5": (0.25, 0), "self_bleu_5": (0.3, 0)}, 0.5: {"bleu_5": (0.28, 0), "self_bleu_5": (0.7, 0)}},
    }
    assert front(points, pair) == {"a": [0.5], "b": [1.0]}


def test_a_generator_is_measured_at_its_temperature():
    torch.manual_seed(0)
    model, oracle = (RNNGenerator(RNNConfig(12, bos=0, eos=None)) for _ in range(2))
    with torch.no_grad():
        for p in (*model.parameters(), *oracle.parameters()):
            p.normal_(0, 1)
    held_out = oracle.sample(300, 6)
    hot, cold = (measure(model, t, n=300, length=6, held_out=held_out, oracle=oracle) for t in (1.0, 0.2))
    x = model.eval().sample(4, 6)
    scores = (model.logits(x) / 0.2).log_softmax(2).gather(2, x.unsqueeze(2)).squeeze(2)
    assert torch.allclose(model.log_prob(x, 0.2), scores, atol=1e-5)
    assert cold["nll_test"][0] > hot["nll_test"][0] + 1
    assert set(hot) == {"nll_test", "nll_oracle"}


def test_compare(text, tmp_path):
    for name, words in (
        ("mle", ["train", "mle", *TINY, "--run", tmp_path / "mle"]),
        ("gan", ["train", "seqgan", *GAN, "--rounds", 2, "--run", tmp_path / "gan"]),
        ("control", ["train", "seqgan", *GAN, "--reward", "constant", "--rounds", 2, "--run", tmp_path / "control"]),
    ):
        done = textgan(*words, "--data", text)
        assert done.returncode == 0, (name, done.stderr)
    runs = [tmp_path / name for name in ("mle", "gan", "control")]
    done = textgan("compare", *runs, "--out", tmp_path / "c.html", "-n", 40, "--temperatures", 1, 0.5)
    assert done.returncode == 0, done.stderr
    assert "control: constant reward" in done.stdout
    assert "noise left aside, is held by" in done.stdout
    assert "baseline" in done.stdout.split("frontier", 1)[1]
    assert "\nreal text " in done.stdout
    held_out = len(Corpus.open(runs[0] / "data").test)
    assert f"held-out sentences, which are BLEU's references: {held_out}." in done.stdout
    page = (tmp_path / "c.html").read_text()
    assert page.count("<svg") == 2
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["runs"][0]["checkpoint"].endswith("best")
    assert set(found["figures"][str(runs[1])]) == {"1", "0.5"}
    other = textgan("train", "mle", "--data", text, *TINY, "--vocab-size", 12, "--run", tmp_path / "other")
    assert other.returncode == 0, other.stderr
    small = ["--out", tmp_path / "d.html", "-n", 20, "--temperatures", 1]
    refused = textgan("compare", runs[0], tmp_path / "other", *small)
    assert refused.returncode == 2
    assert "--anyway" in refused.stderr
    assert textgan("compare", runs[0], tmp_path / "other", *small, "--anyway").returncode == 0
    synthetic = textgan("train", "mle", "--data", "oracle", *TINY, "--oracle-sequences", 64, "--run", tmp_path / "ids")
    assert synthetic.returncode == 0, synthetic.stderr
    (tmp_path / "file").write_text("")
    for wrong in (
        ["nowhere"], [], [runs[0], "--temperatures", 0], [runs[0], "--seed", -1], [runs[0], "--out", tmp_path],
        [runs[0], "--out", tmp_path / "c.json"], [runs[0], "--out", tmp_path / "file" / "c.html"],
        [runs[0], tmp_path / "ids", "--anyway"],
    ):  # fmt: skip
        done = textgan("compare", *wrong)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
