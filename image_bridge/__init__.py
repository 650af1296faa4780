"""Image GANs conditioned on sentence vectors. This release holds the package's place: no algorithm is in it yet."""

from textgan import __version__

__all__ = ["__version__"]
