"""The log-likelihood of tokens under a linear layer and a softmax, a few rows at a time, so that the scores stay in the cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

SCORES = 320_000  # that are worked on at a time


class _TokenLogProb(torch.autograd.Function):
    """For h (N, H) and x (N,): see token_log_prob. On the way back the scores (N, V) are computed again, not read from memory."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        h, weight = F.pad(h, (0, 1), value=1.0), torch.cat([weight, bias[:, None]], 1)  # a bias is one more row of the product
        rows, norms, found = max(1, SCORES // len(weight)), [], []
        scratch = h.new_empty(min(rows, len(h)), len(weight))  # one for all parts: new memory costs more than the arithmetic
        for some, tokens in zip(*(part.split(rows) for part in (h, x)), strict=True):
            scores = torch.mm(some, weight.t(), out=scratch[: len(some)])
            picked, most = scores.gather(1, tokens[:, None]).squeeze(1), scores.amax(1)
            norms.append(most + scores.sub_(most[:, None]).exp_().sum(1).log())
            found.append(picked - norms[-1])
        ctx.save_for_backward(h, weight, x, torch.cat(norms) if norms else h.new_empty(0))
        return torch.cat(found) if found else h.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        h, weight, x, norms = ctx.saved_tensors
        to_h, to_weight = h.new_empty(len(h), h.shape[1] - 1), torch.zeros_like(weight)
        rows = max(1, SCORES // len(weight))
        scratch = h.new_empty(min(rows, len(h)), len(weight))
        parts = (part.split(rows) for part in (h, x[:, None], grad[:, None], norms[:, None], to_h))
        for some, tokens, g, norm, to_some in zip(*parts, strict=True):
            p = torch.mm(some, weight.t(), out=scratch[: len(some)]).sub_(norm).exp_()
            p.mul_(-g).scatter_add_(1, tokens, g)  # d log p(x) / d scores = onehot - p
            torch.mm(p, weight[:, :-1], out=to_some)
            to_weight.addmm_(p.t(), some)
        return to_h, to_weight[:, :-1], to_weight[:, -1], None


def token_log_prob(h: Tensor, weight: Tensor, bias: Tensor, x: Tensor, wanted: Tensor) -> Tensor:
    """The log-probability log softmax(h W' + b)[x] of the tokens that are wanted, in nats.

    On a CPU the others are left out of the arithmetic, and it can be differentiated once only, with respect to h, weight and
    bias; on a GPU finding them would be a host sync.

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
        picked = _TokenLogProb.apply(h, weight, bias, tokens)  # type: ignore[no-untyped-call]
    return picked.new_zeros(x.shape).masked_scatter(wanted, picked)
