"""BLEU and self-BLEU beside nltk's, which is timed on a few sentences that all have all references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from textgan.evaluate import self_bleu as our_self_bleu
from textgan.evaluate import sentence_bleu as our_bleu

from .material import prose
from .timing import Row, Setting, same

Words = Sequence[str]


def nltk_bleu(hypotheses: Sequence[Words], references: Sequence[Words] | None, some: int) -> np.ndarray:
    """BLEU-2 to BLEU-5 (some, 4) of the first ``some`` hypotheses; without references, all others are theirs."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    weights, smoothing, rows = [tuple([1 / k] * k) for k in range(2, 6)], SmoothingFunction().method1, []
    for i in range(some):
        others = [*hypotheses[:i], *hypotheses[i + 1 :]] if references is None else references
        rows.append(sentence_bleu(others, hypotheses[i], weights, smoothing_function=smoothing))
    return np.array(rows)


def sentences(s: Setting) -> tuple[list[Words], list[Words], int]:
    """Hypotheses and as many references, from the same text, and how many of them nltk scores."""
    corpus, n = prose(s), 50 if s.quick else 2000
    rows = corpus.train.rows(np.arange(2 * n), 30).tolist()
    words = [[str(word) for word in row if word > 2] for row in rows]
    return words[0::2], words[1::2], 5 if s.quick else 10


def bleu(s: Setting) -> Iterator[Row]:
    """Every hypothesis against all references."""
    h, r, some = sentences(s)
    told = same("BLEU-2 to BLEU-5", our_bleu(h, r)[:some, 1:], nltk_bleu(h, r, some), 1e-12)
    yield s.row(
        "bleu", f"{len(h):,} sentences, {len(r):,} references; nltk: {some} of them", lambda: our_bleu(h, r),
        lambda: nltk_bleu(h, r, some), told, amount=len(h), unit="sentences", plain_share=some / len(h),
    )  # fmt: skip


def self_bleu(s: Setting) -> Iterator[Row]:
    """Every sentence against all others."""
    h, _, some = sentences(s)
    told = same("BLEU-2 to BLEU-5", our_self_bleu(h)[:some, 1:], nltk_bleu(h, None, some), 1e-12)
    yield s.row(
        "self-bleu", f"{len(h):,} sentences; nltk: {some} of them", lambda: our_self_bleu(h), lambda: nltk_bleu(h, None, some),
        told, amount=len(h), unit="sentences", plain_share=some / len(h),
    )  # fmt: skip
