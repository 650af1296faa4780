"""How far two sets of images lie apart in some features: KID. The Fréchet distance is that of ``textgan.evaluate``."""

from __future__ import annotations

import numpy as np

SUBSETS, LARGEST = 100, 1000  # of KID: how many, and images in one


def mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x . y / D + 1)^3 (Binkowski et al., 2018; Gretton et al., 2012).

    Args:
        x: (n, D) features, n of 2 or more.
        y: (m, D) others, m of 2 or more.

    Returns:
        about 0 for sets of the same kind, also below it.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    (n, d), m = x.shape, len(y)
    xx, yy, xy = (((a @ b.T) / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def kid(x: np.ndarray, y: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Kernel inception distance (Binkowski et al., 2018): the mean of ``mmd2`` over random subsets, and its spread.

    Args:
        x: (n, D) features of images.
        y: (m, D) of others.
        seed: decides the subsets; each has half of the smaller set, at most LARGEST, so that subsets differ.

    Returns:
        the mean over the subsets and their standard deviation; no numbers with fewer than four images of a kind.
    """
    size = min(LARGEST, len(x) // 2, len(y) // 2)
    if size < 2:
        return float("nan"), float("nan")
    r = np.random.default_rng(seed)
    found = [mmd2(*(a[r.choice(len(a), size, replace=False)] for a in (x, y))) for _ in range(SUBSETS)]
    return float(np.mean(found)), float(np.std(found))
