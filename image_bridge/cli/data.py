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

YOURS = ("svhn-mnist", "imagefolder", "cub", "coco")  # what reads files that you have


@dataclass(frozen=True)
class DataOptions:
    """Options of data."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """shapes, faces, emoji, fashion-mnist, digits, svhn-mnist, imagefolder, cub or coco."""
    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    """The folder to write."""
    images: int = 0
    """How many images, of each domain where there are several; 0 for all there are (shapes, faces: 10,000). Fashion-mnist and
    svhn-mnist: to train on, and as many held out."""
    size: int = 64
    """Width and height in pixels of images that are drawn (shapes, faces, emoji)."""
    source: str = ""
    """Folder that holds your images (imagefolder, cub, coco), the idx files (fashion-mnist), both sets (svhn-mnist), or
    OpenMoji's folders color/72x72 and black/72x72 (emoji)."""
    annotations: str = ""
    """coco: the captions_*.json; the first in --source when absent."""
    font: str = ""
    """emoji: a colour emoji font; Debian's when absent."""
    style: str = "adventurer"
    """faces: a style of dicebear."""
    domains: str = ""
    """faces: several styles, such as adventurer,personas,lorelei, in one folder: the attribute domain. Hair and skin have the
    same eight and four colours in all. Training images are unpaired, of different seeds; held-out images come with the same
    seed in every style and with the same scene, so that pairs exist for evaluation only."""
    pairs: str = ""
    """faces: a second picture of each: lineart, its line drawing; a style, the same seed in that style; or both, by a comma."""
    attributes: str = ""
    """Write only these attributes, such as "hair colour,skin colour", and the domain; all when absent."""
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
        "  image-bridge data faces faces --images 20000\n  image-bridge data imagefolder mine --source photos\n"
        "  image-bridge data faces styles --domains adventurer,personas,lorelei --images 5000",
    )  # fmt: skip
    if given.name not in BUILDERS:
        raise UserError(f"there is no data set {given.name!r}; expected one of {', '.join(BUILDERS)}")
    positive(given, "size")
    if given.images < 0 or given.processes < 0 or given.seed < 0:
        raise UserError("--images, --processes and --seed must be 0 or more")
    _check_source(given)
    _check_faces(given)
    from ..datasets.writing import keep_attributes, new_folder
    from ..images import ImageData

    out = Path(given.out)
    with new_folder(out) as folder:
        _build(given, folder)
        if given.attributes:
            keep_attributes(folder, _listed(given.attributes))
        read = ImageData(folder)
        small = given.name in (*YOURS, "digits")
        read.pack(8 if small else min(given.size, 64), _processes(given), given.strict)
        told = _counts(read)
        warn_of_damage(read)
    if given.json:
        print_json({"folder": str(out), **told})
    else:
        sys.stdout.write(f"{_described(told)}\n{out}\n")
    return 0


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _check_source(given: DataOptions) -> None:
    named = bool(given.source and Path(given.source).is_dir())
    if given.name in YOURS and not named:
        raise UserError(f"{given.name} reads images that you have; expected --source FOLDER; received {given.source!r}")
    if given.name == "emoji" and given.source and (given.font or not named):
        told = "and --font exclude each other; name one of them" if named else "is no folder; expected OpenMoji's"
        raise UserError(f"--source {given.source} {told}")


def _check_faces(given: DataOptions) -> None:
    for flag, value in (("--domains", given.domains), ("--pairs", given.pairs)):
        if value and given.name != "faces":
            raise UserError(f"{flag} is for faces; leave it out for {given.name}")
    if given.domains and (given.pairs or given.style != "adventurer"):
        other = "--pairs" if given.pairs else "--style"
        raise UserError(f"--domains and {other} exclude each other: domains are styles, and unpaired; leave one of them out")
    if len([pair for pair in _listed(given.pairs) if pair != "lineart"]) > 1:
        raise UserError(f"--pairs takes lineart, one style, or both; received {given.pairs}")


def _processes(given: DataOptions) -> int:
    return given.processes or os.cpu_count() or 1


def _build(given: DataOptions, out: Path) -> None:
    from textgan.runtime import Progress

    from ..datasets import digits, emoji, faces, fashion_mnist, folders, shapes, svhn_mnist

    count, processes = given.images or 10_000, _processes(given)
    bar = Progress(0, 0, True, unit="images")

    def tell(done: int, total: int) -> None:
        bar.total = total
        bar.update(done, given.name)

    try:
        if given.name == "shapes":
            shapes.build(out, count, given.size, given.seed, processes, tell)
        elif given.name == "faces":
            pairs, domains = _listed(given.pairs), _listed(given.domains)
            if given.domains:
                faces.build_domains(out, count, given.size, given.seed, processes, tell, domains)
            else:
                pair = next((name for name in pairs if name != "lineart"), "")
                faces.build(out, count, given.size, given.seed, processes, tell, given.style, "lineart" in pairs, pair)
        elif given.name == "emoji" and given.source:
            emoji.openmoji(out, given.size, Path(given.source), tell)
        elif given.name == "emoji":
            emoji.build(out, given.size, given.font, tell)
        elif given.name == "fashion-mnist":
            fashion_mnist.build(out, given.source, given.images, tell)
        elif given.name == "digits":
            digits.build(out, given.images, tell)
        elif given.name == "svhn-mnist":
            svhn_mnist.build(out, Path(given.source), given.images, tell)
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
    scenes = Counter(int(scene) for scene in read.scene if scene >= 0)
    return {
        "train": len(read) - held, "held_out": held, "captions": len(captions), "different_captions": len(set(captions)),
        "attributes": attributes, "scenes": sum(count > 1 for count in scenes.values()),
    }  # fmt: skip


def _described(told: dict[str, Any]) -> str:
    text = f"images to train on: {told['train']:,}; held out: {told['held_out']:,}; captions: {told['captions']:,}, "
    text += f"{told['different_captions']:,} of them different"
    if told["scenes"]:
        text += f"\nscenes that are held out in several domains, each a true translation of the other: {told['scenes']:,}"
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
