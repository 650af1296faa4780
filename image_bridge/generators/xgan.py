"""XGAN's generator: two encoders and two decoders whose deep layers are the same ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..blocks import coloured, initialise, larger, scales
from .base import Saved
from .translators import by_pairs


@dataclass(frozen=True)
class XGANTranslatorConfig:
    """Sizes of an XGANTranslator."""

    domains: tuple[str, ...]
    """What the domains are called."""
    label: str = "domain"
    """The attribute of the images that says which they are of."""
    size: int = 64
    """Width and height of an image."""
    width: int = 32
    """Channels at half the size; twice as many at each smaller one."""
    code: int = 1024
    """Numbers of the code."""
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


class XGANTranslator(Saved):
    """A code of images of any domain, and images of any domain of a code (XGAN, section 3 and its appendix).

    At 64 pixels an encoder has the widths 32, 64, then 128, 256 and twice 1,024 that are shared; a decoder 512, 256 that are
    shared, then 128, 64, 3. Smaller images have fewer shared layers. Each layer halves or doubles by 4 x 4, and is normalised
    over all channels and places of one image: statistics of a batch would be those of one domain in training, of both later. A
    code has mean 0 and spread 1, as its distances would otherwise vanish by making it small.
    """

    kind = "xgan"
    Config = XGANTranslatorConfig
    needs_source = True
    config: XGANTranslatorConfig

    def __init__(self, config: XGANTranslatorConfig) -> None:
        super().__init__()
        self.config = c = config
        count = scales(c.size)
        inward = [3, *(c.width << k for k in range(count))]  # 3, 32, 64, 128, 256
        outward = [c.width << k for k in range(count, 0, -1)]  # 512, 256, 128, 64
        private, common = min(2, max(1, count - 1)), max(0, count - 3)  # layers of an encoder, of what the decoders share
        widths = list(itertools.pairwise(inward))
        self.encoders = nn.ModuleList(nn.Sequential(*(_halve(a, b) for a, b in widths[:private])) for _ in c.domains)
        self.encoder = nn.Sequential(
            *(_halve(a, b) for a, b in widths[private:]), nn.Flatten(),
            nn.Linear(16 * inward[-1], c.code), nn.LeakyReLU(0.2), nn.Linear(c.code, c.code),
            nn.LayerNorm(c.code, elementwise_affine=False),
        )  # fmt: skip
        grown = list(itertools.pairwise(outward))
        first = nn.Linear(c.code, 16 * outward[0], bias=False), nn.Unflatten(1, (outward[0], 4, 4))
        self.decoder = nn.Sequential(*first, *_normed(outward[0]), *(_double(a, b, c.growth) for a, b in grown[:common]))
        self.decoders = nn.ModuleList(
            nn.Sequential(
                *(_double(a, b, c.growth) for a, b in grown[common:]), *larger(outward[-1], 3, c.growth), *coloured(c.bilateral)
            )
            for _ in c.domains
        )
        initialise(self)

    def encode(self, x: Tensor, source: int) -> Tensor:
        """The code (B, ``config.code``) of images (B, 3, S, S) of a domain."""
        code: Tensor = self.encoder(self.encoders[source](x)).float()
        return code

    def decode(self, code: Tensor, target: int) -> Tensor:
        """The image of a domain (B, 3, S, S) in [-1, 1] of a code."""
        x: Tensor = self.decoders[target](self.decoder(code)).float()
        return x

    def forward(self, x: Tensor, source: int, target: int) -> Tensor:
        """Images (B, 3, S, S) of the domain ``source`` as images of the domain ``target``."""
        return self.decode(self.encode(x, source), target)

    @torch.inference_mode()
    def translate(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] of the domains ``source`` (B,) as images of the domains ``target`` (B,)."""
        return by_pairs(self, x, source, target)


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.GroupNorm(1, outputs), nn.LeakyReLU(0.2))


def _double(inputs: int, outputs: int, growth: Literal["nearest", "transposed"]) -> nn.Sequential:
    return nn.Sequential(*larger(inputs, outputs, growth, bias=False), *_normed(outputs))


def _normed(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.GroupNorm(1, width), nn.ReLU()
