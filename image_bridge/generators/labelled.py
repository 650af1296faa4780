"""A generator that turns an image into one of any domain, which a code beside the image names."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..blocks import Residual, tile
from .base import Saved


@dataclass(frozen=True)
class LabelledConfig:
    """Sizes of a LabelledTranslator."""

    domains: tuple[str, ...]
    """What the domains are called."""
    label: str = "domain"
    """The attribute of the images that says which they are of, or several with commas between them."""
    values: tuple[tuple[int, ...], ...] = ()
    """Of each domain, the number of its value of each attribute; the domains of one attribute are its values when absent."""
    size: int = 128
    """Width and height of an image."""
    width: int = 64
    """Channels at full size."""
    blocks: int = 6
    """Residual blocks."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", tuple(self.domains))  # of a file, they come as lists
        values = self.values or [[k] for k in range(len(self.domains))]
        object.__setattr__(self, "values", tuple(tuple(row) for row in values))

    @property
    def targets(self) -> tuple[str, ...]:
        """The domains that it translates into."""
        return self.domains

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values each attribute has."""
        return tuple(1 + max(column) for column in zip(*self.values, strict=True))


class LabelledTranslator(Saved):
    """One network for all domains: the code of the one that is wanted lies beside every pixel (StarGAN, section 4, table 4).

    A 7 x 7 convolution, two that halve, residual blocks, two that double, a 7 x 7 convolution; instance normalisation that learns
    a scale and a shift. The borders are padded with zeros, and must be: a code is the same at every place, so that with reflected
    borders it adds the same number to every place of a channel, which the normalisation takes away again.
    """

    kind = "labelled-translator"
    Config = LabelledConfig
    needs_source = False
    config: LabelledConfig
    codes: Tensor

    def __init__(self, config: LabelledConfig) -> None:
        super().__init__()
        self.config = c = config
        values, w = torch.tensor(c.values), c.width
        codes = torch.cat([F.one_hot(column, count) for column, count in zip(values.T, c.counts, strict=True)], 1)
        self.register_buffer("codes", codes.float(), persistent=False)  # (domains, K), known from the config
        layers = _normed(nn.Conv2d(3 + codes.shape[1], w, 7, 1, 3, bias=False))
        for k in (w, 2 * w):
            layers += _normed(nn.Conv2d(k, 2 * k, 4, 2, 1, bias=False))
        layers += [_residual(4 * w) for _ in range(c.blocks)]
        for k in (2 * w, w):
            layers += _normed(nn.ConvTranspose2d(2 * k, k, 4, 2, 1, bias=False))
        self.layers = nn.Sequential(*layers, nn.Conv2d(w, 3, 7, 1, 3), nn.Tanh())

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] as images of the domains (B,)."""
        made: Tensor = self.layers(tile(x, self.codes[domain].to(x.dtype))).float()
        return made

    @torch.inference_mode()
    def translate(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] as images of the domains ``target`` (B,); what they were, ``source`` (B,), it sees."""
        return self.forward(x, target)


def _normed(layer: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [layer, nn.InstanceNorm2d(layer.out_channels, affine=True), nn.ReLU()]


def _residual(width: int) -> Residual:
    first, second = (_normed(nn.Conv2d(width, width, 3, 1, 1, bias=False)) for _ in range(2))
    return Residual(nn.Sequential(*first, *second[:-1]))
