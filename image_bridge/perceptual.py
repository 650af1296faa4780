"""Distances of images in the features of a network: of what they show (content) and of how they are painted (style).

Reference: Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, for the losses of feature
maps; Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016, for their sizes.
Any network goes: what is compared is a list of feature maps (B, C, H, W), the same layers of both images.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EARLY = (1, 4, 6)  # of EfficientNet-Lite0's layers: the last that see 1/2, 1/4 and 1/8 of the size
SPREAD = (1.9, 11.4, 10.9)  # of what they give for cartoon faces at 32 pixels; divided by it, all layers count alike


def feature_maps(layers: nn.Sequential, x: Tensor, after: Collection[int]) -> list[Tensor]:
    """What the layers with the numbers ``after`` give for images (B, 3, S, S): a feature map (B, C, H, W) each."""
    found, last = [], max(after)
    for k, layer in enumerate(layers):
        if k > last:
            break
        x = layer(x)
        if k in after:
            found.append(x)
    return found


def gram(h: Tensor) -> Tensor:
    """How feature maps (B, C, H, W) go together, whatever lies where: (B, C, C), divided by C H W (Johnson et al., eq. 3)."""
    flat = h.float().flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def content_loss(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """The mean square of the differences of feature maps, summed over layers (Johnson et al., eq. 2)."""
    return torch.stack([F.mse_loss(x.float(), y.float()) for x, y in zip(a, b, strict=True)]).sum()


def style_loss(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """The squared differences of Gram matrices, summed over layers, mean over the batch (Johnson et al., eq. 4)."""
    each = [(gram(x) - gram(y)).square().sum((1, 2)).mean() for x, y in zip(a, b, strict=True)]
    return torch.stack(each).sum()


class ImageNetFeatures:
    """Feature maps of EfficientNet-Lite0 with its ImageNet weights, which never move.

    Args:
        device: where it lies.

    Raises:
        UserError: its package is not installed.
    """

    def __init__(self, device: torch.device) -> None:
        from .evaluate.extractors import efficientnet_lite0

        network = efficientnet_lite0(device, 1).network.requires_grad_(False)
        layers = network.layers
        assert isinstance(layers, nn.Sequential)
        self.layers = layers

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Three feature maps of images (B, 3, S, S) in [-1, 1], at their own size, each with a spread of about 1."""
        with torch.autocast(x.device.type, enabled=False):
            found = feature_maps(self.layers, (127.5 * x.float() + 0.5) / 128, EARLY)
        return [h / spread for h, spread in zip(found, SPREAD, strict=True)]
