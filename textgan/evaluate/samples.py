"""All figures of a set of samples beside those of real text: what ``textgan evaluate`` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .bleu import Words, self_bleu, sentence_bleu
from .diversity import copied, distinct, lengths
from .embedding import frechet_distance, mauve, precision_recall
from .language_models import ngram_nll

Encode = Callable[[Sequence[str]], np.ndarray]


def compare_texts(
    samples: Sequence[Words],
    references: Sequence[Words],
    training: Sequence[Words],
    *,
    n: int = 5,
    hypotheses: int = 0,
    order: int = 4,
    seed: int = 0,
) -> dict[str, float]:
    """Figures of samples against real text.

    Args:
        samples: generated sentences as words.
        references: held-out sentences.
        training: what the generator learnt from; without any, nothing is said of copies and of a language model's score.
        n: largest order of BLEU and distinct-n.
        hypotheses: sentences that BLEU and self-BLEU score, drawn at random; 0 for all. The references are all in either case.
        order: of the n-gram language models.
        seed: decides which sentences are drawn.

    Returns:
        ``bleu_2`` ..., ``self_bleu_2`` ..., ``lm_nll`` (samples under a model of the training text) and ``reverse_lm_nll``
        (references under a model of the samples), both in nats a token, and what ``distinct``, ``copied`` and ``lengths`` find.
    """
    chosen = None
    if 0 < hypotheses < len(samples):
        chosen = np.sort(np.random.default_rng(seed).permutation(len(samples))[:hypotheses])
    scored = samples if chosen is None else [samples[i] for i in chosen]
    found: dict[str, float] = {}
    for name, scores in (
        ("bleu", sentence_bleu(scored, references, n)),
        ("self_bleu", self_bleu(samples, n, hypotheses=chosen)),
    ):
        found |= {f"{name}_{k}": float(scores[:, k - 1].mean()) for k in range(2, n + 1)}
    vocabulary = {word for sentence in training or references for word in sentence}
    if training:
        found["lm_nll"] = _per_token(ngram_nll(training, samples, vocabulary, order))
    found["reverse_lm_nll"] = _per_token(ngram_nll(samples, references, vocabulary, order))
    found |= distinct(samples, min(n, 4))
    if training:
        found |= copied(samples, training)
    return found | lengths(samples)


def _per_token(scores: np.ndarray) -> float:
    return float(scores[:, 0].sum() / max(1, scores[:, 1].sum()))


def compare_vectors(samples: np.ndarray, references: np.ndarray, with_mauve: bool = False, seed: int = 0) -> dict[str, float]:
    """``fed`` (Fréchet embedding distance), ``precision``, ``recall``, ``density``, ``coverage``, on request ``mauve``."""
    found = {"fed": frechet_distance(samples, references), **precision_recall(references, samples)}
    return {**found, "mauve": mauve(references, samples, seed)} if with_mauve else found
