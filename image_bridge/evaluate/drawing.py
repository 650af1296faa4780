"""Images of sentence vectors as bytes, which is what all figures are made from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from textgan.errors import UserError
from textgan.runtime import frozen

from ..generators import Generator


def as_bytes(x: Tensor) -> np.ndarray:
    """Images (n, 3, S, S) in [-1, 1] as bytes (n, S, S, 3)."""
    found: np.ndarray = ((x.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return found


def drawn(
    G: Generator, vectors: np.ndarray, seed: int = 0, batch: int = 64,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:  # fmt: skip
    """An image (n, S, S, 3) of each raw sentence vector (n, D), each with a noise of its own.

    Args:
        G: what ``load_generator`` gives, on any device; its mode is left as it was.
        vectors: of the captions, as the encoder gives them.
        seed: decides the noise, which depends neither on the device nor on the batch size.
        batch: images at a time.
        tell: is called with the images drawn and their number.

    Raises:
        UserError: the generator's weights have come to nothing.
    """
    noise = torch.Generator().manual_seed(seed)
    z = torch.randn(len(vectors), G.config.noise, generator=noise)
    eps = torch.randn(len(vectors), G.eps, generator=noise) if G.eps else None
    return of_noise(G, vectors, z, eps, batch, tell)


@torch.inference_mode()
def of_noise(
    G: Generator, vectors: np.ndarray, z: Tensor, eps: Tensor | None = None, batch: int = 64,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:  # fmt: skip
    """The images (n, S, S, 3) of given noise.

    Args:
        G: see ``drawn``.
        vectors: (n, D) raw sentence vectors.
        z: (n, Z) standard normal numbers.
        eps: (n, ``G.eps``) that vary the text's code; its mean is taken without them.
        batch: images at a time.
        tell: see ``drawn``.

    Raises:
        UserError: the generator's weights have come to nothing.
    """
    device, found = next(G.parameters()).device, []
    with frozen(G):
        for start in range(0, len(vectors), batch):
            here = slice(start, start + batch)
            text = torch.from_numpy(np.asarray(vectors[here], dtype=np.float32)).to(device)
            x = G.images(text, z[here].to(device), None if eps is None else eps[here].to(device))
            if not x.isfinite().all():
                raise UserError("the generator draws what is no image (infinite or no numbers); take a checkpoint from before")
            found.append(as_bytes(x))
            tell(min(start + batch, len(vectors)), len(vectors))
    return np.concatenate(found)
