"""Distances between two sets of sentence vectors: Fréchet distance, precision and recall, density and coverage, MAUVE."""

from __future__ import annotations

import numpy as np
import torch


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Fréchet distance of two normal distributions with the means and covariances of x and y (Heusel et al., 2017).

    With vectors of a sentence encoder it is the Fréchet embedding distance of text GANs (de Masson d'Autume et al., 2019).
    It depends on how many vectors there are: compare sets of the same sizes only, beside the distance of two sets of real text.

    Args:
        x: (n, D) vectors.
        y: (m, D) vectors.

    Returns:
        the squared distance, 0 or more.
    """
    (mean_x, cov_x), (mean_y, cov_y) = _moments(x), _moments(y)
    values, vectors = torch.linalg.eigh(cov_x)
    root = vectors * values.clamp(min=0).sqrt()  # root @ root.T is the covariance; rank may be lacking
    middle = torch.linalg.eigvalsh(root.T @ cov_y @ root).clamp(min=0).sqrt().sum()  # the trace of (C_x C_y)^(1/2)
    distance = (mean_x - mean_y).square().sum() + cov_x.trace() + cov_y.trace() - 2 * middle
    return max(0.0, float(distance))


def _moments(x: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    given = torch.from_numpy(np.asarray(x, dtype=np.float64))
    mean = given.mean(0)
    centred = given - mean
    return mean, centred.T @ centred / max(1, len(given) - 1)


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 5, piece: int = 1024) -> dict[str, float]:
    """Improved precision and recall (Kynkäänniemi et al., 2019), density and coverage (Naeem et al., 2020).

    Args:
        real: (n, D) vectors of real sentences.
        fake: (m, D) vectors of generated ones.
        k: neighbours that draw the balls around every vector.
        piece: rows compared at a time.

    Returns:
        ``precision``: share of fakes inside the ball of a real; ``recall``: share of reals in the ball of a fake; ``density``:
        how many balls of reals a fake lies in, over k; ``coverage``: share of reals with a fake in theirs. A ball ends at the
        k-th neighbour of its own kind; not a number with fewer than k + 1 of a kind.
    """
    names = ("precision", "recall", "density", "coverage")
    if min(len(real), len(fake)) <= k:
        return dict.fromkeys(names, float("nan"))
    x, y = (torch.from_numpy(np.asarray(points, dtype=np.float64)) for points in (real, fake))

    def radii(points: torch.Tensor) -> torch.Tensor:  # of itself a point is the nearest neighbour
        return torch.cat([torch.cdist(part, points).kthvalue(k + 1).values for part in points.split(piece)])

    around_real, around_fake = radii(x), radii(y)
    inside = torch.zeros(len(y), dtype=torch.long)  # balls of reals around each fake
    covered, recalled = [], []
    for part, radius in zip(x.split(piece), around_real.split(piece), strict=True):
        far = torch.cdist(part, y)  # (piece, m)
        within = far < radius[:, None]
        inside += within.sum(0)
        covered.append(within.any(1))
        recalled.append((far < around_fake).any(1))
    values = (
        (inside > 0).float().mean(),
        torch.cat(recalled).float().mean(),
        inside.float().mean() / k,
        torch.cat(covered).float().mean(),
    )
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def mauve(real: np.ndarray, fake: np.ndarray, seed: int = 0) -> float:
    """MAUVE (Pillutla et al., 2021) of two sets of vectors, by the library ``mauve-text``; 1 where they are alike.

    It groups the vectors by k-means, and is steady from some thousand of them on.

    Raises:
        ModuleNotFoundError: the library is not installed (``pip install textgan[mauve]``).
    """
    from mauve import compute_mauve

    found = compute_mauve(p_features=np.asarray(real), q_features=np.asarray(fake), seed=seed, verbose=False)
    return float(found.mauve)
