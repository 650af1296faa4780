"""How varied generated sentences are, how long, and how much of them was copied from the training text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .bleu import Words, ngrams


def distinct(sentences: Sequence[Words], n: int = 4) -> dict[str, float]:
    """Different sentences, and different n-grams as shares of all n-grams (distinct-n of Li et al., 2016).

    Args:
        sentences: as words.
        n: largest order.

    Returns:
        ``distinct_sentences`` (a count) and ``distinct_1`` to ``distinct_n``; not a number where there is no n-gram.
    """
    found = {"distinct_sentences": float(len({tuple(s) for s in sentences}))}
    for k, (_, gram) in enumerate(ngrams(sentences, n), 1):
        found[f"distinct_{k}"] = len(np.unique(gram)) / len(gram) if len(gram) else float("nan")
    return found


def copied(sentences: Sequence[Words], training: Sequence[Words]) -> dict[str, float]:
    """What of the sentences stands word for word in the training text.

    Args:
        sentences: as words.
        training: the sentences that were learnt from, as words.

    Returns:
        ``copied_sentences``, the share that are sentences of the training text; ``longest_copy_mean`` and ``longest_copy_max``,
        the longest run of words of a sentence that is also a run of words of one training sentence, in words.
    """
    size = len(sentences)
    if not size:
        return {"copied_sentences": float("nan"), "longest_copy_mean": float("nan"), "longest_copy_max": float("nan")}
    known = {tuple(s) for s in training}
    longest = np.zeros(size, dtype=np.int64)
    for k, (owner, gram) in enumerate(ngrams([*sentences, *training], max(map(len, sentences), default=0)), 1):
        there = np.zeros(int(gram.max(initial=-1)) + 1, dtype=bool)
        there[gram[owner >= size]] = True
        hit = owner[(owner < size) & there[gram]]
        if not len(hit):
            break
        longest[hit] = k
    return {
        "copied_sentences": sum(tuple(s) in known for s in sentences) / size,
        "longest_copy_mean": float(longest.mean()),
        "longest_copy_max": float(longest.max()),
    }


def lengths(sentences: Sequence[Words]) -> dict[str, float]:
    """Words a sentence: mean, standard deviation, and the 5th, 50th and 95th percentile."""
    if not sentences:
        return {f"length_{name}": float("nan") for name in ("mean", "sd", "p5", "p50", "p95")}
    counts = np.array([len(s) for s in sentences])
    low, middle, high = np.percentile(counts, [5, 50, 95])
    return {
        "length_mean": float(counts.mean()),
        "length_sd": float(counts.std()),
        "length_p5": float(low),
        "length_p50": float(middle),
        "length_p95": float(high),
    }
