"""Generators of images from sentence vectors, classes or noise alone: modules with a frozen config, saved and loaded by folder.

They are all used alike: ``images(vectors, z, eps)`` takes raw sentence vectors (B, D), noise z (B, ``config.noise``) and the
numbers (B, ``G.eps``) that vary the text's code; without them the same z and text give the same image. For a generator that is
told a class, the vectors are its one-hot; for one that is told nothing, they hold no numbers.

Those that turn images into images have ``translate(x, source, target)`` instead: images (B, 3, S, S) of the domains with the
numbers ``source`` (B,) in ``config.domains`` as images of the domains ``target`` (B,), each one of ``config.targets``. Where
``needs_source`` is false they do not look at ``source``. And UNetGenerator makes images of drawings: ``images`` takes those.
"""

from __future__ import annotations

import json
from pathlib import Path

from textgan.errors import UserError

from .cgan import CGANConfig, CGANGenerator
from .features import FeatureConfig, FeatureTranslator
from .labelled import LabelledConfig, LabelledTranslator
from .plain import PlainConfig, PlainGenerator
from .progressive import ProgressiveConfig, ProgressiveGenerator
from .stackgan import StackGANConfig, StackGANGenerator
from .translators import DomainTranslator, TranslatorConfig
from .tree import TreeConfig, TreeGenerator
from .unet import UNetConfig, UNetGenerator
from .xgan import XGANTranslator, XGANTranslatorConfig

__all__ = [
    "CGANConfig", "CGANGenerator", "DomainTranslator", "FeatureConfig", "FeatureTranslator", "Generator", "LabelledConfig",
    "LabelledTranslator", "PlainConfig", "PlainGenerator", "ProgressiveConfig", "ProgressiveGenerator", "StackGANConfig",
    "StackGANGenerator", "Translator", "TranslatorConfig", "TreeConfig", "TreeGenerator", "UNetConfig", "UNetGenerator",
    "XGANTranslator", "XGANTranslatorConfig", "generator_kind", "is_translator", "load_generator", "load_translator",
]  # fmt: skip

Generator = CGANGenerator | PlainGenerator | ProgressiveGenerator | StackGANGenerator | TreeGenerator
Translator = DomainTranslator | FeatureTranslator | LabelledTranslator | XGANTranslator
GENERATORS = (CGANGenerator, PlainGenerator, ProgressiveGenerator, StackGANGenerator, TreeGenerator)
TRANSLATORS = (DomainTranslator, FeatureTranslator, LabelledTranslator, XGANTranslator)


def load_generator(folder: Path | str) -> Generator:
    """The generator in a folder, of any kind but those that turn images into images.

    Raises:
        UserError: there is none, or it turns images into images.
    """
    kind = generator_kind(folder)
    for found in GENERATORS:
        if kind == found.kind:
            return found.from_pretrained(folder)
    if is_translator(folder):
        raise UserError(f"{folder} turns images into images; expected a generator of images; `image-bridge translate` uses it")
    if kind == UNetGenerator.kind:
        raise UserError(
            f"{folder} makes an image of a line drawing or a mosaic; expected a generator that draws of itself; use "
            "`image-bridge color RUN LINE.png --out OUT.png`"
        )
    raise UserError(f"{folder} holds {kind}; expected a generator of images")


def load_translator(folder: Path | str) -> Translator:
    """The generator in a folder that turns images of one domain into another's.

    Raises:
        UserError: there is none.
    """
    kind = generator_kind(folder)
    for found in TRANSLATORS:
        if kind == found.kind:
            return found.from_pretrained(folder)
    raise UserError(f"{folder} turns no images into images; expected a run of cyclegan or another of that family")


def is_translator(folder: Path | str) -> bool:
    """Whether the generator in a folder turns images into images."""
    return generator_kind(folder) in {found.kind for found in TRANSLATORS}


def generator_kind(folder: Path | str) -> str:
    """What kind of generator lies in a folder, such as "cgan".

    Raises:
        UserError: there is none.
    """
    folder = Path(folder)
    if not (folder / "model.safetensors").is_file():
        raise UserError(f"{folder} holds no generator; expected a run of image-bridge, or one of its checkpoints")
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}/config.json cannot be read; expected what save_pretrained wrote ({error})") from error
    return str(found).removeprefix("textgan-image-")
