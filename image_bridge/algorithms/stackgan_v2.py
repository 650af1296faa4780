"""StackGAN++: one generator with an image at each of several sizes, a discriminator for each, all trained together.

Reference: Zhang, Xu, Li, Zhang, Wang, Huang, Metaxas, "StackGAN++: Realistic Image Synthesis with Stacked Generative Adversarial
Networks", TPAMI 2019 (StackGAN-v2).

Section 4.1 (the tree, one game a size) is ``TreeGenerator``, ``d_step`` for each D in turn and the sum in ``g_step``; section 4.2
(each D says whether an image is real, and whether it is its text's) are the two heads of D in both steps; section 4.3 (colours)
is ``colour_consistency``. With ``--code 0`` no text is used: the paper's unconditional GAN.

``--recipe paper`` is the cross-entropy with batch normalisation in D. ``--recipe modern`` has the hinge, spectral normalisation
in D, and images that are shifted and cut before D sees them (DiffAugment; Zhao et al., 2020).

Where the paper is silent this follows the authors' code: the three kinds of pairs weigh 1 each; the image of the wrong pair
counts as a real one for the head that sees the image alone (``wrong_is_real``); orthogonal weights; no decay of the rate.

Departs: D reads mu for the paper's c, cut off from G's gradient, as in the authors' code.
Departs: sentence vectors are standardised, so that any encoder fits the same rates.
Departs: a wrong text that is true of the image as well does not count; in the authors' code it does.
Departs: the wrong pair is a real image with another's text; so the head that sees it alone sees real images, not others, twice.
Departs: each player's step draws images of its own; in the code one minibatch serves all.
Departs: the moving average covers buffers too; in the code it leaves out the statistics of batch normalisation.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from textgan.errors import UserError
from textgan.runtime import EMA, Player, Stage, Workers

from ..blocks import fixed, normal, translate_and_cut
from ..discriminators import MatchingDiscriminator
from ..generators import TreeConfig, TreeGenerator
from ..objectives import Game, colour_consistency, g_loss, kl_to_standard_normal, matching_aware, towards
from ..pairs import PairData, Wrong


@dataclass(frozen=True)
class StackGANv2Config:
    """Settings of StackGAN++; sizes and rates are the paper's, or the authors' code's where it gives none."""

    size: int = 256
    """Width and height of the largest images (paper, section 4.4: 256)."""
    first: int = 64
    """Width and height of the smallest images; each size doubles the one before (paper, section 4.4: 64)."""
    steps: int = 220_000
    """Steps of G, each after one of every D (paper: 600 epochs, which are 221,000 for CUB's birds)."""
    batch: int = 24
    """Images a step, over all processes (paper, section 4.4: 24)."""
    recipe: Literal["paper", "modern"] = "modern"
    """paper: cross-entropy and batch normalisation. modern: hinge, spectral normalisation, DiffAugment."""
    wrong: Wrong = "roll"
    """Where the wrong text comes from: another image of the minibatch, any image, or one of another class (code: class)."""
    captions: int = 1
    """Captions of an image whose vectors are averaged (code: 1)."""
    noise: int = 100
    """Numbers of z (code: 100)."""
    code: int = field(default=128, metadata={"least": 0})
    """Numbers of the text's code; 0 leaves the text out (code: 128)."""
    augmentation: Literal["linear", "glu"] = "glu"
    """What follows the layer that gives mu and the log-variance (code: glu)."""
    kl: float = 2.0
    """Weight of the KL in G's loss (code: 2)."""
    unconditional: float = 1.0
    """Weight of the head that looks at the image alone, in all losses (section 4.2: 1)."""
    wrong_is_real: bool = True
    """Whether the head that looks at the image alone gets the wrong pair's image as one more real one (code: yes)."""
    colour: float | None = None
    """Weight of colour consistency, the paper's alpha (section 4.3); None is the code's 0 with text, 50 without."""
    colour_mean: float = 1.0
    """Weight of the mean colour in it (section 4.3, lambda_1: 1)."""
    colour_covariance: float = 5.0
    """Weight of the colours' covariance in it (section 4.3, lambda_2: 5)."""
    width: int = 64
    """Channels of G at the first size (code: 64, which makes 1,024 at 4 x 4)."""
    d_width: int = 64
    """Channels of D after its first layer (paper, section 4.4: 64)."""
    residuals: int = 2
    """Residual blocks of each size after the first (paper, section 4.4: 2)."""
    lr: float = 2e-4
    """Adam's learning rate of G and of each D, first moment 0.5 (paper, section 4.4: 2e-4)."""
    ema: float = 0.999
    """Decay of the moving average of G that is kept and sampled from (code: 0.999)."""


class StackGANv2:
    """Trains a TreeGenerator against a MatchingDiscriminator at each of its sizes."""

    Config = StackGANv2Config

    def __init__(self, config: StackGANv2Config, pairs: PairData, workers: Workers) -> None:
        c = self.config = config
        if not 0 <= c.ema < 1:
            raise UserError(f"--ema must lie in [0, 1); received {c.ema}")
        if not c.code and not c.unconditional:
            raise UserError("--code 0 leaves nothing but the unconditional head; expected --unconditional above 0; received 0")
        self.workers, modern, self.local = workers, c.recipe == "modern", workers.shard(c.batch)
        self.game: Game = "hinge" if modern else "bce"
        self.colour = c.colour if c.colour is not None else 0.0 if c.code else 50.0
        sizes = self.sizes(c)
        shape = TreeConfig(pairs.dimension, c.size, c.first, c.noise, c.code, c.width, c.residuals, c.augmentation)
        self.G = TreeGenerator(shape).to(workers.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.G.standardise.mean.copy_(pairs.raw_mean)
        self.G.standardise.std.copy_(pairs.raw_std)
        norm: Literal["spectral", "batch"] = "spectral" if modern else "batch"
        self.D = nn.ModuleList(
            MatchingDiscriminator(c.code, size, c.code, c.d_width, norm, c.unconditional > 0, "stackgan_v2") for size in sizes
        ).to(workers.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.g, *self.d = (
            Player(side, torch.optim.Adam(side.parameters(), c.lr, (0.5, 0.999)), workers) for side in (self.G, *self.D)
        )
        self.average = EMA(self.G, c.ema)
        named = zip(sizes, self.d, strict=True)
        self.players: Mapping[str, Player] = {"generator_now": self.g, **{f"discriminator{size}": d for size, d in named}}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.data, self.round = [pairs.batches(size, c.batch) for size in sizes], len(sizes) + 1

    @staticmethod
    def sizes(config: StackGANv2Config) -> list[int]:
        """The sizes at which images are needed.

        Raises:
            UserError: the first cannot be drawn, or the largest is not reached from it by doubling.
        """
        size, first = config.size, config.first
        if first < 8 or size < first or first & (first - 1) or size & (size - 1):
            raise UserError(f"--first and --size must be powers of two, 8 <= first <= size; received {first} and {size}")
        return [first << k for k in range((size // first).bit_length())]

    def stages(self) -> Sequence[Stage]:
        """The game: each D, then G."""
        c, unit = self.config, self.round * self.data[0].per_epoch
        return [Stage("adversarial", self.round * c.steps, self.step, unit, c.batch, turn=self.round)]

    def step(self, i: int) -> dict[str, Tensor]:
        """A step of the game: which player moves is a function of i."""
        i, player = divmod(i, self.round)
        return self.d_step(player, i) if player < len(self.d) else self.g_step(i)

    def normal(self, numbers: int) -> Tensor:
        """Standard normal numbers (B, numbers)."""
        return normal(self.workers.uniform(self.local, numbers))

    def seen(self, x: Tensor) -> Tensor:
        """What D sees of images: shifted and cut in the modern recipe."""
        return translate_and_cut(x, self.workers.uniform(self.local, 4)) if self.config.recipe == "modern" else x

    def d_step(self, k: int, i: int) -> dict[str, Tensor]:
        """The D of size k on real images with their text and with a wrong one, and on generated ones (sections 4.1 and 4.2)."""
        c, p, D, mean = self.config, self.data[k][i], self.D[k], self.workers.mean
        with fixed(self.G), torch.no_grad():
            code, mu, _ = self.G.encode(p.text, self.normal(c.code))
            _, other, _ = self.G.encode(p.wrong)
            fake = next(itertools.islice(self.G.grow(self.normal(c.noise), code), k, None))
        D.train()
        of_real, of_fake = D.features(self.seen(p.real)), D.features(self.seen(fake))
        loss, told = torch.zeros((), device=self.workers.device), {}
        if c.code:
            right, wrong, made = (D.matches(f, t) for f, t in ((of_real, mu), (of_real, other), (of_fake, mu)))
            loss = loss + matching_aware(right, wrong, made, p.mismatched, mean(p.mismatched.sum()), self.game, share=1)
            told = {"real": right.mean(), "wrong": wrong.mean(), "fake": made.mean()}
        if c.unconditional:
            real, made = D.is_real(of_real), D.is_real(of_fake)
            times = 2 if c.wrong_is_real and c.code else 1
            alone = times * towards(real, True, self.game).mean() + towards(made, False, self.game).mean()
            loss = loss + c.unconditional * alone
            told |= {"alone_real": real.mean(), "alone_fake": made.mean()}
        name, grad = f"d{p.real.shape[-1]}", self.d[k].minimise(loss)
        told["loss"] = loss
        return {**{f"{name}/{key}": mean(value.detach()) for key, value in told.items()}, f"{name}/grad": grad}

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, so that every D takes its images for real and for their text's; KL and colours (sections 4.1 to 4.3)."""
        c, told = self.config, {}
        self.G.train()
        code, mu, log_variance = self.G.encode(self.data[0][i].text, self.normal(c.code))
        images = list(self.G.grow(self.normal(c.noise), code))
        with fixed(*self.D):
            loss = torch.stack([self.fools(k, image, mu.detach()) for k, image in enumerate(images)]).sum()
        total, told["loss"] = loss, loss
        if c.code:
            told["kl"] = kl_to_standard_normal(mu, log_variance)
            total = total + c.kl * told["kl"]
        if self.colour:
            near = (colour_consistency(b, a, c.colour_mean, c.colour_covariance) for a, b in itertools.pairwise(images))
            told["colour"] = sum(near, torch.zeros((), device=self.workers.device))
            total = total + self.colour * told["colour"]
        grad = self.g.minimise(total)
        self.average.decay = min(c.ema, (1 + i) / (10 + i))  # the first networks are soon forgotten
        self.average.update()
        return {**{f"g/{key}": self.workers.mean(value.detach()) for key, value in told.items()}, "g/grad": grad}

    def fools(self, k: int, image: Tensor, mu: Tensor) -> Tensor:
        """G's loss for its images of size k: both heads."""
        c, D = self.config, self.D[k]
        features, loss = D.features(self.seen(image)), torch.zeros((), device=image.device)
        if c.code:
            loss = loss + g_loss(D.matches(features, mu), self.game)
        return loss + c.unconditional * g_loss(D.is_real(features), self.game) if c.unconditional else loss
