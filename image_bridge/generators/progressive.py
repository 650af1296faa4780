"""A generator that grows: images of 4 x 4 first, then twice as large again and again (Karras et al., ICLR 2018)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..blocks import scales
from ..progressive import Equalised, Rectified, channels_at, faded, larger, normalised
from .base import Saved


@dataclass(frozen=True)
class ProgressiveConfig:
    """Sizes of a ProgressiveGenerator."""

    size: int = 128
    """Width and height of the largest images."""
    noise: int = 512
    """Numbers of z."""
    channels: int = 3
    """3 for colour, 1 for grey."""
    width: int = 512
    """Most channels of features."""

    @property
    def text(self) -> int:
        """It is told nothing."""
        return 0


class ProgressiveGenerator(Saved):
    """z to an image of the size that it has grown to (table 2).

    Attributes:
        grown: how often 4 x 4 has been doubled; a fraction while a size fades in.
    """

    kind = "progressive"
    Config = ProgressiveConfig
    config: ProgressiveConfig
    eps = 0
    grown: Tensor

    def __init__(self, config: ProgressiveConfig) -> None:
        super().__init__()
        self.config = c = config
        at = [channels_at(k, c.width) for k in range(scales(c.size) + 1)]
        self.dense = Equalised(c.noise, 16 * at[0], 0, gain=2**0.5 / 4)
        self.first = Rectified(Equalised(at[0], at[0], 3), normalise=True)
        self.blocks = nn.ModuleList(
            Rectified(Equalised(a, b, 3), Equalised(b, b, 3), normalise=True) for a, b in itertools.pairwise(at)
        )
        self.rgb = nn.ModuleList(Equalised(n, c.channels, 1, gain=1) for n in at)
        self.register_buffer("grown", torch.zeros(()))

    def forward(self, z: Tensor, level: int, alpha: float) -> Tensor:
        """Images (B, C, S, S), S = 4 << level, about in [-1, 1], of noise (B, Z); alpha is the share of the largest block."""
        h = normalised(F.leaky_relu(self.dense(normalised(z)).unflatten(1, (-1, 4, 4)), 0.2))
        h = before = self.first(h)
        for block in self.blocks[:level]:
            before, h = h, block(larger(h))
        new: Tensor = self.rgb[level](h).float()
        return faded(larger(self.rgb[level - 1](before).float()), new, alpha) if level and alpha < 1 else new

    @torch.inference_mode()
    def images(self, vectors: Tensor, z: Tensor, eps: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] at the largest size, of vectors (B, 0); smaller ones are enlarged."""
        grown = float(self.grown)
        level = math.ceil(grown)
        x = self(z, level, 1 - (level - grown)).clamp(-1, 1)
        return F.interpolate(x, (self.config.size, self.config.size)).expand(-1, 3, -1, -1)
