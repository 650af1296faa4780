"""Generated and real text cut into words in the same way, before anything is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Cut = Literal["nltk", "blank", "character"]


def words(texts: Sequence[str], cut: Cut = "nltk") -> list[list[str]]:
    """Sentences as words.

    Args:
        texts: sentences; the mark ``<unk>`` is one word.
        cut: "nltk" for its ``word_tokenize`` with a line as one sentence, as in the published tables; "blank" for text that is
            already cut; "character" for text without blanks between words.
    """
    if cut == "blank":
        return [text.split() for text in texts]
    marked = [text.replace("<unk>", "\ufffd") for text in texts]
    if cut == "character":
        rows = [list("".join(text.split())) for text in marked]
    else:
        from nltk.tokenize import NLTKWordTokenizer

        tokenize = NLTKWordTokenizer().tokenize
        rows = [tokenize(text) for text in marked]
    return [["<unk>" if word == "\ufffd" else word for word in row] for row in rows]
