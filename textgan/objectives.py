"""What the players minimise, as pure functions of logits and log-probabilities."""

from __future__ import annotations

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
