"""The one categorical sampler: everything that draws tokens draws them here.

Inverse of the distribution function in two levels: a uniform number picks a block of about sqrt(V) tokens by the blocks'
sums, then a token in the block. One uniform number a draw, so that the same numbers give the same tokens whatever the
order or the batching of the draws.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

CACHE_ELEMENTS = 1 << 21  # rows are drawn in pieces whose logits (8 MB) stay near a core
GPU_ELEMENTS = 1 << 28  # 1 GB of logits
SAFE = 60.0  # exp of numbers in +-60, and the sum of V of them, is far from float32's ends


def restrict(logits: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Logits (..., V) sharpened and cut: temperature, then the ``top_k`` likeliest, then the nucleus of mass ``top_p``.

    The nucleus is the smallest set of likeliest tokens whose probabilities reach ``top_p`` (Holtzman et al., 2020).
    ``top_k=0`` and ``top_p=1`` cut nothing.

    Raises:
        ValueError: an option is out of its range.
    """
    if not temperature > 0 or not math.isfinite(temperature):
        raise ValueError(f"temperature must be a finite number above 0; received {temperature}")
    if top_k < 0:
        raise ValueError(f"top_k must be 0 (off) or more; received {top_k}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1]; received {top_p}")
    if temperature != 1:
        logits = logits / temperature
    if 0 < top_k < logits.shape[-1]:
        kept = logits.topk(top_k, dim=-1)
        logits = torch.full_like(logits, -math.inf).scatter(-1, kept.indices, kept.values)
    if top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        p = ordered.softmax(-1)
        ordered = ordered.masked_fill(p.cumsum(-1) - p >= top_p, -math.inf)
        logits = torch.empty_like(logits).scatter(-1, order, ordered)
    return logits


def _pick(weights: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Index (n,) of the first cumulative weight above ``target`` (n,), and what of the target is left over there.

    The target is held below the total by one float, so that rounding never picks a weight of zero.
    """
    cumulative = weights.cumsum(-1)
    total = cumulative[:, -1]
    target = torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
    index = (cumulative <= target.unsqueeze(1)).sum(-1)
    before = F.pad(cumulative, (1, 0)).gather(1, index.unsqueeze(1)).squeeze(1)
    return index, target - before


@torch.no_grad()
def categorical(logits: Tensor, u: Tensor) -> Tensor:
    """Draw one token a row by inverting the distribution function.

    Args:
        logits: (n, V), unnormalised log-probabilities; -inf is never drawn.
        u: (n,) numbers in [0, 1).

    Returns:
        (n,) token ids.
    """
    return _draw(logits.float().softmax(-1), u)


def _draw(p: Tensor, u: Tensor) -> Tensor:
    """``categorical`` of weights p (n, V), which need not sum to one."""
    size = p.shape[1]
    block = max(1, math.isqrt(size))
    full = size // block * block
    sums = p[:, :full].unflatten(1, (-1, block)).sum(-1)
    if full < size:
        sums = torch.cat([sums, p[:, full:].sum(-1, keepdim=True)], 1)
    chosen, left = _pick(sums, u * sums.sum(-1))
    places = chosen.unsqueeze(1) * block + torch.arange(block, device=p.device)  # (n, block)
    inside = p.gather(1, places.clamp(max=size - 1)).masked_fill(places >= size, 0)
    return chosen * block + _pick(inside, left)[0]


def _reach(h: Tensor, weight: Tensor, bias: Tensor) -> float:
    """No finite number of h W' + b is further from zero (Cauchy and Schwarz)."""
    return float(h.norm(dim=1).amax() * weight.norm(dim=1).amax() + bias.nan_to_num(neginf=0).abs().amax())


@torch.no_grad()
def project_and_draw(
    h: Tensor,
    weight: Tensor,
    bias: Tensor,
    u: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> Tensor:
    """Draw from softmax(h W' + b) without ever holding all logits: rows go through in pieces that fit the cache.

    Args:
        h: (n, H) states.
        weight: (V, H).
        bias: (V,).
        u: (n,) numbers in [0, 1).
        temperature: divides the logits.
        top_k: see restrict.
        top_p: see restrict.

    Returns:
        (n,) token ids.
    """
    if not len(h):
        return h.new_zeros(0, dtype=torch.long)
    on_cpu = h.device.type == "cpu"  # elsewhere a question about values would be a wait for the device
    piece = max(16, (CACHE_ELEMENTS if on_cpu else GPU_ELEMENTS) // weight.shape[0])
    safe = on_cpu and _reach(h, weight, bias) < SAFE * temperature
    h, both = F.pad(h, (0, 1), value=1.0), torch.cat([weight, bias.unsqueeze(1)], 1).t()  # h W' + b as one product

    def weights(part: Tensor) -> Tensor:
        logits = restrict(part @ both, temperature, top_k, top_p).float()
        return logits.exp_() if safe else logits.softmax(-1)  # without the maximum and the quotient, half the passes

    drawn = [_draw(weights(part), numbers) for part, numbers in zip(h.split(piece), u.split(piece), strict=True)]
    return torch.cat(drawn)
