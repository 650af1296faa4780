"""What the networks are made of: how text enters, how images grow and shrink, how they are varied before D sees them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from textgan.runtime import Workers, frozen, group_mean

M = TypeVar("M", bound=nn.Module)
Norm = Literal["batch", "spectral", "none"]
FEATURES = 128  # numbers that a Trunk sees in an image
LARGEST = 64  # pixels; a Trunk averages larger images down to it


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the batch of all processes, so that several train what one would."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) to the same shape."""
        if not (self.training and dist.is_initialized()):
            return super().forward(x)
        h = x.float()
        mean = group_mean(h.mean((0, 2, 3)))
        h = h - mean[:, None, None]
        variance = group_mean(h.square().mean((0, 2, 3)))
        if self.track_running_stats:
            count = h.numel() // h.shape[1] * dist.get_world_size()
            running: Any = self
            with torch.no_grad():
                running.running_mean.lerp_(mean, self.momentum)
                running.running_var.lerp_(variance * count / (count - 1), self.momentum)
                running.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (h * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


@contextmanager
def fixed(*modules: nn.Module) -> Iterator[None]:
    """Run networks that a step does not train: no buffer moves, but batch normalisation uses the batch's own statistics.

    In eval mode it would use running ones, and D would see another G, or G another D, than the one that is trained.
    """
    with frozen(*modules):
        norms = [m for module in modules for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        for norm in norms:
            norm.train()
            norm.track_running_stats = False
        try:
            yield
        finally:
            for norm in norms:
                norm.track_running_stats = True


def scales(size: int) -> int:
    """How often 4 x 4 is doubled to reach ``size``.

    Raises:
        ValueError: it is not 8, 16, 32, ...
    """
    count = round(math.log2(max(size, 4) / 4))
    if count < 1 or 4 << count != size:
        raise ValueError(f"--size must be a power of two, 8 or more; received {size}")
    return count


def start(size: int) -> tuple[int, int]:
    """The width that images of ``size`` grow from, 4 or 7, and how often it is doubled.

    Raises:
        ValueError: it is neither 8, 16, 32, ... nor 14, 28, 56, ...
    """
    if size % 7 == 0 and size > 7 and (size // 7) & (size // 7 - 1) == 0:
        return 7, (size // 7).bit_length() - 1
    if size < 8 or size & (size - 1):
        raise ValueError(f"--size must be a power of two, 8 or more, or 7 times one, such as 28; received {size}")
    return 4, scales(size)


def normal(u: Tensor) -> Tensor:
    """Standard normal numbers of uniform ones in [0, 1), by the inverse of the distribution function."""
    return torch.erfinv((2 * u - 1).clamp(-1 + 1e-6, 1 - 1e-6)) * 2**0.5


def noise(workers: Workers, rows: int, numbers: int) -> Tensor:
    """Standard normal numbers (rows, numbers): this process's part of those of a step."""
    return normal(workers.uniform(rows, numbers))


def placed(module: M, device: torch.device) -> M:
    """The module on the device, its convolutions channels last in memory."""
    return module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def initialise(module: nn.Module, weights: Literal["normal", "orthogonal"] = "normal") -> None:
    """Weights N(0, 0.02), those of normalisations N(1, 0.02), no bias (DCGAN, section 4); or orthogonal (StackGAN++'s code)."""
    for part in list(module.modules()):
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer: Any = part
            spectral = is_parametrized(layer)
            if spectral:
                remove_parametrizations(layer, "weight", leave_parametrized=False)
            nn.init.orthogonal_(layer.weight) if weights == "orthogonal" else nn.init.normal_(layer.weight, 0, 0.02)
            if spectral:
                spectral_norm(layer)  # it looks for the singular vectors of the new weight
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1, 0.02)
            nn.init.zeros_(part.bias)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, norm: Norm = "none") -> nn.Sequential:
    """A convolution with its normalisation and without an activation; no bias where batch normalisation follows."""
    layer: nn.Module = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=norm != "batch")
    if norm == "spectral":
        layer = spectral_norm(layer)
    return nn.Sequential(layer, BatchNorm2d(outputs)) if norm == "batch" else nn.Sequential(layer)


def up(inputs: int, outputs: int, how: Literal["nearest", "transposed"] = "nearest", gated: bool = False) -> nn.Sequential:
    """Twice as large: nearest neighbours and 3 x 3 (no checkerboards), or DCGAN's transposed 4 x 4; then BN and ReLU or GLU."""
    width = outputs * (1 + gated)
    return nn.Sequential(*larger(inputs, width, how, bias=False), BatchNorm2d(width), nn.GLU(1) if gated else nn.ReLU())


def larger(inputs: int, outputs: int, how: Literal["nearest", "transposed"], bias: bool = True) -> nn.Sequential:
    """Twice as large, without what follows: see ``up``."""
    if how == "transposed":
        return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias))
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 3, 1, 1, bias=bias))


def dcgan(inputs: int, size: int, width: int, channels: int, how: Literal["nearest", "transposed"]) -> list[nn.Module]:
    """DCGAN's body (Radford et al., 2016, figure 1) in three parts: the first layer, what grows, and what makes the image.

    Args:
        inputs: numbers that an image is made of.
        size: width and height of the image.
        width: channels at the last but one size; twice as many at each smaller one, up to eight times.
        channels: of the image.
        how: see ``up``.
    """
    base, count = start(size)
    widths = [width * min(8, 2**k) for k in reversed(range(count))]
    first = nn.Sequential(
        nn.Linear(inputs, base * base * widths[0], bias=False), nn.Unflatten(1, (widths[0], base, base)),
        BatchNorm2d(widths[0]), nn.ReLU(),
    )  # fmt: skip
    grow = nn.Sequential(*(up(a, b, how) for a, b in itertools.pairwise(widths)))
    if how == "transposed":
        return [first, grow, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1)]
    return [first, grow, nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(widths[-1], channels, 3, 1, 1))]


def down(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    """Half as large: a 4 x 4 convolution with stride 2, normalisation, leaky ReLU."""
    return nn.Sequential(*conv(inputs, outputs, 4, 2, 1, norm), nn.LeakyReLU(0.2))


class Resized(nn.Module):
    """A residual block without an activation after it that may change the width of images (SN-GAN, appendix B; WGAN-GP).

    Args:
        inputs: channels.
        outputs: channels.
        norm: "batch" in G, "spectral" or "none" in D.
        change: "up" for twice as large, "down" for half, "" for the same.
        raw: whether the input is an image, which has no activation before the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm, change: Literal["up", "down", ""], raw: bool = False) -> None:
        super().__init__()

        def layer(a: int, b: int, kernel: int) -> nn.Module:
            if norm == "batch":  # a bias would be taken away by the normalisations that follow
                return nn.Conv2d(a, b, kernel, 1, kernel // 2, bias=False)
            return conv(a, b, kernel, 1, kernel // 2, norm)

        def before(width: int) -> list[nn.Module]:
            return [*([BatchNorm2d(width)] if norm == "batch" else []), nn.ReLU()]

        grow = [nn.Upsample(scale_factor=2, mode="nearest")] if change == "up" else []
        shrink = [nn.AvgPool2d(2)] if change == "down" else []
        both = layer(inputs, outputs, 3), *before(outputs), layer(outputs, outputs, 3)
        self.inner = nn.Sequential(*([] if raw else before(inputs)), *grow, *both, *shrink)
        plain = inputs == outputs and not change
        self.shortcut = nn.Identity() if plain else nn.Sequential(*grow, layer(inputs, outputs, 1), *shrink)

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, S, S) to (B, outputs, S', S')."""
        out: Tensor = self.shortcut(h) + self.inner(h)
        return out


class Residual(nn.Module):
    """h + f(h), then an activation; ``f`` is a sequence of convolutions.

    Args:
        inner: gives f(h), of h's shape.
        after: activation of the sum.
    """

    def __init__(self, inner: nn.Module, after: nn.Module | None = None) -> None:
        super().__init__()
        self.inner, self.after = inner, after or nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, S, S) to the same shape."""
        out: Tensor = self.after(h + self.inner(h))
        return out


def bottleneck(width: int, inner: int, norm: Norm, activation: Callable[[], nn.Module]) -> Residual:
    """StackGAN's residual block: 1 x 1, 3 x 3, 3 x 3 (section 3.4 and the authors' code)."""
    layers = [
        *conv(width, inner, 1, norm=norm), activation(), *conv(inner, inner, 3, 1, 1, norm), activation(),
        *conv(inner, width, 3, 1, 1, norm),
    ]  # fmt: skip
    return Residual(nn.Sequential(*layers), activation())


def tile(h: Tensor, c: Tensor) -> Tensor:
    """A code (B, C) beside every place of h (B, K, S, S): (B, K + C, S, S)."""
    return torch.cat([h, c[:, :, None, None].expand(-1, -1, *h.shape[2:])], 1)


class Trunk(nn.Module):
    """Images of any size to FEATURES numbers, which keep what lies where.

    Args:
        size: width and height of the images; it looks at them at the nearest power of two, from 8 to LARGEST.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = min(LARGEST, 2 ** max(3, round(math.log2(size))))
        self.width = FEATURES
        widths = [self.width >> k for k in reversed(range(int(math.log2(self.size)) - 2))]
        layers: list[nn.Module] = []
        for inputs, width in zip([3, *widths], widths, strict=False):
            for i, (kernel, stride) in ((inputs, (4, 2)), (width, (3, 1))):
                layers += [nn.Conv2d(i, width, kernel, stride, 1, bias=False), BatchNorm2d(width), nn.ReLU()]
        last = nn.Linear(16 * self.width, self.width), nn.BatchNorm1d(self.width, affine=False), nn.ReLU()  # KID needs a scale
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2), *last)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, FEATURES) of images (B, 3, S, S) in [-1, 1]."""
        if x.shape[-1] != self.size:
            x = F.interpolate(x, (self.size, self.size), mode="area" if x.shape[-1] > self.size else "bilinear")
        features: Tensor = self.layers(x)
        return features


class Bilateral(nn.Module):
    """A bilateral filter (Tomasi and Manduchi, 1998): each pixel becomes the mean of the 3 x 3 around it that are like it.

    A pixel that differs by d, a length over the channels, weighs exp(-d^2 / 2 spread^2). Faint specks go, edges stay.

    Args:
        spread: of the differences, where 255 is from black to white in one channel.
    """

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = spread

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] to the same shape."""
        x = x.float()
        near = F.unfold(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3).view(*x.shape[:2], 9, *x.shape[2:])
        step = near - x[:, :, None]
        weight = (step.square().sum(1, keepdim=True) * (-0.5 * (127.5 / self.spread) ** 2)).exp()
        return x + (weight * step).sum(2) / weight.sum(2)


def coloured(spread: float) -> list[nn.Module]:
    """What ends a translator: tanh, and a bilateral filter of this spread where it is not 0."""
    return [nn.Tanh(), *([Bilateral(spread)] if spread else [])]


class MinibatchDiscrimination(nn.Module):
    """What D sees in an image, and how alike that is to the others of its minibatch (Salimans et al., 2016, section 3.2).

    The minibatch is that of all processes. An image is compared with itself too, as in the paper, which adds 1 to every sum.

    Args:
        inputs: numbers that are seen in an image, A.
        kernels: ways to be alike, B.
        numbers: of each, C (code: 5).
    """

    def __init__(self, inputs: int, kernels: int, numbers: int = 5) -> None:
        super().__init__()
        self.T = nn.Parameter(torch.randn(inputs, kernels, numbers) / inputs**0.5)  # as long at first as the code's

    def forward(self, h: Tensor) -> Tensor:
        """(n, A) to (n, A + B): h, and the sum over the minibatch's j of exp(-|M_i - M_j|), M = h T."""
        M = every = torch.einsum("na,abc->nbc", h, self.T).float()
        if dist.is_initialized() and (world := dist.get_world_size()) > 1:
            rows = [M if rank == dist.get_rank() else torch.zeros_like(M) for rank in range(world)]
            every = world * group_mean(torch.cat(rows))
        alike = (-(M[:, None] - every).abs().sum(3)).exp().sum(1)  # (n, B)
        return torch.cat([h, alike.to(h.dtype)], 1)


class Standardise(nn.Module):
    """Sentence vectors less their mean over the training captions, divided by their spread; both travel with the network."""

    mean: Tensor
    std: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("std", torch.ones(dimension))

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, D) to the same shape."""
        return (vectors - self.mean) / self.std


class ConditioningAugmentation(nn.Module):
    """A code drawn around the text's: c = mu + sigma * eps (StackGAN, section 3.2).

    Args:
        text: numbers of a sentence vector.
        code: numbers of the code.
        variant: "linear" (the paper's equation), "relu" (the authors' torch code, in which sigma is never below 1), "glu" (their
            second version).
    """

    def __init__(self, text: int, code: int, variant: Literal["linear", "relu", "glu"] = "linear") -> None:
        super().__init__()
        self.layer = nn.Linear(text, (4 if variant == "glu" else 2) * code)
        self.after = {"linear": nn.Identity(), "relu": nn.ReLU(), "glu": nn.GLU(1)}[variant]

    def forward(self, text: Tensor, eps: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """c, mu and the log-variance (B, code) of text (B, D); c is mu where there is no ``eps``."""
        mu, log_variance = self.after(self.layer(text)).float().chunk(2, 1)
        return mu if eps is None else mu + (0.5 * log_variance).exp() * eps, mu, log_variance


def translate_and_cut(x: Tensor, u: Tensor, most: float = 0.125, hole: float = 0.5) -> Tensor:
    """DiffAugment's moves (Zhao et al., 2020): shift by up to ``most`` of the width, then a square hole of ``hole`` of it.

    Its changes of colour are left out: a caption may speak of colours.

    Args:
        x: (B, C, S, S) images.
        u: (B, 4) uniform numbers; the same for real and generated ones would be no harm, others are better.
        most: largest shift.
        hole: side of the hole.
    """
    B, C, S, _ = x.shape
    shift = ((2 * most * S + 1) * u[:, :2]).floor().long() - int(most * S)
    place = torch.arange(S, device=x.device)
    rows, columns = (place + shift[:, k, None] for k in (0, 1))  # (B, S)
    inside = ((rows >= 0) & (rows < S))[:, :, None] & ((columns >= 0) & (columns < S))[:, None, :]
    flat = rows.clamp(0, S - 1)[:, :, None] * S + columns.clamp(0, S - 1)[:, None, :]  # (B, S, S)
    moved = x.flatten(2).gather(2, flat.view(B, 1, -1).expand(-1, C, -1)).view_as(x) * inside[:, None]
    side = int(hole * S)
    first = ((S + 1) * u[:, 2:]).floor().long() - side // 2  # centres lie anywhere, also at the border
    out = [(place >= first[:, k, None]) & (place < first[:, k, None] + side) for k in (0, 1)]
    return moved * ~(out[0][:, :, None] & out[1][:, None, :])[:, None]
