"""word2vec: vectors of words that predict their neighbours, trained by gensim.

Reference: Mikolov, Sutskever, Chen, Corrado, Dean, "Distributed Representations of Words and Phrases and their
Compositionality", NIPS 2013 (skip-gram, negative sampling, eq. 4; subsampling, eq. 5; hierarchical softmax, eq. 3), and Mikolov
et al., "Efficient Estimation of Word Representations in Vector Space", 2013 (CBOW).

gensim keeps the arrays and does the arithmetic; a step of the run is one piece of ``piece`` sentences, and the weights seen by
the run are gensim's own memory. With one worker the result is a function of the seed.

Departs: words at the start of a quotation or bracket are the same words as elsewhere; unknown words are left out.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..corpus import Corpus
from ..errors import UserError
from ..runtime import Player, Stage, Workers
from ..runtime.workers import fold


@dataclass(frozen=True)
class Word2VecConfig:
    """Settings of word2vec; defaults are gensim's and the paper's for small corpora."""

    epochs: int = 5
    """Passes over the text (gensim: 5; small corpora gain from 10-20)."""
    vector_size: int = 100
    """Dimensions of a vector (paper: 300)."""
    model: Literal["skipgram", "cbow"] = "skipgram"
    """Predict the neighbours from the word, or the word from its neighbours."""
    loss: Literal["negative", "hierarchical"] = "negative"
    """Negative sampling or hierarchical softmax."""
    negative: int = 5
    """Negative samples a word (paper: 5-20 for small corpora)."""
    window: int = 5
    """Largest distance of a neighbour; the actual one is drawn anew each time (paper: 5)."""
    min_count: int = 5
    """Rarer words get no vector."""
    sample: float = 1e-3
    """Threshold of subsampling frequent words (gensim: 1e-3; paper: 1e-5 for huge corpora)."""
    lr: float = 0.025
    """Learning rate at the start, falling linearly to a thousandth of it or 0.0001 (paper: 0.025)."""
    workers: int = 1
    """Threads of gensim; more than one is faster, but no longer the same each time."""
    piece: int = 20_000
    """Sentences a step."""


class WordVectors(nn.Module):
    """The arrays of a gensim model, as a module that saves them in word2vec's own formats."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        out = model.syn1neg if model.negative else model.syn1
        self.register_buffer("input", torch.from_numpy(model.wv.vectors))
        self.register_buffer("output", torch.from_numpy(out))

    def save_pretrained(self, folder: Path | str) -> None:
        """Write vectors.bin (word2vec's binary format) and vocabulary.txt (word and count a line)."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.wv.save_word2vec_format(str(folder / "vectors.bin"), str(folder / "vocabulary.txt"), binary=True)


class Word2Vec:
    """Trains gensim's Word2Vec on a prepared corpus."""

    Config = Word2VecConfig
    data_defaults: Mapping[str, Any] = {"vocab_size": 50_000, "length": 100, "overlong": "truncate", "lowercase": True}

    def __init__(self, config: Word2VecConfig, corpus: Corpus, workers: Workers, *, length: int, seed: int) -> None:
        from gensim.models import Word2Vec as Model

        if corpus.tokenizer is None or corpus.tokenizer.kind != "word":
            raise UserError("word2vec wants words; expected --tokenizer word on real text")
        if workers.world > 1:
            raise UserError("word2vec runs in one process; use --workers for threads")
        c = self.config = config
        self.corpus, self.length, self.seed = corpus, length, seed
        tokens = [corpus.tokenizer.token(i).lstrip("▁") or "▁" for i in range(corpus.vocab_size)]
        self.words: list[str | None] = [None, None, None, None, *tokens[4:]]
        counts: Counter[str] = Counter()
        for word, n in zip(tokens[4:], corpus.train.counts(corpus.vocab_size)[4:].tolist(), strict=True):
            counts[word] += n
        kept = {w: n for w, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if n >= c.min_count and w != "▁"}
        if not kept:
            raise UserError(f"no word comes {c.min_count} times; expected more text, or a lower --min-count")
        self.model = Model(
            vector_size=c.vector_size, window=c.window, sample=c.sample, alpha=c.lr, min_alpha=min(1e-4, c.lr / 1000),
            sg=int(c.model == "skipgram"), hs=int(c.loss == "hierarchical"), negative=c.negative if c.loss == "negative" else 0,
            min_count=1, workers=c.workers, seed=fold(seed) % 2**31, hashfxn=lambda text: zlib.crc32(str(text).encode()),
        )  # fmt: skip
        self.model.build_vocab_from_freq(kept, corpus_count=len(corpus.train))
        self.vectors = WordVectors(self.model)
        self.players: Mapping[str, Player] = {}
        self.kept: Mapping[str, nn.Module] = {"vectors": self.vectors}
        self.pieces = -(-len(corpus.train) // c.piece)

    def stages(self) -> Sequence[Stage]:
        """One stage; an epoch is a unit."""
        return [Stage("word2vec", self.config.epochs * self.pieces, self.step, self.pieces, self.config.piece, lambda i: True)]

    def sentences(self, start: int, stop: int) -> Iterator[list[str]]:
        """Sentences as lists of words."""
        for first in range(start, stop, 4096):
            rows = self.corpus.train.rows(np.arange(first, min(stop, first + 4096)), self.length)
            for row in rows.tolist():
                yield [word for word in (self.words[i] for i in row) if word is not None]

    def step(self, i: int) -> dict[str, Tensor]:
        """One piece of the text, with the learning rate of its place in the run."""
        c, size = self.config, len(self.corpus.train)
        start = i % self.pieces * c.piece
        stop = min(size, start + c.piece)
        total = c.epochs * self.pieces
        low = min(1e-4, c.lr / 1000)
        first, last = (c.lr - (c.lr - low) * k / total for k in (i, i + 1))
        self.model.random.seed(fold(self.seed, i) % 2**32)
        self.model.running_training_loss = 0.0
        # trained on as one epoch of a text of this size
        words, _ = self.model.train(
            _Once(self, start, stop), total_examples=stop - start, epochs=1, start_alpha=first, end_alpha=last, compute_loss=True
        )
        loss = self.model.get_latest_training_loss() / max(1, words)
        return {"w/loss": torch.tensor(loss)}

    def evaluate(self) -> dict[str, float]:
        """Spearman correlation with people's judgements (WordSim-353, SimLex-999) and accuracy on analogies, all from gensim."""
        from gensim.test.utils import datapath

        found: dict[str, float] = {}
        for name, file in (("wordsim353", "wordsim353.tsv"), ("simlex999", "simlex999.txt")):
            _, spearman, missing = self.model.wv.evaluate_word_pairs(datapath(file))
            found |= {f"{name}_spearman": float(spearman.statistic), f"{name}_missing_percent": float(missing)}
        accuracy, sections = self.model.wv.evaluate_word_analogies(datapath("questions-words.txt"))
        asked = sum(len(s["correct"]) + len(s["incorrect"]) for s in sections if s["section"] != "Total accuracy")
        return {**found, "analogies_accuracy": float(accuracy), "analogies_asked": asked}

    def sample(self, n: int) -> list[str]:
        """The nearest neighbours of words spread over the frequency list."""
        wv = self.model.wv
        last = min(len(wv), 5000) - 1
        places: Any = np.unique(np.geomspace(min(20, last), last, n).astype(int)) if last > 0 else []
        chosen = [wv.index_to_key[p] for p in places]
        return [f"{word}: {', '.join(near for near, _ in wv.similar_by_word(word, 6))}" for word in chosen]


class _Once:
    """Sentences that gensim may iterate over again."""

    def __init__(self, owner: Word2Vec, start: int, stop: int) -> None:
        self.owner, self.start, self.stop = owner, start, stop

    def __iter__(self) -> Iterator[list[str]]:
        return self.owner.sentences(self.start, self.stop)
