"""Negative log-likelihoods: of held-out text under a generator, of a generator's samples under the oracle and under itself."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..corpus import Sentences
from ..generators import Generator, MaskGenerator
from ..generators.masked import blanks


@torch.no_grad()
def sequence_nll(model: Generator, x: Tensor, temperature: float = 1.0, piece: int = 256) -> Tensor:
    """Nats (N, 2) and tokens, EOS included, padding not, of each sequence of x (N, T) under a generator in eval mode."""
    mode, device = model.training, model.out.weight.device
    model.eval()
    rows = []
    for part in x.split(piece):
        part = part.to(device)
        rows.append(torch.stack([-model.log_prob(part, temperature).double().sum(1), model.mask(part).sum(1).double()], 1))
    model.train(mode)
    return torch.cat(rows) if rows else torch.zeros(0, 2, dtype=torch.float64, device=device)


def nll_test(model: Generator, sentences: Sentences, length: int, limit: int = 10_000) -> dict[str, float]:
    """Negative log-likelihood of held-out sentences, EOS included, padding not.

    Args:
        model: what is measured.
        sentences: the held-out part.
        length: T of the model.
        limit: at most this many sentences, the first.

    Returns:
        ``nll_test`` in nats a token, ``nll_test_sequence`` in nats a sentence, ``perplexity_test``, ``test_sentences``, and
        ``nll_test_padded``: nats a place, padding counted as places that cost nothing, which is how the published tables of
        NLL_gen count (those on the training text).
    """
    n = min(limit, len(sentences))
    x = torch.from_numpy(sentences.rows(np.arange(n), length))
    nats, tokens = sequence_nll(model, x).sum(0).tolist()
    mean = nats / tokens
    return {
        "nll_test": mean,
        "nll_test_sequence": nats / n,
        "nll_test_padded": nats / (n * length),
        "perplexity_test": float(np.exp(mean)),
        "test_sentences": n,
    }


@torch.no_grad()
def fill_nll(
    model: MaskGenerator, sentences: Sentences, length: int, rate: float = 0.5, limit: int = 10_000, seed: int = 0
) -> dict[str, float]:
    """Negative log-likelihood of the blanks of held-out sentences, one stretch of each, given the rest and the blanks before.

    Args:
        model: what is measured.
        sentences: the held-out part.
        length: T of the model.
        rate: share of a sentence that is blank.
        limit: at most this many sentences, the first.
        seed: decides the blanks.

    Returns:
        ``fill_nll`` in nats a blank, ``fill_perplexity``, and ``fill_perplexity_random``, what random tokens would give.
    """
    n, device, mode = min(limit, len(sentences)), model.out.weight.device, model.training
    x, u = (
        torch.from_numpy(sentences.rows(np.arange(n), length)),
        torch.rand(n, length, generator=torch.Generator().manual_seed(seed)),
    )
    model.eval()
    total = torch.zeros(2, dtype=torch.float64, device=device)
    for part, numbers in zip(x.to(device).split(256), u.to(device).split(256), strict=True):
        blank = blanks(model.mask(part).sum(1), length, rate, "contiguous", numbers)
        nats = -model.fill_log_prob(part, ~blank).double() * blank
        total += torch.stack([nats.sum(), blank.sum().double()])
    model.train(mode)
    nats_, count = total.tolist()
    allowed = int((model.ban == 0).sum())
    return {"fill_nll": nats_ / count, "fill_perplexity": float(np.exp(nats_ / count)), "fill_perplexity_random": float(allowed)}


def held_out_nll(model: Generator, sentences: Sentences, length: int) -> dict[str, float]:
    """``nll_test``, before it ``fill_nll`` where the model is one that fills blanks."""
    filling = fill_nll(model, sentences, length) if isinstance(model, MaskGenerator) else {}
    return filling | nll_test(model, sentences, length)


def draw(model: Generator, n: int, length: int, seed: int = 0, temperature: float = 1.0) -> Tensor:
    """Samples (n, length) of a generator in eval mode; the same seed gives the same."""
    device, mode = model.out.weight.device, model.training
    u = torch.rand(n, length, generator=torch.Generator(device).manual_seed(seed), device=device)
    model.eval()
    x = torch.cat([model.sample(len(part), length, part, temperature=temperature) for part in u.split(512)])
    model.train(mode)
    return x


def nll_oracle(model: Generator, oracle: Generator, length: int, samples: int = 10_000, seed: int = 0) -> dict[str, float]:
    """The oracle's negative log-likelihood of the model's samples, in nats a token (SeqGAN, eq. 9).

    It rewards sharpness: read it beside ``nll_test``.
    """
    nats, tokens = sequence_nll(oracle, draw(model, samples, length, seed)).sum(0).tolist()
    return {"nll_oracle": nats / tokens, "oracle_samples": samples}


def nll_div(model: Generator, length: int, samples: int = 10_000, seed: int = 0) -> dict[str, float]:
    """A generator's negative log-likelihood of its own samples, in nats a token: low where it says always the same."""
    nats, tokens = sequence_nll(model, draw(model, samples, length, seed)).sum(0).tolist()
    return {"nll_div": nats / tokens}
