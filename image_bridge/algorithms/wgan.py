"""WGAN: the critic estimates how far generated images are from real ones; its weights are kept small, so that it can.

Reference: Arjovsky, Chintala, Bottou, "Wasserstein Generative Adversarial Networks", ICML 2017.

Algorithm 1: lines 2-8 (the critic, ``critic_steps`` times, then its weights cut) are ``d_step``, lines 9-11 are ``g_step``. The
bodies are DCGAN's, as in section 4.2.

Departs: the authors' code trains the critic 100 times for each of G's first 25 steps; the paper does not, and neither does this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from textgan.objectives import wasserstein
from textgan.runtime import EMA, Player, Stage, Workers

from ..blocks import fixed, noise, placed
from ..discriminators import Discriminator
from ..game import by_turns, follow, metrics, one_size
from ..generators import PlainConfig, PlainGenerator
from ..pairs import TrainingImages


@dataclass(frozen=True)
class WGANConfig:
    """Settings of WGAN; rates are the paper's, sizes DCGAN's."""

    size: int = 64
    """Width and height of an image (paper, section 4.1: 64)."""
    channels: Literal[3, 1] = 3
    """3 for colour, 1 for grey."""
    steps: int = 50_000
    """Steps of G, each after ``critic_steps`` of the critic (paper: not said)."""
    critic_steps: int = 5
    """Steps of the critic before each of G, n_critic (paper, algorithm 1: 5)."""
    batch: int = 64
    """Images a step, over all processes (paper, algorithm 1: 64)."""
    noise: int = 100
    """Numbers of z, standard normal (code: 100)."""
    width: int = 128
    """Channels of G before the last layer (DCGAN: 128)."""
    d_width: int = 64
    """Channels of the critic after the first layer (DCGAN's code: 64)."""
    lr: float = 5e-5
    """RMSprop's learning rate of both (paper, algorithm 1: 5e-5)."""
    limit: float = 0.01
    """Weights of the critic are cut at - and + this number, c (paper, algorithm 1: 0.01)."""
    ema: float = 0.0
    """Decay of the moving average of G that is kept and sampled from; 0 keeps G itself (paper: none)."""


class WGAN:
    """Trains a PlainGenerator by a critic whose weights are cut."""

    Config = WGANConfig
    fed: ClassVar = "images"
    sizes = staticmethod(one_size)

    def __init__(self, config: WGANConfig, images: TrainingImages, workers: Workers) -> None:
        c = self.config = config
        self.workers, self.local = workers, workers.shard(c.batch)
        self.G = placed(PlainGenerator(PlainConfig(c.size, c.noise, 0, c.channels, c.width)), workers.device)
        self.D = placed(Discriminator(c.size, c.channels, c.d_width, "batch", bias=False), workers.device)
        self.g, self.d = (Player(m, torch.optim.RMSprop(m.parameters(), c.lr), workers) for m in (self.G, self.D))
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"generator_now": self.g, "critic": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.data = images.minibatches(c.size, c.batch, c.channels)

    def stages(self) -> Sequence[Stage]:
        """The game: the critic ``critic_steps`` times, then G."""
        c = self.config
        return by_turns(c.steps, [(self.d_step, c.critic_steps), (self.g_step, 1)], self.data.per_epoch, c.batch)

    def draw(self) -> Tensor:
        """Generated images (B, C, S, S)."""
        image: Tensor = self.G(noise(self.workers, self.local, self.config.noise))
        return image

    def d_step(self, i: int) -> dict[str, Tensor]:
        """The critic, up its estimate of the distance; then its weights are cut (lines 3-7)."""
        with fixed(self.G), torch.no_grad():
            x = self.draw()
        self.D.train()
        real, fake = self.D(self.data[i]), self.D(x)
        loss = wasserstein(real, fake)
        grad, told = self.d.minimise(loss), {"loss": loss, "real": real.mean(), "fake": fake.mean()}
        with torch.no_grad():
            for weight in self.d.parameters:
                weight.clamp_(-self.config.limit, self.config.limit)
        return metrics(self.workers, "d", told, grad)

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, up the critic's score of its images (lines 9-11)."""
        self.G.train()
        x = self.draw()
        with fixed(self.D):
            loss = -self.D(x).mean()
        grad = self.g.minimise(loss)
        follow(self.average, self.config.ema, i)
        return metrics(self.workers, "g", {"loss": loss}, grad)
