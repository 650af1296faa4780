"""SN-GAN: every layer of D is divided by its spectral norm; the loss is the hinge.

Reference: Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial Networks", ICLR 2018.

Algorithm 1 (a step of the power iteration at each of D's passes in training) is torch's ``spectral_norm``; equations 16 and 17
are the losses of ``d_step`` and ``g_step``.

Departs: "sngan", the paper's plain network, stands for D; G is then DCGAN's body, which has no 3 x 3 convolution at its end.
Departs: "resnet" has as many channels at every size, as the paper has at 32 pixels; its networks for larger images differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from textgan.runtime import EMA, Player, Stage, Workers

from ..blocks import fixed, noise, placed, translate_and_cut
from ..discriminators import Discriminator
from ..game import by_turns, follow, metrics, one_size
from ..generators import PlainConfig, PlainGenerator
from ..objectives import d_loss, g_loss
from ..pairs import TrainingImages


@dataclass(frozen=True)
class SNGANConfig:
    """Settings of SN-GAN; sizes and rates are the paper's for its residual networks."""

    size: int = 32
    """Width and height of an image (paper, section 4: 32, and 48)."""
    channels: Literal[3, 1] = 3
    """3 for colour, 1 for grey."""
    body: Literal["resnet", "sngan"] = "resnet"
    """Layers: residual networks (paper, table 4), or its plain ones (table 3); with sngan take --width 64 --d-width 64."""
    steps: int = 50_000
    """Steps of G, each after ``critic_steps`` of D."""
    critic_steps: int = 5
    """Steps of D before each of G, n_dis (paper, section 4: 5)."""
    batch: int = 64
    """Images a step, over all processes (paper, section 4: 64)."""
    noise: int = 128
    """Numbers of z, standard normal (paper, table 4: 128)."""
    width: int = 256
    """Channels of G (paper, table 4: 256)."""
    d_width: int = 128
    """Channels of D (paper, table 4: 128)."""
    lr: float = 2e-4
    """Adam's learning rate of both, moments 0 and 0.9 (paper, section 4: 2e-4)."""
    augment: bool = False
    """Shift and cut images before D sees them (DiffAugment; Zhao et al., 2020); helps with few images (paper: no)."""
    ema: float = 0.0
    """Decay of the moving average of G that is kept and sampled from; 0 keeps G itself (paper: none)."""


class SNGAN:
    """Trains a PlainGenerator against a spectrally normalised Discriminator."""

    Config = SNGANConfig
    fed: ClassVar = "images"
    sizes = staticmethod(one_size)

    def __init__(self, config: SNGANConfig, images: TrainingImages, workers: Workers) -> None:
        c = self.config = config
        self.workers, self.local = workers, workers.shard(c.batch)
        body: Literal["resnet", "dcgan"] = "resnet" if c.body == "resnet" else "dcgan"
        self.G = placed(PlainGenerator(PlainConfig(c.size, c.noise, 0, c.channels, c.width, body)), workers.device)
        self.D = placed(Discriminator(c.size, c.channels, c.d_width, "spectral", c.body), workers.device)
        self.g, self.d = (Player(m, torch.optim.Adam(m.parameters(), c.lr, (0.0, 0.9)), workers) for m in (self.G, self.D))
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

    def seen(self, x: Tensor) -> Tensor:
        """What D sees of images."""
        return translate_and_cut(x, self.workers.uniform(self.local, 4)) if self.config.augment else x

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D by the hinge: scores of real images above 1, of generated ones below -1 (eq. 16)."""
        with fixed(self.G), torch.no_grad():
            x = self.draw()
        self.D.train()
        real, fake = self.D(self.seen(self.data[i])), self.D(self.seen(x))
        loss = d_loss(real, fake, "hinge")
        return metrics(self.workers, "d", {"loss": loss, "real": real.mean(), "fake": fake.mean()}, self.d.minimise(loss))

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, up D's score of its images (eq. 17)."""
        self.G.train()
        x = self.draw()
        with fixed(self.D):
            loss = g_loss(self.D(self.seen(x)), "hinge")
        grad = self.g.minimise(loss)
        follow(self.average, self.config.ema, i)
        return metrics(self.workers, "g", {"loss": loss}, grad)
