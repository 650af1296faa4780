"""The captions that images are judged by: what they name, and which others mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from textgan.errors import UserError
from textgan.runtime.workers import fold

from ..captions import ClassNames, meanings
from ..images import ImageData
from .attributes import named


@dataclass(frozen=True)
class Texts:
    """Captions of n images.

    Attributes:
        captions: a sentence each.
        wanted: the attributes that each names.
        meaning: (n,) numbers that captions with the same meaning share; -1 where that is not known.
        images: (n,) the numbers of the data's images that they were written for; -1 for those of other images.
        rows: (n,) which of all captions of the data they are, counted through; -1 for those of others.
    """

    captions: list[str]
    wanted: list[Mapping[str, str]]
    meaning: np.ndarray
    images: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, chosen: slice | np.ndarray) -> Texts:
        """Some of them."""
        numbers = np.arange(len(self))[chosen]
        return Texts(
            [self.captions[i] for i in numbers], [self.wanted[i] for i in numbers], self.meaning[chosen], self.images[chosen],
            self.rows[chosen],
        )  # fmt: skip


def attributes_of(data: ImageData, image: int) -> dict[str, str]:
    """What an image of a data set shows, by name."""
    return {name: words[numbers[image]] for name, (numbers, words) in data.attributes.items() if numbers[image] >= 0}


def held_out_texts(data: ImageData, n: int, seed: int = 0, labels: bool = False) -> Texts:
    """Captions of held-out images in a random order, every image once before any comes twice; one at random of each image's.

    Args:
        data: images with captions.
        n: how many.
        seed: decides which.
        labels: the generator is told all attributes, whatever the caption names: all are wanted.

    Raises:
        UserError: no image is held out.
    """
    held, r = held_out_images(data), np.random.default_rng(fold(seed, 5))
    images = np.concatenate([r.permutation(held) for _ in range(-(-n // len(held)))])[:n]
    first = np.cumsum([0, *(len(some) for some in data.captions)])
    u = np.random.default_rng(fold(seed, 6)).random(n)
    which = (u * np.diff(first)[images]).astype(np.int64)
    captions = [data.captions[i][k] for i, k in zip(images, which, strict=True)]
    shows = [attributes_of(data, i) for i in images]
    wanted: list[Mapping[str, str]] = [s if labels else named(c, s) for c, s in zip(captions, shows, strict=True)]
    return Texts(captions, wanted, meanings(data)[images], images, first[images] + which)


def class_texts(data: ImageData, n: int, names: ClassNames, seed: int = 0) -> Texts:
    """The classes of held-out images in a random order, each as a caption of a word; without classes empty captions.

    Args:
        data: images, with classes where the generator is told them.
        n: how many; every image comes once before any comes twice.
        names: what the generator is told.
        seed: decides which.

    Raises:
        UserError: no image is held out, or the data have not the classes.
    """
    held, r = held_out_images(data), np.random.default_rng(fold(seed, 5))
    images = np.concatenate([r.permutation(held) for _ in range(-(-n // len(held)))])[:n]
    kinds, words = data.classes(names.label) if names.words else (np.zeros(len(data), dtype=np.int64), ("",))
    if names.words and words != names.words:
        raise UserError(
            f"the {names.label} of images in {data.path} is one of {', '.join(words)}; expected {', '.join(names.words)}, as the "
            "generator was trained on; give the --data that it was trained on"
        )
    captions = [words[kinds[i]] for i in images]
    wanted: list[Mapping[str, str]] = [{names.label: word} if word else {} for word in captions]
    return Texts(captions, wanted, kinds[images], images, np.full(n, -1))


def held_out_images(data: ImageData) -> np.ndarray:
    """Numbers of the held-out images.

    Raises:
        UserError: there is none.
    """
    held = data.usable(held_out=True)
    if not len(held):
        raise UserError(
            f'{data.path} holds no image out; expected some with "split": "test" in metadata.jsonl, or more images (one in '
            "ten is held out where nothing is said)"
        )
    return held


def folder_texts(samples: ImageData, data: ImageData) -> Texts:
    """The captions of a folder of samples: the first of each image.

    What they name and mean is what the folder's own metadata say, else what is known of the image of the data with this caption.
    """
    known = {caption: i for i, some in enumerate(data.captions) for caption in some}
    meaning = meanings(data)
    captions = [some[0] for some in samples.captions]
    origin = [known.get(caption, -1) for caption in captions]
    shows = [attributes_of(samples, k) or (attributes_of(data, i) if i >= 0 else {}) for k, i in enumerate(origin)]
    wanted: list[Mapping[str, str]] = [named(c, s) for c, s in zip(captions, shows, strict=True)]
    none = np.full(len(captions), -1)
    means = np.array([meaning[i] if i >= 0 else -1 for i in origin])
    return Texts(captions, wanted, means, none, none)
