"""Fashion-MNIST from its idx files: 60,000 grey pictures of clothes to train on and 10,000 held out, in ten classes."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from textgan.errors import UserError

from .writing import Row, file_name, write_rows

PLACE = "/usr/share/datasets/fashion-mnist"
CLASSES = (
    "t-shirt", "pair of trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
TEMPLATES = ("{a} {name}", "a picture of {a} {name}", "a grey {name} on black")


def read_idx(path: Path) -> np.ndarray:
    """The array of an idx file, packed with gzip or not.

    Raises:
        UserError: it is not one, or cut short.
    """
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise UserError(f"{path} is not an idx file of bytes; expected a file of MNIST or Fashion-MNIST")
    shape = np.frombuffer(data, ">u4", data[3], 4).astype(int)
    found = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if found.size != shape.prod():
        raise UserError(f"{path} is cut short; expected {shape.prod():,} bytes; received {found.size:,}")
    return found.reshape(shape)


def read_parts(folder: Path, name: str, advice: str = "") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pictures (n, H, W) and labels (n,) of 0 to 9, for "train" and for "test", of MNIST or of a set that has its form.

    Args:
        folder: that holds the four idx files.
        name: of the set, for what is said.
        advice: where the files are to be had.

    Raises:
        UserError: the four files are not there, or do not belong together.
    """

    def find(file: str) -> Path:
        for path in (folder / file, folder / f"{file}.gz", folder / file.replace("-idx", ".idx")):
            if path.is_file():
                return path
        raise UserError(f"{folder} has no {file}; expected the four idx files of {name}{advice}; name their folder with --source")

    parts = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        pictures, labels = read_idx(find(f"{prefix}-images-idx3-ubyte")), read_idx(find(f"{prefix}-labels-idx1-ubyte"))
        if len(pictures) != len(labels) or pictures.ndim != 3 or labels.max(initial=0) >= len(CLASSES):
            raise UserError(f"the images and labels in {folder} do not belong together; expected those of {name}")
        parts[split] = pictures, labels
    return parts


def build(out: Path, source: str, images: int, tell: Callable[[int, int], None]) -> int:
    """Write the pictures, at most ``images`` to train on and as many held out; 0 for all.

    Raises:
        UserError: the four files are not there, or do not belong together.
    """
    advice = f" (Debian's dataset-fashion-mnist puts them in {PLACE})"
    whole = read_parts(Path(source or PLACE), "Fashion-MNIST", advice)
    parts = {split: (pictures[: images or None], labels) for split, (pictures, labels) in whole.items()}
    done = 0
    total = sum(len(pictures) for pictures, _ in parts.values())

    def rows() -> Iterator[Row]:
        nonlocal done
        for split, (pictures, labels) in parts.items():
            for picture, label in zip(pictures, labels, strict=False):
                name = file_name(done)
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(out / name, compress_level=1)
                what = CLASSES[label]
                a = "an" if what[0] in "aeiou" else "a"
                yield Row(name, [t.format(a=a, name=what) for t in TEMPLATES], {"class": what}, split, "MIT")
                done += 1
                tell(done, total)

    return write_rows(out, rows(), "# Attribution\n\nFashion-MNIST (Xiao, Rasul, Vollgraf, 2017), Zalando SE, MIT licence.")
