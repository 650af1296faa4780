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
    z, held = noise(G, ROWS * COLUMNS, seed), what.texts.images
    if isinstance(names, ClassNames) and not names.words:
        vectors = names.encode([""])
        samples = Sheet("", [of_vector(G, vectors[0], some) for some in z.split(COLUMNS)])
    else:
        attribute, told = _classes(entrant)
        rows, captions, vectors = [], [], what.vectors
        if attribute:
            kinds, words = data.classes(attribute)
            real = [int(held[kinds[held] == k][0]) if (kinds[held] == k).any() else -1 for k in map(words.index, told)]
            vectors = names.encode([w if isinstance(names, ClassNames) else f"{attribute}: {w}" for w in told])
            captions = [_class_caption(word, found["values"].get(attribute, {})) for word in told]
        else:
            _, first = np.unique(what.texts.meaning, return_index=True)
            chosen = np.sort(first)[:ROWS]
            real, vectors = [int(held[k]) for k in chosen], what.vectors[chosen]
            captions = [what.texts.captions[k] for k in chosen]
        for image, vector in zip(real, vectors, strict=True):
            own = packed[image] if image >= 0 else np.zeros_like(packed[0])
            rows.append(np.concatenate([own[None], of_vector(G, vector, z[:COLUMNS])]))
        samples = Sheet("", rows, captions, ["real"])
    way = Sheet(
        "", [walk(G, vectors[0], z[:2], COLUMNS + 2)], [] if not samples.captions else [samples.captions[0].split(":")[0]]
    )
    found_codes: list[Sheet] = []
    if isinstance(G, PlainGenerator) and G.config.codes + G.config.continuous:
        found_codes = codes(G, z[:NOISES])
    E = encoder_beside(entrant.one.folder)
    if E is not None:
        r = np.random.default_rng(seed)
        images = packed[np.sort(r.permutation(data.usable(held_out=True))[:ENCODED])]
        images = images[r.permutation(len(images))]
        mean = encoded(E, images)
        found_codes = [reconstructions(G, mean[:BESIDE], images[:BESIDE]), directions(G, mean)]
    missing = ""
    if entrant.algorithm == "vaegan" and E is None:
        missing = f"its encoder does not lie beside the generator; `image-bridge resume {entrant.one.run}` writes it"
    return Shown(samples, way, found_codes, missing)


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
