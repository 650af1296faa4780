"""DTN: an image becomes one of another domain that a classifier of the first sees the same in.

Reference: Taigman, Polyak, Wolf, "Unsupervised Cross-Domain Image Generation", ICLR 2017 (the domain transfer network).

The stage "features" trains f, a classifier of ``--classes`` on images of the source domain; afterwards it does not move. G is
g(f(x)). ``d_step`` is L_D (equation 3: D tells images made of the source, images made of the target, and real ones of the target
apart), ``g_step`` is L_G (equation 4 to 7): D takes both kinds for real (L_GANG), f sees in G(x) what it saw in x (L_CONST),
images of the target stay what they are (L_TID), and neighbouring pixels are alike (L_TV). ``growth``, ``bilateral``,
``d_norm`` and ``ema`` are beside the paper.

Departs: f ends in tanh, so that L_CONST, which is in its units, stays bounded; no batch normalisation stands in it.
Departs: g and D get both kinds of images, D the real ones too, as one batch, so that they share the statistics that are kept.
Departs: D is DCGAN's, with three numbers at its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.errors import UserError
from textgan.runtime import EMA, Player, Stage, Workers

from ..blocks import fixed, placed, scales
from ..discriminators import Discriminator
from ..game import by_turns, follow, metrics
from ..generators import FeatureConfig, FeatureTranslator
from ..objectives import total_variation
from ..pairs import ImageBatches, TrainingImages

OF_SOURCE, OF_TARGET, REAL = range(3)  # what D tells apart


@dataclass(frozen=True)
class DTNConfig:
    """Settings of the domain transfer network; sizes are those of the paper's experiment with digits."""

    label: str = "domain"
    """The attribute of the images that says which domain they are of."""
    domains: str = ""
    """The source and the target, with a comma between them; needed only where there are more than two."""
    classes: str = "class"
    """The attribute that f learns to see in images of the source, or several with commas between them, of which every combination
    that occurs is a class; images that have none are not shown to it."""
    size: int = 32
    """Width and height of an image, a power of two (paper: 32, and 64)."""
    f_steps: int = 5_000
    """Steps of f, before all others."""
    steps: int = 10_000
    """Steps of G, each after one of D."""
    batch: int = 64
    """Images of each domain a step, over all processes."""
    const: float = 15.0
    """Weight of L_CONST, alpha (paper: 15 for digits, 100 for faces)."""
    tid: float = 15.0
    """Weight of L_TID, beta (paper: 15 for digits, 1 for faces)."""
    tv: float = 0.0
    """Weight of L_TV, gamma (paper: 0 for digits, 0.05 for faces)."""
    features: int = 128
    """Numbers that f sees in an image (paper: 128)."""
    f_width: int = 64
    """Channels of f at full size, twice as many at each smaller one up to eight times (paper: 64)."""
    width: int = 128
    """Channels of g at half the size, twice as many at each smaller one up to eight times (paper: 128)."""
    growth: Literal["nearest", "transposed"] = "transposed"
    """How the images grow: by transposed convolutions (paper), or nearest neighbours and a convolution."""
    bilateral: float = 0.0
    """Spread of colours, of 255, of a bilateral filter that ends G and takes faint specks away, as 20 does; 0: none (paper)."""
    d_width: int = 64
    """Channels of D after the first layer (DCGAN's code: 64)."""
    d_norm: Literal["batch", "spectral"] = "batch"
    """Normalisation of D: by batches (DCGAN), or spectral (SN-GAN), by which a short training comes further."""
    lr: float = 3e-4
    """Adam's learning rate of all, first moment 0.5."""
    ema: float = 0.0
    """Decay of the moving average of g that is kept and translates; 0 keeps g itself (paper: none)."""


class DTN:
    """Trains the f of a FeatureTranslator by its classes, then its g against a Discriminator of three kinds of images."""

    Config = DTNConfig
    fed: ClassVar = "domains"

    def __init__(self, config: DTNConfig, images: TrainingImages, workers: Workers) -> None:
        c, names = config, images.data.domains(config.label, config.domains)
        self.config, self.workers, self.local = c, workers, workers.shard(c.batch)
        if len(names) != 2:
            raise UserError(f"DTN turns one domain into another; expected --domains A,B; the images have {', '.join(names)}")
        self.data = images.domains(c.label, names, c.size, c.batch)
        self.labelled, known = _classes(images, c, names[0])
        shape = FeatureConfig(names, c.label, c.size, c.features, c.f_width, c.width, c.growth, c.bilateral)
        self.G = placed(FeatureTranslator(shape), workers.device)
        self.D = placed(Discriminator(c.size, 3, c.d_width, c.d_norm, outputs=3), workers.device)
        named = nn.ModuleDict({"f": self.G.f, "classes": nn.Linear(c.features, known)}).to(workers.device)
        self.f, self.g, self.d = (
            Player(m, torch.optim.Adam(m.parameters(), c.lr, (0.5, 0.999)), workers) for m in (named, self.G.g, self.D)
        )
        self.average = EMA(self.G.g, c.ema)
        self.players: Mapping[str, Player] = {"features_now": self.f, "generator_now": self.g, "discriminator": self.d}
        kept = FeatureTranslator(shape).eval()
        kept.f, kept.g = self.G.f, self.average.copy  # f is one and the same
        self.kept: Mapping[str, nn.Module] = {"generator": kept}

    @staticmethod
    def sizes(config: DTNConfig) -> list[int]:
        """The size at which images are needed.

        Raises:
            ValueError: f cannot halve it down to 4 x 4.
        """
        scales(config.size)
        return [config.size]

    def stages(self) -> Sequence[Stage]:
        """f, then the game: D and G by turns."""
        c = self.config
        per_epoch = max(batches.per_epoch for batches in self.data)
        game = by_turns(c.steps, [(self.d_step, 1), (self.g_step, 1)], per_epoch, c.batch)
        return [Stage("features", c.f_steps, self.f_step, self.labelled.per_epoch, c.batch), *game]

    def f_step(self, i: int) -> dict[str, Tensor]:
        """f, to see the classes of images of the source."""
        x, labels = self.labelled[i], self.labelled.labels(i)
        logits = self.f.module["classes"](self.G.f(x)).float()  # type: ignore[index]
        loss, accuracy = F.cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()
        return metrics(self.workers, "f", {"loss": loss, "accuracy": accuracy}, self.f.minimise(loss))

    def play(self, scores: Tensor, kinds: Sequence[int]) -> Tensor:
        """-log of D's probability (n, 3) that images are of these kinds, a part of the batch for each; the sum of their means."""
        parts = zip(scores.chunk(len(kinds)), kinds, strict=True)
        return torch.stack([-part.log_softmax(1)[:, kind].mean() for part, kind in parts]).sum()

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D on images made of the source, images made of the target, and real ones of the target (L_D)."""
        source, target = (batches[i] for batches in self.data)
        with fixed(self.G), torch.no_grad():
            made = self.G(torch.cat([source, target]))
        self.D.train()
        loss = self.play(self.D.numbers(torch.cat([made, target])), (OF_SOURCE, OF_TARGET, REAL))
        return metrics(self.workers, "d", {"loss": loss}, self.d.minimise(loss))

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G by all its losses, f being what it is (L_G)."""
        c, (source, target) = self.config, (batches[i] for batches in self.data)
        self.G.g.train()
        with torch.no_grad():
            seen = self.G.f(torch.cat([source, target]))
        made = self.G.g(seen).float()
        of_source, of_target = made.chunk(2)
        with fixed(self.D):
            scores = self.D.numbers(torch.cat([made, target]))
        gang = self.play(scores[: len(made)], (REAL, REAL))
        const = F.mse_loss(self.G.f(of_source).float(), seen.chunk(2)[0].float())
        tid, tv = F.mse_loss(of_target, target), total_variation(made)
        loss = gang + c.const * const + c.tid * tid + c.tv * tv
        told = {"loss": loss, "gang": gang, "const": const, "tid": tid, "tv": tv}
        grad = self.g.minimise(loss)
        follow(self.average, c.ema, i)
        return metrics(self.workers, "g", told, grad)


def _classes(images: TrainingImages, config: DTNConfig, source: str) -> tuple[ImageBatches, int]:
    """Minibatches of the images of the source that have a class, and how many classes there are."""
    c, data = config, images.data
    unknown = next((name for name in c.classes.split(",") if name.strip() not in data.attributes), None)
    if unknown is not None:
        known = ", ".join(data.attributes)
        raise UserError(f"--classes {unknown} names no attribute of {data.path}; expected what f is to see, of {known}")
    numbers, words = data.attribute(f"{c.label},{c.classes}")
    there = set(numbers[images.chosen].tolist())
    names = [word for k, word in enumerate(words) if k in there and word.startswith(f"{source} + ")]
    if len(names) < 2:
        raise UserError(f"images of {source} in {data.path} have {len(names)} {c.classes}; expected two or more for f")
    return images.labelled(f"{c.label},{c.classes}", names, c.size, c.batch)[0], len(names)
