"""A generator of images from images: a U-net."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..blocks import down, initialise, scales, up
from .base import Saved

DEPTH = 5  # halvings, as far as 2 x 2 pixels are left


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a UNetGenerator, and what it was trained on."""

    size: int = 256
    """Width and height of an image."""
    width: int = 64
    """Channels at half the size; twice as many at each smaller one, up to eight times."""
    source: Literal["drawn", "threshold", "mosaic"] = "drawn"
    """What it takes: lines that were drawn, or made by adaptive threshold, each beside a colour hint; or a mosaic alone."""
    tile: int = 4
    """Pixels of a side of the mosaic's squares."""

    @property
    def inputs(self) -> int:
        """Channels of what it takes."""
        return 3 if self.source == "mosaic" else 4


class UNetGenerator(Saved):
    """An image to another of the same size, down and up again, with what was seen on the way down beside what grows.

    Ronneberger et al., MICCAI 2015, as Isola et al. (CVPR 2017, section 3.2.1) have it, with the depth and widths of deepcolor.
    """

    kind = "unet"
    Config = UNetConfig
    config: UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = c = config
        widths = [c.width * min(8, 2**k) for k in range(min(DEPTH, scales(c.size) + 1))]
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList([down(c.inputs, widths[0], "none"), *(down(a, b, "batch") for a, b in pairs)])
        rising, inputs = [], widths[-1]
        for width, _ in reversed(pairs):
            rising.append(up(inputs, width, "transposed"))
            inputs = 2 * width  # the skip lies beside it
        self.up = nn.ModuleList(rising)
        self.rgb = nn.ConvTranspose2d(inputs, 3, 4, 2, 1)
        initialise(self)

    def forward(self, given: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] of what is given (B, ``config.inputs``, S, S), in [-1, 1] too."""
        h, skips = given, []
        for layer in self.down:
            h = layer(h)
            skips.append(h)
        for layer, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            h = torch.cat([layer(h), skip], 1)
        image: Tensor = torch.tanh(self.rgb(h).float())
        return image

    @torch.inference_mode()
    def images(self, given: Tensor) -> Tensor:
        """The same, without a graph."""
        image: Tensor = self(given)
        return image
