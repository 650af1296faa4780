"""The commands ``generate`` and ``interpolate``: images of sentences, with a trained run."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from textgan.cli.parse import parse, positive, print_json
from textgan.errors import UserError

if TYPE_CHECKING:
    from ..pipeline import TextToImage

PIXELS = 100_000_000  # of one picture; more belongs into a folder
LAST_SEED = 2**63


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """Options of both commands that draw."""

    truncation: float | None = None
    """Draw the noise from a normal distribution cut at - and + this number: smaller is plainer and less varied."""
    deterministic: bool = False
    """Draw the text's code at its mean; for generators with conditioning augmentation (StackGAN), the others always do."""
    batch: int = 64
    """Images drawn at a time."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    json: bool = False
    """Print what was written as JSON."""


@dataclass(frozen=True)
class GenerateOptions(DrawOptions):
    """Options of generate."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run of image-bridge, one of its checkpoints, or a folder with a saved generator."""
    text: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="TEXT ...")] = ()
    """One sentence or several; of a run with --text labels, its attributes: "colour: red; kind: circle"."""
    classes: Annotated[tuple[str, ...], tyro.conf.arg(name="class", metavar="NAME ...")] = ()
    """The classes to draw, for a run that is told them (acgan); all of them when absent."""
    prompts: str = ""
    """A text file with a sentence a line, instead."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8
    """How many images of each sentence or class; of a run that is told nothing, how many."""
    out: str = ""
    """A .png file for one picture of all images, or the name of a new folder for a file an image, with metadata.jsonl."""
    seed: int = 0
    """The first image of each sentence has this seed, the next one the next; metadata.jsonl names them."""
    scale: int = 0
    """Enlarge images so many times by nearest neighbour; 0 makes small ones 64 pixels wide in a picture, and no file larger."""
    columns: int = 8
    """Images in a row of a picture."""


def generate(argv: list[str]) -> int:
    """``image-bridge generate``."""
    given = parse(
        GenerateOptions, argv, "image-bridge generate",
        "Draw images: of sentences, of classes, or of noise alone, as the run was trained. Examples:\n\n"
        '  image-bridge generate runs/a "a red circle" "a blue star" -n 8 --out shapes.png --seed 3\n'
        "  image-bridge generate runs/a --prompts sentences.txt -n 4 --out samples\n"
        "  image-bridge generate runs/dcgan -n 64 --out grid.png\n"
        "  image-bridge generate runs/acgan --class sneaker bag --out both.png",
    )  # fmt: skip
    positive(given, "number", "columns", "batch")
    _check_ranges(given.scale, given.seed, given.seed + given.number)
    if given.text and given.prompts:
        raise UserError("expected sentences, or --prompts FILE with one a line; received both")
    written = list(given.text) or (read_prompts(Path(given.prompts)) if given.prompts else [])
    target = _target(given.out, (".png",), folder=True)
    import torch

    pipe = _pipeline(given.run, given.device)
    prompts = _asked(pipe, written, given)
    alone = target.suffix != ".png"
    if not alone:
        side = pipe.size * (given.scale or max(1, 64 // pipe.size))
        _fits(len(prompts) * given.number, side, "give --out FOLDER for a file an image")
    vectors = pipe.encode(prompts)
    total = len(prompts) * given.number
    seeds = (torch.Generator().manual_seed(given.seed + k % given.number) for k in range(total))
    noise = (pipe.noise(seed, given.truncation, given.deterministic) for seed in seeds)
    images = _shown(pipe.draw(vectors, noise, given.batch, given.number), total, given.batch)
    (_write_folder if alone else _write_grid)(images, prompts, target, given)
    _tell(target, total, given)
    return 0


def _asked(pipe: TextToImage, sentences: list[str], given: GenerateOptions) -> list[str]:
    """What is drawn: sentences, classes, or the empty sentence of a run that is told nothing."""
    from ..captions import ClassNames

    names = pipe.encoder
    if not isinstance(names, ClassNames):
        if given.classes:
            raise UserError(f"--class is for runs that are told a class; {given.run} is told sentences; expected some of those")
        if not sentences:
            raise UserError("expected sentences, or --prompts FILE with one a line; see `image-bridge generate --help`; received "
                            "neither")  # fmt: skip
        return sentences
    if sentences:
        told = f"a {names.label}: give --class NAME" if names.words else "nothing: leave the sentence out"
        raise UserError(f"{given.run} takes no sentences, it is told {told}; received {sentences[0]!r}")
    if given.classes and not names.words:
        raise UserError(f"--class is for runs that are told a class; {given.run} is told nothing; leave it out")
    return list(given.classes) or list(names.words) or [""]


def _tell(target: Path, images: int, given: DrawOptions) -> None:
    if given.json:
        print_json({"folder" if target.is_dir() else "file": str(target), "images": images})
    else:
        sys.stdout.write(f"{target}\n")


def _shown(batches: Iterable[Any], total: int, batch: int) -> Iterator[Any]:
    """Images as Pillow has them; a bar shows how many of them are drawn."""
    from textgan.runtime import Progress

    from ..pipeline import converted

    bar, done = Progress(total, 0, total > batch, unit="images"), 0
    try:
        for x in batches:
            yield from converted(x, "pil")
            done += len(x)
            bar.update(done, "drawing")
    finally:
        bar.close()


def _write_grid(images: Iterator[Any], prompts: Sequence[str], target: Path, given: GenerateOptions) -> None:
    """One picture: a caption above the images of each sentence."""
    from ..grids import grid

    rows, captions = [], []
    for prompt in prompts:
        for start in range(0, given.number, given.columns):
            rows.append(list(itertools.islice(images, min(given.columns, given.number - start))))
            captions.append("" if start else prompt)
    scale = given.scale or max(1, 64 // rows[0][0].width)
    _save(target, grid(rows, captions, scale))


def _write_folder(images: Iterator[Any], prompts: Sequence[str], target: Path, given: GenerateOptions) -> None:
    """A file an image, and metadata.jsonl: what ``imagefolder`` and ``image-bridge`` read."""
    from ..datasets.writing import new_folder
    from ..grids import picture

    first = next(images)  # what is wrong with the options is said before anything is written
    with new_folder(target) as folder, open(folder / "metadata.jsonl", "w", encoding="utf-8") as file:
        for k, image in enumerate(itertools.chain([first], images)):
            name = f"{k:06d}.png"
            picture(image, given.scale or 1).save(folder / name)
            prompt = prompts[k // given.number]
            row = {"file_name": name, **({"text": prompt} if prompt else {}), "seed": given.seed + k % given.number}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_prompts(path: Path) -> list[str]:
    """The lines of a file of sentences; blank lines at its end do not count.

    Raises:
        UserError: it is not there, is not text, holds no sentence, or a line between two sentences is blank.
    """
    if not path.is_file():
        raise UserError(f"--prompts {path}: no such file; expected a text file with a sentence a line")
    content = path.read_bytes()
    try:
        lines = [" ".join(line.split()) for line in content.decode("utf-8-sig").rstrip().split("\n")]
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"--prompts {path} is not text in UTF-8; expected a sentence a line; received the byte {content[error.start]:#04x} "
            f"in line {line}; save it as UTF-8"
        ) from error
    if lines == [""]:
        raise UserError(f"--prompts {path} holds no sentence; expected one a line")
    if "" in lines:
        raise UserError(f"--prompts {path} line {lines.index('') + 1} is blank; expected a sentence a line; remove the line")
    return lines


@dataclass(frozen=True)
class InterpolateOptions(DrawOptions):
    """Options of interpolate."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run of image-bridge, one of its checkpoints, or a folder with a saved generator."""
    first: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="FROM")] = None
    """A sentence, or a class; none for a run that is told nothing."""
    last: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="TO")] = None
    """Another; or the same one, with --last-seed."""
    out: str = ""
    """A .png file for a strip, or a .gif file for an animation that goes there and back."""
    steps: int = 12
    """Images, both ends included."""
    seed: int = 0
    """Decides the noise, which all images share."""
    last_seed: int | None = None
    """Let the noise change too, along the arc to that of this seed; of a run that is told nothing, --seed + 1 when absent."""
    scale: int = 0
    """Enlarge images so many times by nearest neighbour; 0 makes small ones 64 pixels wide, 128 in an animation."""


def interpolate(argv: list[str]) -> int:
    """``image-bridge interpolate``."""
    given = parse(
        InterpolateOptions, argv, "image-bridge interpolate",
        "Images on the way from one sentence to another. Example:\n\n"
        '  image-bridge interpolate runs/a "a red circle" "a blue square" --steps 12 --out walk.gif\n'
        "  image-bridge interpolate runs/dcgan --seed 3 --last-seed 8 --out walk.png",
    )  # fmt: skip
    positive(given, "batch")
    _check_ranges(given.scale, given.seed, given.last_seed or 0)
    target = _target(given.out, (".png", ".gif"))
    import torch

    from ..grids import strip, walk

    pipe = _pipeline(given.run, given.device)
    first, last, last_seed = _ends(pipe, given)
    moving = target.suffix == ".gif"
    scale = given.scale or max(1, (128 if moving else 64) // pipe.size)
    _fits(given.steps, pipe.size * scale, "give a smaller --steps or --scale")
    start, end = (None if seed is None else torch.Generator().manual_seed(seed) for seed in (given.seed, last_seed))
    vectors, noise = pipe.between(first, last, given.steps, start, end, given.truncation, given.deterministic)
    images = list(_shown(pipe.draw(vectors, noise, given.batch), given.steps, given.batch))
    _save(target, (walk if moving else strip)(images, first, last, scale))
    _tell(target, given.steps, given)
    return 0


def _ends(pipe: TextToImage, given: InterpolateOptions) -> tuple[str, str, int | None]:
    """What the first and the last image are of, and the seed of the last; None where the noise does not change.

    Raises:
        UserError: the ends are not what the run is told.
    """
    from ..captions import ClassNames

    if isinstance(pipe.encoder, ClassNames) and not pipe.encoder.words:
        if given.first is not None:
            raise UserError(f"{given.run} is told nothing, so its noise alone can change; give --seed and --last-seed, no text")
        return "", "", given.seed + 1 if given.last_seed is None else given.last_seed
    if given.first is None or given.last is None:
        missing = "FROM" if given.first is None else "TO"
        raise UserError(
            f"{missing} is missing; expected image-bridge interpolate RUN FROM TO, sentences or classes as it is told"
        )
    return given.first, given.last, given.last_seed


def _save(target: Path, picture: Any) -> None:
    """Write a Pillow image as PNG, or bytes as they are: the whole file or none."""
    import numpy as np

    from textgan.runtime.run import write_text

    from ..images import png

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, picture if isinstance(picture, bytes) else png(np.asarray(picture)))
    except OSError as error:
        raise UserError(f"--out {target} cannot be written ({error.strerror}); name another place") from error


def _check_ranges(scale: int, *seeds: int) -> None:
    if scale < 0:
        raise UserError(f"--scale must be 0 or more; received {scale}")
    for seed in seeds:
        if not 0 <= seed < LAST_SEED:
            raise UserError(f"seeds must be 0 or more and below 2^63; received {seed}")


def _target(out: str, endings: Sequence[str], folder: bool = False) -> Path:
    """The path to write, looked at before any work is done: it has a known ending and can be written."""
    files = " or ".join(f"FILE{ending}" for ending in endings)
    wanted = f"expected --out {files or 'FOLDER'}{', or a new folder' * (folder and bool(files))}"
    if not out:
        raise UserError(f"nothing was named to write to; {wanted}")
    path = Path(out)
    named = folder and path.suffix != ".png" and (path.is_dir() or not re.fullmatch(r"\.[A-Za-z]\w*", path.suffix))
    if named:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(f"--out {out} exists already; expected the name of a new folder; remove it first, or name another")
    elif path.suffix not in endings:
        raise UserError(f"--out {out} has {f'the ending {path.suffix}' if path.suffix else 'no ending'}; {wanted}")
    elif path.is_dir():
        raise UserError(f"--out {out} is a folder; {wanted}")
    above = next(place for place in (path.parent, *path.absolute().parents) if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        why = "no files may be written there" if above.is_dir() else "it is a file"
        raise UserError(f"--out {out} cannot be written in {above}: {why}; name another place")
    return path


def _pipeline(run: str, device: str) -> TextToImage:
    from textgan.runtime.workers import choose_device

    from ..pipeline import TextToImage

    try:
        chosen = choose_device(device)
    except ValueError as error:
        raise UserError(f"--device: {error}") from error
    return TextToImage.from_pretrained(run).to(chosen)


def _fits(images: int, side: int, advice: str) -> None:
    if images * side**2 > PIXELS:
        raise UserError(
            f"{images:,} images of {side} x {side} pixels are too many for one picture; expected {PIXELS // 1_000_000} million "
            f"pixels at most; {advice}"
        )
