"""The whole toolkit in a few minutes: a language model and a SeqGAN on 102 Wikipedia articles, sentences, and a report.

    python scripts/demo.py --run runs/demo

It runs the commands that it prints. The sizes are small so that two CPU cores do it in minutes; the paper's are the defaults of
`textgan train seqgan`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from textgan.__main__ import main as textgan
from textgan.runtime import Run

TRAIN = """--data wikipedia-sample --vocab-size 6000 --length 24 --embedding-dim 128 --hidden-dim 256 --dropout 0.5
    --pretrain-epochs 5 --lr 0.004 --d-pretrain-rounds 4 --d-samples 640 --d-epochs 1 --d-lr 0.001 --rounds 12 --g-steps 2
    --d-steps 1 --rollouts 4 --g-lr 0.0005 --baseline batch --evaluate-every 1"""


def command(*words: str) -> None:
    """Print a command and run it; its exit code ends the demo unless it is 0."""
    print(f"\n$ {shlex.join(['textgan', *words])}", flush=True)
    try:
        textgan(list(words))
    except SystemExit as left:
        if left.code:
            raise


def main() -> None:
    """Train (or go on with a demo that was stopped), generate, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/demo")
    run = parser.parse_args().run
    began = time.monotonic()
    if (Path(run) / "config.json").is_file():
        print(f"{run} is there already: going on with it. Delete the folder to start afresh.")
        command("resume", run)
    else:
        command("train", "seqgan", "--run", run, "--threads", str(min(os.cpu_count() or 1, 4)), *shlex.split(TRAIN))
    trained = time.monotonic() - began
    command("generate", run, "-n", "10", "--temperature", "0.7")
    command("report", run)
    newest = Run.open(run).latest()
    print(f"\nPreparation and training took {trained:.0f} s. The model is in {newest}, the report in {run}/report.html.")


if __name__ == "__main__":
    sys.exit(main())
