"""XGAN: a code that keeps what two domains have in common, and decoders that give it each domain's look.

Reference: Royer, Bousmalis, Gouws, Bertsch, Mosseri, Cole, Murphy, "XGAN: Unsupervised Image-to-Image Translation for
Many-to-Many Mappings", 2017; in Domain Adaptation for Visual Understanding, 2020. No program of theirs is public.

Its objective is the sum in ``g_step``: reconstruction, a classifier of domains that the codes are to deceive, through a reversed
gradient (Ganin et al., 2016), the distance of an image's code from its translation's, both ways, and the game with ``d_step``.
Beside the paper are ``growth``, ``bilateral`` and ``ema``, against the noise of pixels that short training leaves.

Departs: the teacher (section 3, L_teach) is the f of a run of ``dtn``. A linear layer brings codes to as many numbers as it
gives; the paper's teacher, a network that knows faces, gives as many as a code has.
Departs: D is spectrally normalised. What the paper has was not read again, nor are the weights its: all are 1.
Departs: normalisation of layers and of codes, as generators/xgan.py says.
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

from ..blocks import fixed, initialise, placed, scales
from ..discriminators import Discriminator
from ..game import by_turns, follow, metrics
from ..generators import FeatureTranslator, XGANTranslator, XGANTranslatorConfig, generator_kind
from ..objectives import d_loss, distance, g_loss, reversed_gradient, towards
from ..pairs import TrainingImages
from ..pipeline import generator_folder

WAYS = ((0, 1), (1, 0))  # from, to


@dataclass(frozen=True)
class XGANConfig:
    """Settings of XGAN; sizes are the paper's, the weights stand where it has letters."""

    label: str = "domain"
    """The attribute of the images that says which domain they are of."""
    domains: str = ""
    """The two domains, with a comma between them; needed only where there are more."""
    size: int = 64
    """Width and height of an image, a power of two (paper: 64)."""
    steps: int = 50_000
    """Turns; in each both players move once."""
    batch: int = 16
    """Images of each domain a step, over all processes."""
    width: int = 32
    """Channels of the generator at half the size (paper: 32)."""
    code: int = 1024
    """Numbers of the code (paper: 1,024)."""
    growth: Literal["nearest", "transposed"] = "transposed"
    """How the generators' images grow: by transposed convolutions (paper), or nearest neighbours and a convolution."""
    bilateral: float = 0.0
    """Spread of colours, of 255, of a bilateral filter that ends G and takes faint specks away, as 20 does; 0: none (paper)."""
    d_width: int = 32
    """Channels of the discriminators at half the size; twice as many at each smaller one."""
    reconstruction: float = 1.0
    """Weight of the distance of an image from its reconstruction."""
    deceive: float = 1.0
    """Weight, for the encoders, of deceiving the classifier of domains (w_d)."""
    semantic: float = 1.0
    """Weight of the distance of an image's code from its translation's (w_s)."""
    adversarial: float = 1.0
    """Weight of D's judgement (w_g)."""
    teacher: str = ""
    """A run of dtn whose f, which knows images of the first domain, says what their codes have to hold; none when absent (paper:
    optional)."""
    teach: float = 1.0
    """Weight of the teacher (w_t)."""
    lr: float = 2e-4
    """Adam's learning rate of all, first moment 0.5."""
    ema: float = 0.0
    """Decay of the moving average of G that is kept and translates; 0 keeps G itself (paper: none)."""


class XGAN:
    """Trains an XGANTranslator with a classifier of domains, against a discriminator of each domain."""

    Config = XGANConfig
    fed: ClassVar = "domains"

    @staticmethod
    def sizes(config: XGANConfig) -> list[int]:
        """The size at which images are needed.

        Raises:
            ValueError: it is not a power of two.
        """
        scales(config.size)
        return [config.size]

    def __init__(self, config: XGANConfig, images: TrainingImages, workers: Workers) -> None:
        c, names = config, images.data.domains(config.label, config.domains)
        self.config, self.workers, self.local = c, workers, workers.shard(c.batch)
        if len(names) != 2:
            raise UserError(f"XGAN knows two domains; expected --domains A,B; the images have {', '.join(names)}")
        self.G = placed(
            XGANTranslator(XGANTranslatorConfig(names, c.label, c.size, c.width, c.code, c.growth, c.bilateral)), workers.device
        )
        self.domain = nn.Sequential(nn.Linear(c.code, c.code // 2), nn.LeakyReLU(0.2), nn.Linear(c.code // 2, 1))
        initialise(self.domain)
        of_each = (Discriminator(c.size, 3, c.d_width, "spectral") for _ in names)
        self.D = placed(nn.ModuleList(of_each), workers.device)
        both = nn.ModuleDict({**dict(self.G.named_children()), "domain": self.domain.to(workers.device)})
        if c.teacher:
            f, numbers = _teacher(c.teacher, c.size)  # it does not move; a checkpoint has it, whatever becomes of its run
            both.update({"teacher": f.to(workers.device), "taught": nn.Linear(c.code, numbers).to(workers.device)})
        self.g, self.d = (
            Player(m, torch.optim.Adam((p for p in m.parameters() if p.requires_grad), c.lr, (0.5, 0.999)), workers)
            for m in (both, self.D)
        )
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"generator_now": self.g, "discriminators": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.data = images.domains(c.label, names, c.size, c.batch)
        self.per_epoch = max(batches.per_epoch for batches in self.data)

    def stages(self) -> Sequence[Stage]:
        """The game: the generator, then the discriminators."""
        return by_turns(self.config.steps, [(self.g_step, 1), (self.d_step, 1)], self.per_epoch, self.config.batch)

    def g_step(self, i: int) -> dict[str, Tensor]:
        """Encoders, decoders and the classifier of domains: the sum of all losses, each over both domains but the teacher's."""
        c, real = self.config, [batches[i] for batches in self.data]
        self.g.module.train()
        codes = [self.G.encode(x, k) for k, x in enumerate(real)]
        fakes = {b: self.G.decode(codes[a], b) for a, b in WAYS}
        guesses = [self.domain(reversed_gradient(code, c.deceive)).flatten() for code in codes]
        with fixed(self.D):
            adversarial = torch.stack([g_loss(self.D[b](x), "bce") for b, x in fakes.items()]).sum()
        told = {
            "reconstruction": torch.stack([distance(self.G.decode(codes[k], k), x) for k, x in enumerate(real)]).sum(),
            "domain": torch.stack([towards(guess, k == 0, "bce").mean() for k, guess in enumerate(guesses)]).sum(),
            "semantic": torch.stack([F.l1_loss(self.G.encode(fakes[b], b), codes[a]) for a, b in WAYS]).sum(),
            "adversarial": adversarial,
        }
        loss = c.reconstruction * told["reconstruction"] + told["domain"]
        loss = loss + c.semantic * told["semantic"] + c.adversarial * adversarial
        if c.teacher:
            told["teacher"] = distance(self.g.module["taught"](codes[0]), self.g.module["teacher"](real[0]))  # type: ignore[index]
            loss = loss + c.teach * told["teacher"]
        grad = self.g.minimise(loss)
        follow(self.average, c.ema, i)
        return metrics(self.workers, "g", {"loss": loss, **told}, grad)

    def d_step(self, i: int) -> dict[str, Tensor]:
        """Both discriminators, on real images and on translations."""
        real = [batches[i] for batches in self.data]
        with fixed(self.G), torch.no_grad():
            fakes = {b: self.G(real[a], a, b) for a, b in WAYS}
        self.D.train()
        loss = torch.stack([d_loss(self.D[b](real[b]), self.D[b](x), "bce") for b, x in fakes.items()]).sum()
        return metrics(self.workers, "d", {"loss": loss}, self.d.minimise(loss))


def _teacher(path: str, size: int) -> tuple[nn.Module, int]:
    """The f of a run of dtn, and how many numbers it gives.

    Raises:
        UserError: there is none, or it looks at images of another size.
    """
    folder = generator_folder(path)
    if generator_kind(folder) != FeatureTranslator.kind:
        raise UserError(f"--teacher {path} has no f; expected a run of dtn")
    found = FeatureTranslator.from_pretrained(folder)
    if found.config.size != size:
        raise UserError(f"--teacher {path} looks at images of {found.config.size} pixels; expected --size {size}")
    return found.f.requires_grad_(False), found.config.features
