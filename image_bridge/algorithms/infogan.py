"""InfoGAN: some of the noise are codes, which a network Q on D's trunk must read from the image: they come to mean something.

Reference: Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel, "InfoGAN: Interpretable Representation Learning by Information
Maximizing Generative Adversarial Nets", NIPS 2016.

Equation 5 (the lower bound L_I of the mutual information of codes and images) is ``information``; equation 6 is ``d_step`` and
``g_step``. Q moves with D, as in the authors' code, and L_I is in the losses of both. The spread of Q for continuous codes is
fixed, as in their code. Networks and rates are those for MNIST (appendix C.1).

Departs: L_I of generated images is computed anew in each player's step; in the code one minibatch serves both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from textgan.runtime import EMA, Player, Stage, Workers

from ..blocks import conv, fixed, noise, placed
from ..discriminators import Discriminator
from ..game import by_turns, follow, metrics, one_size
from ..generators import PlainConfig, PlainGenerator
from ..objectives import d_loss, g_loss, information_of_categorical, information_of_continuous
from ..pairs import TrainingImages


@dataclass(frozen=True)
class InfoGANConfig:
    """Settings of InfoGAN; sizes and rates are the paper's for MNIST."""

    size: int = 28
    """Width and height of an image (paper, appendix C.1: 28)."""
    channels: Literal[3, 1] = 1
    """3 for colour, 1 for grey."""
    steps: int = 50_000
    """Steps of G, each after one of D."""
    batch: int = 128
    """Images a step, over all processes (code: 128)."""
    noise: int = 62
    """Numbers of z without codes, uniform in [-1, 1] (paper, appendix C.1: 62)."""
    codes: int = field(default=1, metadata={"least": 0})
    """Categorical codes (paper, appendix C.1: 1)."""
    values: int = 10
    """Values of each of them (paper, appendix C.1: 10)."""
    continuous: int = field(default=2, metadata={"least": 0})
    """Continuous codes, uniform in [-1, 1] (paper, appendix C.1: 2)."""
    information: float = 1.0
    """Weight of the mutual information, lambda (paper, section 7: 1 for categorical codes)."""
    width: int = 64
    """Channels of G before the last layer (paper, table 1: 64)."""
    d_width: int = 64
    """Channels of D after the first layer (paper, table 1: 64)."""
    hidden: int = 1024
    """Units of the linear layer of G and of D (paper, table 1: 1,024)."""
    q_hidden: int = 128
    """Units of Q's own layer (paper, table 1: 128)."""
    lr: float = 1e-3
    """Adam's learning rate of G, first moment 0.5 (paper, appendix C.1: 1e-3)."""
    d_lr: float = 2e-4
    """The same of D and Q (paper, appendix C.1: 2e-4)."""
    ema: float = 0.0
    """Decay of the moving average of G that is kept and sampled from; 0 keeps G itself (paper: none)."""


class Readers(nn.Module):
    """D and, on its trunk, Q."""

    def __init__(self, c: InfoGANConfig) -> None:
        super().__init__()
        self.D = Discriminator(c.size, c.channels, c.d_width, "batch", hidden=c.hidden)
        layers = nn.Unflatten(1, (c.hidden, 1, 1)), *conv(c.hidden, c.q_hidden, 1, norm="batch"), nn.LeakyReLU(0.1), nn.Flatten()
        self.Q = nn.Sequential(*layers, nn.Linear(c.q_hidden, c.codes * c.values + c.continuous))


class InfoGAN:
    """Trains a PlainGenerator with codes against a Discriminator, together with Q."""

    Config = InfoGANConfig
    fed: ClassVar = "images"
    sizes = staticmethod(one_size)

    def __init__(self, config: InfoGANConfig, images: TrainingImages, workers: Workers) -> None:
        c = self.config = config
        if not c.codes + c.continuous:
            raise ValueError("--codes 0 --continuous 0 leaves Q nothing to read; expected one code or more")
        self.workers, self.local = workers, workers.shard(c.batch)
        numbers = c.noise + c.codes * c.values + c.continuous
        shape = PlainConfig(
            c.size, numbers, 0, c.channels, c.width, "dcgan", "uniform", hidden=c.hidden, codes=c.codes, values=c.values,
            continuous=c.continuous,
        )  # fmt: skip
        self.G, self.readers = placed(PlainGenerator(shape), workers.device), placed(Readers(c), workers.device)
        self.g = Player(self.G, torch.optim.Adam(self.G.parameters(), c.lr, (0.5, 0.999)), workers)
        self.d = Player(self.readers, torch.optim.Adam(self.readers.parameters(), c.d_lr, (0.5, 0.999)), workers)
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"generator_now": self.g, "discriminator": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.data = images.minibatches(c.size, c.batch, c.channels)

    def stages(self) -> Sequence[Stage]:
        """The game: D and G by turns."""
        c = self.config
        return by_turns(c.steps, [(self.d_step, 1), (self.g_step, 1)], self.data.per_epoch, c.batch)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Noise z (B, Z), codes included, and the images (B, C, S, S) of it."""
        z = noise(self.workers, self.local, self.G.config.noise)
        return z, self.G(z)

    def information(self, features: Tensor, z: Tensor) -> Tensor:
        """L_I in nats, of D's features (B, F) of the images of z (eq. 5)."""
        c, read = self.config, self.readers.Q(features)
        _, values, smooth = self.G.parts(z)
        logits, mean = read.split([c.codes * c.values, c.continuous], 1)
        found = information_of_continuous(mean, smooth)
        for k, some in enumerate(logits.unflatten(1, (c.codes, c.values)).unbind(1) if c.codes else ()):
            found = found + information_of_categorical(some, values[:, k])
        return found

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D on real and on generated images, Q on the latter (eq. 6)."""
        with fixed(self.G), torch.no_grad():
            z, x = self.draw()
        self.readers.train()
        D = self.readers.D
        real, seen = D(self.data[i]), D.features(x)
        fake, information = D.judge(seen), self.information(seen, z)
        loss = d_loss(real, fake, "bce") - self.config.information * information
        grad = self.d.minimise(loss)
        return metrics(
            self.workers, "d", {"loss": loss, "information": information, "real": real.mean(), "fake": fake.mean()}, grad
        )

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, so that D takes its images for real and Q reads the codes from them (eq. 6)."""
        self.G.train()
        z, x = self.draw()
        with fixed(self.readers):
            seen = self.readers.D.features(x)
            information = self.information(seen, z)
            loss = g_loss(self.readers.D.judge(seen), "bce") - self.config.information * information
        grad, told = self.g.minimise(loss), {"loss": loss, "information": information}
        follow(self.average, self.config.ema, i)
        return metrics(self.workers, "g", told, grad)
