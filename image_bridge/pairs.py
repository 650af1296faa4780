"""Minibatches of images with their texts and with wrong ones, as a function of the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from textgan.errors import UserError
from textgan.runtime import Batches, Workers
from textgan.runtime.workers import fold

from .captions import CaptionVectors, meanings
from .images import ImageData

Wrong = Literal["roll", "random", "class"]
DRAWN = 4  # images among which one of another class is looked for
SHARE = 4  # part of a GPU's free memory that the images may take


@dataclass(frozen=True)
class Pairs:
    """A minibatch.

    Attributes:
        real: (B, C, S, S) images in [-1, 1].
        text: (B, D) vectors of their captions.
        wrong: (B, D) vectors of captions of other images.
        mismatched: (B,) float, 1 where the other caption is not true of the image as well.
    """

    real: Tensor
    text: Tensor
    wrong: Tensor
    mismatched: Tensor


class Pixels:
    """Packed images as tensors in [-1, 1]; they lie on the GPU as bytes when they fit there."""

    def __init__(self, packed: np.ndarray, device: torch.device) -> None:
        self.packed, self.device = packed, device
        self.held: Tensor | None = None
        if device.type == "cuda" and packed.nbytes < torch.cuda.mem_get_info(device)[0] // SHARE:
            self.held = torch.from_numpy(np.ascontiguousarray(packed)).to(device)

    def __call__(self, indices: np.ndarray) -> Tensor:
        """Images (n, 3, S, S), channels last in memory."""
        if self.held is not None:
            chosen = self.held[torch.from_numpy(indices).pin_memory().to(self.device, non_blocking=True)]
        else:
            chosen = torch.from_numpy(self.packed[indices])
            if self.device.type == "cuda":
                chosen = chosen.pin_memory()
            chosen = chosen.to(self.device, non_blocking=True)
        return chosen.permute(0, 3, 1, 2).float() / 127.5 - 1


def toned(x: Tensor, channels: int) -> Tensor:
    """Images (B, 3, S, S) in colour, or (B, 1, S, S) their grey."""
    return x if channels == x.shape[1] else x.mean(1, keepdim=True)


class TrainingImages:
    """The images that an algorithm trains on.

    Args:
        data: images and captions.
        packed: the images at each size.
        workers: the group of processes.
        seed: decides the order.

    Attributes:
        chosen: numbers of the images to train on.
        meaning: (N,) a number for what each image shows.
    """

    def __init__(self, data: ImageData, packed: dict[int, np.ndarray], workers: Workers, seed: int = 0) -> None:
        self.data, self.workers, self.seed = data, workers, seed
        self.chosen = data.usable(held_out=False)
        if len(self.chosen) < 2:
            raise UserError(f"{data.path} has {len(self.chosen)} images to train on; expected two or more")
        self.pixels = {size: Pixels(array, workers.device) for size, array in packed.items()}
        self.meaning = meanings(data)

    def minibatches(self, size: int, batch: int, channels: int, label: str = "") -> ImageBatches:
        """Minibatches of images of this size; with the classes that the attribute ``label`` says, where one is named."""
        return ImageBatches(self, self.pixels[size], batch, channels, self.data.classes(label)[0] if label else None)

    def domains(self, label: str, names: Sequence[str], size: int, batch: int) -> list[ImageBatches]:
        """Minibatches of images of each domain, each in an order of its own; the attribute ``label`` says which is of which.

        Raises:
            UserError: a domain has fewer than two images to train on.
        """
        numbers, words = self.data.attributes[label]
        found = []
        for k, name in enumerate(names):
            own = self.chosen[numbers[self.chosen] == words.index(name)]
            if len(own) < 2:
                raise UserError(f"{self.data.path} has {len(own)} images of {label} {name} to train on; expected two or more")
            found.append(ImageBatches(self, self.pixels[size], batch, 3, None, own, fold(self.seed, 5, k)))
        return found


class ImageBatches:
    """``batches[i]`` is the i-th minibatch of this process: images (B, C, S, S) in [-1, 1], C of 3, or 1 for their grey.

    Args:
        source: the images.
        pixels: at one size.
        batch: images a step, over all processes.
        channels: 3, or 1.
        kinds: (N,) the class of each, where they have one.
        chosen: numbers of the images; all that are trained on when absent.
        seed: decides the order; the source's when absent.
    """

    def __init__(
        self, source: TrainingImages, pixels: Pixels, batch: int, channels: int, kinds: np.ndarray | None,
        chosen: np.ndarray | None = None, seed: int | None = None,
    ) -> None:  # fmt: skip
        self.source, self.pixels, self.channels, self.kinds = source, pixels, channels, kinds
        self.chosen = source.chosen if chosen is None else chosen
        self.order = Batches(lambda i: i, len(self.chosen), batch, source.seed if seed is None else seed, source.workers)
        self.per_epoch = self.order.per_epoch

    def __getitem__(self, i: int) -> Tensor:
        return toned(self.pixels(self.chosen[self.order.indices(i)]), self.channels)

    def labels(self, i: int) -> Tensor:
        """The classes (B,) of the same images."""
        assert self.kinds is not None
        found = torch.from_numpy(self.kinds[self.chosen[self.order.indices(i)]])
        return found.to(self.source.workers.device, non_blocking=True)


class PairData(TrainingImages):
    """Images with the vectors of their captions: minibatches of pairs, and the captions that samples are drawn for.

    Args:
        data: images and captions.
        captions: their vectors.
        packed: the images at each size.
        workers: the group of processes.
        wrong: where a wrong text comes from: the next image of the epoch's order, any other one, or one of another class.
        mean_of: captions of an image whose vectors are averaged.
        seed: decides the order.

    Attributes:
        raw_mean: (D,) mean of the training captions' vectors.
        raw_std: (D,) their spread.
    """

    def __init__(
        self, data: ImageData, captions: CaptionVectors, packed: dict[int, np.ndarray], workers: Workers,
        *, wrong: Wrong = "roll", mean_of: int = 1, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(data, packed, workers, seed)
        self.captions, self.wrong, self.mean_of = captions, wrong, mean_of
        if wrong == "class":
            if "class" not in data.attributes:
                known = ", ".join(data.attributes) or "none"
                raise UserError(f"--wrong class needs an attribute called class; {data.path} has {known}")
            self.kind = data.attributes["class"][0]
        self.raw_mean, self.raw_std = torch.from_numpy(captions.mean), torch.from_numpy(captions.std)
        self.mean, self.std = self.raw_mean.to(workers.device), self.raw_std.to(workers.device)

    @property
    def dimension(self) -> int:
        """Numbers in a sentence vector."""
        return self.captions.dimension

    def batches(self, size: int, batch: int, channels: int = 3) -> PairBatches:
        """Minibatches of images of this size, in colour or grey."""
        return PairBatches(self, self.pixels[size], batch, channels)

    def standard(self, raw: np.ndarray) -> Tensor:
        """Vectors (n, D) on the device, less their mean over the training captions, divided by their spread."""
        vectors = torch.from_numpy(raw)
        if self.workers.device.type == "cuda":
            vectors = vectors.pin_memory()
        return (vectors.to(self.workers.device, non_blocking=True) - self.mean) / self.std


class PairBatches:
    """``batches[i]`` is the i-th minibatch of this process."""

    def __init__(self, source: PairData, pixels: Pixels, batch: int, channels: int) -> None:
        self.source, self.pixels, self.channels = source, pixels, channels
        self.order = Batches(lambda i: i, len(source.chosen), batch, source.seed, source.workers)
        self.other = Batches(lambda i: i, len(source.chosen), batch, fold(source.seed, 1), source.workers)
        self.per_epoch, self.batch = self.order.per_epoch, batch

    def __getitem__(self, i: int) -> Pairs:
        source, local = self.source, self.order.local
        here = slice(source.workers.rank * local, (source.workers.rank + 1) * local)
        r = np.random.default_rng(fold(source.seed, 2, i))
        u, u_wrong, which = (r.random((self.batch, k))[here] for k in (source.mean_of, source.mean_of, DRAWN))
        images = source.chosen[self.order.indices(i)]
        others = self._others(i, images, which)
        mismatched = source.meaning[images] != source.meaning[others]
        device = source.workers.device
        return Pairs(
            toned(self.pixels(images), self.channels),
            source.standard(source.captions.pick(images, u, source.mean_of)),
            source.standard(source.captions.pick(others, u_wrong, source.mean_of)),
            torch.from_numpy(mismatched.astype(np.float32)).to(device, non_blocking=True),
        )

    def _others(self, i: int, images: np.ndarray, which: np.ndarray) -> np.ndarray:
        source = self.source
        if source.wrong == "roll":  # the next one in the order of the epoch
            found: np.ndarray = source.chosen[self.order.following(i)]
            return found
        if source.wrong == "random":
            found = source.chosen[self.other.indices(i)]
            return found
        drawn = source.chosen[(which * len(source.chosen)).astype(np.int64)]  # (B, DRAWN)
        differs = source.kind[drawn] != source.kind[images][:, None]
        found = drawn[np.arange(len(images)), differs.argmax(1)]  # where none differs, the first, which is masked
        return np.where(differs.any(1), found, images)
