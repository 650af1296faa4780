"""Figures about a generator, as functions of samples and of ``log_prob``, never of a trainer."""

from __future__ import annotations

import torch

from ..corpus import Sentences
from ..generators import RNNGenerator


@torch.no_grad()
def nll_test(model: RNNGenerator, sentences: Sentences, length: int, limit: int = 10_000) -> dict[str, float]:
    """Negative log-likelihood of held-out sentences, EOS included, padding not.

    Args:
        model: what is measured.
        sentences: the held-out part.
        length: T of the model.
        limit: at most this many sentences, the first.

    Returns:
        ``nll_test`` in nats a token, ``nll_test_sequence`` in nats a sentence, ``perplexity_test``, ``test_sentences``.
    """
    import numpy as np

    device, n = model.out.weight.device, min(limit, len(sentences))
    total, tokens = torch.zeros(2, dtype=torch.float64, device=device).unbind()
    mode = model.training
    model.eval()
    for start in range(0, n, 64):
        x = torch.from_numpy(sentences.rows(np.arange(start, min(n, start + 64)), length)).to(device)
        total += model.log_prob(x).double().sum()
        tokens += model.mask(x).sum()
    model.train(mode)
    mean = float(-total / tokens)
    return {
        "nll_test": mean,
        "nll_test_sequence": float(-total / n),
        "perplexity_test": float(torch.tensor(mean, dtype=torch.float64).exp()),
        "test_sentences": n,
    }


@torch.no_grad()
def nll_oracle(model: RNNGenerator, oracle: RNNGenerator, length: int, samples: int = 10_000, seed: int = 0) -> dict[str, float]:
    """The oracle's negative log-likelihood of the model's samples, in nats a token (SeqGAN, eq. 9).

    It rewards sharpness: read it beside ``nll_test``.
    """
    device, mode = model.out.weight.device, model.training
    u = torch.rand(samples, length, generator=torch.Generator(device).manual_seed(seed), device=device)
    model.eval()
    total = torch.zeros((), dtype=torch.float64, device=device)
    for part in u.split(512):
        total += oracle.log_prob(model.sample(len(part), length, part)).double().sum()
    model.train(mode)
    return {"nll_oracle": float(-total) / (samples * length), "oracle_samples": samples}
