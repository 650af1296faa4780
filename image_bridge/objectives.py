"""What the players of image GANs minimise, as pure functions."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.runtime import group_mean

Game = Literal["bce", "hinge"]


def towards(scores: Tensor, real: bool, game: Game) -> Tensor:
    """D's loss (n,) for scores (n,) of samples that it should call real, or not: -log of the probability, or the hinge."""
    sign = 1 if real else -1
    return F.softplus(-sign * scores) if game == "bce" else (1 - sign * scores).relu()


def d_loss(real: Tensor, fake: Tensor, game: Game, smooth: float = 1.0) -> Tensor:
    """D's loss for its scores of real samples (n,) and of generated ones (m,) (GAN, eq. 1; or the hinge).

    Args:
        real: scores of real samples.
        fake: scores of generated ones.
        game: "bce" or "hinge".
        smooth: the probability that D should give real samples (one-sided label smoothing; Salimans et al., 2016, section 3.4).
    """
    right = towards(real, True, game)
    if smooth < 1:
        right = smooth * right + (1 - smooth) * towards(real, False, game)
    return right.mean() + towards(fake, False, game).mean()


def least_squares(scores: Tensor, target: float) -> Tensor:
    """How far scores are from what they should be, squared, on average (LSGAN, Mao et al., ICCV 2017, eq. 9)."""
    return (scores.float() - target).square().mean()


def flipped(real: Tensor, fake: Tensor, u: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Scores for ``d_loss`` with noisy labels: each real and generated sample that meet change places with this probability.

    Args:
        real: (n,) scores of real samples.
        fake: (n,) of generated ones.
        u: (n,) uniform numbers in [0, 1).
        share: the probability that a label is wrong.
    """
    wrong = u < share
    return torch.where(wrong, fake, real), torch.where(wrong, real, fake)


def feature_matching(real: Tensor, fake: Tensor) -> Tensor:
    """G's loss |E f(x) - E f(G(z))|^2, of the means of the batch of all processes (Salimans et al., 2016, section 3.1).

    Args:
        real: (n, ...) what a layer of D sees in real images; held fixed.
        fake: (m, ...) in generated ones.
    """
    return (group_mean(real.detach().float().mean(0)) - group_mean(fake.float().mean(0))).square().sum()


def total_variation(x: Tensor) -> Tensor:
    """How unlike neighbouring pixels are: the length of (right - here, below - here), summed over places (DTN, section 4).

    The mean over images and channels.

    Args:
        x: (B, C, S, S) images.
    """
    here = x[..., :-1, :-1]
    squares = (x[..., :-1, 1:] - here).float().square() + (x[..., 1:, :-1] - here).float().square()
    flat = squares == 0
    lengths = (squares + flat).sqrt() - flat.float()  # exactly 0 there, and its gradient 0 instead of NaN
    return lengths.sum((2, 3)).mean()


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient has another sign and size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        """The same numbers."""
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Minus ``weight`` times the gradient."""
        return -ctx.weight * grad, None


def reversed_gradient(x: Tensor, weight: float = 1.0) -> Tensor:
    """x, with -weight times the gradient: layers before it maximise what those after it minimise (Ganin et al., JMLR 2016)."""
    found: Tensor = _Reversed.apply(x, weight)  # type: ignore[no-untyped-call]
    return found


def distance(a: Tensor, b: Tensor) -> Tensor:
    """The Euclidean distance of what has the same place in both batches (B, ...), on average (XGAN, eq. 1)."""
    each: Tensor = torch.linalg.vector_norm((a.float() - b.float()).flatten(1), dim=1)
    return each.mean()


def information_of_categorical(logits: Tensor, value: Tensor) -> Tensor:
    """A lower bound of the mutual information of images and a categorical code, in nats: log q(c|x) + H(c) (InfoGAN, eq. 4).

    Args:
        logits: (B, K) of q for images.
        value: (B,) of the code that each was made from; all are as likely.
    """
    return math.log(logits.shape[-1]) - F.cross_entropy(logits.float(), value)


def information_of_continuous(mean: Tensor, value: Tensor) -> Tensor:
    """The same for codes that are uniform in [-1, 1], where q is normal with spread 1; the sum over them (InfoGAN, section 6).

    Args:
        mean: (B, C) of q for images.
        value: (B, C) of the codes.
    """
    nats = 0.5 * (mean.float() - value).square() + 0.5 * math.log(2 * math.pi)
    return (math.log(2) - nats).sum(1).mean()


def feature_nll(real: Tensor, drawn: Tensor) -> Tensor:
    """-log N(real; drawn, 1) but for a constant, summed over features, mean over the batch (VAE-GAN, eq. 7).

    Args:
        real: (B, ...) what D sees in images.
        drawn: (B, ...) what it sees in their reconstructions.
    """
    return 0.5 * (real.float() - drawn.float()).square().flatten(1).sum(1).mean()


def matching_aware(
    real: Tensor, wrong: Tensor, fake: Tensor, mismatched: Tensor, count: Tensor, game: Game, share: float = 0.5
) -> Tensor:
    """D's loss: real image and its text against, half each, real image and another text, generated image and its text.

    GAN-INT-CLS, algorithm 1: L = -log s_r - (log(1 - s_w) + log(1 - s_f)) / 2. A wrong pair that is none, because the other text
    is true of the image as well, does not count.

    Args:
        real: (B,) scores of real images with their text.
        wrong: (B,) of real images with another text.
        fake: (B,) of generated images with the text they were made for.
        mismatched: (B,) whether the other text is really wrong.
        count: how many are, as a mean over processes.
        game: "bce" (paper) or "hinge".
        share: weight of the wrong and of the generated pairs (paper: half each; StackGAN++'s code: 1).
    """
    not_its_own = (towards(wrong, False, game) * mismatched).sum() / count.clamp(min=1)
    return towards(real, True, game).mean() + share * (not_its_own + towards(fake, False, game).mean())


def g_loss(fake: Tensor, game: Game) -> Tensor:
    """G's loss for D's scores (n,) of its samples: -log D, or minus the score."""
    return F.softplus(-fake).mean() if game == "bce" else -fake.mean()


def mode_seeking(a: Tensor, b: Tensor, z_a: Tensor, z_b: Tensor) -> Tensor:
    """How little images change with their noise: the inverse of |a - b| / |z_a - z_b| (Mao et al., MSGAN, CVPR 2019, eq. 2).

    The means are those of the batch of all processes.

    Args:
        a: (B, C, S, S) images of some texts.
        b: images of the same texts with other noise.
        z_a: (B, Z) noise of a.
        z_b: noise of b.
    """
    return group_mean((z_a - z_b).abs().mean()) / (group_mean((a - b).abs().mean()) + 1e-5)


def kl_to_standard_normal(mu: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)), the mean over batch and dimensions (StackGAN, eq. 2; the code takes the mean)."""
    return 0.5 * (mu.square() + log_variance.exp() - 1 - log_variance).mean()


def colour_consistency(larger: Tensor, smaller: Tensor, mean: float = 1.0, covariance: float = 5.0) -> Tensor:
    """How far the colours of an image are from those of its smaller version (StackGAN++, section 4.3), which is held fixed.

    Args:
        larger: (B, 3, S, S).
        smaller: (B, 3, s, s).
        mean: the paper's lambda_1.
        covariance: the paper's lambda_2.
    """

    def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(2).float()  # (B, 3, pixels)
        mu = x.mean(2, keepdim=True)
        return mu, (x - mu) @ (x - mu).transpose(1, 2) / x.shape[2]

    with torch.autocast(larger.device.type, enabled=False):
        (mu, cov), (low_mu, low_cov) = statistics(larger), statistics(smaller.detach())
    return mean * F.mse_loss(mu, low_mu) + covariance * F.mse_loss(cov, low_cov)


def joint_embedding(scores: Tensor, alike: Tensor, loss: Literal["softmax", "hinge"]) -> Tensor:
    """How badly images and captions find each other, as the sum of both directions.

    Args:
        scores: (B, B), of image i (row) for caption j; its own is caption i.
        alike: (B, B), true where another caption is true of the image as well: neither right nor wrong.
        loss: "hinge": max(0, 1 + best wrong score - own) (Reed et al., CVPR 2016, the structured hinge); "softmax": cross-entropy
            of the own one among all.
    """
    if loss == "softmax":
        known = scores.masked_fill(alike, -torch.inf)
        own = torch.arange(len(scores), device=scores.device)
        return F.cross_entropy(known, own) + F.cross_entropy(known.T, own)
    own_score = scores.diagonal()
    wrong = scores.masked_fill(alike, -torch.inf).fill_diagonal_(-torch.inf)
    return sum(((1 + wrong.amax(k) - own_score).relu().mean() for k in (0, 1)), scores.new_zeros(()))
