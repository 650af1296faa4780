"""The command ``color``, and what ``evaluate`` says of a run that makes images of line drawings or mosaics."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from textgan.cli.parse import parse, positive, print_json, say
from textgan.errors import UserError

from .translation import image_files


@dataclass(frozen=True)
class ColorOptions:
    """Options of color."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run of colorgan, one of its checkpoints, or a folder with a saved generator."""
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="LINE")]
    """A line drawing, black on white, or a folder of them; of a run with --task mosaic, an image. Its middle square is taken and
    brought to the run's size."""
    hint: str = ""
    """An image with the colours on white, roughly where they belong: it is made pale and blurred. Or a folder with one of the
    same name for each drawing. Without it, there is no hint."""
    photo: bool = False
    """LINE is a picture: make the line drawing of it first, by adaptive threshold, as `train colorgan --lines threshold` does."""
    own_hint: bool = False
    """With --photo: take the hints from the picture itself, as those of training are; --seed decides which."""
    out: str = ""
    """A .png file; for a folder of drawings the name of a new folder."""
    grid: str = ""
    """Also a .png file with a row for each: source, hint, result, and with --photo the picture itself."""
    seed: int = 0
    """Decides the hints of --own-hint."""
    batch: int = 64
    """Images at a time."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    json: bool = False
    """Print what was written as JSON."""


def color(argv: list[str]) -> int:
    """``image-bridge color``."""
    given = parse(
        ColorOptions, argv, "image-bridge color",
        "Colour line drawings, or restore mosaics, with a run of colorgan. Examples:\n\n"
        "  image-bridge color runs/a line.png --hint hint.png --out out.png\n"
        "  image-bridge color runs/a drawings --out coloured --grid grid.png\n"
        "  image-bridge color runs/a picture.png --photo --own-hint --out out.png --grid grid.png",
    )  # fmt: skip
    from .use import LAST_SEED, _fits, _save, _target

    positive(given, "batch")
    if not 0 <= given.seed < LAST_SEED:
        raise UserError(f"seeds must be 0 or more and below 2^63; received {given.seed}")
    if given.own_hint and (given.hint or not given.photo):
        raise UserError("--own-hint takes the colours of the picture: give it with --photo and without --hint")
    files = image_files(Path(given.source))
    many = Path(given.source).is_dir()
    target = _target(given.out, () if many else (".png",), folder=many)
    shown = _target(given.grid, (".png",)) if given.grid else None
    beside = _hints(files, Path(given.hint), many) if given.hint else []
    from ..coloring import Colorizer
    from .judging import device_of

    pipe = Colorizer.from_pretrained(given.run).to(device_of(given.device))
    if pipe.restores and (given.hint or given.own_hint):
        raise UserError(f"{given.run} restores mosaics and takes no hints; leave them out")
    if given.photo and pipe.G.config.source == "drawn":
        say(
            f"warning: {given.run} was trained on drawn lines, and --photo makes others; `train --lines threshold` suits pictures"
        )
    if shown:
        _fits(len(files) * 4, pipe.size, "leave --grid out")
    pictures = [_read(file) for file in files]
    source, hint = pipe.sources(pictures, given.photo), None
    if beside:
        hint = pipe.hints([_read(file) for file in beside])
    elif given.own_hint:
        hint = pipe.drawn_hints(pictures, given.seed)
    results = pipe(source, hint, given.batch)
    if many:
        from ..datasets.writing import new_folder

        with new_folder(target) as folder:
            for file, image in zip(files, results, strict=True):
                image.save(folder / f"{file.stem}.png")
    else:
        _save(target, results[0])
    if shown:
        columns = {"source": source.expand(-1, 3, -1, -1), **({} if hint is None else {"hint": hint})}
        truth = {"truth": pipe.fitted(pictures)} if given.photo or pipe.restores else {}
        _save(shown, _grid(columns, {"restored" if pipe.restores else "coloured": results}, truth))
    if given.json:
        print_json({"folder" if many else "file": str(target), "images": len(results)})
    else:
        sys.stdout.write(f"{target}\n")
    return 0


def _grid(before: dict[str, Any], made: dict[str, Any], after: dict[str, Any]) -> Any:
    from ..evaluate.drawing import as_bytes
    from ..grids import grid

    columns = [*(as_bytes(x) for x in before.values()), *made.values(), *(as_bytes(x) for x in after.values())]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return grid(rows, scale=max(1, 64 // len(columns[0][0])), headings=[*before, *made, *after])


def _hints(files: list[Path], path: Path, many: bool) -> list[Path]:
    """The hint of each file: the same one, or that of its name in a folder.

    Raises:
        UserError: a file has none.
    """
    found = image_files(path, "--hint ")
    if path.is_file():
        return found * len(files)
    if not many:
        raise UserError(f"--hint {path} is a folder; expected an image, as LINE is one")
    by_name = {file.stem: file for file in found}
    lacking = next((file for file in files if file.stem not in by_name), None)
    if lacking is not None:
        raise UserError(f"--hint {path} has no image for {lacking.name}; expected {lacking.stem}.png there; add it")
    return [by_name[file.stem] for file in files]


def _read(file: Path) -> Any:
    from ..images import read_image

    try:
        return read_image(file)
    except ValueError as error:
        raise UserError(f"{file}: {error}; expected an image; mend it, or leave it out") from error


def evaluate_images(given: Any, folder: Path, bars: Any) -> int:
    """``image-bridge evaluate`` of a run whose generator, in ``folder``, makes images of images."""
    from ..coloring import Colorizer
    from ..evaluate.coloring import judge, table
    from ..lines import pack_lines
    from .evaluation import extractor_for, tell_figures
    from .judging import checkpoint_of, device_of, real_images, trained_on

    device, source = device_of(given.device), trained_on(given.run, given.data)
    G, extractor = Colorizer.from_pretrained(folder).to(device).G, extractor_for(given, device)
    data, packed = real_images(source, G.config.size, bars)
    lines: dict[int, Any] = {}
    if G.config.source == "drawn":
        lines = pack_lines(data, "drawn", [G.config.size], tell=bars.part("line drawings"))
    judged, picture = judge(
        G, data, packed, lines.get(G.config.size), extractor, given.number, given.seed, given.batch, bars
    )  # fmt: skip
    bars.close()
    told = {"checkpoint": checkpoint_of(folder), "data": source, **judged}
    return tell_figures(given, told, picture, table, ("coloring", "coloring"), "held-out images, and what was made of them")
