"""WGAN-GP: WGAN with a penalty on the critic's gradient in place of cut weights.

Reference: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, "Improved Training of Wasserstein GANs", NIPS 2017.

Algorithm 1: lines 2-10 (the critic, ``critic_steps`` times; the penalty of equation 3 between real and generated images) are
``d_step``, lines 11-12 are ``g_step``. The critic has no batch normalisation (section 4).

Departs: the critic has no normalisation at all, where the paper suggests that of layers.
Departs: "resnet" has as many channels at every size, as the paper has at 32 pixels; its networks for larger images differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from textgan.objectives import gradient_penalty, wasserstein
from textgan.runtime import EMA, Player, Stage, Workers

from ..blocks import fixed, noise, placed
from ..discriminators import Discriminator
from ..game import by_turns, follow, metrics, one_size
from ..generators import PlainConfig, PlainGenerator
from ..pairs import TrainingImages


@dataclass(frozen=True)
class WGANGPConfig:
    """Settings of WGAN-GP; rates are the paper's."""

    size: int = 64
    """Width and height of an image (paper, section 5: 64, and 32)."""
    channels: Literal[3, 1] = 3
    """3 for colour, 1 for grey."""
    body: Literal["dcgan", "resnet"] = "dcgan"
    """Layers of both networks (paper: both kinds); with resnet take --width 128 --d-width 128."""
    steps: int = 50_000
    """Steps of G, each after ``critic_steps`` of the critic."""
    critic_steps: int = 5
    """Steps of the critic before each of G, n_critic (paper, algorithm 1: 5)."""
    batch: int = 64
    """Images a step, over all processes (paper: 64)."""
    noise: int = 128
    """Numbers of z, standard normal (code: 128)."""
    width: int = 128
    """Channels of G before the last layer (DCGAN: 128)."""
    d_width: int = 64
    """Channels of the critic after the first layer (DCGAN's code: 64)."""
    lr: float = 1e-4
    """Adam's learning rate of both, moments 0 and 0.9 (paper, algorithm 1: 1e-4)."""
    penalty: float = 10.0
    """Weight of the penalty, lambda (paper, algorithm 1: 10)."""
    ema: float = 0.0
    """Decay of the moving average of G that is kept and sampled from; 0 keeps G itself (paper: none)."""


class WGANGP:
    """Trains a PlainGenerator by a critic whose gradient is kept at norm 1."""

    Config = WGANGPConfig
    fed: ClassVar = "images"
    differentiated_twice: ClassVar = True  # by its penalty
    sizes = staticmethod(one_size)

    def __init__(self, config: WGANGPConfig, images: TrainingImages, workers: Workers) -> None:
        c = self.config = config
        self.workers, self.local = workers, workers.shard(c.batch)
        self.G = placed(PlainGenerator(PlainConfig(c.size, c.noise, 0, c.channels, c.width, c.body)), workers.device)
        self.D = placed(Discriminator(c.size, c.channels, c.d_width, "none", c.body, bias=False), workers.device)
        self.g, self.d = (Player(m, torch.optim.Adam(m.parameters(), c.lr, (0.0, 0.9)), workers) for m in (self.G, self.D))
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
        """The critic, up its estimate of the distance, with a gradient of norm 1 on the way (lines 4-9)."""
        with fixed(self.G), torch.no_grad():
            x = self.draw()
        real = self.data[i]
        right, wrong = self.D(real), self.D(x)
        penalty = gradient_penalty(self.D, real, x, self.workers.uniform(self.local))
        distance = wasserstein(right, wrong)
        grad = self.d.minimise(distance + self.config.penalty * penalty)
        return metrics(
            self.workers, "d", {"loss": distance, "penalty": penalty, "real": right.mean(), "fake": wrong.mean()}, grad
        )

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, up the critic's score of its images (lines 11-12)."""
        self.G.train()
        x = self.draw()
        with fixed(self.D):
            loss = -self.D(x).mean()
        grad = self.g.minimise(loss)
        follow(self.average, self.config.ema, i)
        return metrics(self.workers, "g", {"loss": loss}, grad)
