"""BLEU and self-BLEU of generated sentences, in time linear in the text (Papineni et al., 2002; Zhu et al., 2018).

Every n-gram is counted once. For self-BLEU the largest and the second largest count of an n-gram over all sentences are enough:
the references of a sentence that holds the largest have the second largest, those of any other the largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

Words = Sequence[str]
Smoothing = Literal["method0", "method1", "method2", "method3", "method4"]


def ngrams(sentences: Sequence[Words], largest: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All n-grams of sentences as numbers, equal n-grams equal numbers, for n = 1 to ``largest``.

    Yields:
        (m,) the sentence that each n-gram is in, ascending, and (m,) its number, from 0 without gaps.
    """
    vocabulary: dict[str, int] = {}
    words = np.array([vocabulary.setdefault(word, len(vocabulary)) for s in sentences for word in s], dtype=np.int64)
    owner = np.repeat(np.arange(len(sentences)), [len(s) for s in sentences])
    place, gram = np.arange(len(words)), words
    for n in range(1, largest + 1):
        if n > 1:  # the (n-1)-gram at the same place, and one more word of the same sentence
            inside = owner[np.minimum(place + n - 1, len(words) - 1)] == owner[place]
            inside &= place + n - 1 < len(words)
            place = place[inside]
            gram = np.unique(gram[inside] * len(vocabulary) + words[place + n - 1], return_inverse=True)[1]
        yield owner[place], gram


def _counts(owner: np.ndarray, gram: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sentence, n-gram and how often, once for each n-gram of each sentence."""
    kinds = int(gram.max(initial=-1)) + 1
    pairs, count = np.unique(owner * kinds + gram, return_counts=True)
    return pairs // max(1, kinds), pairs % max(1, kinds), count


def _two_largest(gram: np.ndarray, count: np.ndarray, kinds: int) -> tuple[np.ndarray, np.ndarray]:
    """(kinds,) the largest and the second largest count of each n-gram; 0 where there is none."""
    largest, second = np.zeros(kinds, dtype=np.int64), np.zeros(kinds, dtype=np.int64)
    order = np.lexsort((count, gram))
    gram, count = gram[order], count[order]
    last = np.flatnonzero(np.append(gram[1:] != gram[:-1], True)) if len(gram) else np.zeros(0, dtype=np.int64)
    largest[gram[last]] = count[last]
    two = last[(last > 0) & (gram[last - 1] == gram[last])]
    second[gram[two]] = count[two - 1]
    return largest, second


def _matches(
    hypotheses: Sequence[Words], references: Sequence[Words] | None, n: int, chosen: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clipped matches (S, n), n-grams (S, n) and closest reference lengths (S,); without references, all other sentences."""
    sentences = [*hypotheses, *(references or ())]
    size = len(hypotheses)
    matched, total = np.zeros((size, n)), np.zeros((size, n))
    for k, (owner, gram) in enumerate(ngrams(sentences, n)):
        where, what, count = _counts(owner, gram)
        kinds = int(gram.max(initial=-1)) + 1
        ours = where < size
        if references is None:
            largest, second = _two_largest(what, count, kinds)
            limit = np.where(count < largest[what], largest[what], second[what])
        else:
            largest, _ = _two_largest(what[~ours], count[~ours], kinds)
            limit = largest[what]
        matched[:, k] = np.bincount(where[ours], np.minimum(count, limit)[ours], minlength=size)
        total[:, k] = np.bincount(where[ours], count[ours], minlength=size)
    lengths = np.array([len(s) for s in hypotheses], dtype=np.int64)
    others = lengths if references is None else np.array([len(s) for s in references], dtype=np.int64)
    closest = _closest(lengths, others, own=references is None)
    pick = slice(None) if chosen is None else chosen
    return matched[pick], total[pick], closest[pick]


def _closest(lengths: np.ndarray, others: np.ndarray, own: bool) -> np.ndarray:
    """(S,) the length among ``others`` that is closest to each; the smaller of two. ``own``: each is in there itself."""
    known, count = np.unique(others, return_counts=True)
    closest = {}
    for length in np.unique(lengths):
        left = known[count > (known == length)] if own else known
        closest[length] = min(left, key=lambda other: (abs(other - length), other), default=0)
    return np.array([closest[length] for length in lengths], dtype=np.int64)


def _smooth(matched: np.ndarray, total: np.ndarray, lengths: np.ndarray, smoothing: Smoothing) -> np.ndarray:
    """Logarithms (S, n) of the smoothed precisions (Chen and Cherry, 2014; numbered as in nltk)."""
    total = np.maximum(total, 1)
    none = matched == 0
    if smoothing == "method1":
        precision = np.where(none, 0.1, matched) / total
    elif smoothing == "method2":
        precision = (matched + 1) / (total + 1)
        precision[:, 0] = matched[:, 0] / total[:, 0]
    elif smoothing == "method3":
        precision = np.where(none, 0.5 ** none.cumsum(1), matched) / total
    elif smoothing == "method4":
        log_length = np.log(np.maximum(lengths, 1))[:, None]
        precision = np.where(none, 0.5 ** none.cumsum(1) * log_length / 5, matched) / total
    else:
        precision = matched / total
    with np.errstate(divide="ignore"):
        log: np.ndarray = np.log(precision)
    if smoothing == "method4":
        log[lengths == 1] = np.where(none[lengths == 1], 0, log[lengths == 1])  # nltk leaves these factors out
    return log


def _scores(matched: np.ndarray, total: np.ndarray, lengths: np.ndarray, closest: np.ndarray, smoothing: Smoothing) -> np.ndarray:
    """(S, n) BLEU-1 to BLEU-n."""
    n = matched.shape[1]
    log = _smooth(matched, total, lengths, smoothing)
    penalty = np.where(lengths > closest, 0.0, 1 - closest / np.maximum(lengths, 1))
    scores = np.exp(penalty[:, None] + log.cumsum(1) / np.arange(1, n + 1))
    return np.where(matched[:, :1] > 0, scores, 0.0)


def sentence_bleu(
    hypotheses: Sequence[Words], references: Sequence[Words], n: int = 5, smoothing: Smoothing = "method1"
) -> np.ndarray:
    """BLEU-1 to BLEU-n of each sentence against all references, equal to nltk's ``sentence_bleu``.

    Args:
        hypotheses: sentences as words.
        references: sentences as words, all of them references of every hypothesis.
        n: largest order; BLEU-k weighs the orders up to k equally.
        smoothing: as numbered in nltk's SmoothingFunction; the published comparisons of text GANs take method1.

    Returns:
        (S, n) numbers between 0 and 1.
    """
    matched, total, closest = _matches(hypotheses, references, n, None)
    return _scores(matched, total, np.array([len(s) for s in hypotheses], dtype=np.int64), closest, smoothing)


def corpus_bleu(
    hypotheses: Sequence[Words], references: Sequence[Words], n: int = 5, smoothing: Smoothing = "method0"
) -> np.ndarray:
    """BLEU-1 to BLEU-n (n,) of all sentences together, equal to nltk's ``corpus_bleu`` where all have all references."""
    matched, total, closest = _matches(hypotheses, references, n, None)
    length = np.array([sum(len(s) for s in hypotheses)])
    summed = matched.sum(0, keepdims=True), np.maximum(total, 1).sum(0, keepdims=True)
    scores: np.ndarray = _scores(*summed, length, closest.sum(keepdims=True), smoothing)[0]
    return scores


def self_bleu(
    sentences: Sequence[Words], n: int = 5, smoothing: Smoothing = "method1", hypotheses: np.ndarray | None = None
) -> np.ndarray:
    """BLEU-1 to BLEU-n of each sentence with all others as references: high where a generator repeats itself.

    Args:
        sentences: as words.
        n: see sentence_bleu.
        smoothing: see sentence_bleu.
        hypotheses: numbers of the sentences to score; all when absent. The references are all sentences in either case.

    Returns:
        (S, n) numbers between 0 and 1; not a number where there is no other sentence.
    """
    matched, total, closest = _matches(sentences, None, n, hypotheses)
    lengths = np.array([len(s) for s in sentences], dtype=np.int64)
    scores = _scores(matched, total, lengths if hypotheses is None else lengths[hypotheses], closest, smoothing)
    return np.full_like(scores, np.nan) if len(sentences) < 2 else scores
