"""A conditional GAN on DCGAN's body, with a discriminator that knows a wrong text from the right one.

Reference: Reed, Akata, Yan, Logeswaran, Schiele, Lee, "Generative Adversarial Text to Image Synthesis", ICML 2016 (GAN-INT-CLS);
the body is that of Radford, Metz, Chintala, "Unsupervised Representation Learning with DCGANs", ICLR 2016.

Algorithm 1: lines 3-5 (right text, wrong text, noise) are ``PairBatches`` and ``noise``; lines 6-9 (the three scores and L_D) are
``d_step``; line 11 (L_G) is ``g_step``, where equation 5 adds sentences halfway between two (``interpolation``).

With ``--text labels`` the same network is the CGAN of Mirza and Osindero, 2014, and with ``--condition planes`` as well what many
programs for Fashion-MNIST are: D is told the class as planes beside the image, G as the vector beside z.

``--recipe paper`` is the cross-entropy with batch normalisation in D and transposed convolutions in G. ``--recipe modern`` has
the hinge, spectral normalisation in D, a head of D that looks at the image alone, nearest-neighbour growth in G, and images that
are shifted and cut before D sees them (DiffAugment; Zhao et al., 2020).

``--variety`` adds the mode-seeking term of Mao et al., 2019, without which G tends to draw one image for each text.

Departs: sentence vectors are standardised, so that any encoder fits the same rates.
Departs: with planes too, which are as large as pixels then; their D has wrong texts as well, and no head without text.
Departs: a wrong text that is true of the image as well does not count; in the authors' code it does.
Departs: the sentences in between are halfway from a text to its wrong one; in the authors' code, to another of the minibatch.
Departs: samples come from the moving average of G.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from textgan.errors import UserError
from textgan.runtime import EMA, Player, Stage, Workers

from ..blocks import Norm, fixed, noise, placed, translate_and_cut
from ..discriminators import MatchingDiscriminator
from ..game import follow, one_size
from ..generators import CGANConfig as Sizes
from ..generators import CGANGenerator
from ..objectives import Game, g_loss, matching_aware, mode_seeking, towards
from ..pairs import PairData, Wrong


@dataclass(frozen=True)
class CGANConfig:
    """Settings of the CGAN; sizes and rates are GAN-INT-CLS's."""

    size: int = 64
    """Width and height of an image (paper: 64)."""
    channels: Literal[3, 1] = 3
    """3 for colour, 1 for grey."""
    steps: int = 50000
    """Steps of G, each after one of D (paper: 600 epochs)."""
    batch: int = 64
    """Images a step, over all processes (paper: 64)."""
    recipe: Literal["paper", "modern"] = "modern"
    """paper: cross-entropy and batch normalisation. modern: hinge, spectral normalisation, an unconditional head, DiffAugment."""
    condition: Literal["code", "planes"] = "code"
    """How text enters: its code beside z and D's last map, or the vector itself beside z and, as planes, beside D's image."""
    wrong: Wrong = "roll"
    """Where the wrong text comes from: another image of the minibatch, any image, or one of another class."""
    captions: int = 1
    """Captions of an image whose vectors are averaged (code: 4)."""
    interpolation: float = 1.0
    """Weight of sentences halfway between two in G's loss; 0 leaves them out (code: 1)."""
    variety: float = 0.0
    """Weight of the mode-seeking term, which keeps G from drawing one image for each text whatever z (paper: none)."""
    noise: int = 100
    """Numbers of z (paper: 100)."""
    code: int = 128
    """Numbers of the text's code, in G and in D, where it has one (paper: 128)."""
    width: int = 128
    """Channels of G before the last layer (code: 128)."""
    d_width: int = 64
    """Channels of D after the first layer (code: 64)."""
    lr: float = 2e-4
    """Adam's learning rate of G and D, first moment 0.5 (paper: 2e-4)."""
    halve_every: int = 0
    """Steps after which the learning rate is halved, again and again; 0 for never (code: every 100 epochs)."""
    ema: float = 0.999
    """Decay of the moving average of G that is kept and sampled from."""


class CGAN:
    """Trains a CGANGenerator against a MatchingDiscriminator."""

    Config = CGANConfig
    sizes = staticmethod(one_size)

    def __init__(self, config: CGANConfig, pairs: PairData, workers: Workers) -> None:
        c = self.config = config
        if not 0 <= c.ema < 1:
            raise UserError(f"--ema must lie in [0, 1); received {c.ema}")
        self.pairs, self.workers, modern = pairs, workers, c.recipe == "modern"
        self.game: Game = "hinge" if modern else "bce"
        planes, code = c.condition == "planes", 0 if c.condition == "planes" else c.code
        shape = Sizes(pairs.dimension, c.size, c.noise, code, c.width, "nearest" if modern else "transposed", c.channels)
        self.G = placed(CGANGenerator(shape), workers.device)
        self.G.standardise.mean.copy_(pairs.raw_mean)
        self.G.standardise.std.copy_(pairs.raw_std)
        of_D: Norm = "spectral" if modern else "batch"
        D = MatchingDiscriminator(
            pairs.dimension, c.size, code, c.d_width, of_D, modern and not planes, channels=c.channels, planes=planes
        )
        self.D = placed(D, workers.device)
        self.g = Player(self.G, torch.optim.Adam(self.G.parameters(), c.lr, (0.5, 0.999)), workers)
        self.d = Player(self.D, torch.optim.Adam(self.D.parameters(), c.lr, (0.5, 0.999)), workers)
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"generator_now": self.g, "discriminator": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.data, self.local = pairs.batches(c.size, c.batch, c.channels), workers.shard(c.batch)

    def stages(self) -> Sequence[Stage]:
        """The game: D and G by turns."""
        c = self.config
        return [Stage("adversarial", 2 * c.steps, self.step, 2 * self.data.per_epoch, c.batch, turn=2)]

    def step(self, i: int) -> dict[str, Tensor]:
        """A step of the game: which player moves is a function of i."""
        half = 0.5 ** (i // 2 // self.config.halve_every) if self.config.halve_every else 1.0
        for player in (self.d, self.g):
            for group in player.optimizer.param_groups:
                group["lr"] = self.config.lr * half
        return self.g_step(i // 2) if i % 2 else self.d_step(i // 2)

    def noise(self) -> Tensor:
        """Z (B, Z), standard normal."""
        return noise(self.workers, self.local, self.config.noise)

    def seen(self, x: Tensor) -> Tensor:
        """What D sees of images: shifted and cut in the modern recipe."""
        return translate_and_cut(x, self.workers.uniform(self.local, 4)) if self.config.recipe == "modern" else x

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D on real images with their text and with a wrong one, and on generated ones (algorithm 1, lines 6-9)."""
        p, workers = self.data[i], self.workers
        with fixed(self.G), torch.no_grad():
            fake = self.G(self.noise(), p.text)
        self.D.train()
        of_real, of_fake = self.D.features(self.seen(p.real)), self.D.features(self.seen(fake))
        right, wrong, made = (
            self.D.matches(f, t) for f, t in ((of_real, p.text), (of_real, p.wrong), (of_fake, p.text))
        )  # fmt: skip
        loss = matching_aware(right, wrong, made, p.mismatched, workers.mean(p.mismatched.sum()), self.game)
        if self.D.alone is not None:
            alone = towards(self.D.is_real(of_real), True, self.game).mean()
            loss = loss + alone + towards(self.D.is_real(of_fake), False, self.game).mean()
        grad = self.d.minimise(loss)
        told = {
            "loss": loss.detach(),
            "real": right.detach().mean(),
            "wrong": wrong.detach().mean(),
            "fake": made.detach().mean(),
        }
        return {**{f"d/{key}": workers.mean(value) for key, value in told.items()}, "d/grad": grad}

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, so that D takes its images for real and for their text's, and those of sentences in between (line 11, eq. 5)."""
        p, weight = self.data[i], self.config.interpolation
        self.G.train()
        z = self.noise()
        with fixed(self.D):
            fake = self.G(z, p.text)
            loss = self.play(fake, p.text)
            if weight:
                between = (p.text + p.wrong) / 2
                loss = loss + weight * self.play(self.G(self.noise(), between), between)
        told = {"g/loss": self.workers.mean(loss.detach())}
        if self.config.variety:
            other = self.noise()
            same = mode_seeking(fake, self.G(other, p.text), z, other)
            loss, told["g/same"] = loss + self.config.variety * same, self.workers.mean(same.detach())
        grad = self.g.minimise(loss)
        follow(self.average, self.config.ema, i)
        return {**told, "g/grad": grad}

    def play(self, fake: Tensor, text: Tensor) -> Tensor:
        """G's loss for its images of these sentence vectors."""
        features = self.D.features(self.seen(fake))
        loss = g_loss(self.D.matches(features, text), self.game)
        return loss if self.D.alone is None else loss + g_loss(self.D.is_real(features), self.game)
