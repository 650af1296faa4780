"""Sentences a second of Skip-Thought's training and encoding, against the plain form, in one process.

The plain form pads every sentence to 30 tokens, takes batches in the order of the text, and computes the softmax over all words
at every place. Ours sorts by length and samples the softmax; encoding also shares the products of words, lets ended sentences
go, and with bf16 multiplies in bfloat16. Both have one GRU encoder, two decoders, the same sizes, V = 20,000.

    python scripts/bench_skipthought.py --data movie_reviews.txt --hidden-dim 600
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from textgan.algorithms.skipthought import SkipThought, SkipThoughtConfig
from textgan.corpus import prepare
from textgan.encoders import SentenceEncoder
from textgan.runtime import Workers


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
        workers = Workers()
        made = {}
        for softmax in ("full", "sampled"):
            workers.seed(0, 0)
            config = SkipThoughtConfig(
                batch=a.batch, hidden_dim=a.hidden_dim, embedding_dim=a.embedding_dim, decoder="initialised", softmax=softmax
            )
            made[softmax] = SkipThought(config, corpus, workers, length=30, seed=0)
        sizes = f"E {a.embedding_dim}, D {a.hidden_dim}, batch {a.batch}, {a.threads} thread(s)"
        mean = corpus.train.lengths().mean()
        print(f"{len(made['full'].triples):,} triples, vocabulary {corpus.vocab_size:,}, mean {mean:.1f} tokens, {sizes}")

        def plain_step(i: int) -> int:
            m, model = made["full"], made["full"].model
            chosen = m.triples[(np.arange(a.batch) + i * a.batch) % len(m.triples)]
            x, *around = (torch.from_numpy(corpus.train.rows(chosen + shift, 30)) for shift in (0, -1, 1))
            thought = model.encoder(x)
            loss = torch.zeros(())
            for decoder, y in zip((model.previous, model.next), around, strict=True):
                states, _ = decoder(model.encoder.embedding(m.inputs(y)), thought)
                loss = loss + F.cross_entropy(model.out(states).flatten(0, 1), y.flatten(), ignore_index=0)
            m.player.minimise(loss)
            return a.batch

        def our_step(i: int) -> int:
            workers.seed(0, i)
            made["sampled"].step(i)
            return a.batch

        slow, fast = rate(plain_step, a.seconds), rate(our_step, a.seconds)
        print(f"training   plain {slow:8.1f}   ours {fast:8.1f} triples/s     {fast / slow:5.1f} times")

        assert corpus.tokenizer is not None
        rows = corpus.train.rows(np.arange(min(4096, len(corpus.train))), 30).tolist()
        texts = [corpus.tokenizer.decode(row) for row in rows]
        encoder = SentenceEncoder([made["full"].model.encoder.eval()], corpus.tokenizer)

        @torch.no_grad()
        def plain_encode(i: int) -> int:
            part = texts[i * 32 % 4096 :][:32]
            x = torch.zeros(len(part), 30, dtype=torch.long)
            for k, text in enumerate(part):
                ids = [*corpus.tokenizer.encode(text), 2][:30]
                x[k, : len(ids)] = torch.tensor(ids)
            encoder.parts[0](x)
            return len(part)

        def ours(precision: str):
            def form(i: int) -> int:
                encoder.encode(texts, precision=precision)
                return len(texts)

            return form

        slow = rate(plain_encode, a.seconds / 4)
        for precision in ("fp32", "bf16"):
            fast = rate(ours(precision), a.seconds / 4)
            print(f"encoding   plain {slow:8.1f}   ours {fast:8.1f} sentences/s   {fast / slow:5.1f} times   ({precision})")


if __name__ == "__main__":
    main()
