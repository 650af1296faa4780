"""What progressively grown networks are made of, and their discriminator (Karras et al., ICLR 2018)."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BASE = 8192  # channels at a size are this, less by half at each larger one, but not more than the width
GROUP = 4  # images that the standard deviation of a minibatch is taken over


def channels_at(level: int, width: int) -> int:
    """Channels of the features at 4 << ``level`` pixels (Karras et al., table 2)."""
    return max(1, min(BASE >> level + 1, width))


class Equalised(nn.Module):
    """A convolution, or with ``kernel`` 0 a linear layer, whose weights are scaled as it is used (section 4.1).

    They begin as N(0, 1) and are multiplied by gain / sqrt(fan in), so that Adam moves all layers alike.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: width of the convolution; 0 for a linear layer.
        gain: sqrt(2) before a rectifier.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = 2**0.5) -> None:
        super().__init__()
        shape = (outputs, inputs, kernel, kernel) if kernel else (outputs, inputs)
        self.weight, self.bias = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.zeros(outputs))
        self.kernel, self.scale = kernel, gain / math.sqrt(inputs * max(1, kernel) ** 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, S, S) to (B, outputs, S, S), or (B, inputs) to (B, outputs)."""
        if self.kernel:
            return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.kernel // 2)
        return F.linear(x, self.weight * self.scale, self.bias)


def normalised(x: Tensor) -> Tensor:
    """Features (B, C, ...) divided by their root mean square over the channels (section 4.2)."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def with_deviation(h: Tensor) -> Tensor:
    """One more map (B, C + 1, S, S): how much the images of a group differ, which is the same at every place (section 3).

    A group is GROUP images that follow each other, or as many as divide the minibatch.
    """
    some = h.float().unflatten(0, (-1, math.gcd(GROUP, len(h))))  # (groups, images, C, S, S)
    deviation = (some.var(1, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    each = deviation.repeat_interleave(some.shape[1]).view(-1, 1, 1, 1)
    return torch.cat([h, each.expand(-1, 1, *h.shape[2:]).to(h.dtype)], 1)


def faded(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """The way from what the smaller networks give to what the larger ones give."""
    return new if alpha >= 1 else torch.lerp(old, new, alpha)


def larger(x: Tensor) -> Tensor:
    """Twice as large, by nearest neighbours."""
    return F.interpolate(x, scale_factor=2.0)


class Rectified(nn.Sequential):
    """Equalised layers with a leaky rectifier after each; in G the features are then normalised."""

    def __init__(self, *layers: Equalised, normalise: bool) -> None:
        super().__init__(*layers)
        self.normalise = normalise

    def forward(self, input: Tensor) -> Tensor:
        """Through all layers."""
        for layer in self:
            input = F.leaky_relu(layer(input), 0.2)
            input = normalised(input) if self.normalise else input
        return input


class ProgressiveDiscriminator(nn.Module):
    """A score of images at every size that G has grown to (table 2).

    Args:
        levels: the largest size is 4 << levels.
        channels: of an image.
        width: most channels of features.
    """

    def __init__(self, levels: int, channels: int, width: int) -> None:
        super().__init__()
        at = [channels_at(k, width) for k in range(levels + 1)]
        self.read = nn.ModuleList(Rectified(Equalised(channels, n, 1), normalise=False) for n in at)
        self.blocks = nn.ModuleList(
            Rectified(Equalised(b, b, 3), Equalised(b, a, 3), normalise=False) for a, b in itertools.pairwise(at)
        )
        self.last = Rectified(Equalised(at[0] + 1, at[0], 3), normalise=False)
        self.dense = Rectified(Equalised(16 * at[0], at[0], 0), normalise=False)
        self.score = Equalised(at[0], 1, 0, gain=1)

    def forward(self, x: Tensor, level: int, alpha: float) -> Tensor:
        """Scores (B,) of images (B, C, S, S), S = 4 << level; below 1, alpha is the share of the largest block."""
        h = self.read[level](x)
        for k in reversed(range(level)):
            h = F.avg_pool2d(self.blocks[k](h), 2)
            if k == level - 1 and alpha < 1:
                h = faded(self.read[k](F.avg_pool2d(x, 2)), h, alpha)
        h = self.dense(self.last(with_deviation(h)).flatten(1))
        scores: Tensor = self.score(h).flatten().float()
        return scores
