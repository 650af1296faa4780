"""VAE-GAN: an autoencoder whose images are compared by what a discriminator sees in them, not pixel by pixel.

Reference: Larsen, Sonderby, Larochelle, Winther, "Autoencoding beyond pixels using a learned similarity metric", ICML 2016.

Algorithm 1: the loss of the encoder (L_prior + L_llike) is ``e_step``, that of the decoder (gamma L_llike - L_GAN) ``g_step``,
that of the discriminator (L_GAN) ``d_step``. L_llike (eq. 7 and 8) compares what D's convolutions see. The decoder is what
draws afterwards, from standard normal z.

Departs: the bodies are DCGAN's, with 4 x 4 convolutions; the paper has 5 x 5.
Departs: the decoder's part in L_GAN is -log D, which does not saturate.
Departs: each player's step has images of its own; in the paper one minibatch serves all three.
Departs: no player is held back while another is behind, as the authors' code does, and the rate does not decay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from textgan.runtime import EMA, Player, Stage, Workers

from ..blocks import fixed, noise, placed
from ..discriminators import Discriminator
from ..encoders import ImageEncoder, ImageEncoderConfig
from ..game import by_turns, follow, metrics, one_size
from ..generators import PlainConfig, PlainGenerator
from ..objectives import feature_nll, g_loss, kl_to_standard_normal, towards
from ..pairs import TrainingImages


@dataclass(frozen=True)
class VAEGANConfig:
    """Settings of VAE-GAN; rates are the paper's."""

    size: int = 64
    """Width and height of an image (paper, section 4.1: 64)."""
    channels: Literal[3, 1] = 3
    """3 for colour, 1 for grey."""
    steps: int = 50_000
    """Steps of each of the three players, by turns."""
    batch: int = 64
    """Images a step, over all processes (paper, section 4: 64)."""
    noise: int = 128
    """Numbers of z (code: 128)."""
    gamma: float = 1e-6
    """Weight of L_llike for the decoder (code: 1e-6, as it is a sum over features)."""
    kl: float = 1.0
    """Weight of L_prior for the encoder (paper: 1)."""
    width: int = 64
    """Channels of the decoder before the last layer."""
    e_width: int = 64
    """Channels of the encoder after its first layer (paper, table 1: 64)."""
    d_width: int = 32
    """Channels of D after its first layer (paper, table 1: 32)."""
    lr: float = 3e-4
    """RMSprop's learning rate of all three (paper, section 4: 3e-4)."""
    ema: float = 0.0
    """Decay of the moving average of the decoder that is kept and sampled from; 0 keeps it itself (paper: none)."""


class VAEGAN:
    """Trains an ImageEncoder, a PlainGenerator as decoder, and a Discriminator."""

    Config = VAEGANConfig
    fed: ClassVar = "images"
    sizes = staticmethod(one_size)

    def __init__(self, config: VAEGANConfig, images: TrainingImages, workers: Workers) -> None:
        c = self.config = config
        self.workers, self.local = workers, workers.shard(c.batch)
        self.E = placed(ImageEncoder(ImageEncoderConfig(c.size, c.noise, c.channels, c.e_width)), workers.device)
        self.G = placed(PlainGenerator(PlainConfig(c.size, c.noise, 0, c.channels, c.width)), workers.device)
        self.D = placed(Discriminator(c.size, c.channels, c.d_width, "batch"), workers.device)
        self.e, self.g, self.d = (
            Player(m, torch.optim.RMSprop(m.parameters(), c.lr), workers) for m in (self.E, self.G, self.D)
        )  # fmt: skip
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"encoder": self.e, "generator_now": self.g, "discriminator": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.data = images.minibatches(c.size, c.batch, c.channels)

    def stages(self) -> Sequence[Stage]:
        """The three players by turns."""
        c = self.config
        return by_turns(c.steps, [(self.e_step, 1), (self.g_step, 1), (self.d_step, 1)], self.data.per_epoch, c.batch)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes z drawn for images (B, C, S, S), and mu and the log-variance (B, Z) it is drawn with."""
        mu, log_variance = self.E.distribution(x)
        return mu + (0.5 * log_variance).exp() * self.noise(), mu, log_variance

    def noise(self) -> Tensor:
        """Standard normal numbers (B, Z)."""
        return noise(self.workers, self.local, self.config.noise)

    def e_step(self, i: int) -> dict[str, Tensor]:
        """The encoder: codes close to standard normal, from which D's features of the image come back (L_prior + L_llike)."""
        x = self.data[i]
        self.E.train()
        z, mu, log_variance = self.encode(x)
        with fixed(self.G, self.D):
            nll = feature_nll(self.D.features(x), self.D.features(self.G(z)))
        kl = self.config.noise * kl_to_standard_normal(mu, log_variance)
        loss = self.config.kl * kl + nll
        return metrics(self.workers, "e", {"loss": loss, "kl": kl, "nll": nll}, self.e.minimise(loss))

    def g_step(self, i: int) -> dict[str, Tensor]:
        """The decoder: D's features come back, and D takes reconstructions and samples for real (gamma L_llike - L_GAN)."""
        x = self.data[i]
        with fixed(self.E), torch.no_grad():
            z, _, _ = self.encode(x)
        self.G.train()
        again, drawn = self.G(z), self.G(self.noise())
        with fixed(self.D):
            seen = self.D.features(again)
            nll = feature_nll(self.D.features(x), seen)
            fooled = g_loss(self.D.judge(seen), "bce") + g_loss(self.D(drawn), "bce")
        loss = self.config.gamma * nll + fooled
        grad, told = self.g.minimise(loss), {"loss": loss, "nll": nll}
        follow(self.average, self.config.ema, i)
        return metrics(self.workers, "g", told, grad)

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D on real images, on reconstructions and on samples (L_GAN); it learns nothing from L_llike."""
        x = self.data[i]
        with fixed(self.E, self.G), torch.no_grad():
            again, drawn = self.G(self.encode(x)[0]), self.G(self.noise())
        self.D.train()
        real, fake, sample = self.D(x), self.D(again), self.D(drawn)
        loss = sum((towards(s, False, "bce").mean() for s in (fake, sample)), towards(real, True, "bce").mean())
        grad = self.d.minimise(loss)
        return metrics(self.workers, "d", {"loss": loss, "real": real.mean(), "again": fake.mean(), "fake": sample.mean()}, grad)
