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
    "gan": "image_bridge.algorithms.gan:GAN",
    "dcgan": "image_bridge.algorithms.dcgan:DCGAN",
    "wgan": "image_bridge.algorithms.wgan:WGAN",
    "wgan_gp": "image_bridge.algorithms.wgan_gp:WGANGP",
    "sngan": "image_bridge.algorithms.sngan:SNGAN",
    "acgan": "image_bridge.algorithms.acgan:ACGAN",
    "infogan": "image_bridge.algorithms.infogan:InfoGAN",
    "vaegan": "image_bridge.algorithms.vaegan:VAEGAN",
    "pggan": "image_bridge.algorithms.pggan:PGGAN",
    "cyclegan": "image_bridge.algorithms.cyclegan:CycleGAN",
    "colorgan": "image_bridge.algorithms.colorgan:ColorGAN",
    "stargan": "image_bridge.algorithms.stargan:StarGAN",
    "dtn": "image_bridge.algorithms.dtn:DTN",
    "combogan": "image_bridge.algorithms.combogan:ComboGAN",
    "xgan": "image_bridge.algorithms.xgan:XGAN",
}
SUMMARIES = {
    "cgan": "matching-aware conditional GAN on DCGAN's body (GAN-INT-CLS, Reed et al., 2016), from sentences or labels",
    "stackgan": "two stages: a small image of a sentence, then one four times as large (StackGAN, Zhang et al., 2017)",
    "stackgan_v2": "images of several sizes from one trunk, trained together (StackGAN++, Zhang et al., 2019)",
    "gan": "images alone, no text: two multilayer perceptrons (GAN, Goodfellow et al., 2014)",
    "dcgan": "images alone: convolutions with batch normalisation (DCGAN, Radford et al., 2016)",
    "wgan": "images alone: a critic with small weights estimates the Wasserstein distance (WGAN, Arjovsky et al., 2017)",
    "wgan_gp": "images alone: WGAN with a penalty on the critic's gradient (WGAN-GP, Gulrajani et al., 2017)",
    "sngan": "images alone: D is spectrally normalised, with the hinge (SN-GAN, Miyato et al., 2018)",
    "acgan": "images of a class: D names the class too (ACGAN, Odena et al., 2017)",
    "infogan": "images alone: codes in the noise that can be read from the image (InfoGAN, Chen et al., 2016)",
    "vaegan": "images alone: an autoencoder that compares by D's features (VAE-GAN, Larsen et al., 2016)",
    "pggan": "images alone: both networks grow from 4 x 4 pixels (PGGAN, Karras et al., 2018)",
    "cyclegan": "images of one domain into another, from unpaired images (CycleGAN, Zhu et al., 2017)",
    "colorgan": "line drawings and hints of colour to images, or mosaics to images (deepcolor, 2017; pix2pix, Isola et al.)",
    "stargan": "images of any domain into any other by one network that is told which (StarGAN, Choi et al., 2018)",
    "dtn": "images of one domain into another that a classifier sees the same in (DTN, Taigman et al., 2017)",
    "combogan": "images of any of several domains into any other, unpaired: an encoder and a decoder each (ComboGAN, 2018)",
    "xgan": "images of two domains into each other by a code that both share, unpaired (XGAN, Royer et al., 2020)",
    "joint": "a sentence encoder that learns from the images, for the others' --text (joint embedding, Reed et al., 2016)",
}


def fed(algorithm: Any) -> str:
    """What an algorithm trains on: "pairs" of images and captions' vectors, or images, with something of theirs or alone.

    "captions", "classes", "domains" and "lines" are what goes with them, "images" is nothing.
    """
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
