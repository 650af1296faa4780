"""Estimators of rewards and gradients for generators whose samples cannot be differentiated, and samples that can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Completes(Protocol):
    """A policy that can finish given prefixes."""

    def complete(self, x: Tensor, n: int, u: Tensor) -> Tensor:
        """Finish every prefix of every sequence ``n`` times; see RNNGenerator.complete."""

    def mask(self, x: Tensor) -> Tensor:
        """Where x holds tokens, EOS included."""


@torch.no_grad()
def rollout_reward(
    policy: Completes,
    reward: Callable[[Tensor], Tensor],
    x: Tensor,
    u: Tensor,
    *,
    n: int,
    discount: float = 1.0,
) -> Tensor:
    """The action value of each token by Monte Carlo search (SeqGAN, eq. 4).

    Token t of a sequence is worth the mean reward of ``n`` completions of its prefix up to and including t; the last token
    is worth the reward of the sequence itself. With ``n=0`` every token gets the reward of the whole sequence (REINFORCE).

    Args:
        policy: finishes the prefixes.
        reward: gives (m,) rewards for (m, T) finished sequences.
        x: (B, T) sequences.
        u: (B, T - 1, n, T) uniform numbers; [b, t, i, s] draws token s of completion i of the prefix x[b, :t + 1].
        n: completions a prefix.
        discount: factor for each token between the prefix and the end; 1 is the paper's terminal reward.

    Returns:
        (B, T) rewards, 0 at padding.
    """
    batch, length = x.shape
    steps = torch.arange(length, device=x.device)
    lengths = policy.mask(x).sum(1)  # (B,)
    to_end = (lengths.unsqueeze(1) - 1 - steps).clamp(min=0)  # (B, T)
    q = reward(x).unsqueeze(1) * discount**to_end  # (B, T)
    if n > 0 and length > 1:
        finished = policy.complete(x, n, u).reshape(-1, length)  # (B (T-1) n, T)
        value = reward(finished).view(batch, length - 1, n)
        if discount != 1:
            ends = policy.mask(finished).sum(1).view(batch, length - 1, n) - 1
            value = value * discount ** (ends - steps[:-1, None])
        before_end = steps[:-1] < lengths.unsqueeze(1) - 1
        q[:, :-1] = torch.where(before_end, value.mean(2), q[:, :-1])
    return q * policy.mask(x)


def policy_gradient(log_prob: Tensor, advantage: Tensor, mask: Tensor) -> Tensor:
    """A loss whose gradient is minus the policy gradient (SeqGAN, eq. 8; Williams, 1992): mean over sequences of sums.

    Args:
        log_prob: (B, T) of the sampled tokens, differentiable.
        advantage: (B, T) reward less baseline; no gradient flows through it.
        mask: (B, T), true where there is a token.
    """
    return -(log_prob * advantage.detach() * mask).sum() / len(log_prob)


def discounted_returns(reward: Tensor, discount: float) -> Tensor:
    """What is still to come at each step: R_t = sum over s >= t of discount ** (s - t) r_s (MaskGAN, eq. 5).

    Args:
        reward: (B, T).
        discount: in (0, 1].

    Returns:
        (B, T).
    """
    step = torch.arange(reward.shape[1], device=reward.device)
    ahead = step.unsqueeze(1) - step  # (T, T): s - t
    weights = torch.where(ahead >= 0, torch.tensor(discount, dtype=reward.dtype, device=reward.device) ** ahead.clamp(min=0), 0.0)
    return reward @ weights


Annealing = Literal["exponential", "linear", "inverse-linear", "constant"]


def anneal(kind: Annealing, first: float, last: float, share: float) -> float:
    """The temperature when ``share`` (0 to 1) of the way from ``first`` to ``last`` is done.

    "exponential" falls by the same factor at each step, "linear" by the same amount; "inverse-linear" raises 1 / temperature by
    the same amount. RelGAN's inverse temperature beta_max ** share (section 3.3) is "exponential" from 1 to 1 / beta_max.
    """
    if kind == "exponential":
        return float(first * (last / first) ** share)
    if kind == "linear":
        return first + (last - first) * share
    if kind == "inverse-linear":
        return 1 / (1 / first + (1 / last - 1 / first) * share)
    return first


def gumbel(u: Tensor) -> Tensor:
    """Standard Gumbel noise from uniform numbers in [0, 1)."""
    return -(-u.clamp(min=torch.finfo(u.dtype).tiny).log()).log()


def gumbel_softmax(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """Relaxed one-hot samples (..., V) of softmax(logits) (Jang et al., 2017, eq. 2; Maddison et al., 2017, eq. 10).

    Args:
        logits: (..., V) unnormalised log-probabilities.
        noise: (..., V) Gumbel noise; logits + noise is largest at an exact sample (Gumbel-max).
        temperature: towards 0 the vectors become that sample's one-hot, with growing temperature uniform.
    """
    return ((logits + noise) / temperature).softmax(-1)


def straight_through(relaxed: Tensor) -> Tensor:
    """The one-hot vector of the largest entry, with the gradient of ``relaxed`` (Bengio et al., 2013; Jang et al., 2017, 2.2)."""
    hard = F.one_hot(relaxed.argmax(-1), relaxed.shape[-1]).to(relaxed.dtype)
    return hard + (relaxed - relaxed.detach())
