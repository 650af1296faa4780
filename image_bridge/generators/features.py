"""A generator that turns images into those of one domain by way of what a classifier sees in them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..blocks import coloured, dcgan, initialise, scales
from .base import Saved


@dataclass(frozen=True)
class FeatureConfig:
    """Sizes of a FeatureTranslator."""

    domains: tuple[str, ...]
    """What the source domain and the target domain are called."""
    label: str = "domain"
    """The attribute of the images that says which they are of."""
    size: int = 32
    """Width and height of an image, a power of two."""
    features: int = 128
    """Numbers that f sees in an image."""
    f_width: int = 64
    """Channels of f at full size."""
    width: int = 128
    """Channels of g at half the size."""
    growth: Literal["nearest", "transposed"] = "transposed"
    """How images grow."""
    bilateral: float = 0.0
    """Spread of colours, of 255, of the bilateral filter that images leave by; 0 has none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", tuple(self.domains))  # of a file, they come as a list

    @property
    def targets(self) -> tuple[str, ...]:
        """The domain that it translates into."""
        return self.domains[1:]


class FeatureTranslator(Saved):
    """G = g(f(x)): f a classifier without its last layer, g what draws an image of its features (DTN, figure 1 and section 5.1).

    f: blocks of a convolution, max pooling and ReLU down to 4 x 4, then a convolution over what is left; at 32 pixels they have
    64, 128, 256 and 128 channels. g is DCGAN's generator, with 512, 256 and 128 channels.
    """

    kind = "feature-translator"
    Config = FeatureConfig
    needs_source = False
    config: FeatureConfig

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = c = config
        widths = [3, *(c.f_width * min(8, 2**k) for k in range(scales(c.size)))]
        blocks = [(nn.Conv2d(a, b, 3, 1, 1), nn.MaxPool2d(2), nn.ReLU()) for a, b in itertools.pairwise(widths)]
        last = nn.Conv2d(widths[-1], c.features, 4), nn.Tanh(), nn.Flatten()
        self.f = nn.Sequential(*(part for block in blocks for part in block), *last)
        self.g = nn.Sequential(*dcgan(c.features, c.size, c.width, 3, c.growth), *coloured(c.bilateral))
        initialise(self.g)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] of either domain as images of the target domain."""
        made: Tensor = self.g(self.f(x)).float()
        return made

    @torch.inference_mode()
    def translate(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] as images of the one domain that there is to ``target``; f takes any ``source``."""
        return self.forward(x)
