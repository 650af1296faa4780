"""The image GANs, and the encoder that they can take, by name: a line a method in each dictionary."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from textgan.errors import UserError

ALGORITHMS = {
    "cgan": "image_bridge.algorithms.cgan:CGAN",
    "stackgan": "image_bridge.algorithms.stackgan:StackGAN",
    "stackgan_v2": "image_bridge.algorithms.stackgan_v2:StackGANv2",
    "joint": "image_bridge.algorithms.joint:Joint",
    "dcgan": "image_bridge.algorithms.dcgan:DCGAN",
}
SUMMARIES = {
    "cgan": "matching-aware conditional GAN on DCGAN's body (GAN-INT-CLS, Reed et al., 2016), from sentences or labels",
    "stackgan": "two stages: a small image of a sentence, then one four times as large (StackGAN, Zhang et al., 2017)",
    "stackgan_v2": "images of several sizes from one trunk, trained together (StackGAN++, Zhang et al., 2019)",
    "dcgan": "images alone, no text: convolutions with batch normalisation (DCGAN, Radford et al., 2016)",
    "joint": "a sentence encoder that learns from the images, for the others' --text (joint embedding, Reed et al., 2016)",
}


def fed(algorithm: Any) -> str:
    """What an algorithm trains on: "pairs" of images and captions' vectors, or images with "captions", "classes", or "images"."""
    return str(getattr(algorithm, "fed", "pairs"))


def find(name: str) -> Any:
    """The class of an algorithm, by its name or as ``module:Class``.

    Raises:
        UserError: there is none.
    """
    place = ALGORITHMS.get(name, name)
    module, _, cls = place.partition(":")
    if not cls:
        near = difflib.get_close_matches(name, ALGORITHMS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"unknown algorithm; expected one of {', '.join(ALGORITHMS)}, or module:Class; received {name!r}{hint}")
    try:
        return getattr(import_module(module), cls)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{place} cannot be loaded ({error}); expected module:Class on the Python path") from error
