"""Generators of images from sentence vectors, classes or noise alone: modules with a frozen config, saved and loaded by folder.

They are all used alike: ``images(vectors, z, eps)`` takes raw sentence vectors (B, D), noise z (B, ``config.noise``) and the
numbers (B, ``G.eps``) that vary the text's code; without them the same z and text give the same image. For a generator that is
told a class, the vectors are its one-hot; for one that is told nothing, they hold no numbers.
"""

from __future__ import annotations

import json
from pathlib import Path

from textgan.errors import UserError

from .cgan import CGANConfig, CGANGenerator
from .plain import PlainConfig, PlainGenerator
from .progressive import ProgressiveConfig, ProgressiveGenerator
from .stackgan import StackGANConfig, StackGANGenerator
from .tree import TreeConfig, TreeGenerator

__all__ = [
    "CGANConfig", "CGANGenerator", "Generator", "PlainConfig", "PlainGenerator", "ProgressiveConfig", "ProgressiveGenerator",
    "StackGANConfig", "StackGANGenerator", "TreeConfig", "TreeGenerator", "load_generator",
]  # fmt: skip

Generator = CGANGenerator | PlainGenerator | ProgressiveGenerator | StackGANGenerator | TreeGenerator


def load_generator(folder: Path | str) -> Generator:
    """The generator in a folder, whatever its kind.

    Raises:
        UserError: there is none.
    """
    folder = Path(folder)
    if not (folder / "model.safetensors").is_file():
        raise UserError(f"{folder} holds no generator; expected a run of image-bridge, or one of its checkpoints")
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}/config.json cannot be read; expected what save_pretrained wrote ({error})") from error
    for found in (CGANGenerator, PlainGenerator, ProgressiveGenerator, StackGANGenerator, TreeGenerator):
        if kind == f"textgan-image-{found.kind}":
            return found.from_pretrained(folder)
    raise UserError(f"{folder} holds {kind}; expected a generator of images")
