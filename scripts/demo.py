"""The whole toolkit in a few minutes: sentences from Wikipedia articles, pictures from captions, and reports.

    python scripts/demo.py --run runs/demo

It runs the commands that it prints: a language model and a SeqGAN on 102 Wikipedia articles; then coloured shapes with captions,
a Skip-Thought encoder of the captions, and a GAN that draws them. The sizes are small so that two CPU cores do it in minutes; the
papers' are the defaults of `textgan train seqgan` and `image-bridge train cgan`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from commands import command, train

from textgan.runtime import Run

TEXT = """--data wikipedia-sample --vocab-size 6000 --length 24 --embedding-dim 128 --hidden-dim 256 --dropout 0.5
    --pretrain-epochs 5 --lr 0.004 --d-pretrain-rounds 4 --d-samples 640 --d-epochs 1 --d-lr 0.001 --rounds 12 --g-steps 2
    --d-steps 1 --rollouts 4 --g-lr 0.0005 --baseline batch --evaluate-every 1"""
CAPTIONS = "--column captions --split line --lowercase --embeddings none --embedding-dim 64 --hidden-dim 200 --epochs 6"
IMAGES = """--size 32 --recipe paper --batch 32 --width 32 --d-width 32 --interpolation 0 --variety 0.2 --lr 0.0005 --ema 0.99
    --steps 2000 --grids 10"""
PROMPTS = ("a large red circle", "a small blue square", "a green star", "the large yellow triangle is above the small black ring")


def main() -> None:
    """Train (or go on with a demo that was stopped), generate, draw, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/demo")
    run = parser.parse_args().run
    threads = ("--threads", str(min(os.cpu_count() or 1, 4)))
    began = time.monotonic()
    train("textgan", "seqgan", run, *threads, *shlex.split(TEXT))
    command("textgan", "generate", run, "-n", "10", "--temperature", "0.7")
    command("textgan", "report", run)
    shapes, captions, images = (f"{run}-{name}" for name in ("shapes", "captions", "images"))
    if not (Path(shapes) / "metadata.jsonl").is_file():
        command("image-bridge", "data", "shapes", shapes, "--images", "6000", "--size", "32")
    train("textgan", "skipthought", captions, *threads, "--data", f"{shapes}/metadata.jsonl", *shlex.split(CAPTIONS))
    train("image-bridge", "cgan", images, *threads, "--data", shapes, "--text", captions, *shlex.split(IMAGES))
    command("image-bridge", "generate", images, *PROMPTS, "-n", "8", "--out", f"{images}/shapes.png")
    command("image-bridge", "report", images)
    told = {name: Run.open(path).latest() for name, path in (("sentences", run), ("images", images))}
    print(f"\nThe whole took {time.monotonic() - began:.0f} s.")
    print(
        f"The models are in {told['sentences']} and {told['images']}; the reports in {run}/report.html and {images}/report.html;"
    )
    print(f"the pictures in {images}/shapes.png.")


if __name__ == "__main__":
    sys.exit(main())
