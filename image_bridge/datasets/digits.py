"""Handwritten digits that come with scikit-learn: the smallest real images, in ten classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from .writing import Row, file_name, write_rows

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = ("a handwritten {}", "the digit {}")
WHITE = 16  # of the 8 x 8 sums of ink


def build(out: Path, images: int, tell: Callable[[int, int], None]) -> int:
    """Write the pictures, at most ``images`` of them; 0 for all."""
    from sklearn.datasets import load_digits

    pictures, labels = (np.asarray(part)[: images or None] for part in load_digits(return_X_y=True))

    def rows() -> Iterator[Row]:
        for done, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
            name, what = file_name(done), CLASSES[label]
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((picture.reshape(8, 8) / WHITE * 255).round().astype(np.uint8)).save(out / name)
            yield Row(name, [t.format(what) for t in TEMPLATES], {"class": what}, licence="CC BY 4.0")
            tell(done + 1, len(pictures))

    credit = "Test set of Optical Recognition of Handwritten Digits (Alpaydin, Kaynak, 1998; UCI), CC BY 4.0, from scikit-learn."
    return write_rows(out, rows(), f"# Attribution\n\n{credit}")
