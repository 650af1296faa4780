"""Generators of images from noise, and from a class where they are told one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..blocks import BatchNorm2d, Resized, dcgan, initialise, start
from .base import Saved

EDGE = 1e-4  # -1 and 1 themselves are infinite as normal numbers


@dataclass(frozen=True)
class PlainConfig:
    """Sizes of a PlainGenerator."""

    size: int = 64
    """Width and height of an image."""
    noise: int = 100
    """Numbers of z, codes included."""
    classes: int = 0
    """Classes that it can be told; 0 for none."""
    channels: int = 3
    """3 for colour, 1 for grey."""
    width: int = 128
    """Channels before the last layer; of "mlp", units of a hidden layer."""
    body: Literal["dcgan", "resnet", "mlp"] = "dcgan"
    """Its layers."""
    prior: Literal["normal", "uniform"] = "normal"
    """What z becomes: standard normal as it comes, or uniform in [-1, 1]."""
    condition: Literal["concatenate", "multiply"] = "concatenate"
    """How the class enters: its one-hot beside z, or its embedding times z."""
    hidden: int = 0
    """Units of one more layer before the first; 0 for none (InfoGAN has one)."""
    codes: int = 0
    """Categorical codes among z (InfoGAN)."""
    values: int = 10
    """Values of each of them."""
    continuous: int = 0
    """Continuous codes among z, uniform in [-1, 1] (InfoGAN)."""

    @property
    def text(self) -> int:
        """Numbers of the vector that it is told."""
        return self.classes


class PlainGenerator(Saved):
    """z, and a class, to an image.

    Whatever its prior, z comes as standard normal numbers, so that noise can be cut and walked through alike: uniform ones are
    had by the distribution function, and the value of a categorical code is the place of the largest of as many numbers.
    """

    kind = "plain"
    Config = PlainConfig
    config: PlainConfig
    eps = 0

    def __init__(self, config: PlainConfig) -> None:
        super().__init__()
        self.config = c = config
        self.embedding = nn.Linear(c.classes, c.noise, bias=False) if c.classes and c.condition == "multiply" else None
        inputs = c.noise + (c.classes if self.embedding is None else 0)
        before: list[nn.Module] = []
        if c.hidden:
            norm = nn.Unflatten(1, (c.hidden, 1, 1)), BatchNorm2d(c.hidden), nn.Flatten()
            before, inputs = [nn.Linear(inputs, c.hidden, bias=False), *norm, nn.ReLU()], c.hidden
        if c.body == "mlp":
            pixels = c.channels * c.size**2
            layers: list[nn.Module] = [
                nn.Linear(inputs, c.width), nn.ReLU(), nn.Linear(c.width, c.width), nn.ReLU(), nn.Linear(c.width, pixels),
                nn.Unflatten(1, (c.channels, c.size, c.size)),
            ]  # fmt: skip
        elif c.body == "resnet":
            base, count = start(c.size)
            layers = [
                nn.Linear(inputs, c.width * base**2), nn.Unflatten(1, (c.width, base, base)),
                *(Resized(c.width, c.width, "batch", "up") for _ in range(count)),
                BatchNorm2d(c.width), nn.ReLU(), nn.Conv2d(c.width, c.channels, 3, 1, 1),
            ]  # fmt: skip
        else:
            layers = dcgan(inputs, c.size, c.width, c.channels, "transposed")
        self.layers = nn.Sequential(*before, *layers)
        initialise(self)

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of z (B, Z): the noise (B, N), the values (B, codes) of categorical codes, the continuous codes (B, continuous)."""
        c = self.config
        categorical = c.codes * c.values
        free, chosen, smooth = z.split([c.noise - categorical - c.continuous, categorical, c.continuous], 1)
        values = chosen.unflatten(1, (c.codes, c.values)).argmax(2) if c.codes else chosen.long()
        return _uniform(free) if c.prior == "uniform" else free, values, _uniform(smooth)

    def with_value(self, z: Tensor, code: int, value: int) -> Tensor:
        """The same z (B, Z), but the categorical code of this number has this value."""
        c, z = self.config, z.clone()
        first = c.noise - c.continuous - (c.codes - code) * c.values
        z[:, first : first + c.values] = torch.eye(c.values, dtype=z.dtype)[value]
        return z

    def with_number(self, z: Tensor, code: int, value: float) -> Tensor:
        """The same z (B, Z), but the continuous code of this number is ``value``, in [-1, 1]; the ends are missed by EDGE."""
        z, u = z.clone(), torch.tensor((value + 1) / 2, dtype=torch.float64)
        z[:, self.config.noise - self.config.continuous + code] = torch.special.ndtri(u.clamp(EDGE / 2, 1 - EDGE / 2)).to(z.dtype)
        return z

    def forward(self, z: Tensor, kind: Tensor | None = None) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] of standard normal numbers (B, Z) and, where it is told them, one-hot classes (B, K)."""
        noise, values, smooth = self.parts(z)
        codes = F.one_hot(values, self.config.values).flatten(1).to(z.dtype) if self.config.codes else values.to(z.dtype)
        h = torch.cat([noise, codes, smooth], 1)
        if kind is not None:
            h = torch.cat([h, kind], 1) if self.embedding is None else h * self.embedding(kind)
        image: Tensor = torch.tanh(self.layers(h).float())
        return image

    @torch.inference_mode()
    def images(self, vectors: Tensor, z: Tensor, eps: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] of one-hot classes (B, classes); grey ones have three equal channels."""
        image: Tensor = self(z, vectors)
        return image.expand(-1, 3, -1, -1)


def _uniform(z: Tensor) -> Tensor:
    u: Tensor = torch.special.ndtr(z)
    return 2 * u - 1
