"""The command ``translate``: images to images of another domain, with a trained run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from textgan.cli.parse import parse, positive, print_json, say
from textgan.errors import UserError

from .judging import device_of

if TYPE_CHECKING:
    from PIL import Image

    from ..translation import ImageToImage

SHOWN = 16  # images in the picture


@dataclass(frozen=True)
class TranslateOptions:
    """Options of translate."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run that translates images (cyclegan and its family), one of its checkpoints, or a folder with a saved generator."""
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="IN")]
    """An image, or a folder of images. Their middle squares are taken and brought to the run's size; damaged ones are skipped
    with a count."""
    to: str = ""
    """The domain to translate into; may be left out where there is only one that it can be."""
    from_: Annotated[str, tyro.conf.arg(name="from")] = ""
    """The domain that the images are of; needed only where the run has an encoder for each of three domains or more."""
    out: str = ""
    """A new folder, for a .png file of the same name for each image; or, for one image, a .png file."""
    grid: str = ""
    """Also a .png file with the first 16 in rows: source, translated, and cycled, back in the source's domain."""
    batch: int = 64
    """Images at a time."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    json: bool = False
    """Print what was written as JSON."""


def translate(argv: list[str]) -> int:
    """``image-bridge translate``."""
    given = parse(
        TranslateOptions, argv, "image-bridge translate",
        "Turn images into images of another domain. Examples:\n\n"
        "  image-bridge translate runs/styles faces --from adventurer --to lorelei --out drawn --grid drawn.png\n"
        "  image-bridge translate runs/horses horse.jpg --to B --out zebra.png",
    )  # fmt: skip
    from ..datasets.writing import new_folder
    from ..translation import ImageToImage
    from .use import _fits, _save, _target

    positive(given, "batch")
    files = image_files(Path(given.source))
    many = Path(given.source).is_dir()
    target = _target(given.out, () if many else (".png",), folder=True)
    shown = _target(given.grid, (".png",)) if given.grid else None
    pipe = ImageToImage.from_pretrained(given.run).to(device_of(given.device))
    others = [name for name in pipe.targets if name != given.from_]
    to = given.to or (others[0] if len(others) == 1 else "")
    if not to:
        raise UserError(f"--to is missing; expected the domain to translate into, one of {', '.join(pipe.targets)}")
    source = pipe.check(to, given.from_ or None)
    if shown is not None:
        _fits(3 * min(SHOWN, len(files)), pipe.size, "leave --grid out")
    work = _Translations(pipe, files, to, source, given.batch)
    if target.suffix == ".png":
        (image,) = [made for _, made in work]
        _save(target, image)
    else:
        with new_folder(target) as folder:
            for file, image in work:
                image.save(folder / f"{file.stem}.png")
    if shown is not None:
        _save(shown, work.grid())
    if work.damaged:
        first, why = next(iter(work.damaged.items()))
        say(f"warning: images that cannot be used and are skipped: {len(work.damaged)}; the first: {first.name}: {why}")
    if given.json:
        print_json({
            "folder" if target.is_dir() else "file": str(target), "images": len(files) - len(work.damaged), "to": to,
            "from": source, "skipped": len(work.damaged),
        })  # fmt: skip
    else:
        sys.stdout.write(f"{target}\n")
    return 0


class _Translations:
    """Files with their translations, a batch in memory at a time; what cannot be read is in ``damaged``.

    Raises:
        UserError: none can be read.
    """

    def __init__(self, pipe: ImageToImage, files: list[Path], to: str, source: str | None, batch: int) -> None:
        self.pipe, self.files, self.to, self.source, self.batch = pipe, files, to, source, batch
        self.damaged: dict[Path, str] = {}
        self.rows: list[list[Any]] = []

    def __iter__(self) -> Iterator[tuple[Path, Image.Image]]:
        import torch

        from textgan.runtime import Progress

        from ..evaluate.drawing import as_bytes
        from ..images import read_image
        from ..pipeline import converted

        back = self.source if self.source in self.pipe.targets else None
        bar = Progress(len(self.files), 0, len(self.files) > self.batch, unit="images")
        try:
            for start in range(0, len(self.files), self.batch):
                read = {}
                for file in self.files[start : start + self.batch]:
                    try:
                        read[file] = read_image(file)
                    except ValueError as error:
                        self.damaged[file] = str(error)
                if read:
                    x = self.pipe.fitted(list(read.values()))
                    y = torch.cat(list(self.pipe.translate(x, self.to, self.source, self.batch)))
                    if (room := SHOWN - len(self.rows)) > 0:
                        columns = [x[:room], y[:room]]
                        if back is not None:
                            columns += [torch.cat(list(self.pipe.translate(y[:room], back, self.to, self.batch)))]
                        self.rows += [list(row) for row in zip(*map(as_bytes, columns), strict=True)]
                    yield from zip(read, converted(y / 2 + 0.5, "pil"), strict=True)
                bar.update(min(start + self.batch, len(self.files)), "translating")
        finally:
            bar.close()
        if len(self.damaged) == len(self.files):
            first, why = next(iter(self.damaged.items()))
            raise UserError(f"{first}: {why}; no image of {len(self.files)} can be used; expected images; mend them")

    def grid(self) -> Image.Image:
        """The first images in rows: as they were, translated, and back again where that is known."""
        from ..grids import grid

        headings = [self.source or "source", self.to, "cycled"][: len(self.rows[0])]
        return grid(self.rows, scale=max(1, 64 // self.pipe.size), headings=headings)


def image_files(path: Path, option: str = "") -> list[Path]:
    """A file, or the images of a folder by name; ``option`` is what named it.

    Raises:
        UserError: there is none, or two would have the same name as PNG.
    """
    from ..datasets.folders import ENDINGS

    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{option}{path}: no such file; expected an image, or a folder of images")
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS and not file.name.startswith("."))
    if not found:
        below = next((file.parent for file in sorted(path.rglob("*")) if file.suffix.lower() in ENDINGS), None)
        hint = f"; its folder {below.relative_to(path)} does: name {below}" if below else ""
        raise UserError(f"{option}{path} holds no image; expected files that end in {', '.join(ENDINGS)}{hint}")
    names: dict[str, Path] = {}
    for file in found:
        if (other := names.setdefault(file.stem, file)) is not file:
            raise UserError(f"{option}{path} has {other.name} and {file.name}; expected one image of a name; rename one of them")
    return found
