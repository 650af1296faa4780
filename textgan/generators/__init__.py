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

LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel")  # how transformers names their classes
GENERATORS: tuple[type[Generator], ...] = (RNNGenerator, RMCGenerator, MaskGenerator)


def load_generator(folder: Path | str) -> Generator:
    """The generator in a folder, of whatever kind it is.

    Raises:
        UserError: the folder holds none.
    """
    kind, architecture = _said(folder)
    if kind and not kind.startswith("textgan-") and architecture.endswith(LANGUAGE_MODELS):
        from ..hf.borrowed import BorrowedGenerator

        return BorrowedGenerator.from_pretrained(folder)
    return (class_in(folder) or RNNGenerator).from_pretrained(folder)


def is_generator(folder: Path | str) -> bool:
    """Whether a folder says that it holds a generator, of ours or of transformers."""
    return class_in(folder) is not None or _said(folder)[1].endswith(LANGUAGE_MODELS)


def class_in(folder: Path | str) -> type[Generator] | None:
    """The class of the generator of ours that a folder says it holds; None where there is none."""
    kind, _ = _said(folder)
    return next((g for g in GENERATORS if f"textgan-{g.kind}" == kind), None)


def _said(folder: Path | str) -> tuple[str, str]:
    """What config.json says of the model: its kind, and the class that transformers has for it; nothing where it is not said."""
    try:
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        return str(config["model_type"]), str((config.get("architectures") or [""])[0])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", ""
