"""StackGAN++'s tree: one trunk that grows, with an image at each of several sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..blocks import BatchNorm2d, ConditioningAugmentation, Residual, Standardise, conv, initialise, scales, tile, up
from .base import Saved


@dataclass(frozen=True)
class TreeConfig:
    """Sizes of a TreeGenerator."""

    text: int
    """Numbers of a sentence vector."""
    size: int = 256
    """Width and height of the largest images."""
    first: int = 64
    """Width and height of the smallest images; each stage doubles them."""
    noise: int = 100
    """Numbers of z."""
    code: int = 128
    """Numbers of the text's code; 0 leaves the text out."""
    width: int = 64
    """Channels at the first size; twice as many at each smaller one, half as many at each larger."""
    residuals: int = 2
    """Residual blocks of each stage after the first."""
    augmentation: Literal["linear", "relu", "glu"] = "glu"
    """What follows the layer that gives mu and the log-variance."""

    @property
    def sizes(self) -> list[int]:
        """Width and height of the images, smallest first."""
        return [self.first << k for k in range((self.size // self.first).bit_length())]


class Stage(nn.Module):
    """The code beside the trunk, a joint convolution, residual blocks, twice as large (StackGAN++, section 4.1, F_i)."""

    def __init__(self, width: int, code: int, residuals: int) -> None:
        super().__init__()
        self.joint = _gated(width + code, width)
        blocks = (Residual(nn.Sequential(_gated(width, width), *conv(width, width, 3, 1, 1, "batch"))) for _ in range(residuals))
        self.residuals = nn.Sequential(*blocks)
        self.grow = up(width, max(1, width // 2), gated=True)

    def forward(self, h: Tensor, code: Tensor) -> Tensor:
        """(B, C, S, S) to (B, C/2, 2S, 2S)."""
        grown: Tensor = self.grow(self.residuals(self.joint(tile(h, code))))
        return grown


def _gated(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*conv(inputs, 2 * outputs, 3, 1, 1, "batch"), nn.GLU(1))


class TreeGenerator(Saved):
    """z and the text's code to images at every size (StackGAN++, figure 2).

    Attributes:
        eps: numbers that vary the code of an image.
    """

    kind = "stackgan-v2"
    Config = TreeConfig
    config: TreeConfig

    def __init__(self, config: TreeConfig) -> None:
        super().__init__()
        self.config, self.eps = config, config.code
        c, count = config, scales(config.first)
        widths = [max(1, c.width >> k) for k in range(len(c.sizes))]
        top = c.width << count
        self.standardise = Standardise(c.text)
        self.augmentation = ConditioningAugmentation(c.text, c.code, c.augmentation) if c.code else None
        self.first = nn.Sequential(
            nn.Linear(c.noise + c.code, 32 * top, bias=False), nn.Unflatten(1, (2 * top, 4, 4)),
            BatchNorm2d(2 * top), nn.GLU(1),
            *(up(top >> k, top >> k + 1, gated=True) for k in range(count)),
        )  # fmt: skip
        self.stages = nn.ModuleList(Stage(width, c.code, c.residuals) for width in widths[:-1])
        self.rgb = nn.ModuleList(nn.Conv2d(width, 3, 3, 1, 1, bias=False) for width in widths)
        initialise(self, "orthogonal")

    def encode(self, text: Tensor, eps: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The code, mu and the log-variance (B, code) of standardised sentence vectors (B, D)."""
        if self.augmentation is None:
            nothing = text[:, :0]
            return nothing, nothing, nothing
        found: tuple[Tensor, Tensor, Tensor] = self.augmentation(text, eps)
        return found

    def grow(self, z: Tensor, code: Tensor) -> Iterator[Tensor]:
        """Images (B, 3, s, s) in [-1, 1] of noise (B, Z) and codes (B, code), smallest first, as far as asked for."""
        h = self.first(torch.cat([z, code], 1))
        yield torch.tanh(self.rgb[0](h).float())
        for stage, rgb in zip(self.stages, list(self.rgb)[1:], strict=True):
            h = stage(h, code)
            yield torch.tanh(rgb(h).float())

    def forward(self, z: Tensor, text: Tensor, eps: Tensor | None = None) -> list[Tensor]:
        """Images (B, 3, s, s) in [-1, 1] at every size s, smallest first.

        Args:
            z: (B, Z) noise.
            text: (B, D) standardised sentence vectors.
            eps: (B, code) numbers that vary the code; without them it is its mean.
        """
        return list(self.grow(z, self.encode(text, eps)[0]))

    @torch.inference_mode()
    def pyramid(self, vectors: Tensor, z: Tensor, eps: Tensor | None = None) -> list[Tensor]:
        """Images in [-1, 1] of raw sentence vectors (B, D) at every size, smallest first."""
        images: list[Tensor] = self(z, self.standardise(vectors), eps)
        return images

    @torch.inference_mode()
    def images(self, vectors: Tensor, z: Tensor, eps: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] of raw sentence vectors (B, D)."""
        return self.pyramid(vectors, z, eps)[-1]
