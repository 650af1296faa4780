"""Vocabulary expansion: words that an encoder never saw get vectors through a linear map from other word vectors.

Reference: Kiros et al., "Skip-Thought Vectors", NIPS 2015, section 2.2. As in the authors' code the map has an intercept. Where
few words are shared (fewer than ten a dimension) it is a ridge regression, its strength chosen on a held-out tenth.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from .encoders import GRUEncoder
from .errors import UserError
from .tokenizers import WORD, Tokenizer

STRENGTHS = (0.0, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of ridge, times the mean square of a feature


def fit_map(a: np.ndarray, b: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """The linear map from vectors a (n, d) to vectors b (n, E) with the least squared error.

    Returns:
        Weight (d, E), intercept (E,), and how well the map does on a held-out tenth: ``r2``, the mean ``cosine`` of a mapped and
        its true vector, how often the true one is the ``nearest`` of all, the ``ridge`` strength, the ``shared`` words.

    Raises:
        UserError: fewer than ten words are shared.
    """
    n, d = a.shape
    if n < 10:
        raise UserError(f"only {n} words are in both vocabularies; expected 10 or more; are they of the same language and case?")
    order = np.random.default_rng(seed).permutation(n)
    test, train = np.split(order, [max(2, n // 10)])

    def solve(rows: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        x, y = a[rows].astype(np.float64), b[rows].astype(np.float64)
        mx, my = x.mean(0), y.mean(0)
        x, y = x - mx, y - my
        gram = x.T @ x
        gram[np.diag_indices(d)] += max(strength, 1e-9) * np.trace(gram) / d
        weight = np.linalg.solve(gram, x.T @ y)
        return weight, my - mx @ weight

    def error(strength: float) -> float:
        weight, intercept = solve(train, strength)
        return float(((a[test] @ weight + intercept - b[test]) ** 2).sum())

    best = min(STRENGTHS, key=error) if n < 10 * d else 0.0
    weight, intercept = solve(train, best)
    mapped, true = a[test] @ weight + intercept, b[test].astype(np.float64)
    unit = [v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (mapped, true, b)]
    quality = {
        "shared": n,
        "ridge": best,
        "r2": 1 - float(((mapped - true) ** 2).sum() / ((true - true.mean(0)) ** 2).sum()),
        "cosine": float((unit[0] * unit[1]).sum(1).mean()),
        "nearest": float(((unit[0] @ unit[2].T).argmax(1) == test).mean()),
    }
    return *solve(order, best), quality


def expand(
    encoder: GRUEncoder, tokenizer: Tokenizer, vectors: Any, counts: np.ndarray | None = None, min_count: int = 5
) -> tuple[GRUEncoder, Tokenizer, dict[str, float]]:
    """An encoder that also knows the words of ``vectors``; those it was trained on keep their ids and their vectors.

    Args:
        encoder: trained.
        tokenizer: its tokenizer, of words.
        vectors: gensim's KeyedVectors (word2vec, GloVe, fastText), of any size.
        counts: (V,) how often each token came in training; the map is learnt from all words when absent.
        min_count: rarer words do not take part in learning the map.

    Returns:
        The encoder, its tokenizer, and the quality of the map (see fit_map) with the number of ``added`` words.

    Raises:
        UserError: the tokenizer is not one of words, or too few words are shared.
    """
    if tokenizer.kind != "word":
        raise UserError(f"only a vocabulary of words can be expanded; this encoder's tokens are of kind {tokenizer.kind!r}")
    normalised = tokenizer.model.normalizer.normalize_str("A")
    lowercase = normalised != normalised.upper()
    known = {tokenizer.token(i): i for i in range(4, tokenizer.vocab_size)}

    def key(word: str) -> int | None:
        return next((vectors.key_to_index[w] for w in (word, word.lower()) if w in vectors.key_to_index), None)

    shared = [(i, key(token[1:])) for token, i in known.items() if token[0] == "▁" and (counts is None or counts[i] >= min_count)]
    pairs = np.array([(i, k) for i, k in shared if k is not None], dtype=np.int64).reshape(-1, 2)
    table = encoder.embedding.weight.detach().float().cpu().numpy()
    weight, intercept, quality = fit_map(vectors.vectors[pairs[:, 1]], table[pairs[:, 0]])
    added: dict[str, int] = {}
    for word, k in vectors.key_to_index.items():
        token = "▁" + (word.lower() if lowercase else word)
        exact = token[1:] == word
        if "_" not in word and token not in known and (exact or token[1:] not in vectors.key_to_index):
            if token not in added and re.fullmatch(WORD, token):
                added[token] = k
    rows = np.fromiter(added.values(), dtype=np.int64, count=len(added))
    size = len(table) + len(rows)
    new = GRUEncoder(replace(encoder.config, vocab_size=size))
    weights = encoder.state_dict()
    expanded = torch.empty(size, table.shape[1])
    expanded[: len(table)] = torch.from_numpy(table)
    for start in range(0, len(rows), 100_000):
        piece = rows[start : start + 100_000]
        mapped = vectors.vectors[piece] @ weight.astype(np.float32) + intercept.astype(np.float32)
        expanded[len(table) + start :][: len(piece)] = torch.from_numpy(mapped)
    new.load_state_dict({**weights, "embedding.weight": expanded})
    data = json.loads(tokenizer.model.to_str())
    data["model"]["vocab"] |= {token: len(table) + i for i, token in enumerate(added)}
    model = type(tokenizer.model).from_str(json.dumps(data, ensure_ascii=False))
    return new.eval(), Tokenizer("word", model), {**quality, "added": len(rows)}
