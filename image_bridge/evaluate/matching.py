"""R-precision: is an image's own caption found among others? A matcher of images and captions, trained on real pairs, looks."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..blocks import Trunk
from ..captions import meanings, split_words
from ..images import ImageData
from .judges import kept

OTHERS = 99  # captions that an image's own is found among (Xu et al., 2018)
SPACE = 64  # numbers of an image's and of a caption's vector
TERMS = 20_000  # commonest words and pairs of words
BATCH = 128


def terms(caption: str) -> list[str]:
    """The words of a caption and its pairs of neighbouring words."""
    words = split_words(caption)
    return [*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))]


class Matcher(nn.Module):
    """Vectors of images and of captions, near each other where they belong together.

    It reads words and pairs of words, not an encoder's vectors: the same matcher judges runs with any encoder.

    Args:
        size: width and height of the images.
        known: words and pairs of words that it reads.
    """

    def __init__(self, size: int, known: Sequence[str]) -> None:
        super().__init__()
        self.index = {term: k for k, term in enumerate(known)}
        self.features = Trunk(size)
        width = self.features.width
        self.of_image = nn.Linear(width, SPACE)
        self.words = nn.EmbeddingBag(len(known), width, mode="mean")
        self.of_caption = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, SPACE))
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, SPACE) of length 1 of images (B, 3, S, S)."""
        return F.normalize(self.of_image(self.features(x)), dim=1)

    def captions(self, sentences: Sequence[str]) -> Tensor:
        """Vectors (n, SPACE) of length 1; words that it does not know change nothing."""
        found = [[self.index[t] for t in terms(sentence) if t in self.index] for sentence in sentences]
        starts = np.cumsum([0, *(len(ids) for ids in found[:-1])])
        ids = np.array([k for some in found for k in some], dtype=np.int64)
        device = self.words.weight.device
        mean = self.words(torch.from_numpy(ids).to(device), torch.from_numpy(starts).to(device))
        return F.normalize(self.of_caption(mean), dim=1)


def matcher(
    data: ImageData, packed: np.ndarray, device: torch.device, tell: Callable[[int, int], None] = lambda done, total: None
) -> Matcher:
    """The matcher of a data set, trained on its training pairs by InfoNCE both ways, or from its cache.

    Args:
        data: images with captions.
        packed: all images, (N, S, S, 3).
        device: where it runs.
        tell: is called with the images seen in training and those to see.
    """
    counts = Counter(t for i in np.flatnonzero(~data.held_out) for caption in data.captions[i] for t in terms(caption))
    known = sorted(counts, key=lambda t: (-counts[t], t))[:TERMS]
    meaning = torch.from_numpy(meanings(data)).to(device)
    r = np.random.default_rng(0)

    def loss(judge: Matcher, indices: np.ndarray, x: Tensor) -> Tensor:
        captions = [data.captions[i][r.integers(len(data.captions[i]))] for i in indices]
        scores = judge.log_scale.exp() * judge(x) @ judge.captions(captions).T  # (images, captions)
        means = meaning[torch.from_numpy(indices).to(device)]
        alike = (means[:, None] == means) & ~torch.eye(len(means), dtype=torch.bool, device=device)  # neither right nor wrong
        scores = scores.masked_fill(alike, -torch.inf)
        own = torch.arange(len(means), device=device)
        return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2

    return kept("matcher", data, packed, lambda: Matcher(packed.shape[1], known or [""]), loss, device, BATCH, tell)


def other_captions(
    captions: Sequence[str],
    meaning: np.ndarray,
    pool: Sequence[str],
    pool_meaning: np.ndarray,
    count: int = OTHERS,
    seed: int = 0,
) -> np.ndarray:
    """For each caption, others of a pool that say something else.

    Args:
        captions: n sentences.
        meaning: (n,) what each means, as a number; -1 where that is not known, and another sentence is enough.
        pool: m sentences.
        pool_meaning: (m,) what they mean.
        count: how many others are wanted.
        seed: decides which.

    Returns:
        (n, k) numbers of sentences of the pool, all different in a row; k is ``count``, or fewer where the pool has not as many
        for every caption.
    """
    r = np.random.default_rng(seed)
    text = {caption: k for k, caption in enumerate(dict.fromkeys(pool))}
    texts = np.array([text[caption] for caption in pool], dtype=np.int64)
    rows = []
    for caption, means in zip(captions, meaning, strict=True):
        order = r.permutation(len(pool))
        allowed = order[(pool_meaning[order] != means) & (texts[order] != text.get(caption, -1))]
        rows.append(allowed[np.sort(np.unique(texts[allowed], return_index=True)[1])][:count])
    least = min(len(row) for row in rows)
    return np.stack([row[:least] for row in rows])


def r_precision(images: np.ndarray, own: np.ndarray, pool: np.ndarray, others: np.ndarray) -> float:
    """Share of images whose own caption is nearer than all others (Xu et al., 2018, section 4).

    Args:
        images: (n, D) vectors of length 1.
        own: (n, D) those of their captions.
        pool: (m, D) those of other captions.
        others: (n, k) the captions of the pool that each image's own is compared with.

    Returns:
        a share; guessing gives 1 / (k + 1).
    """
    right = (images * own).sum(1)
    wrong = np.stack([pool[row] @ image for row, image in zip(others, images, strict=True)])  # (n, k)
    return float((right > wrong.max(1, initial=-np.inf)).mean())
