"""PGGAN: both networks begin at 4 x 4 pixels and grow, each new size fading in.

Reference: Karras, Aila, Laine, Lehtinen, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", ICLR 2018.

Section 2 (growth) is ``stages``; section 3 (deviation of the minibatch) and section 4 (equalised rates, normalised features) are
in ``progressive``; appendix A.1 (WGAN-GP, one step of D for each of G, a small drift) is ``d_step`` and ``g_step``. While a size
fades in, real images fade too, as in the authors' code; at each growth the optimizers begin anew, as there.

Departs: alpha grows with every step, in the code with every fourth; optimizers do not begin anew when a size has faded in.
Departs: minibatches of 128 at 4 to 16 pixels, then half at each size, which the code has for one GPU; the paper's differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.objectives import gradient_penalty, wasserstein
from textgan.runtime import EMA, Player, Stage, Workers

from ..blocks import noise, placed, scales
from ..game import follow, metrics
from ..generators import ProgressiveConfig, ProgressiveGenerator
from ..pairs import TrainingImages
from ..progressive import ProgressiveDiscriminator, faded, larger

WHOLE = 2  # doublings of 4 x 4 up to which minibatches are whole


@dataclass(frozen=True)
class PGGANConfig:
    """Settings of PGGAN; rates are the paper's."""

    size: int = 128
    """Width and height of the largest images (paper: 1,024)."""
    channels: Literal[3, 1] = 3
    """3 for colour, 1 for grey."""
    phase: int = 600_000
    """Real images in which a size fades in, and as many in which it is trained then (code: 600,000; paper: 800,000)."""
    batch: int = 128
    """Images a step up to 16 pixels, over all processes; half as many at each larger size (code for one GPU: 128)."""
    noise: int = 512
    """Numbers of z, standard normal, brought to the same length (paper, table 2: 512)."""
    width: int = 512
    """Most channels of both networks (paper, table 2: 512)."""
    lr: float = 1e-3
    """Adam's learning rate of both, moments 0 and 0.99 (paper, appendix A.1: 1e-3)."""
    penalty: float = 10.0
    """Weight of the gradient penalty (paper, appendix A.1: 10)."""
    drift: float = 1e-3
    """Weight of the squared scores of real images in D's loss (paper, appendix A.1: 1e-3)."""
    ema: float = 0.999
    """Decay of the moving average of G that is kept and sampled from (paper, appendix A.1: 0.999)."""


class PGGAN:
    """Trains a ProgressiveGenerator against a ProgressiveDiscriminator."""

    Config = PGGANConfig
    fed: ClassVar = "images"
    differentiated_twice: ClassVar = True  # by its penalty

    def __init__(self, config: PGGANConfig, images: TrainingImages, workers: Workers) -> None:
        c = self.config = config
        self.workers, levels = workers, scales(c.size)
        self.G = placed(ProgressiveGenerator(ProgressiveConfig(c.size, c.noise, c.channels, c.width)), workers.device)
        self.D = placed(ProgressiveDiscriminator(levels, c.channels, c.width), workers.device)
        self.g, self.d = (
            Player(m, torch.optim.Adam(m.parameters(), c.lr, (0.0, 0.99), 1e-8), workers) for m in (self.G, self.D)
        )  # fmt: skip
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"generator_now": self.g, "discriminator": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.batches = [max(1, c.batch >> max(0, level - WHOLE)) for level in range(levels + 1)]
        self.data = [images.minibatches(c.size, batch, c.channels) for batch in self.batches]
        self.rounds = [-(-c.phase // batch) for batch in self.batches]

    @staticmethod
    def sizes(config: PGGANConfig) -> list[int]:
        """The size at which images are needed; smaller ones are had by averaging.

        Raises:
            ValueError: it is not one that 4 pixels reach by doubling.
        """
        scales(config.size)
        return [config.size]

    def stages(self) -> Sequence[Stage]:
        """4 x 4; then for each size its fading in, and its training."""
        stages = []
        for level, batch in enumerate(self.batches):
            for fading in (True, False) if level else (False,):
                step, epoch = partial(self.step, level=level, fading=fading), 2 * self.data[level].per_epoch
                name = f"{'fade ' * fading}{4 << level}"
                stages.append(Stage(name, 2 * self.rounds[level], step, epoch, batch, turn=2))
        return stages

    def step(self, i: int, level: int, fading: bool) -> dict[str, Tensor]:
        """A step of a stage: D and G by turns; the first of a new size gives both optimizers a new beginning."""
        turn, rounds = i // 2, self.rounds[level]
        if fading and not i:
            for player in (self.g, self.d):
                player.optimizer.state.clear()
        alpha = turn / rounds if fading else 1.0
        return self.g_step(turn, level, alpha) if i % 2 else self.d_step(turn + (0 if fading else rounds), level, alpha)

    def d_step(self, i: int, level: int, alpha: float) -> dict[str, Tensor]:
        """D by WGAN-GP with drift, on images of 4 << level pixels (appendix A.1)."""
        c, local = self.config, self.data[level].order.local
        real = self.real(i, level, alpha)
        with torch.no_grad():
            fake = self.G(noise(self.workers, local, c.noise), level, alpha)

        def critic(x: Tensor) -> Tensor:
            scores: Tensor = self.D(x, level, alpha)
            return scores

        right, wrong = critic(real), critic(fake)
        penalty = gradient_penalty(critic, real, fake, self.workers.uniform(local))
        distance = wasserstein(right, wrong)
        grad = self.d.minimise(distance + c.penalty * penalty + c.drift * right.square().mean())
        return metrics(
            self.workers, "d", {"loss": distance, "penalty": penalty, "real": right.mean(), "fake": wrong.mean()}, grad
        )

    def g_step(self, i: int, level: int, alpha: float) -> dict[str, Tensor]:
        """G, up D's score of its images."""
        z = noise(self.workers, self.data[level].order.local, self.config.noise)
        loss = -self.D(self.G(z, level, alpha), level, alpha).mean()
        grad = self.g.minimise(loss)
        follow(self.average, self.config.ema, i)
        for G in (self.G, self.average.copy):
            G.grown.fill_(level - 1 + alpha if level else 0)
        return metrics(self.workers, "g", {"loss": loss}, grad)

    def real(self, i: int, level: int, alpha: float) -> Tensor:
        """Real images (B, C, S, S), S = 4 << level, that fade in as generated ones do."""
        x = self.data[level][i]
        x = F.avg_pool2d(x, x.shape[-1] // (4 << level))
        return faded(larger(F.avg_pool2d(x, 2)), x, alpha) if alpha < 1 else x
