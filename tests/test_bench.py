"""Every bench at tiny size: rows, JSON, floors; and that a plain form which does something else is found out."""

import importlib
import json
import math
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

SCRIPTS = Path(__file__).parent.parent / "scripts"
sys.path.append(str(SCRIPTS))

import bench  # noqa: E402
import bench_growth  # noqa: E402
from benches import BENCHES, text_gans, timing  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default:.*:DeprecationWarning:gensim")
NO_PLAIN = {"start-up"}
NO_FLOOR = {"word2vec", "bleu", "self-bleu"}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    for library in ("OMP", "MKL", "OPENBLAS", "RAYON"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "1")


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_gives_rows(name, tmp_path, capsys):
    out = tmp_path / "out.json"
    bench.main([name, "--quick", "--repeat", "2", "--json", str(out)])
    found = json.loads(out.read_text())
    assert found["threads"] == 1
    assert found["flop_per_s"] > 0 < found["bytes_per_s"]
    told = capsys.readouterr().out
    assert found["rows"]
    for row in found["rows"]:
        assert row["name"].startswith(name)
        assert f"{row['name']} " in told
        assert f"\n    {row['agreement']}\n" in told
        forms = {"ours"} | ({"plain"} if name not in NO_PLAIN else set())
        assert {form: len(values) for form, values in row["seconds"].items()} == dict.fromkeys(forms, 2)
        assert row["ours"] == pytest.approx(np.median(row["seconds"]["ours"]))
        if name in NO_PLAIN:
            assert row["plain"] is row["ratio"] is None
        else:
            assert row["ratio"] == pytest.approx(row["plain"] / row["ours"])
        if name in NO_FLOOR:
            assert row["floor"] is row["from_floor"] is None
        else:
            assert row["from_floor"] == pytest.approx(row["ours"] / row["floor"])
            assert row["floor_of"]


def another_prefix(honest):
    return lambda G, x, given, length, *draw: honest(G, x, max(0, given - 1), length, *draw)


def another_seed(honest):
    return lambda *numbers: honest(*numbers, 1)


def times(factor):
    return lambda honest: lambda *a, **k: honest(*a, **k) * factor


WRONG = [  # bench, and where its plain form is made another
    ("rollouts", "text_gans.plain_sample", another_prefix),
    ("rewards", "text_gans.PlainDiscriminator.probability", times(1.1)),
    ("rewards", "text_gans.plain_sample", another_prefix),
    ("generator-step", "text_gans.plain_log_prob", times(1.1)),
    ("sampling", "text_gans.multinomial", lambda honest: lambda p, t: honest(p.sqrt(), t)),
    ("mle-epoch", "text_gans.plain_log_prob", times(1.1)),
    ("discriminator-epoch", "text_gans.PlainDiscriminator.forward", times(1.1)),
    ("gumbel-step", "relaxed.plain_relax", times(1.1)),
    ("relgan-step", "relaxed.PlainRepresentations.forward", times(1.1)),
    ("maskgan-step", "maskgan.plain_fill", lambda honest: lambda G, x, present, *draw: honest(G, x.flip(0), present, *draw)),
    ("maskgan-step", "maskgan.PlainMaskGAN.returns", times(1.1)),
    ("skipthought-train", "encoders.Plain.loss", times(1.1)),
    ("skipthought-encode", "encoders.last", times(1.1)),
    ("word2vec", "encoders.fold", another_seed),
    ("bleu", "metrics.nltk_bleu", times(1.1)),
    ("self-bleu", "metrics.nltk_bleu", times(1.1)),
    ("cgan-step", "images.matching_loss", times(1.1)),
    ("stackgan-step", "images.divergence", times(1.1)),
    ("stackgan-step", "images.PlainTree.d_loss", times(1.1)),
    ("data", "data.decoded", times(1.1)),
    ("data", "data.plain_prepare", lambda honest: lambda source, out, like: np.save(out, np.ones((500, 40)))),
]


@pytest.mark.parametrize(("name", "where", "another"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_plain_form_that_does_something_else_is_not_timed(name, where, another, monkeypatch, tmp_path):
    module, *path, last = where.split(".")
    owner = importlib.import_module(f"benches.{module}")
    for part in path:
        owner = getattr(owner, part)
    monkeypatch.setattr(owner, last, another(getattr(owner, last)))
    with pytest.raises(SystemExit, match=f"{name}: our form and the plain one disagree"):
        bench.main([name, "--quick", "--repeat", "1"])


def test_every_bench_with_a_plain_form_has_such_a_control():
    assert {name for name, *_ in WRONG} == set(BENCHES) - NO_PLAIN


def test_same_and_alike():
    a = torch.arange(1.0, 101)
    assert "apart" in timing.same("x", a, a + 1e-3)
    with pytest.raises(timing.Disagreement, match="farthest"):
        timing.same("x", a, a + 1)
    timing.same("x", a, torch.cat([a[:99], a[:1]]), 0, 0.98)
    for other in (a[:99], torch.zeros(100), torch.full((100,), math.nan)):
        with pytest.raises(timing.Disagreement):
            timing.same("x", a, other)
    torch.manual_seed(0)
    x = torch.randn(3, 1000)
    timing.alike("x", x[0], x[1])
    with pytest.raises(timing.Disagreement, match="standard errors"):
        timing.alike("x", x[0], x[1] + 0.5)


def test_floors_count_what_is_computed():
    made = text_gans.CNNHighway(text_gans.CNNHighwayConfig(50, 20))
    with FlopCounterMode(display=False) as counter:
        made(torch.zeros(3, 20, dtype=torch.long))
    c = made.config
    filters = sum(2 * 29 * w * 64 * m for w, m in zip(c.windows, c.maps, strict=True) if w < 20)
    assert counter.get_total_flops() == 3 * (text_gans.fourier_flop(c) + text_gans.highway_flop(c)) + filters
    vectors = torch.nn.functional.one_hot(torch.zeros(3, 20, dtype=torch.long), 50).float()
    with FlopCounterMode(display=False) as counter:
        made(vectors)
    as_windows = text_gans.convolution_flop(c) + text_gans.highway_flop(c)
    assert counter.get_total_flops() == 3 * (as_windows + 2 * 20 * 50 * 64)
    windows = [(w, m, s) for w, m in zip(c.windows, c.maps, strict=True) for s in range(20 - w + 1)]
    for prefix in (0, 1, 7, 19, 20):
        left = sum(2 * m * w * 64 for w, m, s in windows if s + w > prefix)
        assert text_gans.convolution_flop(c, prefix) == left
    G = text_gans.RNNConfig(50, eos=None)
    with FlopCounterMode(display=False) as counter:
        text_gans.RNNGenerator(G).complete(torch.zeros(3, 4, dtype=torch.long), 5, torch.rand(3, 3, 5, 4))
    bias = 2 * 50 * (3 * 5 * 6)  # ours adds it as one more row of the product, for each of the tokens drawn
    assert counter.get_total_flops() == text_gans.rollout_flop(G, 3, 4, 5) + bias


def test_an_unknown_name_is_told(capsys):
    with pytest.raises(SystemExit) as left:
        bench.main(["rollout"])
    assert left.value.code == 2
    assert "no bench 'rollout'" in capsys.readouterr().err


def test_growth(tmp_path):
    x = [1.0, 2.0, 4.0, 8.0]
    assert bench_growth.slope(x, [3 * v**2 for v in x]) == pytest.approx(2)
    assert bench_growth.slope(x, [5.0] * 4) == pytest.approx(0)
    bench_growth.main(["--quick", "--repeat", "1", "--out", str(tmp_path / "g.png")])
    found = json.loads((tmp_path / "g.json").read_text())
    assert {name: [row[name] for row in rows] for name, rows in found.items()} == bench_growth.QUICK_SWEEPS
    assert all(row["seconds"] > 0 and math.isfinite(row["megabytes_of_memory"]) for rows in found.values() for row in rows)
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


def test_peak_memory_is_seen():
    before = bench_growth.resident(False)
    bench_growth.forget_peak()
    with mmap.mmap(-1, 64_000_000) as fresh:  # pages of its own, gone at once
        fresh.write(bytes(64_000_000))
    assert bench_growth.resident(True) - before > 60
    assert bench_growth.resident(False) - before < 30


def test_the_whole_experiment_is_the_sum_of_its_parts():
    rows = [{"name": name, "ours": 2.0 + k} for k, name in enumerate(bench.EXPERIMENT)]
    assert bench.experiment(rows)["whole"] == 120 * 2 + 1615 * 3 + 805 * 4 + 200 * 5
    assert bench.experiment(rows[1:]) == {}
