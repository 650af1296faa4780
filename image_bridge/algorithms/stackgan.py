"""StackGAN: a first GAN draws a small image of a sentence, a second one redraws it four times as large.

Reference: Zhang, Xu, Li, Zhang, Wang, Huang, Metaxas, "StackGAN: Text to Photo-realistic Image Synthesis with Stacked Generative
Adversarial Networks", ICCV 2017.

Section 3.2 (a code drawn around the text's, and its KL, eq. 2) is ``ConditioningAugmentation`` and ``kl_to_standard_normal``. In
both stages ``d_step`` is L_D (eq. 3 and 5, with the three kinds of pairs of section 3.3) and ``g_step`` is L_G (eq. 4 and 6);
``draw`` is G: of z and text in stage I, of stage I's image and text in stage II, which gets no z of its own.

``--recipe paper`` is the cross-entropy with batch normalisation in D. ``--recipe modern`` has the hinge, spectral normalisation
in D, a head of D that looks at the image alone, and images that are shifted and cut before D sees them (DiffAugment; Zhao et
al., 2020). Both have the residual blocks of the authors' TensorFlow code in stage I, which their torch code left out.

Departs: sentence vectors are standardised, so that any encoder fits the same rates.
Departs: a wrong text that is true of the image as well does not count; in the authors' code it does.
Departs: the wrong pair is a real image with another's text; the code has another's image with the text, which in expectation is
the same.
Departs: samples come from the moving averages of both G, and the images that stage II learns to redraw from that of stage I's.
Departs: an activation follows every convolution of D; in the code none stands directly before the residual block.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from textgan.errors import UserError
from textgan.runtime import EMA, Player, Stage, Workers, frozen

from ..blocks import fixed, normal, translate_and_cut
from ..discriminators import MatchingDiscriminator
from ..generators import StackGANConfig as Sizes
from ..generators import StackGANGenerator
from ..objectives import Game, g_loss, kl_to_standard_normal, matching_aware, towards
from ..pairs import PairData, Pairs, Wrong


@dataclass(frozen=True)
class StackGANConfig:
    """Settings of StackGAN; sizes and rates are the paper's."""

    size: int = 256
    """Width and height of stage II's images; those of stage I are a quarter of it (paper, section 3.5: 256)."""
    stage1_steps: int = 80_000
    """Steps of stage I's G, each after one of D (paper, section 3.5: 600 epochs, which are 83,000 for CUB's birds)."""
    stage2_steps: int = 80_000
    """Steps of stage II's G, each after one of D (paper, section 3.5: 600 epochs)."""
    batch: int = 64
    """Images a step, over all processes (paper, section 3.5: 64)."""
    recipe: Literal["paper", "modern"] = "modern"
    """paper: cross-entropy and batch normalisation. modern: hinge, spectral normalisation, an unconditional head, DiffAugment."""
    wrong: Wrong = "roll"
    """Where the wrong text comes from: another image of the minibatch, any image, or one of another class (code: class)."""
    captions: int = 1
    """Captions of an image whose vectors are averaged (TensorFlow code: 4; torch code: 1)."""
    noise: int = 100
    """Numbers of z (paper, section 3.5: 100)."""
    code: int = 128
    """Numbers of the text's code, in each G and in each D (paper, section 3.5: 128)."""
    augmentation: Literal["linear", "relu"] = "linear"
    """What follows the layer of mu and the log-variance: nothing (section 3.2), or the torch code's ReLU, by which sigma >= 1."""
    kl: float = 1.0
    """Weight of the KL in G's loss (paper, section 3.3: 1; code: 2)."""
    width: int = 128
    """Channels of stage I's G before its last layer (code: 128)."""
    d_width: int = 64
    """Channels of D after its first layer (code: 64)."""
    residuals: int = 4
    """Residual blocks of stage II (paper, section 3.5: 4 for 256 pixels, 2 for 128)."""
    lr: float = 2e-4
    """Adam's learning rate of G and D, first moment 0.5 (paper, section 3.5: 2e-4)."""
    halve_every: int = 0
    """Steps of a stage after which the rate is halved, again and again; 0 for never (paper, section 3.5: every 100 epochs)."""
    ema: float = 0.999
    """Decay of the moving averages of G that are kept and sampled from."""


class StackGAN:
    """Trains both stages of a StackGANGenerator, each against its own MatchingDiscriminator."""

    Config = StackGANConfig

    def __init__(self, config: StackGANConfig, pairs: PairData, workers: Workers) -> None:
        c = self.config = config
        if not 0 <= c.ema < 1:
            raise UserError(f"--ema must lie in [0, 1); received {c.ema}")
        self.workers, modern, self.local = workers, c.recipe == "modern", workers.shard(c.batch)
        self.game: Game = "hinge" if modern else "bce"
        shape = Sizes(pairs.dimension, c.size, c.noise, c.code, c.width, c.residuals, c.augmentation)
        self.G = StackGANGenerator(shape).to(workers.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.G.standardise.mean.copy_(pairs.raw_mean)
        self.G.standardise.std.copy_(pairs.raw_std)
        norm: Literal["spectral", "batch"] = "spectral" if modern else "batch"
        self.D = nn.ModuleList(
            MatchingDiscriminator(pairs.dimension, size, c.code, c.d_width, norm, modern, "stackgan") for size in self.sizes(c)
        ).to(workers.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        g1, g2, d1, d2 = (
            Player(side, torch.optim.Adam(side.parameters(), c.lr, (0.5, 0.999)), workers)
            for side in (self.G.stage1, self.G.stage2, *self.D)
        )
        self.g, self.d, self.ema = (g1, g2), (d1, d2), (EMA(self.G.stage1, c.ema), EMA(self.G.stage2, c.ema))
        self.average = copy.deepcopy(self.G).eval().requires_grad_(False)
        self.average.stage1, self.average.stage2 = self.ema[0].copy, self.ema[1].copy
        self.players: Mapping[str, Player] = {
            "stage1_now": g1, "stage1_discriminator": d1, "generator_now": g2, "discriminator": d2,
        }  # fmt: skip
        self.kept: Mapping[str, nn.Module] = {"generator": self.average}
        self.data = [pairs.batches(size, c.batch) for size in self.sizes(c)]

    @staticmethod
    def sizes(config: StackGANConfig) -> list[int]:
        """The sizes at which images are needed: stage I's and stage II's.

        Raises:
            UserError: stage I cannot draw a quarter of ``size``.
        """
        if config.size < 32 or config.size & (config.size - 1):
            raise UserError(f"--size must be a power of two, 32 or more (stage I draws a quarter of it); received {config.size}")
        return [config.size // 4, config.size]

    def stages(self) -> Sequence[Stage]:
        """The game at the small size, then at the large one: D and G by turns."""
        c, unit = self.config, 2 * self.data[0].per_epoch
        return [
            Stage("stage1", 2 * c.stage1_steps, lambda i: self.step(0, i), unit, c.batch, turn=2),
            Stage("stage2", 2 * c.stage2_steps, lambda i: self.step(1, i), unit, c.batch, turn=2),
        ]

    def step(self, stage: int, i: int) -> dict[str, Tensor]:
        """A step of a stage's game: which player moves is a function of i."""
        half = 0.5 ** (i // 2 // self.config.halve_every) if self.config.halve_every else 1.0
        for player in (self.d[stage], self.g[stage]):
            for group in player.optimizer.param_groups:
                group["lr"] = self.config.lr * half
        p = self.data[stage][i // 2]
        return self.g_step(stage, i // 2, p) if i % 2 else self.d_step(stage, p)

    def normal(self, numbers: int) -> Tensor:
        """Standard normal numbers (B, numbers)."""
        return normal(self.workers.uniform(self.local, numbers))

    def seen(self, x: Tensor) -> Tensor:
        """What D sees of images: shifted and cut in the modern recipe."""
        return translate_and_cut(x, self.workers.uniform(self.local, 4)) if self.config.recipe == "modern" else x

    def draw(self, stage: int, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A stage's images of sentence vectors, and mu and the log-variance of the codes they were drawn with."""
        c = self.config
        drawn: tuple[Tensor, Tensor, Tensor]
        if stage == 0:
            drawn = self.G.stage1(self.normal(c.noise), text, self.normal(c.code))
            return drawn
        first = self.average.stage1
        with frozen(first), torch.no_grad():
            low, _, _ = first(self.normal(c.noise), text, self.normal(c.code))
        drawn = self.G.stage2(low, text, self.normal(c.code))
        return drawn

    def d_step(self, stage: int, p: Pairs) -> dict[str, Tensor]:
        """D on real images with their text and with a wrong one, and on generated ones (eq. 3 and 5)."""
        D, mean = self.D[stage], self.workers.mean
        with fixed(self.g[stage].module), torch.no_grad():
            fake, _, _ = self.draw(stage, p.text)
        D.train()
        of_real, of_fake = D.features(self.seen(p.real)), D.features(self.seen(fake))
        right, wrong, made = (D.matches(f, t) for f, t in ((of_real, p.text), (of_real, p.wrong), (of_fake, p.text)))
        loss = matching_aware(right, wrong, made, p.mismatched, mean(p.mismatched.sum()), self.game)
        if D.alone is not None:
            loss = (
                loss + towards(D.is_real(of_real), True, self.game).mean() + towards(D.is_real(of_fake), False, self.game).mean()
            )
        grad = self.d[stage].minimise(loss)
        told = {"loss": loss, "real": right.mean(), "wrong": wrong.mean(), "fake": made.mean()}
        return {**{f"d/{key}": mean(value.detach()) for key, value in told.items()}, "d/grad": grad}

    def g_step(self, stage: int, i: int, p: Pairs) -> dict[str, Tensor]:
        """G, so that D takes its images for real and for their text's, with codes close to standard normal (eq. 4 and 6)."""
        G, D = self.g[stage], self.D[stage]
        G.module.train()
        fake, mu, log_variance = self.draw(stage, p.text)
        with fixed(D):
            features = D.features(self.seen(fake))
            loss = g_loss(D.matches(features, p.text), self.game)
            if D.alone is not None:
                loss = loss + g_loss(D.is_real(features), self.game)
        kl = kl_to_standard_normal(mu, log_variance)
        grad = G.minimise(loss + self.config.kl * kl)
        self.ema[stage].decay = min(self.config.ema, (1 + i) / (10 + i))  # the first networks are soon forgotten
        self.ema[stage].update()
        self.average.begun.fill_(stage + 1)
        return {"g/loss": self.workers.mean(loss.detach()), "g/kl": self.workers.mean(kl.detach()), "g/grad": grad}
