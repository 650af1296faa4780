"""Image GANs conditioned on sentence vectors."""

from textgan import __version__

__all__ = ["__version__"]
