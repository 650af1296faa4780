"""StackGAN's two generators: the first draws a small image, the second one four times as large from it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..blocks import BatchNorm2d, ConditioningAugmentation, Residual, Standardise, bottleneck, conv, initialise, scales, tile, up
from .base import Saved

LARGER = 4  # stage II's images beside stage I's


@dataclass(frozen=True)
class StackGANConfig:
    """Sizes of a StackGANGenerator."""

    text: int
    """Numbers of a sentence vector."""
    size: int = 256
    """Width and height of stage II's images; those of stage I are a quarter of it."""
    noise: int = 100
    """Numbers of z."""
    code: int = 128
    """Numbers of the text's code in each stage."""
    width: int = 128
    """Channels at stage I's last but one size; twice as many at each smaller one, up to eight times."""
    residuals: int = 4
    """Residual blocks of stage II."""
    augmentation: Literal["linear", "relu", "glu"] = "linear"
    """What follows the layer that gives mu and the log-variance."""


class StageOne(nn.Module):
    """z and the text's code to a small image (StackGAN, section 3.3; residual blocks as in the authors' first code)."""

    def __init__(self, c: StackGANConfig) -> None:
        super().__init__()
        count = scales(c.size // LARGER)
        widths = [c.width * min(8, 2**k) for k in reversed(range(count))]
        self.augmentation = ConditioningAugmentation(c.text, c.code, c.augmentation)
        self.first = nn.Sequential(
            nn.Linear(c.noise + c.code, 16 * widths[0], bias=False), nn.Unflatten(1, (widths[0], 4, 4)),
            BatchNorm2d(widths[0]), bottleneck(widths[0], max(1, widths[0] // 4), "batch", nn.ReLU),
        )  # fmt: skip
        grow = [up(a, b) for a, b in itertools.pairwise(widths)]
        if count > 1:
            grow[0] = nn.Sequential(
                *list(up(widths[0], widths[1]))[:-1], bottleneck(widths[1], max(1, widths[1] // 4), "batch", nn.ReLU)
            )
        self.grow = nn.Sequential(*grow)
        self.rgb = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(widths[-1], 3, 3, 1, 1))
        initialise(self)

    def forward(self, z: Tensor, text: Tensor, eps: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, S/4, S/4) of z (B, Z) and standardised vectors (B, D); mu and log-variance (B, code) of their codes."""
        code, mu, log_variance = self.augmentation(text, eps)
        h = self.grow(self.first(torch.cat([z, code], 1)))
        return torch.tanh(self.rgb(h).float()), mu, log_variance


class StageTwo(nn.Module):
    """Stage I's image and once more the text's code to an image four times as large; no noise (StackGAN, section 3.4)."""

    def __init__(self, c: StackGANConfig) -> None:
        super().__init__()
        w = c.width
        self.augmentation = ConditioningAugmentation(c.text, c.code, c.augmentation)
        self.encode = nn.Sequential(
            nn.Conv2d(3, w, 3, 1, 1), nn.ReLU(), *conv(w, 2 * w, 4, 2, 1, "batch"), nn.ReLU(),
            *conv(2 * w, 4 * w, 4, 2, 1, "batch"), nn.ReLU(),
        )  # fmt: skip
        self.joint = nn.Sequential(*conv(4 * w + c.code, 4 * w, 3, 1, 1, "batch"), nn.ReLU())
        self.residuals = nn.Sequential(*(_residual(4 * w) for _ in range(c.residuals)))
        widths = [max(1, int(w * part)) for part in (4, 2, 1, 0.5, 0.25)]
        self.grow = nn.Sequential(*(up(a, b) for a, b in itertools.pairwise(widths)))
        self.rgb = nn.Conv2d(widths[-1], 3, 3, 1, 1)
        initialise(self)

    def forward(self, low: Tensor, text: Tensor, eps: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, S, S) of stage I's (B, 3, S/4, S/4) and vectors (B, D); mu and log-variance (B, code) of their codes."""
        code, mu, log_variance = self.augmentation(text, eps)
        h = self.grow(self.residuals(self.joint(tile(self.encode(low), code))))
        return torch.tanh(self.rgb(h).float()), mu, log_variance


def _residual(width: int) -> Residual:
    inner = [*conv(width, width, 3, 1, 1, "batch"), nn.ReLU(), *conv(width, width, 3, 1, 1, "batch")]
    return Residual(nn.Sequential(*inner), nn.ReLU())


class StackGANGenerator(Saved):
    """Both stages.

    Attributes:
        eps: numbers that vary the codes of an image, half of them in each stage.
        begun: how many stages have begun to be trained; where it is 1, images are stage I's, enlarged.
    """

    kind = "stackgan"
    Config = StackGANConfig
    config: StackGANConfig
    begun: Tensor

    def __init__(self, config: StackGANConfig) -> None:
        super().__init__()
        self.config, self.eps = config, 2 * config.code
        self.standardise = Standardise(config.text)
        self.stage1, self.stage2 = StageOne(config), StageTwo(config)
        self.register_buffer("begun", torch.tensor(1))

    def forward(self, z: Tensor, text: Tensor, eps: Tensor | None = None) -> list[Tensor]:
        """Stage I's images (B, 3, S/4, S/4) in [-1, 1] and stage II's (B, 3, S, S).

        Args:
            z: (B, Z) noise.
            text: (B, D) standardised sentence vectors.
            eps: (B, 2 * code) numbers that vary the codes; without them a code is its mean.
        """
        first, second = (None, None) if eps is None else eps.chunk(2, 1)
        low = self.stage1(z, text, first)[0]
        return [low, self.stage2(low, text, second)[0]]

    @torch.inference_mode()
    def pyramid(self, vectors: Tensor, z: Tensor, eps: Tensor | None = None) -> list[Tensor]:
        """Images in [-1, 1] of raw sentence vectors (B, D) at every size, smallest first."""
        images: list[Tensor] = self(z, self.standardise(vectors), eps)
        return images

    @torch.inference_mode()
    def images(self, vectors: Tensor, z: Tensor, eps: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] of raw sentence vectors (B, D)."""
        low, high = self.pyramid(vectors, z, eps)
        return high if int(self.begun) > 1 else F.interpolate(low, scale_factor=float(LARGER))
