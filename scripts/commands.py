"""What the scripts that show the commands share: print one, run it, leave where it fails."""

from __future__ import annotations

import shlex
from pathlib import Path

from image_bridge.__main__ import main as image_bridge
from textgan.__main__ import main as textgan

PROGRAMS = {"textgan": textgan, "image-bridge": image_bridge}


def command(program: str, *words: str) -> None:
    """Print a command and run it; its exit code ends the script unless it is 0."""
    print(f"\n$ {shlex.join([program, *words])}", flush=True)
    try:
        PROGRAMS[program](list(words))
    except SystemExit as left:
        if left.code:
            raise


def train(program: str, method: str, run: str, *words: str) -> None:
    """Train a run, or go on with one that was stopped."""
    if (Path(run) / "config.json").is_file():
        print(f"{run} is there already: going on with it. Delete the folder to start afresh.")
        command(program, "resume", run)
    else:
        command(program, "train", method, "--run", run, *words)
