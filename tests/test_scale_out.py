"""Several processes: the same corpus to the byte, and a group that loses a process goes on by itself."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import torch

from textgan.cli.running import begun, environment
from textgan.corpus import prepare
from textgan.corpus.pieces import PIECE
from textgan.errors import UserError
from textgan.runtime import Run, Workers

from .conftest import captions
from .test_image_training import TINY
from .test_image_training import here as bridge

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def torchrun(*words):
    return subprocess.run([*LAUNCH, *map(str, words)], capture_output=True, text=True, timeout=200, env=ENVIRONMENT)


def trained_with_a_loss(run, step, module, *words):
    """Train with two processes, kill the second after a checkpoint at ``step`` or later, and leave the rest to torchrun."""
    command = [*LAUNCH, "--max-restarts", "1", "-m", module, *map(str, words), "--run-dir", str(run)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    while not any(int(folder.name) >= step for folder in Run(run).checkpoints()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children()
    next(worker for worker in workers if worker.environ().get("RANK") == "1").kill()
    _, told = process.communicate(timeout=200)
    assert process.returncode == 0, told
    assert f"going on with {run}" in told


def outcome(run):
    """What a run has logged, and its final weights."""
    state = torch.load(Run(run).latest() / "state.pt", weights_only=True)
    return (run / "metrics.jsonl").read_bytes(), state["networks"]["generator"]


def apart(a, b):
    """The largest difference between two runs' weights."""
    return max(float((value - b[key]).abs().max()) for key, value in a.items())


WORDS = ["train", "mle", "--device", "cpu", "--epochs", 40, "--batch", 32, "--hidden-dim", 8, "--embedding-dim", 8,
         "--dropout", 0.2, "--length", 8, "--log-every", 20, "--save-minutes", 0, "--evaluate-every", 20]  # fmt: skip


def test_a_run_that_loses_a_process_ends_as_if_it_had_not(text, tmp_path):
    words = [*WORDS, "--data", text]
    done = torchrun("-m", "textgan", *words, "--run-dir", tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    trained_with_a_loss(tmp_path / "lossy", 40, "textgan", *words)
    whole, lossy = outcome(tmp_path / "whole"), outcome(tmp_path / "lossy")
    assert whole[0] == lossy[0]
    assert apart(whole[1], lossy[1]) == 0
    begun = Run(tmp_path / "whole").checkpoints()[0]  # a control: the weights were still moving
    assert apart(whole[1], torch.load(begun / "state.pt", weights_only=True)["networks"]["generator"]) > 0


def test_only_the_torchrun_that_began_a_run_goes_on_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["textgan", "train", "mle"])
    assert not begun(tmp_path / "run", "textgan", Workers())
    for job in ("one", "none"):  # torchrun calls it none where nobody gave it an id
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", job)
        Run.create(tmp_path / job, {}, environment(["textgan", "train", "mle"], 0, Workers()))
        assert begun(tmp_path / job, "textgan", Workers())
    monkeypatch.setattr(os, "getppid", lambda: 1)
    monkeypatch.setattr(sys, "argv", ["textgan", "train", "mle", "--epochs", "3"])
    for wrong in ("none", "one"):
        with pytest.raises(UserError, match="already holds a run"):
            begun(tmp_path / wrong, "textgan", Workers())
        monkeypatch.setattr(sys, "argv", ["textgan", "train", "mle"])
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "two")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    with pytest.raises(UserError, match=r"go on with `textgan resume .*one`"):
        begun(tmp_path / "one", "textgan", Workers())


def test_a_run_of_images_goes_on_as_well(tmp_path):
    assert bridge("data", "shapes", tmp_path / "shapes", "--images", 30, "--size", 16, "--processes", 1) == 0
    words = ["train", "cgan", "--data", tmp_path / "shapes", *TINY, "--steps", 40, "--log-every", 4, "--device", "cpu"]
    assert bridge(*words, "--run", tmp_path / "whole") == 0
    trained_with_a_loss(tmp_path / "lossy", 8, "image_bridge", *words, "--save-minutes", 0)
    whole, lossy = outcome(tmp_path / "whole"), outcome(tmp_path / "lossy")
    assert whole[0].count(b"\n") == lossy[0].count(b"\n")
    assert apart(whole[1], lossy[1]) < 1e-3
    assert bridge(*words, "--run", tmp_path / "other", "--seed", 1) == 0
    assert apart(whole[1], outcome(tmp_path / "other")[1]) > 1e-2


class Threads(Workers):
    """Threads instead of processes, to which nothing but ``agree`` makes a difference."""

    def agree(self, value):
        self.said[self.rank] = value
        self.barrier.wait(60)
        largest = max(self.said)
        self.barrier.wait(60)
        return largest


def together(world, work):
    """What ``work`` gives or raises in each of so many threads."""
    said, barrier = [0] * world, threading.Barrier(world)

    def one(rank):
        workers = Threads(rank, world)
        workers.said, workers.barrier = said, barrier
        try:
            return work(workers)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(world) as pool:
        return list(pool.map(one, range(world)))


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    lines = [f"{caption} {i}" if i % 50 else f"{caption} Nº\x07" for i, caption in enumerate(captions(9000))]
    for name, gap in (("documents", 200), ("lines", len(lines))):
        (folder / name).mkdir()
        (folder / name / "a.txt").write_text("\n\n".join("\n".join(lines[k : k + gap]) for k in range(0, len(lines), gap)))
        (folder / name / "b.txt").write_text("\n".join(lines[:50]) + "\n\nthe end\n\n" + "word " * 30)
    assert (folder / "documents" / "a.txt").stat().st_size > 3 * PIECE
    return folder


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("documents", {"overlong": "truncate", "held_out": 0.2}),
        ("lines", {"held_out": 0.2}),
        ("lines", {"tokenizer": "char", "overlong": "truncate"}),
        ("lines", {"tokenizer": "bpe", "test": "documents"}),
    ],
)
def test_any_number_of_processes_prepare_the_same_bytes(source, options, texts, tmp_path):
    """The tutorial on several machines does it with processes."""
    options = {"length": 10, "vocab_size": 400, **options}
    if "test" in options:
        options["test"] = str(texts / options["test"])
    one = prepare(str(texts / source), tmp_path / "one", **options)
    assert one.info["held_out_by"] == ("document" if source == "documents" else "sentence")
    assert one.info["skipped"] + one.info["truncated"] > 0 < one.info["reading"]["control_characters"]
    done = together(3, lambda workers: prepare(str(texts / source), tmp_path / "three", workers=workers, **options))
    assert [corpus.info for corpus in done] == [one.info] * 3
    assert files(tmp_path / "one") == files(tmp_path / "three")
    assert len(list(tmp_path.iterdir())) == 2
    other = prepare(str(texts / source), tmp_path / "other", seed=1, **{**options, "test": None})
    assert other.info["content_sha256"] != one.info["content_sha256"]


def test_a_mistake_that_the_first_process_finds_ends_all(texts, tmp_path):
    told = together(2, lambda workers: prepare(str(texts / "lines"), tmp_path / "c" / "d", length=2, workers=workers))
    assert "no sentence of" in told[0]
    assert told[1] == "the first process of the group could not do its part; it says why"
    assert not list(tmp_path.iterdir())
