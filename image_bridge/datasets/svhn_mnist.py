"""House numbers and handwritten digits as two domains, for translation as DTN has it; both sets are the user's."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from textgan.errors import UserError

from .digits import CLASSES
from .fashion_mnist import read_parts
from .writing import Row, file_name, write_rows

DAMAGED = (OSError, ValueError, KeyError, TypeError, NotImplementedError, EOFError, zlib.error)  # what scipy says of such files


def read_svhn(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 32, 32, 3) and labels (n,) of 0 to 9 of a file ``*_32x32.mat`` of SVHN, in which 10 stands for 0.

    Raises:
        UserError: scipy is not installed, or the file is not SVHN's.
    """
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ModuleNotFoundError as error:
        raise UserError("the .mat files of SVHN are read by scipy, which is not installed; pip install scipy") from error
    try:
        found = loadmat(path)
        pictures, labels = np.moveaxis(found["X"], -1, 0), found["y"].astype(np.int64).reshape(-1) % len(CLASSES)
        if pictures.dtype != np.uint8 or pictures.shape != (len(labels), 32, 32, 3):
            raise ValueError(f"{len(labels)} labels, pictures {pictures.shape}")
    except (*DAMAGED, MatReadError) as error:
        raise UserError(f"{path} is not a file of SVHN; expected X (32, 32, 3, N) and y (N, 1) ({error})") from error
    return pictures, labels


def build(out: Path, source: Path, images: int, tell: Callable[[int, int], None]) -> int:
    """Write the pictures of both sets, at most ``images`` of each to train on and as many held out; 0 for all.

    The digit is the attribute ``class``, the set the attribute ``domain``. No picture has a true translation.

    Raises:
        UserError: a file is not there, or is another set's.
    """

    def folder_of(name: str) -> Path:
        found = next(iter(sorted(source.rglob(name))), None)
        if found is None:
            raise UserError(
                f"{source} has no {name}; expected train_32x32.mat and test_32x32.mat of SVHN (format 2) and the four idx files "
                "of MNIST, in it or in folders of its own"
            )
        return found.parent

    svhn = {split: read_svhn(folder_of(f"{split}_32x32.mat") / f"{split}_32x32.mat") for split in ("train", "test")}
    domains = {"svhn": svhn, "mnist": read_parts(folder_of("train-images*"), "MNIST")}
    total = sum(min(len(labels), images or len(labels)) for parts in domains.values() for _, labels in parts.values())

    def rows() -> Iterator[Row]:
        done = 0
        for domain, parts in domains.items():
            number = 0
            for split, (pictures, labels) in parts.items():
                for picture, label in zip(pictures[: images or None], labels, strict=False):
                    name, digit = file_name(number, domain), CLASSES[label]
                    (out / name).parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(picture).save(out / name, compress_level=1)
                    yield Row(name, [f"the digit {digit}"], {"domain": domain, "class": digit}, split)
                    number, done = number + 1, done + 1
                    tell(done, total)

    credit = "SVHN (Netzer et al., 2011), for research; MNIST (LeCun, Cortes, Burges), CC BY-SA 3.0."
    return write_rows(out, rows(), f"# Attribution\n\n{credit}")
