"""What training shows of itself: a grid of images for fixed captions and fixed noise."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import nn

from textgan.runtime import Player, Stage, Workers, frozen
from textgan.runtime.batches import permuted
from textgan.runtime.workers import fold

from .captions import ClassNames
from .evaluate.drawing import as_bytes
from .generators import Generator, Translator
from .grids import grid
from .pairs import PairData, TrainingImages

ROWS, COLUMNS = 8, 8  # captions, and images that are drawn of each
LEAST, MOST = 64, 128  # pixels of an image in the grid: smaller ones are enlarged, larger ones reduced


class Drawing(Protocol):
    """What draws the grids of a generator."""

    workers: Workers

    def draw(self, G: Any) -> bytes:
        """A PNG file of what ``G`` draws."""


class Preview:
    """Grids of what a generator draws: a row a held-out caption, its own image first, then a column for each fixed noise.

    Args:
        pairs: has images and captions; training ones are shown where none are held out.
        seed: decides captions and noise.
    """

    def __init__(self, pairs: PairData, seed: int) -> None:
        self.workers, data = pairs.workers, pairs.data
        held_out = data.usable(held_out=True)
        found = held_out if len(held_out) else pairs.chosen
        mixed = found[permuted(np.arange(len(found)), len(found), fold(seed, 3))]
        _, first = np.unique(pairs.meaning[mixed], return_index=True)  # rows that show different things come first
        others = np.setdiff1d(np.arange(len(mixed)), first)
        images = mixed[np.concatenate([np.sort(first), others])[:ROWS]]
        captions = pairs.captions.first[images]
        self.captions = [pairs.captions.texts[k] for k in captions]
        self.vectors = torch.from_numpy(pairs.captions.vectors[captions].astype(np.float32))
        self.real = pairs.pixels[max(pairs.pixels)].packed[images]
        self.seed = fold(seed, 4)

    def draw(self, G: Generator) -> bytes:
        """A PNG file of what ``G`` draws without chance in its text code."""
        z = torch.randn(COLUMNS, G.config.noise, generator=torch.Generator().manual_seed(self.seed)).to(self.workers.device)
        vectors = self.vectors.to(self.workers.device)
        with frozen(G):
            made = [as_bytes(G.images(vector.expand(COLUMNS, -1), z)) for vector in vectors]
        rows = [[real, *some] for real, some in zip(self.real, made, strict=True)]
        return picture(rows, self.captions, ["real"])


class PlainPreview:
    """Grids of what a generator draws that is told no sentence: of noise alone, or a row a class, a real image of it first.

    Args:
        images: that are trained on.
        names: the classes that it is told; none for noise alone.
        seed: decides the noise.
    """

    def __init__(self, images: TrainingImages, names: ClassNames, seed: int) -> None:
        self.workers, self.names, self.seed = images.workers, names, fold(seed, 4)
        self.captions = list(names.words[: 2 * ROWS]) or [""] * ROWS
        self.vectors = torch.from_numpy(names.encode(self.captions))
        self.real: list[list[np.ndarray]] = [[] for _ in self.captions]
        if names.words:
            numbers, packed = images.data.classes(names.label)[0], images.pixels[max(images.pixels)].packed
            own = [images.chosen[numbers[images.chosen] == k][:1] for k in range(len(self.captions))]
            self.real = [[packed[some[0]] if len(some) else np.zeros_like(packed[0])] for some in own]

    def draw(self, G: Generator) -> bytes:
        """A PNG file of what ``G`` draws: all classes of the same noise, or of noise alone each image of another."""
        r, rows = torch.Generator().manual_seed(self.seed), []
        z = torch.randn(COLUMNS * (1 if self.names.words else ROWS), G.config.noise, generator=r).to(self.workers.device)
        noise = z.split(COLUMNS) * (len(self.captions) if self.names.words else 1)
        with frozen(G):
            for vector, some, real in zip(self.vectors.to(self.workers.device), noise, self.real, strict=True):
                rows.append([*real, *as_bytes(G.images(vector.expand(COLUMNS, -1), some))])
        return picture(rows, self.captions, ["real"] if self.names.words else [])


class TranslationPreview:
    """Grids of what a translator makes of some held-out images: a row an image, then as each other domain, then on the way back.

    Args:
        images: that are trained on; they are shown where none are held out.
        names: the domains.
        seed: decides which are shown.
    """

    def __init__(self, images: TrainingImages, names: ClassNames, seed: int) -> None:
        self.workers, self.names, data = images.workers, names, images.data
        numbers, words = data.attribute(names.label)
        held_out = data.usable(held_out=True)
        self.chosen, self.source = [], []
        for k, name in enumerate(names.words[:ROWS]):
            of_all, held = (some[numbers[some] == words.index(name)] for some in (images.chosen, held_out))
            own = held if len(held) else of_all
            places = permuted(np.arange(max(1, ROWS // len(names.words))) % len(own), len(own), fold(seed, 3, k))
            self.chosen += own[places].tolist()
            self.source += [k] * len(places)
        self.real = images.pixels[max(images.pixels)].packed[np.array(self.chosen)]

    def draw(self, G: Translator) -> bytes:
        """A PNG file of what ``G`` makes of them."""
        x = torch.from_numpy(self.real).to(self.workers.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        source = torch.tensor(self.source, device=self.workers.device)
        targets = [self.names.words.index(name) for name in G.config.targets][:COLUMNS]
        rows = [[image] for image in self.real]
        with frozen(G):
            for target in targets:
                made = G.translate(x, source, torch.full_like(source, target))
                back = as_bytes(G.translate(made, torch.full_like(source, target), source))
                for row, image, again, k in zip(rows, as_bytes(made), back, self.source, strict=True):
                    if k != target:
                        row += [image, again] if k in targets else [image]
        words, told = self.names.words, []
        for k in self.source:
            others = ", ".join(words[t] for t in targets if t != k)
            told.append(f"{words[k]} as {others}" + ", each with the way back" * (k in targets))
        shown = [k for k, row in enumerate(rows) if len(row) > 1]  # of the only target there are none
        return picture([rows[k] for k in shown], [told[k] for k in shown], ["real"])


def picture(rows: Sequence[Sequence[np.ndarray]], captions: Sequence[str], headings: Sequence[str]) -> bytes:
    """A PNG file of rows of images (S, S, 3), each row below its caption, each column below its heading."""
    out = io.BytesIO()
    grid([[_fitted(image) for image in row] for row in rows], captions, headings=headings).save(out, "PNG")
    return out.getvalue()


def nearest_images(images: TrainingImages, among: np.ndarray, scores: np.ndarray, size: int) -> bytes:
    """A PNG file: a row a caption, its own image first, then those that it is nearest to.

    Args:
        images: of a data set.
        among: (n,) numbers of the images that are looked for among each other.
        scores: (n, n) of the first caption of image i for image j.
        size: of the images.
    """
    rows, captions, packed = [], [], images.pixels[size].packed
    for i in np.unique(np.linspace(0, len(among) - 1, ROWS).astype(int)):
        best = among[(-scores[i]).argsort(kind="stable")[:COLUMNS]]
        rows.append([packed[k] for k in (among[i], *best)])
        captions.append(images.data.captions[among[i]][0])
    return picture(rows, captions, ["own"])


def _fitted(image: np.ndarray) -> Image.Image:
    size = image.shape[0]
    if size < LEAST:
        return Image.fromarray(image).resize((LEAST // size * size,) * 2, Image.Resampling.NEAREST)
    return Image.fromarray(image).resize((min(size, MOST),) * 2, Image.Resampling.LANCZOS)


class Previewed:
    """An image algorithm as ``fit`` takes it: its samples are the grid, drawn at even distances.

    Args:
        algorithm: has ``players``, ``kept`` with a "generator", and ``stages()``.
        preview: draws the grid, such as a Preview.
        grids: about how many are drawn over the whole training.
    """

    def __init__(self, algorithm: Any, preview: Drawing, grids: int) -> None:
        self.algorithm, self.preview, self.grids = algorithm, preview, grids
        self.players: Mapping[str, Player] = algorithm.players
        self.kept: Mapping[str, nn.Module] = algorithm.kept

    def stages(self) -> Sequence[Stage]:
        """The algorithm's, with the distance of the grids as their unit: epochs may be a few steps or millions."""
        stages = self.algorithm.stages()
        every = sum(stage.steps for stage in stages) / self.grids
        return [dataclasses.replace(s, unit=max(1, round(every / s.turn)) * s.turn) for s in stages]

    def sample(self, n: int) -> bytes:
        """The grid; nothing in processes that write no files."""
        G: Any = self.kept["generator"]
        return self.preview.draw(G) if self.preview.workers.main else b""
