"""The report: whole, self-contained, and not upset by damaged files."""

import json
import re

import numpy as np
import pytest

from textgan.errors import UserError
from textgan.report import page, read, report, thin

from .conformance import train


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("r") / "a"
    train("seqgan", corpus, path)
    return path


def test_it_shows_curves_samples_and_stages_and_needs_nothing_else(run):
    out = report([run])
    text = out.read_text()
    assert out == run / "report.html"
    assert "d/loss" not in text.split("<svg")[0]
    assert text.count("<svg") >= 6
    assert "(adversarial)" in text
    assert read(run).samples[-1][1][0].split()[0] in text
    assert not re.search(r"<(script|link|img|iframe)|(?:src|href)\s*=\s*[\"']https?:|@import", text)
    assert page([read(run)]) == page([read(run)])  # the same run, the same page


def test_several_runs_and_their_differences(run, corpus, tmp_path):
    train("mle", corpus, tmp_path / "m")
    out = report([run, tmp_path / "m"], tmp_path / "new" / "both.html")
    text = out.read_text()
    assert '<tr class="differs"><td>algorithm</td><td>seqgan</td><td>mle</td></tr>' in text
    assert "<tr><td>schema_version</td><td>1</td><td>1</td></tr>" in text


def test_word_vectors_get_a_map(corpus, tmp_path):
    train("word2vec", corpus, tmp_path / "w")
    text = page([read(tmp_path / "w")])
    assert "by their two principal components" in text
    assert 'aria-label="map of' in text


def test_an_encoder_is_shown_beside_its_baselines(corpus, tmp_path):
    train("quickthought", corpus, tmp_path / "q")
    figures = {"trained": {"SICK head r": 0.7}, "untrained": {"SICK head r": 0.6}}
    (tmp_path / "q" / "suite-sts.json").write_text(json.dumps(figures))
    text = page([read(tmp_path / "q")])
    assert "<td>SICK head r</td><td><b>0.700</b></td><td>0.600</td>" in text


def test_damage_is_named_and_passed_over(run, tmp_path):
    hurt = tmp_path / "hurt"
    hurt.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        (hurt / name).write_text((run / name).read_text())
    with open(hurt / "metrics.jsonl", "a") as file:
        file.write('{"step": 9999, "stage": "adversarial", "g/loss": null, "d/loss": NaN}\n[1]\n{"step": 3, "g/lo')
    (hurt / "eval").mkdir()
    (hurt / "eval" / "00000001.json").write_text("{")
    (hurt / "samples").mkdir()
    (hurt / "samples" / "00000001.txt").write_bytes(b"<script>alert(1)</script> \xff\n")
    text = page([read(hurt)])
    assert "metrics.jsonl: 2 unreadable lines" in text
    assert "00000001.json is missing or damaged" in text
    assert "&lt;script&gt;alert" in text
    assert "<script" not in text
    (hurt / "metrics.jsonl").write_text("")
    assert "Nothing was logged yet" in page([read(hurt)])
    (hurt / "config.json").write_text(json.dumps({"algorithm": "<b>"}))
    assert "<b> on unknown data" not in page([read(hurt)])
    with pytest.raises(UserError, match="is not a run"):
        report([tmp_path])
    with pytest.raises(UserError, match="cannot be written"):
        report([run], run / "config.json" / "x.html")


def test_thin_keeps_the_peaks():
    x, y = np.arange(100_000), np.zeros(100_000)
    y[[777, 55_555]] = (5, -7)
    y[3] = np.nan
    a, b = thin(x, y, 100)
    assert len(a) <= 202
    assert {777, 55_555} <= set(a)
    assert np.nanmax(b) == 5
    assert thin(x[:10], y[:10], 100)[0] is not None


def test_samples_stand_beside_real_text(corpus, tmp_path):
    run = tmp_path / "judged"
    train("mle", corpus, run)
    assert "beside real text" not in page([read(run)])
    judged = {"checkpoint": "00000012", "model": {"bleu_2": 0.25, "length_p5": 1.0}, "real": {"bleu_2": 0.75}}
    (run / "eval").mkdir(exist_ok=True)
    (run / "eval" / "samples.json").write_text(json.dumps(judged))
    text = page([read(run)])
    assert "<tr><td>BLEU-2</td><td>0.250</td><td>0.750</td></tr>" in text
    assert "checkpoint 00000012" in text
    assert "length_p5" not in text
