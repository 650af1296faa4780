"""The nearest sentences, or words, by the cosine of their vectors: what ``nearest`` and the page share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .corpus import Corpus
from .encoders import load_encoder
from .errors import UserError
from .runtime import newest

LIMIT = 20_000  # sentences of a run's own text that are searched


class Sentences:
    """Sentences that can be searched, with their vectors.

    Args:
        encoder: gives the vectors.
        texts: the sentences.
    """

    def __init__(self, encoder: Any, texts: Sequence[str]) -> None:
        self.encoder, self.texts = encoder, list(texts)
        self.vectors: np.ndarray = encoder.encode(self.texts, normalize_embeddings=True)

    @classmethod
    def of_run(cls, path: str, texts: Sequence[str] | None = None, device: str = "cpu") -> Sentences:
        """These sentences, or the run's own text, with the encoder of a run on a device.

        Raises:
            UserError: there is no encoder or no text.
        """
        encoder = load_encoder(path)
        for part in encoder.parts:
            part.to(device)
        return cls(encoder, corpus_sentences(Path(path)) if texts is None else texts)

    def nearest(self, query: str, n: int) -> list[tuple[str, float]]:
        """The n nearest sentences to one, with their cosines, the nearest first."""
        scores = self.vectors @ self.encoder.encode(query, normalize_embeddings=True)
        return [(self.texts[k], float(scores[k])) for k in np.argsort(-scores, kind="stable")[:n]]


class WordVectors:
    """The words of a word2vec run.

    Args:
        path: the run.
        vectors: gensim's KeyedVectors.
    """

    def __init__(self, path: str, vectors: Any) -> None:
        self.path, self.vectors = path, vectors

    @classmethod
    def of_run(cls, path: str) -> WordVectors | None:
        """Those of a run or of a checkpoint; None where it holds no word vectors."""
        folder = newest(Path(path))
        file = next((p for p in (folder / "vectors" / "vectors.bin", folder / "vectors.bin") if p.is_file()), None)
        if file is None:
            return None
        from gensim.models import KeyedVectors

        return cls(path, KeyedVectors.load_word2vec_format(str(file), binary=True))

    def known(self, word: str) -> str:
        """A word as it is in the vocabulary.

        Raises:
            UserError: it is not.
        """
        for form in (word, word.lower()):
            if form in self.vectors.key_to_index:
                return form
        raise UserError(
            f"the word is not known to {self.path}; expected one of its {len(self.vectors):,} words; received {word!r}"
        )

    def nearest(self, query: str, n: int) -> list[tuple[str, float]]:
        """The n nearest words to one, with their cosines, the nearest first."""
        return [(word, float(cosine)) for word, cosine in self.vectors.similar_by_word(self.known(query), n)]

    def analogy(self, words: tuple[str, str, str], n: int) -> list[tuple[str, float]]:
        """The n words nearest to the first less the second plus the third (3CosAdd), with their cosines."""
        a, b, c = map(self.known, words)
        return [(word, float(cosine)) for word, cosine in self.vectors.most_similar(positive=[a, c], negative=[b], topn=n)]


def corpus_sentences(run: Path, limit: int = LIMIT) -> list[str]:
    """Sentences that a run was trained on, spread over its text.

    Raises:
        UserError: it has no text of its own.
    """
    if not (run / "data" / "corpus.json").is_file():
        raise UserError(f"{run} has no text of its own to search; expected --among FILE with a sentence a line")
    corpus = Corpus.open(run / "data")
    assert corpus.tokenizer is not None
    count = len(corpus.train)
    rows = corpus.train.rows(np.unique(np.linspace(0, count - 1, min(count, limit)).astype(int)), corpus.info["length"])
    return list(dict.fromkeys(corpus.tokenizer.decode(row) for row in rows.tolist()))
