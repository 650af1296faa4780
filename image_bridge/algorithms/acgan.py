"""ACGAN: G is told a class, and D says which class it sees, beside whether the image is real.

Reference: Odena, Olah, Shlens, "Conditional Image Synthesis with Auxiliary Classifier GANs", ICML 2017.

Equation 2 (the source, L_S) and equation 3 (the class, L_C) are the two parts of the losses of ``d_step``, which maximises
L_S + L_C, and of ``g_step``, which maximises L_C - L_S. ``--condition`` says how G is told: the class's one-hot beside the noise
(paper), or its embedding times the noise, as in many programs.

Departs: the bodies are DCGAN's; the paper's D has 3 x 3 convolutions with dropout.
Departs: G's part in L_S is -log D, which does not saturate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.runtime import EMA, Player, Stage, Workers

from ..blocks import fixed, noise, placed, translate_and_cut
from ..discriminators import Discriminator
from ..game import by_turns, follow, metrics, one_size
from ..generators import PlainConfig, PlainGenerator
from ..objectives import d_loss, g_loss
from ..pairs import TrainingImages


@dataclass(frozen=True)
class ACGANConfig:
    """Settings of ACGAN; rates are the paper's, sizes DCGAN's."""

    label: str = "class"
    """The attribute of the images that is their class."""
    size: int = 32
    """Width and height of an image (paper, appendix: 32, and 128)."""
    channels: Literal[3, 1] = 3
    """3 for colour, 1 for grey."""
    condition: Literal["concatenate", "multiply"] = "concatenate"
    """How G is told the class: its one-hot beside the noise (paper), or its embedding times the noise."""
    steps: int = 50_000
    """Steps of G, each after one of D (paper, appendix: 50,000)."""
    batch: int = 100
    """Images a step, over all processes (paper, appendix: 100)."""
    noise: int = 100
    """Numbers of z, standard normal (paper, appendix: 110 with the class)."""
    width: int = 128
    """Channels of G before the last layer (DCGAN: 128)."""
    d_width: int = 64
    """Channels of D after the first layer (DCGAN's code: 64)."""
    lr: float = 2e-4
    """Adam's learning rate of G and D, first moment 0.5 (paper, appendix: 2e-4)."""
    d_lr: float | None = None
    """That of D where it is another (TTUR; Heusel et al., 2017; paper: the same)."""
    weight: float = 1.0
    """Weight of the class in both losses (paper: 1)."""
    fake_classes: bool = True
    """Whether D learns the class of generated images too (paper: yes); the first of them may mislead it."""
    augment: bool = False
    """Shift and cut images before D sees them (DiffAugment; Zhao et al., 2020); helps with few images (paper: no)."""
    ema: float = 0.0
    """Decay of the moving average of G that is kept and sampled from; 0 keeps G itself (paper: none)."""


class ACGAN:
    """Trains a PlainGenerator that is told a class, against a Discriminator that also names it."""

    Config = ACGANConfig
    fed: ClassVar = "classes"
    sizes = staticmethod(one_size)

    def __init__(self, config: ACGANConfig, images: TrainingImages, workers: Workers) -> None:
        c = self.config = config
        self.workers, self.local = workers, workers.shard(c.batch)
        self.data = images.minibatches(c.size, c.batch, c.channels, c.label)
        self.classes = len(images.data.classes(c.label)[1])
        shape = PlainConfig(c.size, c.noise, self.classes, c.channels, c.width, "dcgan", condition=c.condition)
        self.G = placed(PlainGenerator(shape), workers.device)
        self.D = placed(Discriminator(c.size, c.channels, c.d_width, "batch", outputs=1 + self.classes), workers.device)
        both = (self.G, c.lr), (self.D, c.d_lr or c.lr)
        self.g, self.d = (Player(m, torch.optim.Adam(m.parameters(), lr, (0.5, 0.999)), workers) for m, lr in both)
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"generator_now": self.g, "discriminator": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}

    def stages(self) -> Sequence[Stage]:
        """The game: D and G by turns."""
        c = self.config
        return by_turns(c.steps, [(self.d_step, 1), (self.g_step, 1)], self.data.per_epoch, c.batch)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Generated images (B, C, S, S) and their classes (B,), all as likely."""
        kind = (self.workers.uniform(self.local) * self.classes).long()
        z = noise(self.workers, self.local, self.config.noise)
        return self.G(z, F.one_hot(kind, self.classes).to(z.dtype)), kind

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """D's scores (B,) of images being real, and its logits (B, K) of their classes."""
        found = self.D.numbers(translate_and_cut(x, self.workers.uniform(self.local, 4)) if self.config.augment else x)
        return found[:, 0], found[:, 1:]

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D on real and on generated images: whether they are real, and of which class (L_S + L_C)."""
        with fixed(self.G), torch.no_grad():
            x, kind = self.draw()
        self.D.train()
        (real, named), (fake, guessed) = self.look(self.data[i]), self.look(x)
        labels = self.data.labels(i)
        classes = F.cross_entropy(named, labels)
        if self.config.fake_classes:
            classes = classes + F.cross_entropy(guessed, kind)
        loss = d_loss(real, fake, "bce") + self.config.weight * classes
        accuracy = (named.argmax(1) == labels).float().mean()
        return metrics(
            self.workers,
            "d",
            {"loss": loss, "real": real.mean(), "fake": fake.mean(), "accuracy": accuracy},
            self.d.minimise(loss),
        )

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, so that D takes its images for real and of their class (L_C - L_S)."""
        self.G.train()
        x, kind = self.draw()
        with fixed(self.D):
            fake, guessed = self.look(x)
        classes = F.cross_entropy(guessed, kind)
        loss = g_loss(fake, "bce") + self.config.weight * classes
        accuracy = (guessed.argmax(1) == kind).float().mean()
        grad, told = self.g.minimise(loss), {"loss": loss, "classes": classes, "accuracy": accuracy}
        follow(self.average, self.config.ema, i)
        return metrics(self.workers, "g", told, grad)
