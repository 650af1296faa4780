"""Captions to images on two CPU cores, end to end: data, an encoder of their captions, a CGAN, its figures and a grid.

    python scripts/captions_to_images.py faces
    python scripts/captions_to_images.py shapes
    python scripts/captions_to_images.py shapes --labels       attributes instead of sentences

It runs the commands that it prints, and goes on where it was stopped. The images are 32 x 32. The encoder learns from the images
which sentences mean what (`image-bridge train joint`).
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from commands import command, train

IMAGES = """--size 32 --recipe paper --batch 32 --interpolation 0 --lr 0.0005 --ema 0.998 --width 32 --d-width 32"""
SCHEDULES = {
    "shapes": "--variety 0.1 --halve-every 5000 --steps 21000",
    "faces": "--variety 0.2 --halve-every 4000 --steps 12000",
}
PROMPTS = {
    "shapes": ("a large red circle", "a small blue square", "the green star is left of the small black ring"),
    "faces": ("a face with long red hair and glasses", "a dark face with short blond hair", "a face with long blue hair"),
}
LABELS = {
    "shapes": ("colour: red; kind: circle; size: large", "colour: blue; kind: square; size: small"),
    "faces": ("hair colour: red; hair length: long; glasses: yes", "hair colour: blond; hair length: short; skin colour: dark"),
}


def main() -> None:
    """Make the data, train what is missing, judge, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(PROMPTS))
    parser.add_argument("--out", type=Path, default=Path("runs/captions"))
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--labels", action="store_true", help="condition on the attributes, not on sentences")
    parser.add_argument("--steps", type=int, help="of the generator, instead of the schedule's")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 4))
    a = parser.parse_args()
    data, encoder, run = (str(a.out / f"{a.name}{part}") for part in ("", "-encoder", "-labels" if a.labels else "-cgan"))
    threads = ("--threads", str(a.threads))
    if not (Path(data) / "metadata.jsonl").is_file():
        command("image-bridge", "data", a.name, data, "--images", str(a.images), "--size", "32")
    if not a.labels:
        train("image-bridge", "joint", encoder, *threads, "--data", data)
    began = time.monotonic()
    settings = shlex.split(f"{IMAGES} {SCHEDULES[a.name]}") + (["--steps", str(a.steps)] if a.steps else [])
    train("image-bridge", "cgan", run, *threads, "--data", data, "--text", "labels" if a.labels else encoder, *settings)
    print(f"{(time.monotonic() - began) / 60:.0f} minutes of training the GAN")
    command("image-bridge", "evaluate", run)
    prompts = LABELS[a.name] if a.labels else PROMPTS[a.name]
    command("image-bridge", "generate", run, *prompts, "-n", "8", "--out", f"{run}/prompts.png")
    command("image-bridge", "report", run)


if __name__ == "__main__":
    sys.exit(main())
