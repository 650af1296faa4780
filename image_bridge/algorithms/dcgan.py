"""DCGAN: a generator and a discriminator of strided convolutions with batch normalisation.

Reference: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", ICLR 2016; the game is that of Goodfellow et al., "Generative Adversarial Nets", NIPS 2014, with G's loss of section 3.

Section 3 (the body) is ``PlainGenerator`` and ``Discriminator``, section 4 (weights, Adam) their beginning and the players.
``d_step`` is the first half of GAN's algorithm 1, with one step of D, ``g_step`` the second.

What came later, each off by default: ``--smooth``, ``--feature-matching`` and ``--minibatch-discrimination`` (Salimans,
Goodfellow, Zaremba, Cheung, Radford, Chen, "Improved Techniques for Training GANs", NIPS 2016), ``--d-lr`` (Heusel, Ramsauer,
Unterthiner, Nessler, Hochreiter, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", NIPS 2017),
``--r1`` (Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?", ICML 2018), ``--augment`` (Zhao,
Liu, Lin, Zhu, Han, "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020) and, from practice, ``--flip``.

Departs: R1 is taken of a D with batch normalisation, where a score depends on the other images too; their D has none.
Departs: the size may be any that 4 or 7 pixels reach by doubling; twice as many channels at each smaller size, up to eight times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from textgan.objectives import r1
from textgan.runtime import EMA, Player, Stage, Workers

from ..blocks import fixed, noise, placed, translate_and_cut
from ..discriminators import Discriminator
from ..game import by_turns, follow, metrics, one_size
from ..generators import PlainConfig, PlainGenerator
from ..objectives import d_loss, feature_matching, flipped, g_loss
from ..pairs import TrainingImages


@dataclass(frozen=True)
class DCGANConfig:
    """Settings of DCGAN; sizes and rates are the paper's."""

    size: int = 64
    """Width and height of an image (paper: 64)."""
    channels: Literal[3, 1] = 3
    """3 for colour, 1 for grey."""
    steps: int = 50_000
    """Steps of G, each after one of D (paper: not said)."""
    batch: int = 128
    """Images a step, over all processes (paper, section 4: 128)."""
    noise: int = 100
    """Numbers of z (paper, figure 1: 100)."""
    prior: Literal["uniform", "normal"] = "uniform"
    """What z is drawn from (paper, figure 1: uniform)."""
    width: int = 128
    """Channels of G before the last layer (paper, figure 1: 128)."""
    d_width: int = 64
    """Channels of D after the first layer (code: 64)."""
    lr: float = 2e-4
    """Adam's learning rate of G and D, first moment 0.5 (paper, section 4: 2e-4)."""
    d_lr: float | None = None
    """That of D where it is another (TTUR; Heusel et al., 2017; paper: the same)."""
    smooth: float = 1.0
    """The probability that D should give real images; below 1 for one-sided label smoothing (paper: 1)."""
    flip: float = 0.0
    """Share of labels that D is told wrongly (paper: 0)."""
    r1: float = 0.0
    """Weight of the penalty on D's gradient at real images, gamma (Mescheder et al., 2018: 10; paper: none)."""
    minibatch_discrimination: int = 0
    """Kernels by which D sees how alike a minibatch's images are (Salimans et al., 2016, section 3.2; code: 100; paper: none)."""
    feature_matching: bool = False
    """G matches the mean of D's last features, in place of its loss (Salimans et al., 2016, section 3.1; paper: no)."""
    augment: bool = False
    """Shift and cut images before D sees them (DiffAugment; Zhao et al., 2020); helps with few images (paper: no)."""
    ema: float = 0.0
    """Decay of the moving average of G that is kept and sampled from; 0 keeps G itself (paper: none)."""


class DCGAN:
    """Trains a PlainGenerator against a Discriminator."""

    Config = DCGANConfig
    fed: ClassVar = "images"
    sizes = staticmethod(one_size)

    def __init__(self, config: DCGANConfig, images: TrainingImages, workers: Workers) -> None:
        c = self.config = config
        self.workers, self.local = workers, workers.shard(c.batch)
        self.G = placed(PlainGenerator(PlainConfig(c.size, c.noise, 0, c.channels, c.width, "dcgan", c.prior)), workers.device)
        D = Discriminator(c.size, c.channels, c.d_width, "batch", kernels=c.minibatch_discrimination)
        self.D, self.differentiated_twice = placed(D, workers.device), c.r1 > 0
        both = (self.G, c.lr), (self.D, c.d_lr or c.lr)
        self.g, self.d = (Player(m, torch.optim.Adam(m.parameters(), lr, (0.5, 0.999)), workers) for m, lr in both)
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"generator_now": self.g, "discriminator": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.data = images.minibatches(c.size, c.batch, c.channels)

    def stages(self) -> Sequence[Stage]:
        """The game: D and G by turns."""
        c = self.config
        return by_turns(c.steps, [(self.d_step, 1), (self.g_step, 1)], self.data.per_epoch, c.batch)

    def draw(self) -> Tensor:
        """Generated images (B, C, S, S)."""
        image: Tensor = self.G(noise(self.workers, self.local, self.config.noise))
        return image

    def seen(self, x: Tensor) -> Tensor:
        """What D sees of images."""
        return translate_and_cut(x, self.workers.uniform(self.local, 4)) if self.config.augment else x

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D on real and on generated images, each a minibatch of its own (section 4 of GAN's paper)."""
        with fixed(self.G), torch.no_grad():
            x = self.draw()
        self.D.train()
        c, seen = self.config, self.seen(self.data[i]).requires_grad_(self.differentiated_twice)
        real, fake = self.D(seen), self.D(self.seen(x))
        right, wrong = flipped(real, fake, self.workers.uniform(self.local), c.flip) if c.flip else (real, fake)
        loss = d_loss(right, wrong, "bce", c.smooth)
        told = {"loss": loss, "real": real.mean(), "fake": fake.mean()}
        if c.r1:
            told["r1"] = r1(real, seen)
            loss = loss + c.r1 * told["r1"]
        return metrics(self.workers, "d", told, self.d.minimise(loss))

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, so that D takes its images for real, or sees in them on average what it sees in real ones."""
        self.G.train()
        x = self.draw()
        with fixed(self.D):
            if self.config.feature_matching:
                with torch.no_grad():
                    real = self.D.features(self.seen(self.data[i]))
                loss = feature_matching(real, self.D.features(self.seen(x)))
            else:
                loss = g_loss(self.D(self.seen(x)), "bce")
        grad = self.g.minimise(loss)
        follow(self.average, self.config.ema, i)
        return metrics(self.workers, "g", {"loss": loss}, grad)
