"""MS-SSIM: how alike two images are in structure; between images of one caption it tells how little a generator varies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .judges import pixels

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first (Wang et al., 2003)
WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03


def scales(size: int) -> int:
    """At how many scales images of this width are compared: five, or as many as the window fits in, at least one."""
    return max(1, sum(size >> k >= WINDOW for k in range(len(WEIGHTS))))


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik, 2003) of pairs of images, the mean of the three colours.

    Small images have fewer than five scales, with the weights of the first ones divided by their sum; where an image is narrower
    than the window of 11 pixels, the window is as wide as it (less one where that is even). Contrasts below zero count as zero.

    Args:
        x: (n, 3, S, S) in [-1, 1].
        y: as many others.

    Returns:
        (n,), 1 for equal images.
    """
    x, y = (x.double() + 1) / 2, (y.double() + 1) / 2
    levels = scales(x.shape[-1])
    weights = torch.tensor(WEIGHTS[:levels], dtype=x.dtype, device=x.device)
    width = min(WINDOW, x.shape[-1] - 1 + x.shape[-1] % 2)
    bell = torch.exp(-0.5 * ((torch.arange(width, device=x.device, dtype=x.dtype) - width // 2) / SIGMA) ** 2)
    bell = bell / bell.sum()

    def local(a: Tensor) -> Tensor:  # the mean under the window, where it fits
        a = F.conv2d(a, bell.view(1, 1, -1, 1).expand(3, 1, -1, 1), groups=3)
        return F.conv2d(a, bell.view(1, 1, 1, -1).expand(3, 1, 1, -1), groups=3)

    parts = []
    for level in range(levels):
        mx, my = local(x), local(y)
        vx, vy, cov = local(x * x) - mx * mx, local(y * y) - my * my, local(x * y) - mx * my
        contrast = (2 * cov + K2**2) / (vx + vy + K2**2)
        if level == levels - 1:
            contrast = contrast * (2 * mx * my + K1**2) / (mx * mx + my * my + K1**2)
        parts.append(contrast.mean((2, 3)).clamp(min=0))  # (n, 3)
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    powers = torch.stack(parts, -1) ** (weights / weights.sum())
    found: Tensor = powers.prod(-1).mean(1)
    return found


def likeness(groups: Sequence[np.ndarray]) -> float:
    """Mean MS-SSIM over all pairs of images of a group, then over the groups; no number where no group has a pair.

    Args:
        groups: each (k, S, S, 3) bytes: images of one caption.
    """
    means = []
    for group in groups:
        first, second = np.triu_indices(len(group), 1)
        if len(first):
            x = pixels(group)
            means.append(float(ms_ssim(x[first], x[second]).mean()))
    return float(np.mean(means)) if means else float("nan")
