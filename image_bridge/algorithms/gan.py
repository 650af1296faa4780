"""The first GAN: two multilayer perceptrons.

Reference: Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio, "Generative Adversarial Nets", NIPS
2014. ``--smooth`` is from Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen, "Improved Techniques for Training GANs", 2016.

Algorithm 1: the inner loop over k is ``d_step``, ``critic_steps`` times; the rest is ``g_step``, with the loss that section 3
puts in its place: log D(G(z)) upwards. G has rectified linear units, D maxout and dropout (section 5).

Departs: the paper gives neither sizes nor rates. Units and dropout are those of its code for MNIST, from memory; Adam with
DCGAN's rates takes the place of momentum, tanh that of the sigmoid, as images lie in [-1, 1].
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
from ..game import by_turns, follow, metrics, one_size
from ..generators import PlainConfig, PlainGenerator
from ..objectives import d_loss, g_loss
from ..pairs import TrainingImages


@dataclass(frozen=True)
class GANConfig:
    """Settings of the GAN."""

    size: int = 28
    """Width and height of an image (paper, section 5: MNIST's 28)."""
    channels: Literal[3, 1] = 1
    """3 for colour, 1 for grey."""
    steps: int = 50_000
    """Steps of G, each after ``critic_steps`` of D."""
    critic_steps: int = 1
    """Steps of D before each of G, k (paper, algorithm 1: 1)."""
    batch: int = 100
    """Images a step, over all processes (code: 100)."""
    noise: int = 100
    """Numbers of z, uniform in [-1, 1] (code: 100)."""
    width: int = 1200
    """Units of each of G's two hidden layers (code: 1,200)."""
    d_width: int = 240
    """Maxout units, of five pieces each, of each of D's two hidden layers (code: 240)."""
    dropout: float = 0.5
    """Share of D's units that are left out, and 0.4 of that of its pixels; 0 for none (code: 0.5)."""
    lr: float = 2e-4
    """Adam's learning rate of both, first moment 0.5 (DCGAN: 2e-4)."""
    d_lr: float | None = None
    """That of D where it is another (TTUR; Heusel et al., 2017; paper: the same)."""
    smooth: float = 1.0
    """The probability that D should give real images; below 1 for one-sided label smoothing (Salimans et al.: 0.9; paper: 1)."""
    ema: float = 0.0
    """Decay of the moving average of G that is kept and sampled from; 0 keeps G itself (paper: none)."""


class GAN:
    """Trains a PlainGenerator against a Discriminator, both without convolutions."""

    Config = GANConfig
    fed: ClassVar = "images"
    sizes = staticmethod(one_size)

    def __init__(self, config: GANConfig, images: TrainingImages, workers: Workers) -> None:
        c = self.config = config
        self.workers, self.local = workers, workers.shard(c.batch)
        shape = PlainConfig(c.size, c.noise, 0, c.channels, c.width, "mlp", "uniform")
        self.G = placed(PlainGenerator(shape), workers.device)
        self.D = placed(Discriminator(c.size, c.channels, c.d_width, "none", "mlp", dropout=c.dropout), workers.device)
        both = (self.G, c.lr), (self.D, c.d_lr or c.lr)
        self.g, self.d = (Player(m, torch.optim.Adam(m.parameters(), lr, (0.5, 0.999)), workers) for m, lr in both)
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"generator_now": self.g, "discriminator": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.data = images.minibatches(c.size, c.batch, c.channels)

    def stages(self) -> Sequence[Stage]:
        """The game: D ``critic_steps`` times, then G."""
        c = self.config
        return by_turns(c.steps, [(self.d_step, c.critic_steps), (self.g_step, 1)], self.data.per_epoch, c.batch)

    def draw(self) -> Tensor:
        """Generated images (B, C, S, S)."""
        image: Tensor = self.G(noise(self.workers, self.local, self.config.noise))
        return image

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D on real and on generated images."""
        with fixed(self.G), torch.no_grad():
            x = self.draw()
        self.D.train()
        real, fake = self.D(self.data[i]), self.D(x)
        loss = d_loss(real, fake, "bce", self.config.smooth)
        return metrics(self.workers, "d", {"loss": loss, "real": real.mean(), "fake": fake.mean()}, self.d.minimise(loss))

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, so that D, without dropout, takes its images for real."""
        self.G.train()
        x = self.draw()
        with fixed(self.D):
            loss = g_loss(self.D(x), "bce")
        grad = self.g.minimise(loss)
        follow(self.average, self.config.ema, i)
        return metrics(self.workers, "g", {"loss": loss}, grad)
