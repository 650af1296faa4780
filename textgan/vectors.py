"""Word vectors from elsewhere, and how a model starts from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .corpus import Corpus
from .errors import UserError
from .runtime import newest
from .tokenizers import Tokenizer

WORDS = "words"  # where vectors that are learnt on the way lie in a corpus


def source(embeddings: str, corpus: Corpus) -> str:
    """The place of the word vectors that ``--embeddings`` names."""
    return str(corpus.path / WORDS) if embeddings == "auto" else embeddings


@torch.no_grad()
def start_from(embedding: nn.Embedding, source: str, tokenizer: Tokenizer | None) -> None:
    """Give an embedding the word vectors of ``source`` (see read_vectors), scaled so that their spread is that of its own."""
    vectors, known = read_vectors(source, tokenizer, embedding.embedding_dim)
    table = embedding.weight
    table[known.to(table.device)] = (vectors / vectors.std() * table.std()).to(table)


def read_vectors(source: str, tokenizer: Tokenizer | None, size: int) -> tuple[Tensor, Tensor]:
    """Word vectors for the tokens of a tokenizer.

    Args:
        source: a word2vec run or checkpoint, or a file in word2vec's, GloVe's or fastText's text format, or binary (.bin).
        tokenizer: of words; a word after a blank and inside a quotation gets the same vector.
        size: dimensions that are wanted.

    Returns:
        Vectors (n, size) and the ids (n,) of the tokens they belong to.

    Raises:
        UserError: there are none, or of another size.
    """
    if tokenizer is None:
        raise UserError("--embeddings needs text; this corpus has no words")
    vectors = keyed_vectors(source)
    if vectors.vector_size != size:
        raise UserError(f"{source} has vectors of {vectors.vector_size} numbers; expected {size}; set --embedding-dim to match")
    names = [(i, tokenizer.token(i).lstrip("▁")) for i in range(4, tokenizer.vocab_size)]
    found = [(i, w if w in vectors.key_to_index else w.lower()) for i, w in names]
    found = [(i, w) for i, w in found if w in vectors.key_to_index]
    if not found:
        raise UserError(f"{source} has no word of this vocabulary; expected vectors of the same language and case")
    return torch.from_numpy(vectors[[w for _, w in found]]), torch.tensor([i for i, _ in found])


def keyed_vectors(source: str) -> Any:
    """Gensim's KeyedVectors of a word2vec run or checkpoint, of a text file with or without a header, or of a binary file.

    Raises:
        UserError: there are none.
    """
    from gensim.models import KeyedVectors

    path = newest(Path(source))
    for inside in (path / "vectors" / "vectors.bin", path / "vectors.bin"):
        path = inside if inside.is_file() else path
    try:
        binary, bare = path.suffix == ".bin", False
        if not binary:
            with open(path, encoding="utf-8", errors="replace") as file:
                bare = len(file.readline().split()) != 2  # GloVe's files begin with the first word
        return KeyedVectors.load_word2vec_format(str(path), binary=binary, no_header=bare, unicode_errors="replace")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"no word vectors can be read from {source}; expected a word2vec run or file; {error}") from error
