"""word2vec: vectors of words that predict their neighbours, trained by gensim.

Reference: Mikolov, Sutskever, Chen, Corrado, Dean, "Distributed Representations of Words and Phrases and their
Compositionality", NIPS 2013 (skip-gram, negative sampling, eq. 4; subsampling, eq. 5; hierarchical softmax, eq. 3), and Mikolov
et al., "Efficient Estimation of Word Representations in Vector Space", 2013 (CBOW).

gensim keeps the arrays and does the arithmetic; a step of the run is one piece of ``piece`` sentences, and the weights seen by
the run are gensim's own memory. With one worker the result is a function of the seed. gensim's own sum of losses goes wrong with
several workers, so the loss of an epoch is the objective itself, on the same sentences each time.

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
from torch.nn import functional as F

from ..corpus import Corpus, Sentences
from ..errors import UserError
from ..runtime import Player, Stage, Workers
from ..runtime.workers import fold


@dataclass(frozen=True)
class Word2VecConfig:
    """Settings of word2vec; defaults are those for small corpora."""

    epochs: int = 20
    """Passes over the text; right for a million words, 5 or fewer do for a hundred million (gensim: 5)."""
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
    """Threads of gensim; with one, the same seed gives the same vectors; more are faster, but differ each time."""
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
        # trained on as one epoch of a text of this size
        self.model.train(_Once(self, start, stop), total_examples=stop - start, epochs=1, start_alpha=first, end_alpha=last)
        metrics = {"w/lr": torch.tensor(last)}
        if (i + 1) % self.pieces == 0:
            metrics["w/loss"] = torch.tensor(self.objective(self.corpus.train))
        return metrics

    def objective(self, sentences: Sentences, limit: int = 1000) -> float:
        """The loss in nats a prediction, on ``limit`` sentences spread over a text, with whole windows and no subsampling.

        Skip-gram predicts the word from each neighbour alone, CBOW from their mean (eq. 4 with fixed negatives, or eq. 3).
        """
        c, wv = self.config, self.model.wv
        rows = sentences.rows(np.unique(np.linspace(0, len(sentences) - 1, limit).astype(int)), self.length)
        place = np.array([-1 if w is None else wv.key_to_index.get(w, -1) for w in self.words])[rows]
        sentence, at = np.nonzero(place >= 0)  # words without a vector leave no gap, as in gensim
        ids, count = place[sentence, at], len(sentence)
        centre, context = [], []
        for d in range(1, c.window + 1):
            near = np.flatnonzero(sentence[d:] == sentence[: count - d])
            centre += [near, near + d]
            context += [near + d, near]
        if not count or not (n := sum(map(len, centre))):
            return float("nan")
        i, j = np.concatenate(centre), ids[np.concatenate(context)]
        vectors, out = (torch.from_numpy(a) for a in (wv.vectors, self.model.syn1 if self.model.hs else self.model.syn1neg))
        if c.model == "cbow":
            summed = torch.zeros(count, vectors.shape[1]).index_add_(0, torch.from_numpy(i), vectors[torch.from_numpy(j)])
            times = np.bincount(i, minlength=count)
            some = np.flatnonzero(times)
            x, target = summed[some] / torch.from_numpy(times[some]).unsqueeze(1), ids[some]
        else:
            some = np.unique(np.linspace(0, n - 1, 50_000).astype(int))  # enough pairs for three digits
            x, target = vectors[torch.from_numpy(j[some])], ids[i[some]]
        if c.loss == "hierarchical":
            total = 0.0
            for word in np.unique(target):
                path = (np.asarray(wv.get_vecattr(int(word), a), dtype=np.int64) for a in ("code", "point"))
                code, point = map(torch.from_numpy, path)
                scores = x[torch.from_numpy(target == word)] @ out[point].t() * (1 - 2 * code)
                total -= float(F.logsigmoid(scores).sum())
            return total / len(target)
        frequency = np.array([wv.get_vecattr(w, "count") for w in wv.index_to_key], dtype=np.float64) ** 0.75
        drawn = np.random.default_rng(0).choice(len(frequency), (len(target), c.negative), p=frequency / frequency.sum())
        positive = F.logsigmoid((x * out[torch.from_numpy(target)]).sum(1))
        others = torch.einsum("nd,nkd->nk", x, out[torch.from_numpy(drawn)]).masked_fill(
            torch.from_numpy(drawn == target[:, None]), -torch.inf
        )
        return float(-(positive + F.logsigmoid(-others).sum(1)).mean())

    def evaluate(self) -> dict[str, float]:
        """Held-out loss, correlation with judgements (WordSim-353, SimLex-999), accuracy on analogies; the data are gensim's."""
        from gensim.test.utils import datapath

        found: dict[str, float] = {"test_loss": self.objective(self.corpus.test)}
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
