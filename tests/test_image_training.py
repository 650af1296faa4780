"""image-bridge train, resume and report: the real commands, and what they say to mistakes."""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from image_bridge.__main__ import main
from image_bridge.captions import BagOfWords
from image_bridge.images import ImageData
from image_bridge.pipeline import TextToImage

TINY = ["--size", "16", "--steps", "8", "--batch", "8", "--noise", "6", "--code", "5", "--width", "4", "--d-width", "4",
        "--threads", "1", "--grids", "2", "--log-every", "4"]  # fmt: skip
CLEAN = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}


def bridge(*words, **options):
    command = [sys.executable, "-W", "error", "-m", "image_bridge", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env={**CLEAN, "OMP_NUM_THREADS": "1"}, **options)


def here(*words):
    """The same in this process."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "shapes"
    assert here("data", "shapes", path, "--images", 30, "--size", 16, "--processes", 1) == 0
    return path


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "a"
    done = bridge("train", "cgan", "--data", folder, "--run", path, *TINY)
    assert done.returncode == 0, done.stderr
    assert "images to train on: 27; held out: 3; captions: 90" in done.stderr
    assert "16 of 16 steps done" in done.stderr
    return path


def last(path):
    return sorted((path / "checkpoints").iterdir())[-1]


def test_held_out_figures_come_with_the_grids_and_change_nothing(folder, run, tmp_path):
    done = bridge("train", "cgan", "--data", folder, "--run", tmp_path / "r", *TINY, "--figures")
    assert done.returncode == 0, done.stderr
    found = [json.loads(f.read_text()) for f in sorted((tmp_path / "r" / "eval").iterdir())]
    assert [row["step"] for row in found] == [int(f.stem) for f in sorted((tmp_path / "r" / "samples").iterdir())] == [8, 16]
    assert all("kid" in row and 0 <= row["accuracy_colour"] <= 1 for row in found), found
    assert found[0]["kid"] != found[1]["kid"]
    assert (tmp_path / "r" / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    assert not (run / "eval").exists()


def test_a_profile_changes_nothing(folder, run, tmp_path):
    done = bridge("train", "cgan", "--data", folder, "--run", tmp_path / "r", *TINY, "--profile")
    assert done.returncode == 0, done.stderr
    assert "5 steps took" in done.stderr
    events = [e.get("name") for e in json.loads((tmp_path / "r" / "profile.json").read_text())["traceEvents"]]
    assert events.count("Optimizer.step#Adam.step") == 5
    assert (tmp_path / "r" / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()


def files(path):
    return {str(f.relative_to(path)) for f in path.rglob("*") if f.is_file()}


def tensors(path):
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*.safetensors")}


def test_what_a_run_holds(run):
    generator = ["config.json", "model.safetensors", "text/encoder.json"]
    assert files(run) - {"report.html"} == {
        "config.json", "env.json", "data.json", "metrics.jsonl", "timing.jsonl", "text/encoder.json",
        "samples/00000008.png", "samples/00000016.png", "checkpoints/00000016/manifest.json", "checkpoints/00000016/state.pt",
        *(f"checkpoints/00000016/generator/{name}" for name in generator),
        *(f"checkpoints/00000016/generator_now/{name}" for name in generator[:2]),
    }  # fmt: skip
    assert os.path.samefile(run / "text/encoder.json", last(run) / "generator/text/encoder.json")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["samples_seen"]) for row in rows] == [(s, 8 * s) for s in (3, 4, 7, 8, 11, 12, 15, 16)]
    assert all(("d/wrong" in row) == bool(row["step"] % 2) for row in rows)
    with Image.open(run / "samples/00000016.png") as grid:
        assert grid.width > 9 * 64
    assert json.loads((run / "config.json").read_text())["config"]["width"] == 4


def test_a_generator_needs_neither_data_nor_run(run, tmp_path):
    shutil.copytree(last(run) / "generator", tmp_path / "g")
    images = [
        TextToImage.from_pretrained(p)("a red ring", generator=torch.Generator().manual_seed(0), output_type="pt").images
        for p in (run, last(run), tmp_path / "g")
    ]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[1], images[2])
    assert images[0].std() > 0


def test_the_same_words_give_the_same_run_and_another_seed_another(run, folder, tmp_path):
    for name, seed in (("same", 0), ("other", 1)):
        assert here("train", "cgan", "--data", folder, "--run", tmp_path / name, *TINY, "--seed", seed) == 0
    for part in ("metrics.jsonl", "samples/00000016.png"):
        assert (run / part).read_bytes() == (tmp_path / "same" / part).read_bytes() != (tmp_path / "other" / part).read_bytes()
    assert tensors(last(run)) == tensors(last(tmp_path / "same"))


def test_killed_at_a_random_moment_and_resumed_equals_unbroken(folder, tmp_path):
    base = ["--data", folder, *TINY, "--steps", 60, "--wrong", "random", "--captions", 2, "--halve-every", 20]
    assert here("train", "cgan", *base, "--run", tmp_path / "whole") == 0
    command = [sys.executable, "-m", "image_bridge", "train", "cgan", *map(str, base), "--run", str(tmp_path / "killed")]
    process = subprocess.Popen([*command, "--save-minutes", "0"], stderr=subprocess.DEVNULL)
    log = tmp_path / "killed/metrics.jsonl"
    while not (log.exists() and b'"step": 40,' in log.read_bytes()):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    time.sleep(int.from_bytes(os.urandom(1), "big") / 5000)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert here("resume", tmp_path / "killed") == 0
    for part in ("metrics.jsonl", "samples/00000120.png"):
        assert (tmp_path / "whole" / part).read_bytes() == (tmp_path / "killed" / part).read_bytes()
    assert tensors(last(tmp_path / "whole")) == tensors(last(tmp_path / "killed")) != {}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_resume_goes_on(number, code, folder, tmp_path):
    words = ["train", "cgan", "--data", str(folder), "--run", str(tmp_path / "r"), *TINY, "--steps", "100000"]
    process = subprocess.Popen([sys.executable, "-m", "image_bridge", *words], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "r/metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"saved; go on with `image-bridge resume {tmp_path / 'r'}`" in told
    assert "Traceback" not in told
    steps = int(last(tmp_path / "r").name)
    assert here("resume", tmp_path / "r", "--until", steps + 3) == 0
    assert int(last(tmp_path / "r").name) == steps + 3


def test_two_processes_equal_one(run, folder, tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "image_bridge"]
    words = ["train", "cgan", "--data", str(folder), "--run-dir", str(tmp_path / "two"), *TINY, "--device", "cpu"]
    done = subprocess.run([*launch, *words], capture_output=True, text=True, env={**CLEAN, "OMP_NUM_THREADS": "1"}, timeout=200)
    assert done.returncode == 0, done.stderr
    one, two = ([json.loads(line) for line in (p / "metrics.jsonl").read_text().splitlines()] for p in (run, tmp_path / "two"))
    for a, b in zip(one, two, strict=True):
        assert a.pop("stage") == b.pop("stage")
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
    a, b = (torch.load(last(p) / "state.pt", weights_only=True)["networks"]["generator"] for p in (run, tmp_path / "two"))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-3, atol=1e-5)
    assert files(run) - {"report.html"} == files(tmp_path / "two")


def test_dry_run_leaves_nothing(folder, tmp_path, capsys):
    assert here("train", "cgan", "--data", folder, "--run", tmp_path / "r", *TINY, "--dry-run") == 0
    told = capsys.readouterr().err
    assert "adversarial: 16 steps of 8 images" in told
    assert re.search(r"discriminator: [\d,]+ parameters", told)
    assert not (tmp_path / "r").exists()


def test_a_run_from_the_settings_of_another(run, tmp_path):
    assert here("train", "cgan", "--config", run, "--run", tmp_path / "b", "--width", "5", "--until", "2") == 0
    a, b = (json.loads((p / "config.json").read_text()) for p in (run, tmp_path / "b"))
    assert {**a["config"], "width": 5} == b["config"]
    assert a["data"] == b["data"]


def test_help_teaches(capsys):
    for words, says in (
        (["--help"], "image-bridge train ALGORITHM --data FOLDER"),
        (["train", "--help"], "stackgan_v2"),
        (["train", "cgan", "--help"], "--halve-every"),
        (["train", "cgan", "--help"], "image-bridge train cgan --data shapes"),
        (["resume", "--help"], "image-bridge resume runs/a --until 5000"),
        (["report", "--help"], "image-bridge report runs/a runs/b"),
    ):
        with contextlib.suppress(SystemExit):
            main(words)
        assert says in capsys.readouterr().out


def test_labels_and_given_vectors(folder, tmp_path, monkeypatch):
    """Conditioned on attributes; and on vectors of the user's own, which resume finds again from any folder."""
    assert here("train", "cgan", "--data", folder, "--run", tmp_path / "l", *TINY, "--text", "labels", "--until", 2) == 0
    assert TextToImage.from_pretrained(tmp_path / "l")("colour: red; kind: ring").images[0].size == (16, 16)
    planes = ["--condition", "planes", "--size", "28", "--channels", "1"]
    assert here("train", "cgan", "--data", folder, "--run", tmp_path / "p", *TINY, "--text", "labels", "--until", 2, *planes) == 0
    assert TextToImage.from_pretrained(tmp_path / "p")("colour: red; kind: ring").images[0].size == (28, 28)
    data = ImageData(folder)
    vectors = BagOfWords.of([c for some in data.captions for c in some]).encode([c for some in data.captions for c in some])
    np.save(tmp_path / "v.npy", vectors)
    monkeypatch.chdir(tmp_path)
    assert here("train", "cgan", "--data", folder, "--run", "g", *TINY, "--text", "v.npy", "--until", 4) == 0
    monkeypatch.chdir(folder)
    assert here("resume", tmp_path / "g") == 0
    assert last(tmp_path / "g").name == "00000016"
    assert here("generate", tmp_path / "g", "a red ring", "--out", tmp_path / "x.png") == 2


def test_resume_wants_the_same_images_and_finds_them_where_they_were_moved(run, folder, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "r")
    shutil.copytree(folder, tmp_path / "moved")
    config = json.loads((tmp_path / "r/config.json").read_text())
    config["config"]["steps"], config["data"]["data"] = 9, str(tmp_path / "gone")
    (tmp_path / "r/config.json").write_text(json.dumps(config))
    assert here("resume", tmp_path / "r") == 2
    assert "gone has no metadata.jsonl" in capsys.readouterr().err
    assert here("resume", tmp_path / "r", "--data", tmp_path / "moved") == 0
    assert last(tmp_path / "r").name == "00000018"
    text = (tmp_path / "moved/metadata.jsonl").read_text().splitlines()
    (tmp_path / "moved/metadata.jsonl").write_text("\n".join(text[:-1]) + "\n")
    assert here("resume", tmp_path / "r", "--data", tmp_path / "moved") == 2
    assert "is not what the run was begun with" in capsys.readouterr().err.splitlines()[-1]


def test_damaged_images_are_skipped_or_refused(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "d")
    ImageData(tmp_path / "d").files[3].write_text("this is no image")
    words = ["train", "cgan", "--data", tmp_path / "d", "--run", tmp_path / "r", *TINY]
    assert here(*words, "--strict") == 2
    assert "0000003.png: it cannot be read" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "r").exists()
    assert here(*words, "--until", 2) == 0
    assert "skipped: 1; the first: images/0000/0000003.png" in capsys.readouterr().err


def test_report(run, tmp_path, capsys):
    assert here("report", run) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    text = (run / "report.html").read_text()
    for step in ("00000008", "00000016"):
        assert base64.b64encode((run / f"samples/{step}.png").read_bytes()).decode() in text
    assert text.index("samples at step 16") < text.index("samples at step 8")
    assert "D&#x27;s mean score of real images with another text against the step" in text
    assert "It learned from 27 images; 3 were held out." in text
    assert not re.search(r"<(script|link|iframe)|(?:src|href)\s*=\s*[\"']https?:|@import", text)
    shutil.copytree(run, tmp_path / "hurt")
    (tmp_path / "hurt/samples/00000008.png").write_bytes(b"no picture")
    assert here("report", tmp_path / "hurt", run, "--out", tmp_path / "both.html") == 0
    text = (tmp_path / "both.html").read_text()
    assert "samples/00000008.png is no picture" in text
    assert text.count("samples at step 8") == 1
    assert text.count("samples at step 16") == 2


WRONG = [
    (["trian"], "did you mean `image-bridge train`"),
    (["train"], "no algorithm was named"),
    (["train", "cgen", "--data", "DATA", "--run", "R"], "did you mean cgan?"),
    (["train", "no.module:GAN", "--data", "DATA", "--run", "R"], "cannot be loaded"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--step", "3"], "did you mean --steps"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--batch", "many"], "--batch expects a whole number; received 'many'"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--recipe", "old"], "--recipe expects one of 'paper', 'modern'"),
    (["train", "cgan", "extra", "--data", "DATA", "--run", "R"], "received 'extra'"),
    (["train", "cgan", "--data", "DATA"], "--run DIR"),
    (["train", "cgan", "--run", "R"], "--data FOLDER"),
    (["train", "cgan", "--data", "nowhere", "--run", "R"], "has no metadata.jsonl"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--text", "nowhere"], "--text names what turns captions into vectors"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--text", "nowhere.npy"], "no such file"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--text", "SHORT"], "has 7 vectors; expected 90"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--text", "words:nowhere"], "nowhere"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--wrong", "class"], "--wrong class needs an attribute called class"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--size", "20"], "--size must be a power of two"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--size", "0"], "--size is too small; expected 1 or more; received 0"),
    (["train", "stackgan", "--data", "DATA", "--run", "R", "--size", "16"], "--size must be a power of two, 32 or more"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--batch", "0"], "--batch is too small"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--halve-every", "-1"], "--halve-every is too small"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--interpolation", "nan"], "--interpolation must be a finite number"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--ema", "1"], "--ema must lie in [0, 1)"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--lr", "0"], "--lr must be a finite number above 0"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--grids", "0"], "--grids must be 1 or more"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--processes", "-1"], "--processes must be 0 or more"),
    (["train", "cgan", "--data", "DATA", "--run", "R", "--device", "cuda:77"], "--device"),
    (["train", "cgan", "--data", "DATA", "--run", "RUN"], "go on with `image-bridge resume"),
    (["train", "cgan", "--data", "DATA", "--run", "DATA/metadata.jsonl/r", "--size", "16"], "cannot be used: Not a directory"),
    (["train", "stackgan", "--config", "RUN", "--run", "R"], "belongs to another algorithm; expected stackgan; received 'cgan'"),
    (["train", "cgan", "--config", "nowhere", "--run", "R"], "cannot be read"),
    (["resume"], "RUN is missing"),
    (["resume", "nowhere"], "is not a run"),
    (["resume", "RUN", "--lr", "1"], "received '--lr'"),
    (["resume", "RUN", "--until", "0"], "--until must be 1 or more"),
    (["report"], "no run was named; expected image-bridge report"),
    (["report", "nowhere"], "is not a run"),
]


@pytest.mark.parametrize(("words", "says"), WRONG)
def test_a_mistake_ends_in_one_line_and_exit_code_2(words, says, run, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("short.npy", np.zeros((7, 3), np.float32))
    names = {"DATA": folder, "RUN": run, "SHORT": "short.npy", "DATA/metadata.jsonl/r": folder / "metadata.jsonl/r"}
    before = files(run), sorted(f for f in files(folder) if not f.startswith("cache"))
    assert here(*[names.get(word, word) for word in words]) == 2
    error = capsys.readouterr().err
    assert says in error.splitlines()[-1]
    assert [line for line in error.splitlines()[:-1] if not line.startswith(("images to train on", "packing", "encoding"))] == []
    assert {p.name for p in tmp_path.iterdir()} == {"short.npy"}, "something half-made was left"
    assert (files(run), sorted(f for f in files(folder) if not f.startswith("cache"))) == before


DAMAGED = [
    ("config.json", b"{", ["resume", "report"], "damaged"),
    ("config.json", None, ["resume", "report"], "is not a run"),
    ("config.json", b'{"schema_version": 7}', ["resume"], "expected schema 1"),
    ("config.json", b"[1]", ["resume", "report"], "config.json is damaged"),
    ("data.json", b"{", ["resume"], "lacks data.json"),
    ("data.json", None, ["resume"], "lacks data.json"),
    ("text/encoder.json", b"{}", ["resume"], "lacks data.json or text/encoder.json"),
    ("text/encoder.json", b'{"kind": "bow"}', ["resume"], "damaged"),
]


@pytest.mark.parametrize(("file", "content", "commands", "says"), DAMAGED)
def test_a_damaged_run_ends_in_one_line(file, content, commands, says, run, tmp_path, capsys):
    hurt = tmp_path / "hurt"
    shutil.copytree(run, hurt)
    (hurt / file).unlink()
    if content is not None:
        (hurt / file).write_bytes(content)
    for command in commands:
        assert here(command, hurt) == 2, command
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1


def test_nothing_is_left_where_the_run_cannot_be_written(folder, tmp_path, monkeypatch, capsys):
    def full(self, place):
        place.mkdir(parents=True)
        (place / "half").write_text("x")
        raise OSError(28, "No space left on device", str(place))

    monkeypatch.setattr(BagOfWords, "save", full)
    assert here("train", "cgan", "--data", folder, "--run", tmp_path / "r", *TINY) == 2
    assert "No space left" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def compiled_equal_plain(folder, tmp_path):
    words = ["train", "cgan", "--data", folder, *TINY, "--steps", "2"]
    for name, more in (("plain", []), ("compiled", ["--compile"])):
        assert here(*words, "--run", tmp_path / name, *more) == 0
    plain, compiled = (torch.load(last(tmp_path / n) / "state.pt", weights_only=True)["networks"] for n in ("plain", "compiled"))
    for name, tensors in plain.items():
        assert tensors.keys() == compiled[name].keys()
        for key, value in tensors.items():
            torch.testing.assert_close(compiled[name][key], value, rtol=1e-2, atol=1e-3)


def test_networks_are_traced_as_they_are_and_keep_their_names(folder, tmp_path, monkeypatch):
    graphs, compile = [], torch.compile

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda function: compile(function, backend=backend, fullgraph=True))
    compiled_equal_plain(folder, tmp_path)
    assert len(graphs) > 8  # the parts of G and of D, trained and fixed


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_compiled_networks_train_the_same(folder, tmp_path):
    compiled_equal_plain(folder, tmp_path)
