"""Quick-Thoughts: sentence encoders that tell the true neighbours of a sentence from the other sentences of the batch.

Reference: Logeswaran and Lee, "An efficient framework for learning sentence representations", ICLR 2018 (eq. 2; section 3).

A batch is a stretch of running text. f reads every sentence as the middle one, g reads the same sentences as candidates, and
p(candidate | s) = exp(f(s) . g(candidate)) / sum over the batch, s itself left out. The thought of a sentence is [f(s); g(s)].

Departs: a batch on several processes is one stretch for each, and candidates come from the process's own stretch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..corpus import Corpus, Sentences
from ..encoders import Encoders, GRUEncoder, GRUEncoderConfig, SentenceEncoder
from ..errors import UserError
from ..objectives import neighbour_nll
from ..runtime import Batches, Player, Stage, Workers, frozen
from ..vectors import source, start_from


@dataclass(frozen=True)
class QuickThoughtConfig:
    """Settings of Quick-Thoughts; sizes are small enough for a CPU, the paper's stand beside them."""

    epochs: int = 5
    """Passes over the text (paper: 1 over 74 million sentences)."""
    batch: int = 400
    """Sentences in a stretch of text, over all processes (paper: 400)."""
    embedding_dim: int = 300
    """Size of a word's vector (paper: 620)."""
    hidden_dim: int = 1200
    """Size of f(s), and of g(s); a thought has twice as many (paper: 1,200)."""
    direction: Literal["uni", "bi"] = "bi"
    """One GRU, or two of half the size that read from both ends (paper: both)."""
    layer_norm: bool = False
    """Layer-normalised GRU; slow."""
    lr: float = 1e-3
    """Adam's learning rate at the first step (code: 5e-4)."""
    schedule: Literal["linear", "constant"] = "linear"
    """Whether the learning rate falls to nothing by the last step, or stays (code: constant)."""
    clip: float = 5.0
    """Largest norm of the gradient (code: 5)."""
    word_dropout: float = 0.0
    """Share of the words that become the unknown word in training (paper: none); can help where a small text is read often."""
    train_embeddings: bool = False
    """Whether the word vectors are trained too; a small corpus is learnt by heart if they are. Random ones always are."""
    embeddings: str = "auto"
    """Where word vectors come from: auto (learnt from this text first), none (random, as in the paper), a word2vec run, or a file
    of word2vec, GloVe or fastText."""


class QuickThought:
    """Trains the encoders f and g against each other's sentences."""

    Config = QuickThoughtConfig
    data_defaults: Mapping[str, Any] = {"vocab_size": 20_000, "length": 40, "lowercase": True}

    def __init__(self, config: QuickThoughtConfig, corpus: Corpus, workers: Workers, *, length: int, seed: int) -> None:
        c = self.config = config
        self.corpus, self.workers, self.length, self.seed = corpus, workers, length, seed
        if corpus.tokenizer is None or not any(follows.any() for _, follows in corpus.train.runs()):
            raise UserError(
                "this corpus has no two sentences in a row; expected running text, with blank lines between documents"
            )
        shape = GRUEncoderConfig(corpus.vocab_size, c.embedding_dim, c.hidden_dim, c.direction, c.layer_norm)
        self.f, self.g = GRUEncoder(shape).to(workers.device), GRUEncoder(shape).to(workers.device)
        if c.embeddings != "none":
            for encoder in (self.f, self.g):
                start_from(encoder.embedding, source(c.embeddings, corpus), corpus.tokenizer)
        both = Encoders({"f": self.f, "g": self.g})
        train = c.train_embeddings or c.embeddings == "none"
        trained = [p for name, p in both.named_parameters() if train or "embedding" not in name]
        self.player = Player(both, torch.optim.Adam(trained, c.lr, fused=True), workers, c.clip)
        self.players: Mapping[str, Player] = {"encoders": self.player}
        self.kept: Mapping[str, nn.Module] = {}
        self.stretch = min(workers.shard(c.batch), len(corpus.train))
        starts = max(1, len(corpus.train) // self.stretch)
        self.batches = Batches(lambda i: i, starts, workers.world, seed, workers)

    def stages(self) -> Sequence[Stage]:
        """One stage."""
        epoch = self.batches.per_epoch
        return [Stage("quickthought", self.config.epochs * epoch, self.step, epoch, self.config.batch)]

    def lr(self, i: int) -> float:
        """The learning rate of step i."""
        c = self.config
        return c.lr * (1 - i / (c.epochs * self.batches.per_epoch)) if c.schedule == "linear" else c.lr

    def compare(self, sentences: Sentences, start: int, count: int) -> tuple[Tensor, Tensor]:
        """f(s) . g(candidate) (B, B) for a stretch of sentences, and which of them (B - 1,) come directly before the next."""
        indices = np.arange(start, start + count)
        sizes = np.minimum(sentences.lengths(indices) + 1, self.length)
        x = torch.from_numpy(sentences.rows(indices, int(sizes.max()))).to(self.workers.device)
        if self.config.word_dropout and self.f.training:
            u = self.workers.uniform(len(x), x.shape[1])
            x = torch.where((u >= self.config.word_dropout) | (x < 3), x, 3)
        f, g = self.f(x, sizes), self.g(x, sizes)
        with torch.autocast(f.device.type, enabled=False):
            scores = f.float() @ g.float().t()
        return scores, torch.from_numpy(sentences.follows(indices)[1:]).to(self.workers.device)

    def step(self, i: int) -> dict[str, Tensor]:
        """One stretch of text; each epoch cuts the text at other places."""
        shift = i // self.batches.per_epoch * 7919 % self.stretch
        start = min(int(self.batches.indices(i)[0]) * self.stretch + shift, len(self.corpus.train) - self.stretch)
        loss, accuracy = neighbour_nll(*self.compare(self.corpus.train, start, self.stretch))
        for group in self.player.optimizer.param_groups:
            group["lr"] = self.lr(i)
        grad = self.player.minimise(loss)
        return {"e/nll": self.workers.mean(loss.detach()), "e/accuracy": self.workers.mean(accuracy), "e/grad": grad}

    @torch.no_grad()
    def evaluate(self, limit: int = 4000) -> dict[str, float]:
        """NLL in nats a neighbour, and accuracy, on held-out text in stretches of the training size."""
        test = self.corpus.test
        size = min(len(test), self.stretch)
        total, hit, count = 0.0, 0.0, 0
        with frozen(self.f, self.g):
            for start in range(0, min(len(test), limit) - size + 1, size):
                scores, follows = self.compare(test, start, size)
                if not (n := int(follows.sum())):
                    continue
                loss, accuracy = neighbour_nll(scores, follows)
                total, hit, count = total + float(loss) * n, hit + float(accuracy) * n, count + n
        return {"neighbour_nll": total / count, "neighbour_accuracy": hit / count} if count else {}

    def sample(self, n: int) -> list[str]:
        """Held-out sentences with the nearest other one among them."""
        test = self.corpus.test
        pool = np.arange(min(len(test), 1000))
        encoder, tokenizer = SentenceEncoder([self.f, self.g], self.corpus.tokenizer), self.corpus.tokenizer
        assert tokenizer is not None
        texts = [tokenizer.decode([t for t in row if t]) for row in test.rows(pool, self.length).tolist()]
        with frozen(self.f, self.g):
            v = encoder.encode(texts, normalize_embeddings=True)
        near = (v @ v.T - 2 * np.eye(len(v))).argmax(1)
        chosen = np.unique(np.linspace(0, len(pool) - 1, n).astype(int))
        return [f"{texts[k]}  ~  {texts[near[k]]}" for k in chosen]
