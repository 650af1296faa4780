"""Encoders of images: from an image back to the noise of a generator."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .discriminators import Discriminator
from .generators.base import Saved


@dataclass(frozen=True)
class ImageEncoderConfig:
    """Sizes of an ImageEncoder."""

    size: int = 64
    """Width and height of an image."""
    noise: int = 128
    """Numbers of z."""
    channels: int = 3
    """3 for colour, 1 for grey."""
    width: int = 64
    """Channels after the first layer."""


class ImageEncoder(Saved, Discriminator):
    """An image to the normal distribution of its code z (VAE-GAN); the layers are those of a Discriminator."""

    kind = "encoder"
    Config = ImageEncoderConfig
    config: ImageEncoderConfig

    def __init__(self, config: ImageEncoderConfig) -> None:
        Discriminator.__init__(self, config.size, config.channels, config.width, "batch", outputs=2 * config.noise)
        self.config = config

    def distribution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances (B, Z) of the codes of images (B, C, S, S) in [-1, 1]."""
        mean, log_variance = self.numbers(x).chunk(2, 1)
        return mean, log_variance
