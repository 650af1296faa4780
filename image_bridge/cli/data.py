"""The command ``data``: a folder of images with captions."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from textgan.cli.parse import parse, positive, print_json, say
from textgan.errors import UserError


@dataclass(frozen=True)
class DataOptions:
    """Options of data."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """shapes, faces, emoji, fashion-mnist, digits, imagefolder, cub or coco."""
    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    """The folder to write."""
    images: int = 0
    """How many images; 0 for all there are (shapes, faces: 10,000). Fashion-mnist: to train on, and as many held out."""
    size: int = 64
    """Width and height in pixels of images that are drawn (shapes, faces, emoji)."""
    source: str = ""
    """Folder that holds your images (imagefolder, cub, coco), or the idx files (fashion-mnist)."""
    annotations: str = ""
    """coco: the captions_*.json; the first in --source when absent."""
    font: str = ""
    """emoji: a colour emoji font; Debian's when absent."""
    style: str = "adventurer"
    """faces: a style of dicebear."""
    line: bool = False
    """faces: also the line drawing of each."""
    pair: str = ""
    """faces: also the same seed in this style."""
    processes: int = 0
    """Processes that draw; 0 for as many as there are cores."""
    strict: bool = False
    """Refuse damaged images, instead of skipping them with a count."""
    seed: int = 0
    """The same seed gives the same images (shapes, faces)."""
    json: bool = False
    """Print the counts as JSON."""


def data(argv: list[str]) -> int:
    """``image-bridge data``."""
    from ..datasets import BUILDERS

    listed = "\n".join(f"  {name:14} {what}" for name, what in BUILDERS.items())
    given = parse(
        DataOptions, argv, "image-bridge data",
        f"Write a folder of images with captions.\n\n{listed}\n\nExamples:\n\n  image-bridge data shapes shapes --images 20000\n"
        "  image-bridge data faces faces --images 20000\n  image-bridge data imagefolder mine --source photos",
    )  # fmt: skip
    if given.name not in BUILDERS:
        raise UserError(f"there is no data set {given.name!r}; expected one of {', '.join(BUILDERS)}")
    positive(given, "size")
    if given.images < 0 or given.processes < 0 or given.seed < 0:
        raise UserError("--images, --processes and --seed must be 0 or more")
    if given.name in ("imagefolder", "cub", "coco") and not (given.source and Path(given.source).is_dir()):
        raise UserError(f"{given.name} reads images that you have; expected --source FOLDER; received {given.source!r}")
    from ..datasets.writing import new_folder
    from ..images import ImageData

    out = Path(given.out)
    with new_folder(out) as folder:
        _build(given, folder)
        read = ImageData(folder)
        small = given.name in ("imagefolder", "cub", "coco", "digits")
        read.pack(8 if small else min(given.size, 64), _processes(given), given.strict)
        told = _counts(read)
        warn_of_damage(read)
    if given.json:
        print_json({"folder": str(out), **told})
    else:
        sys.stdout.write(f"{_described(told)}\n{out}\n")
    return 0


def _processes(given: DataOptions) -> int:
    return given.processes or os.cpu_count() or 1


def _build(given: DataOptions, out: Path) -> None:
    from textgan.runtime import Progress

    from ..datasets import digits, emoji, faces, fashion_mnist, folders, shapes

    count, processes = given.images or 10_000, _processes(given)
    bar = Progress(0, 0, True, unit="images")

    def tell(done: int, total: int) -> None:
        bar.total = total
        bar.update(done, given.name)

    try:
        if given.name == "shapes":
            shapes.build(out, count, given.size, given.seed, processes, tell)
        elif given.name == "faces":
            faces.build(out, count, given.size, given.seed, processes, tell, given.style, given.line, given.pair)
        elif given.name == "emoji":
            emoji.build(out, given.size, given.font, tell)
        elif given.name == "fashion-mnist":
            fashion_mnist.build(out, given.source, given.images, tell)
        elif given.name == "digits":
            digits.build(out, given.images, tell)
        elif given.name == "coco":
            folders.coco(out, Path(given.source), given.annotations, given.images, tell)
        else:
            folder = {"imagefolder": folders.imagefolder, "cub": folders.cub}[given.name]
            folder(out, Path(given.source), given.images, tell)
    finally:
        bar.close()


def _counts(read: Any) -> dict[str, Any]:
    """How many images, captions, and images of each value of each attribute, the commonest first."""
    held, captions = int(read.held_out.sum()), [c for some in read.captions for c in some]
    attributes = {}
    for name, (numbers, words) in read.attributes.items():
        counts = Counter(int(n) for n in numbers if n >= 0)
        attributes[name] = {word: 0 for word in words} | {words[n]: count for n, count in counts.most_common()}
        attributes[name] = dict(sorted(attributes[name].items(), key=lambda item: -item[1]))
    return {
        "train": len(read) - held, "held_out": held, "captions": len(captions), "different_captions": len(set(captions)),
        "attributes": attributes,
    }  # fmt: skip


def _described(told: dict[str, Any]) -> str:
    text = f"images to train on: {told['train']:,}; held out: {told['held_out']:,}; captions: {told['captions']:,}, "
    text += f"{told['different_captions']:,} of them different"
    for name, counts in told["attributes"].items():
        text += f"\n{name}: " + ", ".join(f"{word} {count:,}" for word, count in list(counts.items())[:14] if count)
        text += f", and {len(counts) - 14} more" if len(counts) > 14 else ""
    return text


def warn_of_damage(read: Any) -> None:
    """Say how many images cannot be used, and why the first of them."""
    if read.damaged:
        first = next(iter(read.damaged))
        name = read.files[first].relative_to(read.path)
        say(f"warning: images that cannot be used and are skipped: {len(read.damaged)}; the first: {name}: {read.damaged[first]}")
