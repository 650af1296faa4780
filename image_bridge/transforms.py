"""What images become before a network sees them: pure functions of images and of uniform numbers."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK, BELOW = 9, 2  # of the adaptive threshold: pixels, and levels of 255
SQUARES = 30  # that are blanked in a hint
SIDE, BLUR = 50 / 256, 100 / 256  # of a square and of the box, in parts of the width of an image
SHARE = 0.3  # of a hint that somebody drew; the rest is white, as it is of the hints of training on average
HINT = 1 + 2 * SQUARES  # uniform numbers that decide a hint


def grey(x: Tensor) -> Tensor:
    """The luma (B, 1, S, S) of colours (B, 3, S, S) (ITU-R BT.601)."""
    return 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]


def box_blur(x: Tensor, width: int, border: Literal["reflect", "replicate"] = "reflect") -> Tensor:
    """The mean of ``width`` x ``width`` pixels around each; of an even width, one more above and on the left.

    Args:
        x: (B, C, S, S) images, S above half the width.
        width: of the box, in pixels.
        border: what lies outside: the image reflected at its last pixel, or that pixel again.
    """
    before, after = width // 2, width - 1 - width // 2
    x = F.pad(x, (before, after, before, after), border)
    return F.avg_pool2d(F.avg_pool2d(x, (1, width), 1), (width, 1), 1)


def adaptive_threshold(x: Tensor, block: int = BLOCK, below: float = BELOW) -> Tensor:
    """A line drawing of grey images: -1 (black) where a pixel is darker than the mean of its surroundings, 1 (white) elsewhere.

    Args:
        x: (B, 1, S, S) in [-1, 1].
        block: width of the surroundings, in pixels; odd.
        below: how much darker, in levels of 255.
    """
    limit = box_blur(x, block, "replicate") - below / 127.5
    return torch.where(x > limit, 1.0, -1.0)


def blank_squares(x: Tensor, u: Tensor, side: int) -> Tensor:
    """Images with white squares that lie inside them; they may overlap.

    Args:
        x: (B, C, S, S) in [-1, 1].
        u: (B, N, 2) uniform numbers in [0, 1): where the N squares of each image begin.
        side: of a square, in pixels.
    """
    S = x.shape[-1]
    first = (u * (S - side + 1)).long()[..., None]  # (B, N, 2, 1)
    place = torch.arange(S, device=x.device)
    inside = ((place >= first) & (place < first + side)).float()  # (B, N, 2, S)
    blank = inside[:, :, 0].transpose(1, 2) @ inside[:, :, 1] > 0  # (B, S, S)
    return x.masked_fill(blank[:, None], 1.0)


def hints(x: Tensor, u: Tensor, unhinted: float = 0.0) -> Tensor:
    """The colour hints (B, 3, S, S) of images: squares of each are blanked, and what is left is blurred.

    Args:
        x: (B, 3, S, S) in [-1, 1].
        u: (B, HINT) uniform numbers in [0, 1).
        unhinted: share of the images that get none, which is white.
    """
    S = x.shape[-1]
    left = blank_squares(x, u[:, 1:].unflatten(1, (SQUARES, 2)), max(1, round(SIDE * S)))
    return torch.where((u[:, 0] < unhinted)[:, None, None, None], 1.0, box_blur(left, max(1, round(BLUR * S))))


def soft_hints(x: Tensor) -> Tensor:
    """Hints that somebody drew (B, 3, S, S) as those of training are: pale, and blurred as much."""
    return box_blur(SHARE * x + (1 - SHARE), max(1, round(BLUR * x.shape[-1])))


def mosaic(x: Tensor, tile: int) -> Tensor:
    """Images (B, C, S, S) of which every square of ``tile`` x ``tile`` pixels has its mean colour; ``tile`` divides S."""
    return F.interpolate(F.avg_pool2d(x, tile), scale_factor=float(tile), mode="nearest")
