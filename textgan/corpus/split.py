"""Prose cut into sentences, with a splitter trained on the text itself."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable

ENDS = re.compile(r"(?<=[。！？])([”」』）)]*)(?=.)")


def splitter(sample: Iterable[list[str]]) -> Callable[[str], list[str]]:
    """Cuts prose into sentences with Punkt, trained without labels on the text itself."""
    from nltk.tokenize.punkt import PunktSentenceTokenizer, PunktTrainer

    trainer = PunktTrainer()
    trainer.INCLUDE_ALL_COLLOCS = False
    seen = 0
    for lines in sample:
        text = " ".join(lines)[:1_000_000]
        trainer.train(text, finalize=False)
        seen += len(text)
        if seen > 5_000_000:
            break
    trainer.finalize_training()
    punkt = PunktSentenceTokenizer(trainer.get_params())

    def cut(text: str) -> list[str]:
        pieces = (p for start in range(0, len(text), 1_000_000) for p in punkt.tokenize(text[start : start + 1_000_000]))
        return [part for piece in pieces for part in ENDS.sub(r"\1\n", piece).split("\n")]

    return cut


def looks_like_lines(sample: list[list[str]]) -> bool:
    """Whether most lines hold one sentence: short, and no full stop followed by a capital inside."""
    lines = [line for document in sample for line in document][:2000]
    prose = [len(line) > 400 or len(re.findall(r"[.!?]['\")]? +[A-Z]|[。！？].", line)) > 0 for line in lines]
    return not prose or statistics.mean(prose) < 0.5
