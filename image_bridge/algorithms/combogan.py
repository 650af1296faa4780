"""ComboGAN: an encoder and a decoder for each domain, any of which go together, so that n domains need n pairs of them.

Reference: Anoosheh, Agustsson, Timofte, Van Gool, "ComboGAN: Unrestrained Scalability for Image Domain Translation", CVPRW 2018.

Each turn draws two of the domains and is a turn of CycleGAN between them (section 3); only their encoders, decoders and
discriminators move. Which two is a function of the seed and the turn. The identity loss is that of an autoencoder, as an image's
own encoder and decoder give it. ``cycle_loss``, ``latent``, ``forward`` and ``views`` are options of the authors' program;
``growth``, ``bilateral`` and ``ema`` are beside both.

Departs: the fakes that D sees are drawn again, by the G of after its step; in the authors' code G's step hands them on.
Departs: of the authors' discriminators, which score after every layer (``views``), the last scores alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.runtime import EMA, Player, Stage, Workers
from textgan.runtime.workers import fold

from ..blocks import fixed, placed
from ..discriminators import GreyAndBlurred, PatchDiscriminator
from ..game import by_turns, decay, follow, metrics, one_size
from ..generators import DomainTranslator, TranslatorConfig
from ..objectives import least_squares
from ..pairs import TrainingImages
from ..pool import ImagePool


@dataclass(frozen=True)
class ComboGANConfig:
    """Settings of ComboGAN; sizes and rates are the paper's."""

    label: str = "domain"
    """The attribute of the images that says which domain they are of."""
    domains: str = ""
    """The domains, with commas between them; all that there are when absent."""
    size: int = 256
    """Width and height of an image (paper: 256)."""
    epochs: int = 100
    """Passes over the largest domain, for each domain that there is: with n of them as many times n, in which each is drawn 2 / n
    of the time. The learning rate falls to 0 over the second half (paper: 50 n + 50 n)."""
    batch: int = 1
    """Images of each of the two domains a step, over all processes (paper: 1)."""
    cycle: float = 10.0
    """Weight of the cycle, lambda (paper: 10)."""
    cycle_loss: Literal["l1", "smooth_l1"] = "l1"
    """How images are compared in the cycle: l1 (paper) or smooth_l1 (the authors' code)."""
    identity: float = 0.0
    """Weight, beside lambda, of the image that an own encoder and decoder give; 0 leaves it out (optional in the code)."""
    latent: float = 0.0
    """Weight that the distance of a translation's code from the image's own reaches at the end, from 0 on; 0 leaves it out
    (optional in the code)."""
    forward: float = 0.0
    """Weight of the distance of a translation from the image, both at half the size; 0 leaves it out (optional in the code:
    0.2)."""
    pool: int = 50
    """Earlier images of each domain that D may be shown (paper: 50)."""
    width: int = 64
    """Channels of the generators at full size (paper: 64)."""
    blocks: int = 9
    """Residual blocks from image to image, half of them the encoder's (paper: 9)."""
    growth: Literal["nearest", "transposed"] = "transposed"
    """How the generators' images grow: by transposed convolutions (paper), or nearest neighbours and a convolution."""
    bilateral: float = 0.0
    """Spread of colours, of 255, of a bilateral filter that ends G and takes faint specks away, as 20 does; 0: none (paper)."""
    d_width: int = 64
    """Channels of the discriminators after the first layer (paper: 64)."""
    d_layers: int = 3
    """Layers of the discriminators that halve the image: 3 see patches of 70 pixels (paper), 2 of 34, 1 of 16."""
    views: Literal["colour", "grey_and_blurred"] = "colour"
    """What D sees: the image (paper), or its grey and its blurred colours apart, by two networks (the authors' code)."""
    lr: float = 2e-4
    """Adam's learning rate of all, first moment 0.5 (paper: 2e-4)."""
    ema: float = 0.0
    """Decay of the moving average of G that is kept and translates; 0 keeps G itself (paper: none)."""


class ComboGAN:
    """Trains a DomainTranslator of any number of domains against a discriminator of each."""

    Config = ComboGANConfig
    fed: ClassVar = "domains"
    sizes = staticmethod(one_size)

    def __init__(self, config: ComboGANConfig, images: TrainingImages, workers: Workers) -> None:
        c, names = config, images.data.domains(config.label, config.domains)
        self.config, self.workers, self.local, self.seed = c, workers, workers.shard(c.batch), images.seed
        self.G = placed(
            DomainTranslator(TranslatorConfig(names, c.label, c.size, c.width, c.blocks, c.growth, c.bilateral)), workers.device
        )
        kind = GreyAndBlurred if c.views == "grey_and_blurred" else PatchDiscriminator
        of_each = nn.ModuleList(kind(c.size, 3, c.d_width, c.d_layers) for _ in names)
        pools = nn.ModuleList(ImagePool(c.pool, c.size) for _ in names)
        self.D = placed(nn.ModuleDict({"scores": of_each, "pools": pools}), workers.device)
        self.g, self.d = (Player(m, torch.optim.Adam(m.parameters(), c.lr, (0.5, 0.999)), workers) for m in (self.G, self.D))
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"generator_now": self.g, "discriminators": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.data = images.domains(c.label, names, c.size, c.batch)
        self.per_epoch = max(batches.per_epoch for batches in self.data)
        self.steps = c.epochs * len(names) * self.per_epoch

    def stages(self) -> Sequence[Stage]:
        """The game: two encoders and decoders, then their discriminators."""
        return by_turns(self.steps, [(self.g_step, 1), (self.d_step, 1)], self.per_epoch, self.config.batch)

    def drawn(self, i: int) -> tuple[int, int]:
        """The two domains of turn ``i``; every two are as likely."""
        n = len(self.data)
        first = fold(self.seed, 6, i) % n
        return first, (first + 1 + fold(self.seed, 7, i) % (n - 1)) % n

    def play(self, domain: int, x: Tensor, target: float) -> Tensor:
        """How far D's scores of images of a domain are from ``target``."""
        return least_squares(self.D["scores"][domain](x), target)  # type: ignore[index]

    def g_step(self, i: int) -> dict[str, Tensor]:
        """Both directions: D takes the translations for real, the way back leads to where it began; and what is optional."""
        c, (a, b) = self.config, self.drawn(i)
        ways, real = ((a, b), (b, a)), {k: self.data[k][i] for k in (a, b)}
        decay([self.g, self.d], c.lr, i, self.steps)
        self.G.train()
        codes = {k: self.G.encode(x, k) for k, x in real.items()}
        fakes = {t: self.G.decode(codes[s], t) for s, t in ways}
        again = {t: self.G.encode(x, t) for t, x in fakes.items()}
        compare = F.smooth_l1_loss if c.cycle_loss == "smooth_l1" else F.l1_loss
        with fixed(self.D):
            told = {"adversarial": torch.stack([self.play(t, x, 1.0) for t, x in fakes.items()]).sum()}
        told["cycle"] = torch.stack([compare(self.G.decode(again[t], s), real[s]) for s, t in ways]).sum()
        loss = told["adversarial"] + c.cycle * told["cycle"]
        if c.identity:
            told["identity"] = torch.stack([F.l1_loss(self.G.decode(codes[k], k), x) for k, x in real.items()]).sum()
            loss = loss + c.identity * c.cycle * told["identity"]
        if c.latent:
            told["latent"] = torch.stack([F.l1_loss(again[t], codes[s].detach()) for s, t in ways]).sum()
            loss = loss + c.latent * i / self.steps * told["latent"]
        if c.forward:
            small = {k: F.avg_pool2d(x, 2) for k, x in real.items()}
            told["forward"] = torch.stack([F.l1_loss(F.avg_pool2d(fakes[t], 2), small[s]) for s, t in ways]).sum()
            loss = loss + c.forward * told["forward"]
        grad = self.g.minimise(loss)
        follow(self.average, c.ema, i)
        return metrics(self.workers, "g", {"loss": loss, **told}, grad)

    def d_step(self, i: int) -> dict[str, Tensor]:
        """Both discriminators, on real images and on those of the pool; half the loss slows them down beside G."""
        a, b = self.drawn(i)
        real = {k: self.data[k][i] for k in (a, b)}
        with fixed(self.G), torch.no_grad():
            fakes = {t: self.G(real[s], s, t) for s, t in ((a, b), (b, a))}
        self.D.train()
        seen = {t: self.D["pools"][t].exchange(x, self.workers) for t, x in fakes.items()}  # type: ignore[index]
        losses = [0.5 * (self.play(t, real[t], 1.0) + self.play(t, x, 0.0)) for t, x in seen.items()]
        loss = losses[0] + losses[1]
        return metrics(self.workers, "d", {"loss": loss}, self.d.minimise(loss))
