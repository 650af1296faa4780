"""The log-likelihood of tokens under a linear layer and a softmax, a few rows at a time, so that the scores stay in the cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

SCORES = 320_000  # that are worked on at a time


class _TokenLogProb(torch.autograd.Function):
    """For h (N, H) and x (N,): see token_log_prob. Only the (N, V) log-probabilities are kept for the way back."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, x: Tensor, learn: bool) -> Tensor:
        rows, found = max(1, SCORES // len(bias)), []
        kept = h.new_empty(len(h), len(bias)) if learn else None
        for i in range(0, len(h), rows):
            scores = torch.log_softmax(torch.addmm(bias, h[i : i + rows], weight.t()), 1)
            found.append(scores.gather(1, x[i : i + rows, None]).squeeze(1))
            if kept is not None:
                kept[i : i + rows] = scores
        ctx.save_for_backward(h, weight, x, kept)
        return torch.cat(found) if found else h.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        h, weight, x, kept = ctx.saved_tensors
        to_h, to_weight, to_bias = torch.empty_like(h), torch.zeros_like(weight), weight.new_zeros(len(weight))
        rows = max(1, SCORES // len(weight))
        for i in range(0, len(h), rows):
            part, g = slice(i, i + rows), grad[i : i + rows, None]
            p = kept[part].exp().mul_(-g).scatter_add_(1, x[part, None], g)  # d log p(x) / d scores = onehot - p
            torch.mm(p, weight, out=to_h[part])
            to_weight.addmm_(p.t(), h[part])
            to_bias += p.sum(0)
        return to_h, to_weight, to_bias, None, None


def token_log_prob(h: Tensor, weight: Tensor, bias: Tensor, x: Tensor, wanted: Tensor) -> Tensor:
    """The log-probability log softmax(h W' + b)[x] of the tokens that are wanted, in nats.

    On a CPU the others are left out of the arithmetic; on a GPU finding them would be a host sync. There it can be differentiated
    once only, with respect to h, weight and bias.

    Args:
        h: (B, T, H).
        weight: (V, H).
        bias: (V,); minus infinity where a token has probability zero.
        x: (B, T) ids.
        wanted: (B, T).

    Returns:
        (B, T), 0 where a token is not wanted.
    """
    if h.device.type != "cpu":
        scores = F.linear(h, weight, bias).float()
        return -F.cross_entropy(scores.flatten(0, 1), x.flatten(), reduction="none").view_as(x).masked_fill(~wanted, 0.0)
    h, tokens = h[wanted], x[wanted]
    if torch.is_autocast_enabled("cpu"):
        picked = -F.cross_entropy(F.linear(h, weight, bias).float(), tokens, reduction="none")
    else:
        picked = _TokenLogProb.apply(h, weight, bias, tokens, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return picked.new_zeros(x.shape).masked_scatter(wanted, picked)
