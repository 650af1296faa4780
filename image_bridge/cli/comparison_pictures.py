"""The pictures of a run on the page of ``compare``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..captions import AttributeWords, ClassNames
from ..generators import PlainGenerator
from ..images import ImageData
from ..traversals import (
    BESIDE,
    ENCODED,
    NOISES,
    Sheet,
    codes,
    directions,
    encoded,
    encoder_beside,
    noise,
    of_vector,
    reconstructions,
    walk,
)
from .comparison import Entrant
from .judging import Asked

ROWS, COLUMNS = 8, 8  # captions, and images of each; as many rows of noise alone
CLASSES = 24  # rows of classes at most


@dataclass(frozen=True)
class Shown:
    """The pictures of a run: its samples, the way between two noises, and what its codes do."""

    samples: Sheet
    walk: Sheet
    codes: list[Sheet]
    missing: str = ""
    """Why there are no reconstructions, where there should be some."""


def sheets(entrant: Entrant, what: Asked, data: ImageData, packed: np.ndarray, found: dict[str, Any], seed: int) -> Shown:
    """The pictures of a run.

    Args:
        entrant: the run.
        what: was drawn to judge it.
        data: the real images.
        packed: all of them at the run's size, (N, S, S, 3).
        found: its figures.
        seed: decides the noise, which all runs with as many numbers share, and which real images are shown.
    """
    G, names = entrant.one.G, entrant.one.encoder
    z = noise(G, ROWS * COLUMNS, seed)
    if isinstance(names, ClassNames) and not names.words:
        told, vectors = list[str](), names.encode([""])
        samples = Sheet("", [of_vector(G, vectors[0], some) for some in z.split(COLUMNS)])
    else:
        told, captions, vectors, images = _rows(entrant, what, data, found)
        real = [packed[i] if i >= 0 else np.zeros_like(packed[0]) for i in images]
        drawn = [of_vector(G, vector, z[:COLUMNS]) for vector in vectors]
        rows = [np.concatenate([own[None], some]) for own, some in zip(real, drawn, strict=True)]
        samples = Sheet("", rows, captions, ["real"])
    way = Sheet("", [walk(G, vectors[0], z[:2], COLUMNS)], told[:1])
    moved: list[Sheet] = []
    if isinstance(G, PlainGenerator) and G.config.codes + G.config.continuous:
        moved = codes(G, z[:NOISES])
    if (E := encoder_beside(entrant.one.folder)) is not None:
        r = np.random.default_rng(seed)
        held = packed[r.permutation(data.usable(held_out=True))[:ENCODED]]
        mean = encoded(E, held)
        moved = [reconstructions(G, mean[:BESIDE], held[:BESIDE]), directions(G, mean)]
    elif entrant.algorithm == "vaegan":
        missing = f"no encoder lies beside its generator; `image-bridge resume {entrant.one.run}` trains on and writes it"
        return Shown(samples, way, moved, missing)
    return Shown(samples, way, moved)


def _rows(
    entrant: Entrant, what: Asked, data: ImageData, found: dict[str, Any]
) -> tuple[list[str], list[str], np.ndarray, list[int]]:
    """What the rows of samples are told, their captions and vectors, and the number of a real image of each, or -1."""
    names, held = entrant.one.encoder, what.texts.images
    attribute, told = _classes(entrant)
    if not attribute:
        _, first = np.unique(what.texts.meaning, return_index=True)
        chosen = np.sort(first)[:ROWS]
        captions = [what.texts.captions[k] for k in chosen]
        return captions, captions, what.vectors[chosen], held[chosen].tolist()
    numbers, words = data.attributes[attribute]
    images = [next((int(i) for i in held if numbers[i] >= 0 and words[numbers[i]] == word), -1) for word in told]
    vectors = names.encode([word if isinstance(names, ClassNames) else f"{attribute}: {word}" for word in told])
    return told, [_class_caption(word, found["values"].get(attribute, {})) for word in told], vectors, images


def _classes(entrant: Entrant) -> tuple[str, list[str]]:
    """The attribute whose values are all that a run is told, and its values; nothing where it is told sentences."""
    names = entrant.one.encoder
    if isinstance(names, ClassNames):
        return names.label, list(names.words[:CLASSES])
    if isinstance(names, AttributeWords) and len(names.values) == 1:
        ((attribute, words),) = names.values.items()
        return attribute, list(words[:CLASSES])
    return "", []


def _class_caption(word: str, values: dict[str, dict[str, float]]) -> str:
    shares = [values.get(side, {}).get(word) for side in ("model", "real")]
    said = [f"{100 * s:.0f} % of {side}" for s, side in zip(shares, ("samples", "real images"), strict=True) if s is not None]
    return f"{word}: seen in {', '.join(said)}" if said else word
