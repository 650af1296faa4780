"""Ways through what a generator draws: the same noise for several, arcs between two noises, a code after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .encoders import ImageEncoder
from .evaluate.drawing import of_noise
from .evaluate.judges import pixels
from .generators import Generator, PlainGenerator
from .pairs import toned
from .pipeline import spherical

STEPS = 9  # images along a way
NOISES = 4  # noises that a code is seen in
DIRECTIONS = 6  # numbers of an autoencoder's code that are shown
FAR = 2.0  # standard deviations of the prior, to both sides
ENCODED = 500  # images among which the numbers of a code are compared
BESIDE = 10  # images beside their reconstructions


@dataclass(frozen=True)
class Sheet:
    """Rows of images.

    Attributes:
        title: what they are.
        rows: (n, S, S, 3) bytes each.
        captions: one a row, or none.
        headings: one a column, or none.
    """

    title: str
    rows: list[np.ndarray]
    captions: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)


def noise(G: Generator, rows: int, seed: int) -> Tensor:
    """Noise (rows, Z): the same for all generators with as many numbers."""
    return torch.randn(rows, G.config.noise, generator=torch.Generator().manual_seed(seed))


def of_vector(G: Generator, vector: np.ndarray, z: Tensor) -> np.ndarray:
    """Images (n, S, S, 3) of noise (n, Z) and one raw sentence vector (D,), without chance in the text's code."""
    return of_noise(G, np.tile(vector, (len(z), 1)), z)


def walk(G: Generator, vector: np.ndarray, ends: Tensor, steps: int = STEPS) -> np.ndarray:
    """Images (steps, S, S, 3) along the arc between two noises (2, Z)."""
    ts = torch.linspace(0, 1, steps, dtype=torch.float64).tolist()
    return of_vector(G, vector, torch.stack([spherical(ends[0], ends[1], t) for t in ts]))


def codes(G: PlainGenerator, z: Tensor) -> list[Sheet]:
    """Each code of an InfoGAN's generator from its first to its last value, the rest of the noise (n, Z) held: a row a noise."""
    c, none, found = G.config, np.empty(0), []
    ways = [
        (f"categorical code {k + 1}", [G.with_value(z, k, v) for v in range(c.values)], range(c.values)) for k in range(c.codes)
    ]
    numbers = np.linspace(-1, 1, STEPS).tolist()
    smooth = [(f"continuous code {k + 1}", [G.with_number(z, k, u) for u in numbers], numbers) for k in range(c.continuous)]
    for title, columns, values in [*ways, *smooth]:
        rows = torch.stack(columns, 1)  # (n, columns, Z)
        found.append(Sheet(title, [of_vector(G, none, row) for row in rows], headings=[f"{value:g}" for value in values]))
    return found


def encoder_beside(folder: Path) -> ImageEncoder | None:
    """The encoder that was saved with the generator in a folder, if there is one."""
    place = folder.parent / "encoder"
    return ImageEncoder.from_pretrained(place) if (place / "config.json").is_file() else None


@torch.inference_mode()
def encoded(E: ImageEncoder, images: np.ndarray, batch: int = 64) -> Tensor:
    """The mean codes (n, Z) of images (n, S, S, 3)."""
    found, device = [], next(E.parameters()).device
    for start in range(0, len(images), batch):
        x = pixels(images[start : start + batch], device)
        found.append(E.distribution(toned(x, E.config.channels))[0].cpu())
    return torch.cat(found)


def reconstructions(G: Generator, z: Tensor, images: np.ndarray) -> Sheet:
    """Images (n, S, S, 3) above what comes back of their codes (n, Z)."""
    again = of_vector(G, np.empty(0), z)
    return Sheet("held-out images above their reconstructions", [images, again], ["real", "reconstructed"])


def directions(G: Generator, z: Tensor, count: int = DIRECTIONS) -> Sheet:
    """The numbers of the code that differ most between images, each moved alone from -FAR to FAR.

    Args:
        G: the decoder.
        z: (n, Z) mean codes of images; the first is what is moved.
        count: how many numbers.
    """
    variance = z.var(0, correction=0)
    order = variance.argsort(descending=True, stable=True)[:count].tolist()
    rows, numbers = [], np.linspace(-FAR, FAR, STEPS).tolist()
    for place in order:
        moved = z[:1].repeat(STEPS, 1)
        moved[:, place] = torch.tensor(numbers)
        rows.append(of_vector(G, np.empty(0), moved))
    captions = [f"number {place} of the code, variance {variance[place]:.2f}" for place in order]
    return Sheet("the numbers of the code that vary most", rows, captions, [f"{number:g}" for number in numbers])
