"""Generators of images from sentence vectors, classes or noise alone: modules with a frozen config, saved and loaded by folder.

They are all used alike: ``images(vectors, z, eps)`` takes raw sentence vectors (B, D), noise z (B, ``config.noise``) and the
numbers (B, ``G.eps``) that vary the text's code; without them the same z and text give the same image. For a generator that is
told a class, the vectors are its one-hot; for one that is told nothing, they hold no numbers.

But for UNetGenerator, which makes images of images: ``images`` takes those.
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
from .unet import UNetConfig, UNetGenerator

__all__ = [
    "CGANConfig", "CGANGenerator", "Generator", "PlainConfig", "PlainGenerator", "ProgressiveConfig", "ProgressiveGenerator",
    "StackGANConfig", "StackGANGenerator", "TreeConfig", "TreeGenerator", "UNetConfig", "UNetGenerator", "generator_kind",
    "load_generator",
]  # fmt: skip

Generator = CGANGenerator | PlainGenerator | ProgressiveGenerator | StackGANGenerator | TreeGenerator


def generator_kind(folder: Path | str) -> str:
    """What kind of generator lies in a folder, such as "textgan-image-cgan".

    Raises:
        UserError: there is none.
    """
    folder = Path(folder)
    if not (folder / "model.safetensors").is_file():
        raise UserError(f"{folder} holds no generator; expected a run of image-bridge, or one of its checkpoints")
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}/config.json cannot be read; expected what save_pretrained wrote ({error})") from error


def load_generator(folder: Path | str) -> Generator:
    """The generator in a folder, of any kind but those that make images of images.

    Raises:
        UserError: there is none.
    """
    kind = generator_kind(folder)
    if kind == f"textgan-image-{UNetGenerator.kind}":
        raise UserError(
            f"{folder} makes an image of a line drawing or a mosaic; expected a generator that draws of itself; use "
            "`image-bridge color RUN LINE.png --out OUT.png`"
        )
    for found in (CGANGenerator, PlainGenerator, ProgressiveGenerator, StackGANGenerator, TreeGenerator):
        if kind == f"textgan-image-{found.kind}":
            return found.from_pretrained(folder)
    raise UserError(f"{folder} holds {kind}; expected a generator of images")
