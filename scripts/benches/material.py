"""What the benches work on: made from a seed, or installed with gensim; several benches share a piece."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prepare_large import write

from image_bridge.captions import BagOfWords, CaptionVectors
from image_bridge.datasets.shapes import build
from image_bridge.images import ImageData
from image_bridge.pairs import PairData
from textgan.corpus import Corpus, prepare, write_oracle
from textgan.runtime import Workers

from .timing import Setting


@dataclass(frozen=True)
class Sizes:
    """Sizes of SeqGAN's oracle experiment."""

    batch: int = 64
    length: int = 20
    rollouts: int = 16
    vocab: int = 5000
    sequences: int = 10_000

    def __str__(self) -> str:
        return f"B {self.batch}, T {self.length}, N {self.rollouts}, V {self.vocab}"


def sizes(s: Setting) -> Sizes:
    """The paper's, or tiny ones."""
    return Sizes(8, 6, 4, 60, 64) if s.quick else Sizes()


def sequences(s: Setting) -> Corpus:
    """Sequences of random tokens: how long a step takes does not depend on what they say."""
    z, path = sizes(s), s.folder / "sequences"
    if not path.exists():
        drawn = np.random.default_rng(0).integers(0, z.vocab, (2, z.sequences, z.length))
        write_oracle(path, drawn[0], drawn[1], z.vocab, "a bench")
    return Corpus.open(path)


def text(s: Setting, megabytes: float) -> Path:
    """A text of this size, a sentence of 24 words a line."""
    path = s.folder / f"text-{megabytes}.txt"
    if not path.exists():
        write(path, int(megabytes * 1e6), lines=True, words=500 if s.quick else 200_000)
    return path


def prose(s: Setting) -> Corpus:
    """Sentences of up to 30 tokens that follow each other: 102 articles of Wikipedia that are installed with gensim."""
    path = s.folder / "prose"
    if not path.exists():
        source = str(text(s, 0.03)) if s.quick else "wikipedia-sample"
        prepare(source, path, vocab_size=20_000, length=30, lowercase=True)
    return Corpus.open(path)


def pairs(s: Setting, sizes: list[int]) -> PairData:
    """Drawn shapes of the largest of these sizes, with captions, packed at each of them."""
    path = s.folder / f"shapes-{max(sizes)}"
    if not path.exists():
        path.mkdir()
        build(path, 40 if s.quick else 400, max(sizes), 0, 1, lambda done, total: None)
    data = ImageData(path)
    packed = {size: data.pack(size) for size in sizes}
    captions = CaptionVectors(data, BagOfWords.of([c for some in data.captions for c in some]))
    return PairData(data, captions, packed, Workers(device=s.device))
