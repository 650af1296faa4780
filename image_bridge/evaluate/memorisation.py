"""Has a generator learnt its training images by heart? The nearest of them to each sample, in features and in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..grids import grid
from .judges import pixels

COMPARED = 32  # pixels are compared at this width at most
PIECE = 256  # images at a time
SHOWN = 12  # samples in the picture


def nearest(queries: Tensor, among: Callable[[int, int], Tensor], count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each query the nearest of ``count`` vectors.

    Args:
        queries: (n, D).
        among: gives the vectors number a to b, (b - a, D).
        count: how many there are, 1 or more.

    Returns:
        (n,) their numbers, and (n,) the Euclidean distances.
    """
    best, found = torch.full((len(queries),), torch.inf, dtype=queries.dtype), torch.zeros(len(queries), dtype=torch.long)
    for start in range(0, count, PIECE):
        some = among(start, min(start + PIECE, count))
        near = torch.cdist(queries, some, compute_mode="use_mm_for_euclid_dist").min(1)
        closer = near.values < best
        best, found = torch.where(closer, near.values, best), torch.where(closer, near.indices + start, found)
    exact = [torch.cat([among(int(i), int(i) + 1) for i in some]) for some in found.split(PIECE)]  # products round more
    distances = torch.cat([(a - b).norm(dim=1) for a, b in zip(queries.split(PIECE), exact, strict=True)])
    return found.numpy(), distances.numpy()


def coarse(images: np.ndarray) -> Tensor:
    """Images (n, S, S, 3) as vectors whose distance is the root mean square difference of pixels; black to white is 1."""
    rows = []
    for start in range(0, len(images), PIECE):
        x = pixels(images[start : start + PIECE]) / 2
        x = F.interpolate(x, (COMPARED, COMPARED), mode="area") if x.shape[-1] > COMPARED else x
        rows.append(x.flatten(1) / x[0].numel() ** 0.5)
    return torch.cat(rows)


def mean_image(packed: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The mean (S, S, 3), as bytes, of the images ``chosen`` among ``packed``."""
    parts = [packed[chosen[k : k + PIECE]].sum(0, dtype=np.float64) for k in range(0, len(chosen), PIECE)]
    image: np.ndarray = (np.sum(parts, 0) / len(chosen)).round().astype(np.uint8)
    return image


def nearest_pixels(
    images: np.ndarray, packed: np.ndarray, chosen: np.ndarray, tell: Callable[[int, int], None] = lambda done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    """For each image (n, S, S, 3) the nearest of images ``chosen`` among ``packed`` in pixels: numbers in packed, distances."""

    def among(a: int, b: int) -> Tensor:
        if b - a > 1:
            tell(b, len(chosen))
        return coarse(packed[chosen[a:b]])

    found, distances = nearest(coarse(images), among, len(chosen))
    return chosen[found], distances


def beside_nearest(rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str], headings: Sequence[str]) -> Image.Image:
    """A picture with a row for each sample: it, and the training images nearest to it, each (S, S, 3)."""
    return grid(rows, captions, max(1, 64 // rows[0][0].shape[0]), headings)
