"""Sentences a second of Skip-Thought's training and encoding, against the plain form, in one process.

The plain form pads every sentence to 30 tokens, takes batches in the order of the text, runs torch's nn.GRU, and computes the
softmax over all words at every place. Ours sorts by length, leaves padding out, multiplies every different word with the gates
once, samples the softmax, and with bf16 multiplies in bfloat16. Both have one GRU encoder, two decoders started with the thought,
the same sizes, V = 20,000, Adam.

    python scripts/bench_skipthought.py --data movie_reviews.txt --hidden-dim 600
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from textgan.algorithms.skipthought import SkipThought, SkipThoughtConfig
from textgan.corpus import prepare
from textgan.encoders import SentenceEncoder
from textgan.runtime import Workers


class Plain(nn.Module):
    """Skip-Thought as one writes it first."""

    def __init__(self, vocab_size: int, embedding_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.encoder, self.previous, self.next = (nn.GRU(embedding_dim, hidden_dim, batch_first=True) for _ in range(3))
        self.out = nn.Linear(hidden_dim, vocab_size)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.encoder(self.embedding(x))
        last = (x != 0).sum(1).clamp(min=1) - 1
        return states[torch.arange(len(x)), last]

    def loss(self, x: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        h, total = self.encode(x).unsqueeze(0), torch.zeros(())
        for decoder, y in ((self.previous, before), (self.next, after)):
            states, _ = decoder(self.embedding(F.pad(y[:, :-1], (1, 0), value=1)), h)
            total = total + F.cross_entropy(self.out(states).flatten(0, 1), y.flatten(), ignore_index=0)
        return total


def rate(form, seconds: float) -> float:
    """Sentences a second of ``form(i)``, which gives how many it did; the first call warms up."""
    form(0)
    began, count, i = time.perf_counter(), 0, 1
    while time.perf_counter() - began < seconds:
        count, i = count + form(i), i + 1
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="wikipedia-sample")
    for name, default in (("hidden-dim", 600), ("embedding-dim", 300), ("batch", 64), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=40)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare(a.data, Path(folder) / "c", vocab_size=20_000, length=30, lowercase=True)
        assert corpus.tokenizer is not None
        workers = Workers()
        workers.seed(0, 0)
        sizes = {"batch": a.batch, "hidden_dim": a.hidden_dim, "embedding_dim": a.embedding_dim}
        config = SkipThoughtConfig(**sizes, decoder="initialised", softmax="sampled", embeddings="none")
        ours = SkipThought(config, corpus, workers, length=30, seed=0)
        plain = Plain(corpus.vocab_size, a.embedding_dim, a.hidden_dim)
        optimizer = torch.optim.Adam(plain.parameters(), config.lr)
        told = f"E {a.embedding_dim}, D {a.hidden_dim}, batch {a.batch}, {a.threads} thread(s)"
        mean = corpus.train.lengths().mean()
        print(f"{len(ours.triples):,} triples, vocabulary {corpus.vocab_size:,}, mean {mean:.1f} tokens, {told}")

        def plain_step(i: int) -> int:
            chosen = ours.triples[(np.arange(a.batch) + i * a.batch) % len(ours.triples)]
            optimizer.zero_grad()
            plain.loss(*(torch.from_numpy(corpus.train.rows(chosen + shift, 30)) for shift in (0, -1, 1))).backward()
            nn.utils.clip_grad_norm_(plain.parameters(), config.clip)
            optimizer.step()
            return a.batch

        slow = rate(plain_step, a.seconds)
        for precision in ("fp32", "bf16"):
            cast = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()

            def our_step(i: int, cast=cast) -> int:
                workers.seed(0, i)
                with cast:
                    ours.step(i)
                return a.batch

            fast = rate(our_step, a.seconds)
            print(f"training   plain {slow:8.1f}   ours {fast:8.1f} triples/s     {fast / slow:5.1f} times   ({precision})")

        rows = corpus.train.rows(np.arange(min(4096, len(corpus.train))), 30).tolist()
        texts = [corpus.tokenizer.decode(row) for row in rows]
        encoder = SentenceEncoder([ours.model.encoder.eval()], corpus.tokenizer)

        @torch.no_grad()
        def plain_encode(i: int) -> int:
            part = texts[i * 32 % 4096 :][:32]
            x = torch.zeros(len(part), 30, dtype=torch.long)
            for k, text in enumerate(part):
                ids = [*corpus.tokenizer.encode(text), 2][:30]
                x[k, : len(ids)] = torch.tensor(ids)
            plain.encode(x)
            return len(part)

        slow = rate(plain_encode, a.seconds / 4)
        for precision in ("fp32", "bf16"):

            def our_encode(i: int, precision=precision) -> int:
                encoder.encode(texts, precision=precision)
                return len(texts)

            fast = rate(our_encode, a.seconds / 4)
            print(f"encoding   plain {slow:8.1f}   ours {fast:8.1f} sentences/s   {fast / slow:5.1f} times   ({precision})")


if __name__ == "__main__":
    main()
