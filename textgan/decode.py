"""From token ids back to text, and the special tokens a corpus brings to its generator."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor


class Decodes(Protocol):
    """A tokenizer's way back."""

    def decode(self, ids: list[int]) -> str:
        """Text of ids, special tokens left out."""


def texts(tokenizer: Decodes | None, x: Tensor, eos: int | None) -> list[str]:
    """Sentences of x (B, T), each up to its EOS; ids with blanks between them where there is no tokenizer."""
    rows = []
    for ids in x.tolist():
        if eos is not None and eos in ids:
            ids = ids[: ids.index(eos)]
        rows.append(" ".join(map(str, ids)) if tokenizer is None else tokenizer.decode(ids))
    return rows


def symbols(corpus: Any) -> dict[str, Any]:
    """What RNNConfig must know of a corpus: ids of BOS, EOS and padding, and the tokens never generated."""
    if corpus.tokenizer is None:
        return {"bos": corpus.bos, "eos": corpus.eos, "pad": corpus.pad or 0, "banned": ()}
    return {"bos": corpus.bos, "eos": corpus.eos, "pad": corpus.pad, "banned": (corpus.pad, corpus.bos)}
