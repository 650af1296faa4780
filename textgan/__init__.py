"""Text GANs, language models and sentence encoders, trained on the user's corpus."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("textgan")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0+unknown"
