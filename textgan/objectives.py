"""What the players minimise, as pure functions of logits and log-probabilities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def d_logistic(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss, the mean of -log D(real) and -log(1 - D(fake)) over both batches (GAN, eq. 1; SeqGAN, eq. 5).

    Args:
        real: (n,) logits of real samples.
        fake: (m,) logits of generated samples.
    """
    return (F.softplus(-real).sum() + F.softplus(fake).sum()) / (real.numel() + fake.numel())


def nll(log_prob: Tensor, mask: Tensor, tokens: Tensor | None = None) -> Tensor:
    """Negative log-likelihood in nats a token.

    Args:
        log_prob: (B, T) of each token.
        mask: (B, T), true where there is a token (EOS included, padding not).
        tokens: what to divide by; the number of tokens in the mask when absent.
    """
    count = mask.sum() if tokens is None else tokens
    return -(log_prob * mask).sum() / count


def neighbour_nll(scores: Tensor, follows: Tensor) -> tuple[Tensor, Tensor]:
    """How well a sentence finds its neighbours in a stretch of text (Quick-Thoughts, eq. 2), never being its own candidate.

    Args:
        scores: (B, B), of sentence i (row) for candidate j.
        follows: (B - 1,), true where sentence i + 1 follows sentence i directly.

    Returns:
        The mean negative log-likelihood of a neighbour, and how often a neighbour has the highest score.
    """
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    log_p = scores.float().masked_fill(own, -torch.inf).log_softmax(1)
    after, before = log_p.diagonal(1), log_p.diagonal(-1)  # of i + 1 given i, of i given i + 1
    count = (2 * follows.sum()).clamp(min=1)
    zero = torch.zeros_like(after)
    loss = -(torch.where(follows, after, zero) + torch.where(follows, before, zero)).sum() / count
    best = log_p.detach().argmax(1)
    place = torch.arange(len(scores), device=scores.device)
    right = follows & (best[:-1] == place[1:])
    left = follows & (best[1:] == place[:-1])
    found = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    found[:-1] |= right
    found[1:] |= left
    some = torch.zeros_like(found)
    some[:-1] |= follows
    some[1:] |= follows
    return loss, found.sum() / some.sum().clamp(min=1)
