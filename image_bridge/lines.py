"""Images with line drawings of them, drawn or made from the image: what is trained on, and the grids of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from textgan.errors import UserError
from textgan.runtime import Workers, frozen
from textgan.runtime.batches import permuted
from textgan.runtime.workers import fold

from .evaluate.drawing import as_bytes
from .generators.unet import UNetConfig, UNetGenerator
from .images import ImageData
from .pairs import Pixels, TrainingImages
from .preview import ROWS, picture
from .transforms import HINT, adaptive_threshold, grey, hints, mosaic

Lines = Literal["auto", "drawn", "threshold"]


def pack_lines(
    data: ImageData, lines: Lines, sizes: Sequence[int], processes: int = 1, strict: bool = False,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, np.ndarray]:  # fmt: skip
    """The drawn lines of all images at each size, as ``ImageData.pack`` has images; none where a threshold makes them.

    Args:
        data: images.
        lines: "drawn", "threshold", or "auto" for drawn ones where every image has some.
        sizes: that are needed.
        processes: that read.
        strict: refuse damaged ones.
        tell: is called with the lines read and their number.

    Raises:
        UserError: drawn lines are wanted and an image has none, or they cannot be read.
    """
    there = data.beside("line")
    if lines == "drawn" and not there:
        raise UserError(
            f"{data.path} has no drawn lines for every image; expected line_file_name in each line of metadata.jsonl, as "
            "`image-bridge data faces --pairs lineart` writes it; or give --lines threshold"
        )
    if lines == "threshold" or not there:
        return {}
    return {size: data.pack(size, processes, strict, tell, "line") for size in sizes}


def sources(config: UNetConfig, x: Tensor, lines: Tensor | None) -> Tensor:
    """What is to be coloured or restored: lines (B, 1, S, S) or a mosaic (B, 3, S, S) of images x (B, 3, S, S).

    Args:
        config: of the generator, which says what it takes.
        x: in [-1, 1].
        lines: (B, 3, S, S) that were drawn.
    """
    if config.source == "mosaic":
        return mosaic(x, config.tile)
    return adaptive_threshold(grey(x)) if lines is None else grey(lines)


class LineImages(TrainingImages):
    """Images to train on with lines of each.

    Args:
        data: images.
        packed: the images at each size.
        lines: their drawn lines at each size; none where a threshold makes them.
        workers: the group of processes.
        seed: decides the order.
    """

    def __init__(
        self, data: ImageData, packed: dict[int, np.ndarray], lines: dict[int, np.ndarray], workers: Workers, seed: int = 0
    ) -> None:
        super().__init__(data, packed, workers, seed)
        self.lines = {size: Pixels(array, workers.device) for size, array in lines.items()}

    def drawn(self, size: int, numbers: np.ndarray) -> Tensor | None:
        """The drawn lines (n, 3, S, S) of images of these numbers, where there are any."""
        return self.lines[size](numbers) if self.lines else None


class LinePreview:
    """Grids of what a UNetGenerator makes of held-out images: a row an image, the truth last.

    Args:
        images: that are trained on; these are shown where none are held out.
        config: of the generator.
        seed: decides images and hints.
    """

    def __init__(self, images: LineImages, config: UNetConfig, seed: int) -> None:
        self.workers, self.config, data = images.workers, config, images.data
        held_out = data.usable(held_out=True)
        found = held_out if len(held_out) else images.chosen
        numbers = found[permuted(np.arange(len(found)), len(found), fold(seed, 3))[:ROWS]]
        self.x = images.pixels[config.size](numbers)
        self.source = sources(config, self.x, images.drawn(config.size, numbers))
        u = torch.rand(len(numbers), HINT, generator=torch.Generator().manual_seed(fold(seed, 4))).to(self.x.device)
        self.hint = hints(self.x, u)

    def draw(self, G: UNetGenerator) -> bytes:
        """A PNG file: what is given, what ``G`` makes of it with a hint and without, and the truth."""
        headings, columns = ["source"], [self.source.expand(-1, 3, -1, -1)]
        with frozen(G):
            if self.config.source == "mosaic":
                headings, columns = [*headings, "restored"], [*columns, G.images(self.source)]
            else:
                with_hint, without = (G.images(torch.cat([self.source, h], 1)) for h in (self.hint, torch.ones_like(self.hint)))
                headings = [*headings, "hint", "coloured", "without hint"]
                columns = [*columns, self.hint, with_hint, without]
        rows = list(zip(*(as_bytes(x) for x in [*columns, self.x]), strict=True))
        return picture(rows, [""] * len(rows), [*headings, "truth"])
