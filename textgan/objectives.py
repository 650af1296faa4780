"""What the players minimise, as pure functions of logits and log-probabilities."""

from __future__ import annotations

from collections.abc import Callable

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


def g_nonsaturating(fake: Tensor) -> Tensor:
    """The generator's loss, the mean of -log D(fake) (GAN, section 3).

    Args:
        fake: (n,) logits of generated samples.
    """
    return F.softplus(-fake).mean()


def g_minimax(fake: Tensor) -> Tensor:
    """The generator's loss of the minimax game, the mean of log(1 - D(fake)) (GAN, eq. 1); it is flat where D is sure.

    Args:
        fake: (n,) logits of generated samples.
    """
    return -F.softplus(fake).mean()


def relativistic(better: Tensor, worse: Tensor) -> Tensor:
    """The mean of -log s(better - worse) (RSGAN; Jolicoeur-Martineau, 2019, section 4.1).

    D minimises it for (real, fake), G for (fake, real).

    Args:
        better: (n,) logits.
        worse: (n,) logits.
    """
    return F.softplus(worse - better).mean()


def d_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's hinge loss: scores of real samples above 1, of generated ones below -1 (Lim and Ye, 2017).

    Args:
        real: (n,) scores of real samples.
        fake: (m,) scores of generated samples.
    """
    return (1 - real).relu().mean() + (1 + fake).relu().mean()


def wasserstein(better: Tensor, worse: Tensor) -> Tensor:
    """The critic's loss, the mean score of ``worse`` less that of ``better`` (WGAN, eq. 2): (real, fake) is the critic's."""
    return worse.mean() - better.mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, u: Tensor) -> Tensor:
    """How far the norm of the critic's gradient is from 1, squared, between real and generated samples (WGAN-GP, eq. 3).

    Args:
        critic: gives scores (n, ...) of samples.
        real: (n, ...) samples.
        fake: (n, ...) samples.
        u: (n,) uniform numbers: where between the two the gradient is taken.
    """
    u = u.view(-1, *[1] * (real.dim() - 1))
    x = (u * real.detach() + (1 - u) * fake.detach()).requires_grad_()
    score = critic(x)
    (gradient,) = torch.autograd.grad(score.flatten(1).mean(1).sum() if score.dim() > 1 else score.sum(), x, create_graph=True)
    penalty: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def r1(scores: Tensor, real: Tensor) -> Tensor:
    """Half the squared norm of D's gradient at real samples, as a mean (Mescheder et al., 2018, eq. 9, without gamma).

    Args:
        scores: (n,) of D.
        real: (n, ...) the samples that it was given, which require a gradient.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean() / 2


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


class SampledSoftmax:
    """The full softmax with its sum over the other tokens estimated from a sample of them (Jean et al., 2015, eq. 8-10).

    Args:
        counts: (V,) how often each token comes; others are drawn in proportion to counts ** 0.75, without the corpus's rarest
            being lost.
        size: how many are drawn for a batch, with replacement; the same for all its tokens.
    """

    def __init__(self, counts: Tensor, size: int) -> None:
        weights = (counts.double() + 1).pow(0.75)
        self.size = size
        self.cumulative = (weights / weights.sum()).cumsum(0)
        self.log_expected = ((weights / weights.sum()) * size).log().float()  # how often each is expected in the sample

    def __call__(self, h: Tensor, tokens: Tensor, weight: Tensor, bias: Tensor, noise: torch.Generator) -> Tensor:
        """Summed estimate of the negative log-likelihood of tokens (n,) given states h (n, D), weight (V, D), bias (V,)."""
        u = torch.rand(self.size, generator=noise, device=h.device, dtype=torch.float64)
        drawn = torch.searchsorted(self.cumulative, u).clamp(max=len(self.cumulative) - 1)
        true = (h * weight[tokens]).sum(1) + bias[tokens]
        others = F.linear(h, weight[drawn], bias[drawn] - self.log_expected[drawn])
        others = others.masked_fill(drawn.unsqueeze(0) == tokens.unsqueeze(1), -torch.inf)  # accidental hits
        return (torch.logsumexp(torch.cat([true.unsqueeze(1), others], 1).float(), 1) - true.float()).sum()
