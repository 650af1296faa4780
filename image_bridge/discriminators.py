"""Discriminators of images with their texts; they are used in training only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from .blocks import Norm, Resized, bottleneck, conv, down, initialise, scales, start, tile

Body = Literal["dcgan", "sngan", "resnet", "mlp"]


class MatchingDiscriminator(nn.Module):
    """An image down to 4 x 4 or 7 x 7, then the text's code beside every place (GAN-INT-CLS, figure 2; StackGAN, section 3.3).

    Args:
        text: numbers of a sentence vector; or of the code itself, with the body of stackgan_v2.
        size: width and height of an image.
        code: numbers of the text's code; 0 for a discriminator that knows no text.
        width: channels at half the size; twice as many at each smaller one, up to eight times.
        norm: "batch" (papers) or "spectral".
        alone: whether there is a head that looks at the image without its text; with planes there is none.
        body: "dcgan"; "stackgan", which doubles its channels down to 4 x 4, comes back to eight times by 1 x 1 and has a residual
            block; or "stackgan_v2", which comes back by 3 x 3, joins the text by 3 x 3, and whose text comes as G's code.
        channels: of an image.
        planes: whether the text itself lies beside every pixel of the image instead, so that nothing is seen without it.
    """

    def __init__(
        self, text: int, size: int, code: int, width: int, norm: Norm, alone: bool,
        body: Literal["dcgan", "stackgan", "stackgan_v2"] = "dcgan", channels: int = 3, planes: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.planes, (base, count) = planes, start(size)
        most, kernel = 8 if body == "dcgan" else 32, 3 if body == "stackgan_v2" else 1
        widths = [width * min(most, 2**k) for k in range(count)]
        steps, inputs = itertools.pairwise(widths), channels + (text if planes else 0)
        layers = [down(inputs, widths[0], "none" if norm == "batch" else norm), *(down(a, b, norm) for a, b in steps)]
        last = widths[-1]
        while last > 8 * width:
            layers.append(nn.Sequential(*conv(last, last // 2, kernel, 1, kernel // 2, norm), nn.LeakyReLU(0.2)))
            last //= 2
        if body == "stackgan":
            layers.append(nn.Sequential(bottleneck(last, max(1, last // 4), norm, lambda: nn.LeakyReLU(0.2))))
        self.body = nn.Sequential(*layers)
        if planes:
            self.joint = conv(last, 1, base, norm=_plain(norm))
        elif code:
            given = body == "stackgan_v2"
            self.code = nn.Identity() if given else nn.Sequential(nn.Linear(text, code), nn.LeakyReLU(0.2))
            self.joint = nn.Sequential(
                *conv(last + code, last, kernel, 1, kernel // 2, norm), nn.LeakyReLU(0.2),
                *conv(last, 1, base, norm=_plain(norm)),
            )  # fmt: skip
        self.alone = conv(last, 1, base, norm=_plain(norm)) if alone else None
        initialise(self, "orthogonal" if body == "stackgan_v2" else "normal")

    def features(self, x: Tensor) -> Tensor:
        """What is seen in images (B, C, S, S) without their text: (B, K, 4, 4), or 7 for 4; with planes the images themselves."""
        found: Tensor = x if self.planes else self.body(x)
        return found

    def matches(self, features: Tensor, text: Tensor) -> Tensor:
        """Scores (B,) of images being real and of this text (B, D)."""
        h = self.body(tile(features, text)) if self.planes else tile(features, self.code(text))
        scores: Tensor = self.joint(h).flatten().float()
        return scores

    def is_real(self, features: Tensor) -> Tensor:
        """Scores (B,) of images being real, whatever the text."""
        assert self.alone is not None
        scores: Tensor = self.alone(features).flatten().float()
        return scores


class Discriminator(nn.Module):
    """An image to a score, and to what else its trunk is good for.

    Args:
        size: width and height of an image.
        channels: of an image.
        width: channels at half the size; twice as many at each smaller one, up to eight times; of "resnet", at every size. Of
            "mlp", the units of a hidden layer.
        norm: "batch" (DCGAN), "spectral" (SN-GAN) or "none" (WGAN-GP).
        body: "dcgan"; "sngan", with a 3 x 3 convolution before each that halves; "resnet"; or "mlp", with maxout and dropout.
        hidden: units of one more layer after the body; 0 for none (InfoGAN has one).
        dropout: share of the units of "mlp" that are left out.
        bias: whether one is added to the score; a difference of scores does not change with it.
        outputs: numbers of the last layer: 1 for a score, more for what is not a discriminator alone.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        width: int,
        norm: Norm,
        body: Body = "dcgan",
        hidden: int = 0,
        dropout: float = 0.0,
        bias: bool = True,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        base, count = start(size)
        widths = [width * min(8, 2**k) for k in range(count)]
        first: Norm = "none" if norm == "batch" else norm
        if body == "dcgan":
            layers = [down(channels, widths[0], first), *(down(a, b, norm) for a, b in itertools.pairwise(widths))]
        elif body == "sngan":
            widths.append(width * min(8, 2**count))
            layers = [nn.Sequential(*conv(channels, width, 3, 1, 1, first), nn.LeakyReLU(0.1))]
            for a, b in itertools.pairwise(widths):
                shrink, same = conv(a, b, 4, 2, 1, norm), conv(b, b, 3, 1, 1, norm)
                layers.append(nn.Sequential(*shrink, nn.LeakyReLU(0.1), *same, nn.LeakyReLU(0.1)))
        elif body == "resnet":
            halved = max(1, count - 1)
            blocks = [
                Resized(width if k else channels, width, norm, "down" if k < halved else "", raw=k == 0)
                for k in range(halved + 2)
            ]
            layers = [nn.Sequential(*blocks, nn.ReLU(), _Sum())]
        else:
            pixels = channels * size**2
            layers = [nn.Sequential(nn.Flatten(), _Maxout(pixels, width, 0.4 * dropout), _Maxout(width, width, dropout))]
        self.body = nn.Sequential(*layers)
        flat = width if body in ("resnet", "mlp") else widths[-1] * base**2
        after: list[nn.Module] = [nn.Flatten()]
        if hidden:
            after += [nn.Unflatten(1, (flat, 1, 1)), *conv(flat, hidden, 1, norm=norm), nn.LeakyReLU(0.1), nn.Flatten()]
        if body == "mlp":
            after.append(nn.Dropout(dropout))
        self.after, self.width = nn.Sequential(*after), hidden or flat
        self.score = linear(self.width, outputs, norm, bias)
        initialise(self)

    def features(self, x: Tensor) -> Tensor:
        """What is seen in images (B, C, S, S): (B, ``width``)."""
        found: Tensor = self.after(self.body(x))
        return found

    def judge(self, features: Tensor) -> Tensor:
        """Scores (B,) of features being those of a real image."""
        scores: Tensor = self.score(features).flatten().float()
        return scores

    def numbers(self, x: Tensor) -> Tensor:
        """The last layer (B, outputs) of images (B, C, S, S)."""
        found: Tensor = self.score(self.features(x)).float()
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B,) of images (B, C, S, S) being real."""
        return self.judge(self.features(x))


class PatchDiscriminator(nn.Module):
    """A score for every patch of an image (pix2pix, Isola et al., CVPR 2017, appendix 6.1.2).

    Args:
        size: width and height of an image.
        channels: of an image.
        width: channels at half the size; twice as many after each layer, up to eight times.
        layers: that halve the image; three see patches of 70 x 70 pixels (C64-C128-C256-C512).

    Raises:
        ValueError: the layers leave too little of the image.
    """

    def __init__(self, size: int, channels: int, width: int, layers: int = 3) -> None:
        super().__init__()
        if layers < 1 or size >> layers < 4:
            raise ValueError(f"--d-layers must be 1 or more and leave 4 x 4 of --size {size}; received {layers}")
        widths = [width * min(8, 2**k) for k in range(layers + 1)]
        parts: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for k, (a, b) in enumerate(itertools.pairwise(widths)):
            parts += [nn.Conv2d(a, b, 4, 2 if k < layers - 1 else 1, 1, bias=False), nn.InstanceNorm2d(b), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B, 1, s, s) of the patches of images (B, C, S, S)."""
        scores: Tensor = self.layers(x).float()
        return scores


class DomainDiscriminator(nn.Module):
    """Scores of the patches of an image, and which domain it is of (StarGAN, Choi et al., CVPR 2018, table 5).

    It halves the image until 2 x 2 are left, at 128 pixels by six layers; there is no normalisation.

    Args:
        size: width and height of an image, a power of two.
        width: channels at half the size; twice as many after each layer, up to 32 times.
        values: how many there are of each attribute.
    """

    def __init__(self, size: int, width: int, values: Sequence[int]) -> None:
        super().__init__()
        widths = [3, *(width * min(32, 2**k) for k in range(scales(size) + 1))]
        pairs = itertools.pairwise(widths)
        self.body = nn.Sequential(*(nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.01)) for a, b in pairs))
        self.patches = nn.Conv2d(widths[-1], 1, 3, 1, 1, bias=False)  # differences of scores do not change with a bias
        self.domain = nn.Conv2d(widths[-1], sum(values), 2, bias=False)
        self.values = tuple(values)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Scores (B, 1, 2, 2) of the patches of images (B, 3, S, S), and of each attribute the logits (B, values)."""
        h = self.body(x)
        return self.patches(h).float(), self.domain(h).flatten(1).float().split(self.values, 1)


def linear(inputs: int, outputs: int, norm: Norm, bias: bool = True) -> nn.Module:
    """A linear layer, spectrally normalised where the others are."""
    layer = nn.Linear(inputs, outputs, bias)
    return spectral_norm(layer) if norm == "spectral" else layer


class _Sum(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        """(B, C, S, S) to (B, C): the sum over all places (SN-GAN, appendix B)."""
        return h.sum((2, 3))


class _Maxout(nn.Module):
    def __init__(self, inputs: int, units: int, dropout: float, pieces: int = 5) -> None:
        super().__init__()
        self.dropout, self.layer, self.pieces = nn.Dropout(dropout), nn.Linear(inputs, units * pieces), pieces

    def forward(self, h: Tensor) -> Tensor:
        """(B, D) to (B, units): the largest of some linear functions (Goodfellow et al., 2013)."""
        found: Tensor = self.layer(self.dropout(h)).unflatten(1, (-1, self.pieces)).amax(2)
        return found


def _plain(norm: Norm) -> Norm:
    return "none" if norm == "batch" else norm
