"""Discriminators of images with their texts; they are used in training only."""

from __future__ import annotations

import itertools
from typing import Literal

from torch import Tensor, nn

from .blocks import Norm, bottleneck, conv, down, initialise, scales, tile


class MatchingDiscriminator(nn.Module):
    """An image down to 4 x 4, then the text's code beside every place (GAN-INT-CLS, figure 2; StackGAN, section 3.3).

    Args:
        text: numbers of a sentence vector; or of the code itself, with the body of stackgan_v2.
        size: width and height of an image.
        code: numbers of the text's code; 0 for a discriminator that knows no text.
        width: channels at half the size; twice as many at each smaller one, up to eight times.
        norm: "batch" (papers) or "spectral".
        alone: whether there is a head that looks at the image without its text.
        body: "dcgan"; "stackgan", which doubles its channels down to 4 x 4, comes back to eight times by 1 x 1 and has a residual
            block; or "stackgan_v2", which comes back by 3 x 3, joins the text by 3 x 3, and whose text comes as G's code.
    """

    def __init__(
        self, text: int, size: int, code: int, width: int, norm: Norm, alone: bool,
        body: Literal["dcgan", "stackgan", "stackgan_v2"] = "dcgan",
    ) -> None:  # fmt: skip
        super().__init__()
        most, kernel = 8 if body == "dcgan" else 32, 3 if body == "stackgan_v2" else 1
        widths = [width * min(most, 2**k) for k in range(scales(size))]
        steps = itertools.pairwise(widths)
        layers = [down(3, widths[0], "none" if norm == "batch" else norm), *(down(a, b, norm) for a, b in steps)]
        last = widths[-1]
        while last > 8 * width:
            layers.append(nn.Sequential(*conv(last, last // 2, kernel, 1, kernel // 2, norm), nn.LeakyReLU(0.2)))
            last //= 2
        if body == "stackgan":
            layers.append(nn.Sequential(bottleneck(last, max(1, last // 4), norm, lambda: nn.LeakyReLU(0.2))))
        self.body = nn.Sequential(*layers)
        if code:
            given = body == "stackgan_v2"
            self.code = nn.Identity() if given else nn.Sequential(nn.Linear(text, code), nn.LeakyReLU(0.2))
            self.joint = nn.Sequential(
                *conv(last + code, last, kernel, 1, kernel // 2, norm), nn.LeakyReLU(0.2), *conv(last, 1, 4, norm=_plain(norm))
            )
        self.alone = conv(last, 1, 4, norm=_plain(norm)) if alone else None
        initialise(self, "orthogonal" if body == "stackgan_v2" else "normal")

    def features(self, x: Tensor) -> Tensor:
        """What is seen in images (B, 3, S, S): (B, C, 4, 4)."""
        found: Tensor = self.body(x)
        return found

    def matches(self, features: Tensor, text: Tensor) -> Tensor:
        """Scores (B,) of images being real and of this text (B, D)."""
        scores: Tensor = self.joint(tile(features, self.code(text))).flatten().float()
        return scores

    def is_real(self, features: Tensor) -> Tensor:
        """Scores (B,) of images being real, whatever the text."""
        assert self.alone is not None
        scores: Tensor = self.alone(features).flatten().float()
        return scores


def _plain(norm: Norm) -> Norm:
    return "none" if norm == "batch" else norm
