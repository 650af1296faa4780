"""Generators of text: plain modules with a frozen config that save, load, score and sample."""

from __future__ import annotations

import json
from pathlib import Path

from .base import Generator, read, save
from .masked import MaskConfig, MaskGenerator
from .recurrent import RNNConfig, RNNGenerator
from .relational import RelationalMemory, RMCConfig, RMCGenerator

__all__ = [
    "Generator", "MaskConfig", "MaskGenerator", "RMCConfig", "RMCGenerator", "RNNConfig", "RNNGenerator", "RelationalMemory",
    "class_in", "is_generator", "load_generator", "read", "save",
]  # fmt: skip

GENERATORS: tuple[type[Generator], ...] = (RNNGenerator, RMCGenerator, MaskGenerator)


def load_generator(folder: Path | str) -> Generator:
    """The generator in a folder, of whatever kind it is.

    Raises:
        UserError: the folder holds none.
    """
    return (class_in(folder) or RNNGenerator).from_pretrained(folder)


def is_generator(folder: Path | str) -> bool:
    """Whether a folder says that it holds a generator."""
    return class_in(folder) is not None


def class_in(folder: Path | str) -> type[Generator] | None:
    """The class of the generator that a folder says it holds; None where there is none."""
    try:
        kind = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return next((g for g in GENERATORS if f"textgan-{g.kind}" == kind), None)
