"""From images to images with a trained U-net: line drawings are coloured, mosaics restored.

colour = Colorizer.from_pretrained("runs/faces")
source = colour.sources([Image.open("line.png")])
images = colour(source, colour.hints([Image.open("hint.png")]))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from textgan.errors import UserError

from .generators import UNetGenerator, generator_kind, is_translator
from .images import fitted
from .pipeline import converted, generator_folder
from .transforms import HINT, adaptive_threshold, grey, hints, mosaic, soft_hints


class Colorizer:
    """Makes images of line drawings and hints of colour, or of mosaics.

    Args:
        generator: a UNetGenerator.
    """

    def __init__(self, generator: UNetGenerator) -> None:
        self.G, self.device = generator.eval(), torch.device("cpu")

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Colorizer:
        """The generator of a run of colorgan, of one of its checkpoints, or of a generator's folder.

        Raises:
            UserError: there is none, or it draws of itself.
        """
        found = generator_folder(folder)
        if is_translator(found):
            raise UserError(
                f"{folder} turns images of one domain into another's; expected a run of colorgan; use `image-bridge translate`"
            )
        if not takes_images(found):
            raise UserError(
                f"{folder} takes no images, it draws of itself; expected a run of colorgan; use `image-bridge generate {folder}`"
            )
        try:
            return cls(UNetGenerator.from_pretrained(found))
        except (TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{found} does not fit this version of image-bridge ({reason}); train a new run") from error

    @property
    def size(self) -> int:
        """Width and height of an image in pixels."""
        return self.G.config.size

    @property
    def restores(self) -> bool:
        """Whether it takes mosaics, and no lines and hints."""
        return self.G.config.source == "mosaic"

    def to(self, device: torch.device | str) -> Colorizer:
        """Work on this device."""
        self.device = torch.device(device)
        self.G.to(self.device)
        return self

    def fitted(self, images: Sequence[Image.Image]) -> Tensor:
        """The middle squares of RGB images as (n, 3, S, S) in [-1, 1]."""
        array = np.stack([fitted(image, self.size) for image in images])
        return torch.from_numpy(array).permute(0, 3, 1, 2).float() / 127.5 - 1

    def sources(self, images: Sequence[Image.Image], photo: bool = False) -> Tensor:
        """What is coloured or restored: lines (n, 1, S, S), or mosaics (n, 3, S, S), in [-1, 1].

        Args:
            images: line drawings, or images of any kind; a mosaic is made of each, which a mosaic of the run's squares stays.
            photo: make line drawings of them by adaptive threshold.
        """
        x = self.fitted(images)
        if self.restores:
            return mosaic(x, self.G.config.tile)
        return adaptive_threshold(grey(x)) if photo else grey(x)

    def hints(self, images: Sequence[Image.Image]) -> Tensor:
        """Hints (n, 3, S, S) of pictures that somebody drew: spots of colour on white, or a coloured image."""
        return soft_hints(self.fitted(images))

    def drawn_hints(self, images: Sequence[Image.Image], seed: int) -> Tensor:
        """Hints (n, 3, S, S) drawn from the coloured images as those of training are."""
        u = torch.rand(len(images), HINT, generator=torch.Generator().manual_seed(seed))
        return hints(self.fitted(images), u)

    def draw(self, source: Tensor, hint: Tensor | None = None, batch_size: int = 64) -> Iterator[Tensor]:
        """Images (B, 3, S, S) in [0, 1] on the CPU, a batch at a time.

        Args:
            source: what ``sources`` gave.
            hint: what ``hints`` gave; without, lines are coloured as the generator likes.
            batch_size: images at a time.

        Raises:
            UserError: hints are given to what restores mosaics, or the generator's weights have come to nothing.
        """
        if self.restores and hint is not None:
            raise UserError("this run restores mosaics and takes no hints; leave them out")
        if not self.restores:
            white = torch.ones(len(source), 3, self.size, self.size)
            source = torch.cat([source, white if hint is None else hint], 1)
        for given in source.split(batch_size):
            x = self.G.images(given.to(self.device))
            if not x.isfinite().all():
                raise UserError("the generator makes what is no image (infinite or no numbers); take a checkpoint from before")
            yield (x.float().cpu() / 2 + 0.5).clamp(0, 1)

    def __call__(self, source: Tensor, hint: Tensor | None = None, batch_size: int = 64) -> list[Image.Image]:
        """The same as Pillow images."""
        images: list[Image.Image] = converted(torch.cat(list(self.draw(source, hint, batch_size))), "pil")
        return images


def takes_images(folder: Path) -> bool:
    """Whether the generator in a folder makes images of images."""
    return generator_kind(folder) == UNetGenerator.kind
