"""What the scripts that reproduce published tables share."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import torch

FINISHED = "finished"  # a file in the folder of a run that came to its end


def train(method: str, run: Path, data: str, seed: int, *options: str) -> None:
    """Train a run on one thread, or go on with it; what it says goes to RUN.log."""
    words = ["train", method, "--data", data, "--run", str(run), "--seed", str(seed), "--threads", "1", *options]
    if (run / "config.json").is_file():  # of the options only where it stops may differ
        until = options.index("--until") if "--until" in options else len(options)
        words = ["resume", str(run), *options[until : until + 2]]
    run.parent.mkdir(parents=True, exist_ok=True)
    with open(run.parent / f"{run.name}.log", "a", encoding="utf-8") as log:
        command = [sys.executable, "-m", "textgan", *words]
        subprocess.run(command, check=True, stderr=log, stdout=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if "--until" not in options:
        (run / FINISHED).touch()


def where_and_when() -> str:
    """Machine, versions and date."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    return f"{machine}, Python {platform.python_version()}, torch {torch.__version__}; {datetime.date.today()}."


def write_between(path: Path, mark: str, text: str) -> None:
    """Put text between the marks of a file."""
    old = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    if begin not in old:
        raise SystemExit(f"{path} has no place for the table; expected {begin} and {end}")
    path.write_text(re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{text}\n{end}", old, flags=re.DOTALL), encoding="utf-8")
