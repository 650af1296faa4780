"""Data order as a function of (seed, step): any batch can be had alone, and no more than a window of an order is ever stored."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .workers import Workers, fold

WINDOW = 64  # batches whose order is made at once; making that of one takes as long as reading its rows


def permuted(indices: np.ndarray, size: int, seed: int) -> np.ndarray:
    """The images of ``indices`` under a pseudo-random permutation of range(size) that needs no memory.

    A four-round Feistel network on the smallest even number of bits that holds ``size``; images outside the range walk on
    along their cycle until they fall inside (Black and Rogaway, 2002).
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    keys = [np.uint64(fold(seed, i)) for i in range(4)]
    result = np.asarray(indices, dtype=np.uint64).copy()
    outside = np.ones(len(result), dtype=bool)
    while outside.any():
        value = result[outside]
        left, right = value >> np.uint64(half), value & mask
        for key in keys:
            mixed = (right + key) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
            left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
        result[outside] = left << np.uint64(half) | right
        outside[outside] = result[outside] >= size
    return result.astype(np.int64)


class Batches:
    """``batches[step]`` is a batch of rows: every epoch passes over all of them once, in an order of its own.

    Args:
        rows: gives the rows (n, ...) for an array of n indices.
        size: number of rows there are.
        batch_size: rows a step takes over the whole group; each process gets its part.
        seed: with the step, decides the order.
        workers: the group.
    """

    def __init__(self, rows: Callable[[np.ndarray], np.ndarray], size: int, batch_size: int, seed: int, workers: Workers) -> None:
        if size < 1 or batch_size < 1:
            raise ValueError(f"at least one row and one a batch are needed; received {size} rows, batch {batch_size}")
        self.rows, self.size, self.batch_size, self.seed, self.workers = rows, size, batch_size, seed, workers
        self.local = workers.shard(batch_size)
        self.per_epoch = -(-size // batch_size)
        self._order: tuple[tuple[int, int], np.ndarray] | None = None  # a cache: a function of (seed, epoch, window)

    def indices(self, step: int) -> np.ndarray:
        """Indices (local batch,) of a step; the last batch of an epoch is filled from the start of the same order."""
        return self._at(step, 0)

    def following(self, step: int) -> np.ndarray:
        """The same, each one place further on in the order of the epoch: another row for every row."""
        return self._at(step, 1)

    def _at(self, step: int, ahead: int) -> np.ndarray:
        epoch, position = divmod(step, self.per_epoch)
        number, place = divmod(position, WINDOW)
        if self._order is None or self._order[0] != (epoch, number):
            start = number * WINDOW * self.batch_size
            batches = min(WINDOW, self.per_epoch - number * WINDOW)
            places = np.arange(start, start + batches * self.batch_size + 1) % self.size
            self._order = ((epoch, number), permuted(places, self.size, fold(self.seed, epoch)))
        start = place * self.batch_size + self.workers.rank * self.local + ahead
        return self._order[1][start : start + self.local].copy()

    def __getitem__(self, step: int) -> Tensor:
        batch = torch.from_numpy(self.rows(self.indices(step)))
        if self.workers.device.type == "cuda":
            return batch.pin_memory().to(self.workers.device, non_blocking=True)
        return batch.to(self.workers.device)


class Bucketed(Batches):
    """Batches of rows of nearly equal length: each window of 100 batches is sorted by ``keys``, then its batches are shuffled.

    Args:
        rows: see Batches.
        size: see Batches.
        batch_size: see Batches.
        seed: see Batches.
        workers: see Batches.
        keys: gives the numbers (n,) to sort by for an array of n indices.
        window: batches that are sorted together.
    """

    def __init__(
        self,
        rows: Callable[[np.ndarray], np.ndarray],
        size: int,
        batch_size: int,
        seed: int,
        workers: Workers,
        keys: Callable[[np.ndarray], np.ndarray],
        window: int = 100,
    ) -> None:
        super().__init__(rows, size, batch_size, seed, workers)
        self.keys, self.window = keys, window
        self._sorted: tuple[tuple[int, int], np.ndarray] | None = None  # a cache: a function of (seed, epoch, window)

    def indices(self, step: int) -> np.ndarray:
        """Indices (local batch,) of a step; the last batch of an epoch is filled from the start of its window."""
        epoch, position = divmod(step, self.per_epoch)
        number, place = divmod(position, self.window)
        batches = min(self.window, self.per_epoch - number * self.window)
        if self._sorted is None or self._sorted[0] != (epoch, number):
            start = number * self.window * self.batch_size
            stop = min(self.size, start + batches * self.batch_size)
            places = start + np.arange(batches * self.batch_size) % (stop - start)
            members = permuted(places, self.size, fold(self.seed, epoch))
            self._sorted = ((epoch, number), members[self.keys(members).argsort(kind="stable")])
        which = int(permuted(np.array([place]), batches, fold(self.seed, epoch, number, 1))[0])
        start = which * self.batch_size + self.workers.rank * self.local
        return self._sorted[1][start : start + self.local]
