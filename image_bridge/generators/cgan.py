"""DCGAN's body with the text's code beside z."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..blocks import Standardise, dcgan, initialise
from .base import Saved


@dataclass(frozen=True)
class CGANConfig:
    """Sizes of a CGANGenerator."""

    text: int
    """Numbers of a sentence vector."""
    size: int = 64
    """Width and height of an image."""
    noise: int = 100
    """Numbers of z."""
    code: int = 128
    """Numbers of the text's code; 0 for the vector itself in its place."""
    width: int = 128
    """Channels at the last but one size; twice as many at each smaller one, up to eight times."""
    growth: Literal["nearest", "transposed"] = "transposed"
    """How images grow."""
    channels: int = 3
    """3 for colour, 1 for grey."""


class CGANGenerator(Saved):
    """z and the text's code to an image, by DCGAN's body (GAN-INT-CLS, figure 2)."""

    kind = "cgan"
    Config = CGANConfig
    config: CGANConfig
    eps = 0

    def __init__(self, config: CGANConfig) -> None:
        super().__init__()
        self.config = c = config
        self.standardise = Standardise(c.text)
        self.code = nn.Sequential(nn.Linear(c.text, c.code), nn.LeakyReLU(0.2)) if c.code else nn.Identity()
        self.first, self.grow, self.rgb = dcgan(c.noise + (c.code or c.text), c.size, c.width, c.channels, c.growth)
        initialise(self)

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] of noise (B, Z) and standardised sentence vectors (B, D)."""
        h = self.first(torch.cat([z, self.code(text)], 1))
        image: Tensor = torch.tanh(self.rgb(self.grow(h)).float())
        return image

    @torch.inference_mode()
    def images(self, vectors: Tensor, z: Tensor, eps: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] of raw sentence vectors (B, D); grey ones have three equal channels.

        The code is not drawn, so that ``eps`` (B, 0) holds no numbers.
        """
        image: Tensor = self(z, self.standardise(vectors))
        return image.expand(-1, 3, -1, -1)
