"""Estimators of rewards and gradients for generators whose samples cannot be differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


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
    piece: int = 128,
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
        piece: sequences rewarded at a time.

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
        value = torch.cat([reward(part) for part in finished.split(piece)]).view(batch, length - 1, n)
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
