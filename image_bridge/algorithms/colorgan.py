"""ColorGAN: line art and blurred hints of colour to a coloured image; or, of a mosaic, the image that it was made of.

References: Frans, deepcolor, 2017 (github.com/kvfrans/deepcolor), for the task, its inputs and settings; Isola, Zhu, Zhou, Efros,
"Image-to-Image Translation with Conditional Adversarial Networks" (pix2pix), CVPR 2017, for the U-net and the loss.

``d_step`` and ``g_step`` are the two halves of pix2pix's equation 4: D sees what G is given beside an image and says whether the
image is real (equation 1); G fools it and comes near the real image in L1 (equation 3), whose weight is 100. What G is given is
made of the image itself, in ``transforms``: lines by an adaptive threshold, if none were drawn; hints by blanking squares and a
blur. ``--task mosaic`` changes that alone: the image in squares of one colour each.

Departs: convolutions are 4 x 4, as pix2pix's (deepcolor: 5 x 5), and go no deeper than 2 x 2 pixels; D's go down to 4 x 4, which
at 64 x 64 are deepcolor's four.
Departs: squares and blur are as large as deepcolor's in parts of the image, which there has 256 x 256 pixels.
Departs: some images get no hint in training (``unhinted``), so that lines can be coloured without one.
Departs: G has neither noise nor dropout; the moving average of G is kept.
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
from ..generators import UNetConfig, UNetGenerator
from ..lines import LineImages, Lines, sources
from ..objectives import d_loss, g_loss
from ..transforms import HINT, hints


@dataclass(frozen=True)
class ColorGANConfig:
    """Settings of ColorGAN; sizes and rates are deepcolor's."""

    task: Literal["color", "mosaic"] = "color"
    """color: lines and hints to an image. mosaic: squares of one colour to the image they were made of."""
    lines: Lines = "auto"
    """drawn: those beside the images; threshold: made of the image; auto: drawn where every image has some."""
    tile: int = 4
    """Pixels of a side of the mosaic's squares; divides the size."""
    size: int = 256
    """Width and height of an image (code: 256)."""
    steps: int = 100_000
    """Steps of G, each after one of D (code: 20 epochs)."""
    batch: int = 4
    """Images a step, over all processes (code: 4)."""
    width: int = 64
    """Channels of G after its first layer (code: 64)."""
    d_width: int = 64
    """Channels of D after its first layer (code: 64)."""
    l1: float = 100.0
    """Weight of the distance from the real image in G's loss (pix2pix, section 3.3; code: 100)."""
    lr: float = 2e-4
    """Adam's learning rate of G and D, first moment 0.5 (code: 2e-4)."""
    unhinted: float = 0.1
    """Share of the images that get no hint (code: 0)."""
    ema: float = 0.999
    """Decay of the moving average of G that is kept; 0 keeps G itself (code: 0)."""


class ColorGAN:
    """Trains a UNetGenerator against a Discriminator that sees what G is given as well."""

    Config = ColorGANConfig
    fed: ClassVar = "lines"

    def __init__(self, config: ColorGANConfig, images: LineImages, workers: Workers) -> None:
        c = self.config = config
        for name in ("unhinted", "ema"):
            if not 0 <= getattr(c, name) < 1:
                raise UserError(f"--{name} must lie in [0, 1); received {getattr(c, name)}")
        self.images, self.workers, self.local = images, workers, workers.shard(c.batch)
        source: Literal["drawn", "threshold", "mosaic"] = "drawn" if images.lines else "threshold"
        sizes = UNetConfig(c.size, c.width, "mosaic" if c.task == "mosaic" else source, c.tile)
        self.G = placed(UNetGenerator(sizes), workers.device)
        self.D = placed(Discriminator(c.size, sizes.inputs + 3, c.d_width, "batch"), workers.device)
        self.g, self.d = (Player(m, torch.optim.Adam(m.parameters(), c.lr, (0.5, 0.999)), workers) for m in (self.G, self.D))
        self.average = EMA(self.G, c.ema)
        self.players: Mapping[str, Player] = {"generator_now": self.g, "discriminator": self.d}
        self.kept: Mapping[str, nn.Module] = {"generator": self.average.copy}
        self.data = images.minibatches(c.size, c.batch, 3)

    @staticmethod
    def sizes(config: ColorGANConfig) -> list[int]:
        """The sizes at which images are needed.

        Raises:
            ValueError: it is not one that the networks can have, or no mosaic fits.
        """
        scales(config.size)
        if config.task == "mosaic" and (config.tile < 2 or config.size % config.tile):
            raise ValueError(f"--tile must be 2 or more and divide --size {config.size}; received {config.tile}")
        return [config.size]

    def stages(self) -> Sequence[Stage]:
        """The game: D and G by turns."""
        c = self.config
        return by_turns(c.steps, [(self.d_step, 1), (self.g_step, 1)], self.data.per_epoch, c.batch)

    def batch(self, i: int) -> tuple[Tensor, Tensor]:
        """Images (B, 3, S, S), and what G is given of them (B, inputs, S, S): lines and hint, or a mosaic."""
        c, x = self.config, self.data[i]
        source = sources(self.G.config, x, self.images.drawn(c.size, self.data.numbers(i)))
        if c.task == "mosaic":
            return x, source
        return x, torch.cat([source, hints(x, self.workers.uniform(self.local, HINT), c.unhinted)], 1)

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D on images and on what G makes, each beside what G is given (pix2pix, eq. 1)."""
        x, given = self.batch(i)
        with fixed(self.G), torch.no_grad():
            made = self.G(given)
        self.D.train()
        real, fake = (self.D(torch.cat([given, some], 1)) for some in (x, made))
        loss = d_loss(real, fake, "bce")
        return metrics(self.workers, "d", {"loss": loss, "real": real.mean(), "fake": fake.mean()}, self.d.minimise(loss))

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, so that D takes what it makes for real, and near the image (pix2pix, eq. 4)."""
        x, given = self.batch(i)
        self.G.train()
        made = self.G(given)
        with fixed(self.D):
            fooled = g_loss(self.D(torch.cat([given, made], 1)), "bce")
        l1 = F.l1_loss(made, x)
        loss = fooled + self.config.l1 * l1
        grad = self.g.minimise(loss)
        follow(self.average, self.config.ema, i)
        return metrics(self.workers, "g", {"loss": loss, "l1": l1}, grad)
