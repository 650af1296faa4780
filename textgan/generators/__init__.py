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
    "load_generator", "read", "save",
]  # fmt: skip

GENERATORS: tuple[type[Generator], ...] = (RNNGenerator, RMCGenerator, MaskGenerator)


def load_generator(folder: Path | str) -> Generator:
    """The generator in a folder, of whatever kind it is.

    Raises:
        UserError: the folder holds none.
    """
    try:
        kind = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        kind = ""
    found = next((g for g in GENERATORS if f"textgan-{g.kind}" == kind), RNNGenerator)
    return found.from_pretrained(folder)
