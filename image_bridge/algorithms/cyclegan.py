"""CycleGAN: two generators, each the other's way back, so that no image needs its counterpart in the other domain.

Reference: Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017.

Equation 1 with least squares instead of logarithms (section 4) is ``play`` and the loss of ``d_step``; equation 2 (the cycle,
both ways) and the identity loss (section 5.2) are the other parts of ``g_step``. D sees a pool of earlier images (section 4).

Beside the paper, ``perceptual`` adds what an ImageNet network sees to the cycle (Johnson et al., 2016, eq. 2), and ``style``
compares the Gram matrices of a translation and of a real image of its domain (eq. 4). ``growth``, ``bilateral`` and ``ema`` are
against the noise of pixels that short training leaves.

G: A to B is the encoder of A and the decoder of B of a ``DomainTranslator``, F those of B and A.

Departs: the fakes that D sees are drawn again, by the G of after its step; in the authors' code G's step hands them on.
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

from ..blocks import fixed, placed
from ..discriminators import PatchDiscriminator
from ..game import by_turns, decay, follow, metrics, one_size
from ..generators import DomainTranslator, TranslatorConfig
from ..objectives import least_squares
from ..pairs import TrainingImages
from ..perceptual import ImageNetFeatures, content_loss, style_loss
from ..pool import ImagePool

WAYS = ((0, 1), (1, 0))  # from, to


@dataclass(frozen=True)
class CycleGANConfig:
    """Settings of CycleGAN; sizes and rates are the paper's."""

    label: str = "domain"
    """The attribute of the images that says which domain they are of."""
    domains: str = ""
    """The two domains, with a comma between them; needed only where there are more."""
    size: int = 256
    """Width and height of an image (paper: 256)."""
    epochs: int = 200
    """Passes over the larger domain; the learning rate falls to 0 over the second half (paper, section 4: 100 + 100)."""
    batch: int = 1
    """Images of each domain a step, over all processes (paper: 1)."""
    cycle: float = 10.0
    """Weight of the cycle, lambda (paper: 10)."""
    identity: float = 0.5
    """Weight, beside lambda, of what G does to images that are of its domain already; 0 leaves it out (paper: 0.5 or 0)."""
    perceptual: float = 0.0
    """Weight, beside lambda, of the cycle in the features of EfficientNet-Lite0 (extra [images]); 0 leaves it out (paper)."""
    style: float = 0.0
    """Weight of how far the Gram matrices of those features are from real images' of the domain; 0 leaves it out (paper)."""
    pool: int = 50
    """Earlier images that D may be shown (paper: 50)."""
    width: int = 64
    """Channels of the generators at full size (paper: 64)."""
    blocks: int = 9
    """Residual blocks of a generator (paper: 9 at 256 pixels, 6 at 128)."""
    growth: Literal["nearest", "transposed"] = "transposed"
    """How the generators' images grow: by transposed convolutions (paper), or nearest neighbours and a convolution."""
    bilateral: float = 0.0
    """Spread of colours, of 255, of a bilateral filter that ends G and takes faint specks away, as 20 does; 0: none (paper)."""
    d_width: int = 64
    """Channels of the discriminators after the first layer (paper: 64)."""
    d_layers: int = 3
    """Layers of the discriminators that halve the image: 3 see patches of 70 pixels (paper), 2 of 34, 1 of 16."""
    lr: float = 2e-4
    """Adam's learning rate of all, first moment 0.5 (paper: 2e-4)."""
    ema: float = 0.0
    """Decay of the moving average of G that is kept and translates; 0 keeps G itself (paper: none)."""


class CycleGAN:
    """Trains a DomainTranslator of two domains against two PatchDiscriminators."""

    Config = CycleGANConfig
    fed: ClassVar = "domains"
    sizes = staticmethod(one_size)

    def __init__(self, config: CycleGANConfig, images: TrainingImages, workers: Workers) -> None:
        c, names = config, images.data.domains(config.label, config.domains)
        self.config, self.workers, self.local = c, workers, workers.shard(c.batch)
        if len(names) != 2:
            raise UserError(f"CycleGAN knows two domains; expected --domains A,B; the images have {', '.join(names)}")
        self.G = placed(
            DomainTranslator(TranslatorConfig(names, c.label, c.size, c.width, c.blocks, c.growth, c.bilateral)), workers.device
        )
        of_each = nn.ModuleList(PatchDiscriminator(c.size, 3, c.d_width, c.d_layers) for _ in names)
        pools = nn.ModuleList(ImagePool(c.pool, c.size) for _ in names)
        self.D = placed(nn.ModuleDict({"scores": of_each, "pools": pools}), workers.device)
        self.g, self.d = (Player(m, torch.optim.Adam(m.parameters(), c.lr, (0.5, 0.999)), workers) for m in (self.G, self.D))
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"generator_now": self.g, "discriminators": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.features = ImageNetFeatures(workers.device) if c.perceptual or c.style else None
        self.data = images.domains(c.label, names, c.size, c.batch)
        self.per_epoch = max(batches.per_epoch for batches in self.data)
        self.steps = c.epochs * self.per_epoch

    def stages(self) -> Sequence[Stage]:
        """The game: the generators, then the discriminators."""
        return by_turns(self.steps, [(self.g_step, 1), (self.d_step, 1)], self.per_epoch, self.config.batch)

    def play(self, domain: int, x: Tensor, target: float) -> Tensor:
        """How far D's scores of images of a domain are from ``target``."""
        return least_squares(self.D["scores"][domain](x), target)  # type: ignore[index]

    def g_step(self, i: int) -> dict[str, Tensor]:
        """Both generators: D takes their images for real, the way back leads to where it began, own images stay (eq. 3)."""
        c, real = self.config, [batches[i] for batches in self.data]
        decay([self.g, self.d], c.lr, i, self.steps)
        self.G.train()
        with fixed(self.D):
            fakes = {b: self.G(real[a], a, b) for a, b in WAYS}
            adversarial = torch.stack([self.play(b, x, 1.0) for b, x in fakes.items()]).sum()
        back = {a: self.G(fakes[b], b, a) for a, b in WAYS}
        cycle = torch.stack([F.l1_loss(x, real[a]) for a, x in back.items()]).sum()
        loss, told = adversarial + c.cycle * cycle, {"adversarial": adversarial, "cycle": cycle}
        if c.identity:
            told["identity"] = torch.stack([F.l1_loss(self.G(real[b], a, b), real[b]) for a, b in WAYS]).sum()
            loss = loss + c.identity * c.cycle * told["identity"]
        if self.features:
            seen = [self.features(x) for x in real]
            told["perceptual"] = torch.stack([content_loss(self.features(x), seen[a]) for a, x in back.items()]).sum()
            told["style"] = torch.stack([style_loss(self.features(x), seen[b]) for b, x in fakes.items()]).sum()
            loss = loss + c.perceptual * c.cycle * told["perceptual"] + c.style * told["style"]
        grad = self.g.minimise(loss)
        follow(self.average, c.ema, i)
        return metrics(self.workers, "g", {"loss": loss, **told}, grad)

    def d_step(self, i: int) -> dict[str, Tensor]:
        """Both discriminators, on real images and on those of the pool; half the loss slows them down beside G (section 4)."""
        real = [batches[i] for batches in self.data]
        with fixed(self.G), torch.no_grad():
            fakes = {b: self.G(real[a], a, b) for a, b in WAYS}
        self.D.train()
        seen = {b: self.D["pools"][b].exchange(x, self.workers) for b, x in fakes.items()}  # type: ignore[index]
        losses = [0.5 * (self.play(b, real[b], 1.0) + self.play(b, x, 0.0)) for b, x in seen.items()]
        loss = losses[0] + losses[1]
        return metrics(self.workers, "d", {"loss": loss}, self.d.minimise(loss))
