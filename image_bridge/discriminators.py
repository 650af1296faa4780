"""Discriminators of images with their texts; they are used in training only."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from .blocks import Norm, conv, down, initialise, scales, tile


class MatchingDiscriminator(nn.Module):
    """DCGAN's body down to 4 x 4, then the text's code beside every place (GAN-INT-CLS, figure 2; StackGAN, section 3.3).

    Args:
        text: numbers of a sentence vector.
        size: width and height of an image.
        code: numbers of the text's code.
        width: channels at half the size; twice as many at each smaller one, up to eight times.
        norm: "batch" (papers) or "spectral".
        alone: whether there is a head that looks at the image without its text.
    """

    def __init__(self, text: int, size: int, code: int, width: int, norm: Norm, alone: bool) -> None:
        super().__init__()
        widths = [width * min(8, 2**k) for k in range(scales(size))]
        steps = itertools.pairwise(widths)
        self.body = nn.Sequential(down(3, widths[0], "none" if norm == "batch" else norm), *(down(a, b, norm) for a, b in steps))
        self.code = nn.Sequential(nn.Linear(text, code), nn.LeakyReLU(0.2))
        last = widths[-1]
        self.joint = nn.Sequential(
            *conv(last + code, last, 1, norm=norm), nn.LeakyReLU(0.2), *conv(last, 1, 4, norm=_plain(norm))
        )
        self.alone = conv(last, 1, 4, norm=_plain(norm)) if alone else None
        initialise(self)

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
