"""StarGAN: one generator for all domains, which is told the one that is wanted, and a D that also names the domain.

Reference: Choi, Choi, Kim, Ha, Kim, Choo, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
Translation", CVPR 2018.

Equation 1 with the Wasserstein distance and its penalty in place of logarithms (equation 8) and equation 2 (the domain of real
images) are the parts of the loss of ``d_step`` (equation 5). ``g_step`` has the other side of both (equation 3 is the domain of
generated images) and equation 4, the way back to the image that it began with (equation 6). ``targets`` is how the authors' code
draws the domains: those of the minibatch, shuffled.

``--label`` may name several attributes. The domains are then the combinations of their values that there are, and the code is the
one-hots of all attributes side by side.

Departs: each of several attributes has a cross-entropy over its values; the paper has a binary one for each value of CelebA.
Departs: the mask vector, by which the paper trains on several data sets with different labels (section 3.3), is left out.
Departs: D halves the image until 2 x 2 are left, which at the paper's 128 pixels are its six layers, and stops doubling its
channels at 32 times the first.
Departs: the penalty is of the mean of D's scores of an image, which is also what the loss has; the code's is of their sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.objectives import gradient_penalty, wasserstein
from textgan.runtime import Player, Stage, Workers

from ..blocks import fixed, placed, scales
from ..discriminators import DomainDiscriminator
from ..game import by_turns, decay, metrics
from ..generators import LabelledConfig, LabelledTranslator
from ..pairs import TrainingImages


@dataclass(frozen=True)
class StarGANConfig:
    """Settings of StarGAN; sizes and rates are the paper's."""

    label: str = "domain"
    """The attribute of the images that says which domain they are of, or several with commas between them."""
    domains: str = ""
    """The domains, with commas between them; all values of the attribute when absent. Images of no domain are left out."""
    size: int = 128
    """Width and height of an image, a power of two (paper: 128)."""
    steps: int = 40_000
    """Steps of G; the learning rate falls to 0 over the second half (paper: 200,000 iterations, of which each fifth trains G)."""
    critic_steps: int = 5
    """Steps of D before each of G (paper: 5)."""
    batch: int = 16
    """Images a step, over all processes (paper: 16)."""
    weight: float = 1.0
    """Weight of the domain in both losses (paper: 1)."""
    cycle: float = 10.0
    """Weight of the way back (paper: 10)."""
    penalty: float = 10.0
    """Weight of the penalty on D's gradient (paper: 10)."""
    width: int = 64
    """Channels of G at full size (paper: 64)."""
    blocks: int = 6
    """Residual blocks of G (paper: 6)."""
    d_width: int = 64
    """Channels of D after the first layer, twice as many after each (paper: 64)."""
    lr: float = 1e-4
    """Adam's learning rate of both, moments 0.5 and 0.999 (paper: 1e-4)."""


class StarGAN:
    """Trains a LabelledTranslator against a DomainDiscriminator."""

    Config = StarGANConfig
    fed: ClassVar = "domains"
    differentiated_twice: ClassVar = True  # by its penalty

    def __init__(self, config: StarGANConfig, images: TrainingImages, workers: Workers) -> None:
        c, names = config, images.data.domains(config.label, config.domains)
        self.config, self.workers, self.local = c, workers, workers.shard(c.batch)
        self.data, values = images.labelled(c.label, names, c.size, c.batch)
        shape = LabelledConfig(names, c.label, values, c.size, c.width, c.blocks)
        self.G = placed(LabelledTranslator(shape), workers.device)
        self.D = placed(DomainDiscriminator(c.size, c.d_width, shape.counts), workers.device)
        self.values = torch.tensor(shape.values, device=workers.device)  # (domains, attributes)
        self.g, self.d = (Player(m, torch.optim.Adam(m.parameters(), c.lr, (0.5, 0.999)), workers) for m in (self.G, self.D))
        self.players: Mapping[str, Player] = {"generator_now": self.g, "discriminator": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.G}

    @staticmethod
    def sizes(config: StarGANConfig) -> list[int]:
        """The size at which images are needed.

        Raises:
            ValueError: D cannot halve it down to 2 x 2.
        """
        scales(config.size)
        return [config.size]

    def stages(self) -> Sequence[Stage]:
        """The game: D ``critic_steps`` times, then G."""
        c = self.config
        moves = [(self.d_step, c.critic_steps), (self.g_step, 1)]
        return by_turns(c.steps, moves, max(1, self.data.per_epoch // c.critic_steps), c.batch)

    def targets(self, domain: Tensor) -> Tensor:
        """Domains (B,) to translate into: those of the minibatch of all processes (B,), shuffled."""
        everything = self.workers.gather(domain)
        order = torch.randperm(len(everything), generator=self.workers.noise, device=domain.device)
        return everything[order].chunk(self.workers.world)[self.workers.rank]

    def named(self, logits: Sequence[Tensor], domain: Tensor) -> Tensor:
        """The cross-entropy of the logits (B, values) of each attribute for domains (B,), summed over attributes."""
        return torch.stack([F.cross_entropy(a, v) for a, v in zip(logits, self.values[domain].T, strict=True)]).sum()

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D: real images above generated ones, by a score with a gradient of norm 1, and the domain of the real (eq. 5)."""
        c, real, domain = self.config, self.data[i], self.data.labels(i)
        decay([self.d], c.lr, i, c.steps * c.critic_steps)
        with fixed(self.G), torch.no_grad():
            fake = self.G(real, self.targets(domain))
        (right, logits), (wrong, _) = self.D(real), self.D(fake)
        penalty = gradient_penalty(lambda x: self.D(x)[0], real, fake, self.workers.uniform(self.local))
        distance, named = wasserstein(right, wrong), self.named(logits, domain)
        grad = self.d.minimise(distance + c.weight * named + c.penalty * penalty)
        return metrics(self.workers, "d", {"loss": distance, "domain": named, "penalty": penalty}, grad)

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, on what D saw last: up D's score, into the domain that is wanted, and back to where it began (eq. 6)."""
        c, last = self.config, (i + 1) * self.config.critic_steps - 1
        real, domain = self.data[last], self.data.labels(last)
        decay([self.g], c.lr, i, c.steps)
        target = self.targets(domain)
        fake = self.G(real, target)
        with fixed(self.D):
            score, logits = self.D(fake)
        adversarial, named = -score.mean(), self.named(logits, target)
        cycle = F.l1_loss(self.G(fake, domain), real)
        loss = adversarial + c.weight * named + c.cycle * cycle
        told = {"loss": loss, "adversarial": adversarial, "domain": named, "cycle": cycle}
        return metrics(self.workers, "g", told, self.g.minimise(loss))
