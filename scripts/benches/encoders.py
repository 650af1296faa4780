"""Skip-Thought's training and encoding, and word2vec, beside their plain forms.

The plain Skip-Thought pads every sentence to 30 tokens, takes batches in the order of the text, runs torch's nn.GRU, and computes
the softmax over all words at every place. Ours sorts by length, leaves padding out, multiplies every different word with the
gates once, samples the softmax, and with bf16 multiplies in bfloat16, with int8 (encoding only) in whole numbers of eight bits.
Plain word2vec is gensim alone on lists of words in memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.algorithms.skipthought import SkipThought, SkipThoughtConfig, SkipThoughtModel
from textgan.algorithms.word2vec import Word2Vec, Word2VecConfig
from textgan.corpus import Corpus
from textgan.encoders import GRUEncoder, SentenceEncoder
from textgan.runtime import Workers
from textgan.runtime.workers import fold

from .material import prose
from .timing import Row, Setting, same

LENGTH = 30
PRECISIONS = {"fp32": (torch.float32, 1e-4), "bf16": (torch.bfloat16, 2e-2)}  # and how near they come
EIGHT_BITS = {"int8": (torch.int8, 2e-2)}  # on CPUs, and to encode only


def last(states: Tensor, x: Tensor) -> Tensor:
    """The states (B, D) at the last real tokens of x (B, T)."""
    return states[torch.arange(len(x)), (x != 0).sum(1).clamp(min=1) - 1]


class Plain(nn.Module):
    """Skip-Thought with the weights of another, as one writes it first."""

    def __init__(self, model: SkipThoughtModel) -> None:
        super().__init__()
        c = model.encoder.config
        self.embedding, self.out = nn.Embedding(c.vocab_size, c.embedding_dim), nn.Linear(c.hidden_dim, c.vocab_size)
        self.encoder, self.previous, self.next = (nn.GRU(c.embedding_dim, c.hidden_dim, batch_first=True) for _ in range(3))
        for part, source in (
            (self.embedding, model.encoder.embedding), (self.out, model.out), (self.encoder, model.encoder.rnns[0]),
            (self.previous, model.previous.rnn), (self.next, model.next.rnn),
        ):  # fmt: skip
            part.load_state_dict(source.state_dict())
        self.to(model.encoder.embedding.weight.device)

    def encode(self, x: Tensor) -> Tensor:
        return last(self.encoder(self.embedding(x))[0], x)

    def loss(self, x: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """The summed NLL of the sentences before and after x, all (B, T)."""
        h, total = self.encode(x).unsqueeze(0), torch.zeros((), device=x.device)
        for decoder, y in ((self.previous, before), (self.next, after)):
            states, _ = decoder(self.embedding(F.pad(y[:, :-1], (1, 0), value=1)), h)
            total = total + F.cross_entropy(self.out(states).flatten(0, 1), y.flatten(), ignore_index=0, reduction="sum")
        return total


def skipthought(s: Setting) -> SkipThought:
    sizes = {"hidden_dim": 24, "embedding_dim": 16, "batch": 16, "sampled": 32} if s.quick else {}
    config = SkipThoughtConfig(decoder="initialised", embeddings="none", **sizes)
    workers = Workers(device=s.device)
    workers.seed(0, 0)
    return SkipThought(config, prose(s), workers, length=LENGTH, seed=0)


def autocast(s: Setting, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(s.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def some_steps(made: SkipThought, count: int) -> list[int]:
    """Steps of the first epoch whose sentences are as long, together, as those of all: the short, the middling and the long."""
    made.batches.indices(0)
    size = [made.keys(made.batches.indices(i)).mean() for i in range(made.batches.per_epoch)]
    places = (np.arange(count) + 0.5) / count * len(size)
    return [int(i) for i in np.argsort(size)[places.astype(int)]]


def skipthought_train(s: Setting) -> Iterator[Row]:
    """Steps of Skip-Thought's training, in fp32 and in bf16."""
    made = skipthought(s)
    c, corpus = made.config, made.corpus
    plain = Plain(made.model)
    optimizer = torch.optim.Adam(plain.parameters(), c.lr)

    def rows(i: int) -> list[Tensor]:
        chosen = made.triples[(np.arange(c.batch) + i * c.batch) % len(made.triples)]
        return [torch.from_numpy(corpus.train.rows(chosen + shift, LENGTH)).to(s.device) for shift in (0, -1, 1)]

    def plain_step() -> None:
        optimizer.zero_grad()
        batch = rows(0)
        (plain.loss(*batch) / sum((y != 0).sum() for y in batch[1:])).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), c.clip)
        optimizer.step()

    def compared(dtype: torch.dtype, tolerance: float) -> str:
        theirs = plain.loss(*rows(0))
        with autocast(s, dtype):
            before, after, *_ = made.losses(corpus.train, made.triples[: c.batch], True)
        told = same("loss over all words", before + after, theirs, tolerance)
        ours = torch.autograd.grad(before + after, [made.model.encoder.embedding.weight, made.model.out.weight])
        slope = torch.autograd.grad(theirs, [plain.embedding.weight, plain.out.weight])
        return f"{told}; {same('gradient', ours, slope, tolerance)}"

    def our_steps(dtype: torch.dtype) -> None:
        with autocast(s, dtype):
            for i in steps:
                made.step(i)

    steps, told = some_steps(made, 2 if s.quick else 9), {name: compared(*how) for name, how in PRECISIONS.items()}
    flop = s.counted(lambda: our_steps(torch.float32)) / len(steps)
    for precision, (dtype, _) in PRECISIONS.items():
        yield s.row(
            f"skipthought-train, {precision}",
            f"{c.batch} triples, V {corpus.vocab_size}, D {c.hidden_dim}, mean {corpus.train.lengths().mean():.1f} tokens, "
            f"{c.sampled} words sampled; ours is the mean of {len(steps)} steps",
            lambda dtype=dtype: our_steps(dtype), plain_step, told[precision], amount=c.batch, unit="triples", share=len(steps),
            floor=s.operations(flop, "our own products of a step", dtype),
        )  # fmt: skip


def skipthought_encode(s: Setting) -> Iterator[Row]:
    """Sentences to vectors, from their text on, in fp32, bf16 and int8; at our size and with the paper's 2,400 numbers."""
    made = skipthought(s)
    large = dataclasses.replace(made.model.encoder.config, hidden_dim=48 if s.quick else 2400)
    yield from encoding(s, made.corpus, made.model.encoder, 4096)
    yield from encoding(s, made.corpus, GRUEncoder(large).to(s.device), 1024)


def encoding(s: Setting, corpus: Corpus, model: GRUEncoder, count: int) -> Iterator[Row]:
    """So many sentences to vectors by one encoder, in every precision."""
    tokenizer, c = corpus.tokenizer, model.config
    assert tokenizer is not None
    count = min(64 if s.quick else count, len(corpus.train))
    texts = [tokenizer.decode(row) for row in corpus.train.rows(np.arange(count), LENGTH).tolist()]
    encoder, plain = SentenceEncoder([model.eval()], tokenizer), nn.GRU(c.embedding_dim, c.hidden_dim, batch_first=True)
    plain.load_state_dict(model.rnns[0].state_dict())
    plain.to(s.device)

    @torch.no_grad()
    def plain_encode(some: list[str]) -> Tensor:
        found = []
        for start in range(0, len(some), 32):
            part = some[start : start + 32]
            x = torch.zeros(len(part), LENGTH, dtype=torch.long)
            for k, sentence in enumerate(part):
                ids = [*tokenizer.encode(sentence)[: LENGTH - 1], tokenizer.eos]
                x[k, : len(ids)] = torch.tensor(ids)
            x = x.to(s.device)
            found.append(last(plain(model.embedding(x))[0], x))
        return torch.cat(found)

    def our_encode(some: list[str], precision: Any) -> np.ndarray:
        found: np.ndarray = encoder.encode(some, precision=precision, max_length=LENGTH)
        return found

    few, part, flop = texts[:64], min(count, 512), s.counted(lambda: our_encode(texts, "fp32"))
    for precision, (dtype, tolerance) in (PRECISIONS | (EIGHT_BITS if s.device.type == "cpu" else {})).items():
        yield s.row(
            f"skipthought-encode, D {c.hidden_dim}, {precision}", f"{count:,} sentences; plain: {part} of them",
            lambda precision=precision: our_encode(texts, precision), lambda: plain_encode(texts[:part]),
            same("vectors", our_encode(few, precision), plain_encode(few), tolerance), amount=count, unit="sentences",
            plain_share=part / count, floor=s.operations(flop, "our own products", dtype),
        )  # fmt: skip


def word2vec(s: Setting) -> Iterator[Row]:
    """One piece of text through our step, and through gensim alone."""
    corpus, workers = prose(s), Workers()
    config = Word2VecConfig(epochs=1, min_count=1 if s.quick else 5, piece=100 if s.quick else 5000)
    ours, plain = (Word2Vec(config, corpus, workers, length=LENGTH, seed=0) for _ in range(2))
    lists = list(ours.sentences(0, min(config.piece, len(corpus.train))))
    low = min(1e-4, config.lr / 1000)
    last = config.lr - (config.lr - low) / ours.pieces

    def plain_train() -> None:
        plain.model.train(lists, total_examples=len(lists), epochs=1, start_alpha=config.lr, end_alpha=last)

    plain.model.random.seed(fold(0, 0) % 2**32)
    start = plain.model.wv.vectors.copy()
    plain_train()
    ours.step(0)
    told = same("change of the vectors", ours.model.wv.vectors - start, plain.model.wv.vectors - start)
    yield s.row(
        "word2vec", f"{len(lists):,} sentences, window {config.window}, {config.negative} negatives",
        lambda: ours.step(0), plain_train, told, amount=sum(map(len, lists)), unit="words",
    )  # fmt: skip
