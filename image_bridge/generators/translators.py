"""Generators that turn an image of one domain into one of another."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..blocks import Residual, coloured, initialise, larger
from .base import Saved


@dataclass(frozen=True)
class TranslatorConfig:
    """Sizes of a DomainTranslator."""

    domains: tuple[str, ...]
    """What the domains are called."""
    label: str = "domain"
    """The attribute of the images that says which they are of."""
    size: int = 256
    """Width and height of an image."""
    width: int = 64
    """Channels at full size."""
    blocks: int = 9
    """Residual blocks from image to image."""
    growth: Literal["nearest", "transposed"] = "transposed"
    """How images grow."""
    bilateral: float = 0.0
    """Spread of colours, of 255, of the bilateral filter that images leave by; 0 has none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", tuple(self.domains))  # of a file, they come as a list

    @property
    def targets(self) -> tuple[str, ...]:
        """The domains that it translates into."""
        return self.domains


class DomainTranslator(Saved):
    """An encoder and a decoder for each domain; any encoder goes with any decoder (ComboGAN; of two domains CycleGAN).

    Together they are the generator of Johnson et al., 2016: a 7 x 7 convolution, two that halve, residual blocks, two that
    double, a 7 x 7 convolution; instance normalisation, and images reflected at their borders.

    Raises:
        ValueError: the size cannot be halved twice.
    """

    kind = "translator"
    Config = TranslatorConfig
    needs_source = True
    config: TranslatorConfig

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        self.config = c = config
        if c.size % 4:
            raise ValueError(f"--size must be a multiple of 4, which is halved twice; received {c.size}")
        later = c.blocks // 2
        self.encoders = nn.ModuleList(resnet_encoder(c.width, c.blocks - later) for _ in c.domains)
        self.decoders = nn.ModuleList(resnet_decoder(c.width, later, c.growth, c.bilateral) for _ in c.domains)
        initialise(self)

    def encode(self, x: Tensor, source: int) -> Tensor:
        """The code (B, 4 width, S / 4, S / 4) of images (B, 3, S, S) of a domain."""
        code: Tensor = self.encoders[source](x)
        return code

    def decode(self, code: Tensor, target: int) -> Tensor:
        """The image of a domain (B, 3, S, S) in [-1, 1] of a code."""
        x: Tensor = self.decoders[target](code).float()
        return x

    def forward(self, x: Tensor, source: int, target: int) -> Tensor:
        """Images (B, 3, S, S) of the domain ``source`` as images of the domain ``target``."""
        return self.decode(self.encode(x, source), target)

    @torch.inference_mode()
    def translate(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] of the domains ``source`` (B,) as images of the domains ``target`` (B,)."""
        return by_pairs(self, x, source, target)


def by_pairs(G: Callable[[Tensor, int, int], Tensor], x: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """What ``G(images, a, b)`` makes of images (B, 3, S, S), with those of the same two domains at a time."""
    out = torch.empty_like(x)
    for a, b in itertools.product(source.unique().tolist(), target.unique().tolist()):
        if (chosen := (source == a) & (target == b)).any():
            out[chosen] = G(x[chosen], a, b).to(x.dtype)
    return out


def resnet_encoder(width: int, blocks: int) -> nn.Sequential:
    """Images (B, 3, S, S) to (B, 4 width, S / 4, S / 4)."""
    halve = (part for k in (width, 2 * width) for part in _normed(nn.Conv2d(k, 2 * k, 3, 2, 1, bias=False), 2 * k))
    first = nn.ReflectionPad2d(3), *_normed(nn.Conv2d(3, width, 7, bias=False), width)
    return nn.Sequential(*first, *halve, *(residual(4 * width) for _ in range(blocks)))


def resnet_decoder(
    width: int, blocks: int, growth: Literal["nearest", "transposed"] = "transposed", bilateral: float = 0.0
) -> nn.Sequential:
    """(B, 4 width, S / 4, S / 4) to images (B, 3, S, S) in [-1, 1]."""

    def grown(k: int) -> nn.Module:
        if growth == "nearest":
            return larger(2 * k, k, growth, bias=False)
        return nn.ConvTranspose2d(2 * k, k, 3, 2, 1, output_padding=1, bias=False)

    grow = (part for k in (2 * width, width) for part in _normed(grown(k), k))
    last = nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), *coloured(bilateral)
    return nn.Sequential(*(residual(4 * width) for _ in range(blocks)), *grow, *last)


def residual(width: int) -> Residual:
    """Two 3 x 3 convolutions with instance normalisation, added to what they are of."""
    first, second = (nn.Conv2d(width, width, 3, bias=False) for _ in range(2))
    once = nn.ReflectionPad2d(1), *_normed(first, width)
    return Residual(nn.Sequential(*once, nn.ReflectionPad2d(1), second, nn.InstanceNorm2d(width)))


def _normed(layer: nn.Module, width: int) -> tuple[nn.Module, ...]:
    return layer, nn.InstanceNorm2d(width), nn.ReLU()
