"""Preparation of a corpus, minibatches of images, and how long a command takes to start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from textgan.corpus import Corpus, prepare
from textgan.tokenizers import SPECIAL, Tokenizer

from .images import decoded
from .material import pairs, text
from .timing import Row, Setting, same

LENGTH = 40


def plain_prepare(source: Path, out: Path, like: Tokenizer) -> None:
    """The tokenizers library on a text in memory: a vocabulary, a line at a time to ids, padding, one array."""
    from tokenizers import Tokenizer as Model
    from tokenizers.models import WordLevel
    from tokenizers.trainers import WordLevelTrainer

    sentences = [line for line in source.read_text(encoding="utf-8").splitlines() if line]
    model = Model(WordLevel({}, unk_token="<unk>"))
    model.normalizer, model.pre_tokenizer = like.model.normalizer, like.model.pre_tokenizer
    model.train_from_iterator(sentences, WordLevelTrainer(vocab_size=20_000, special_tokens=list(SPECIAL), show_progress=False))
    rows = np.zeros((len(sentences), LENGTH), dtype=np.int64)
    for row, sentence in zip(rows, sentences, strict=True):
        ids = [*model.encode(sentence).ids, 2][:LENGTH]
        row[: len(ids)] = ids
    np.save(out, rows)


def data(s: Setting) -> Iterator[Row]:
    """A text to memory-mapped ids; a minibatch of images from packed bytes."""
    source = text(s, 0.03 if s.quick else 8)
    size, turn = source.stat().st_size / 1e6, iter(range(1000))

    def ours() -> Path:
        out = s.folder / f"prepared-{next(turn)}"
        prepare(str(source), out, vocab_size=20_000, length=LENGTH, lowercase=True, split="line", held_out=1e-12)
        return out

    made, plain = Corpus.open(ours()), s.folder / "plain.npy"
    assert made.tokenizer is not None
    plain_prepare(source, plain, made.tokenizer)
    rows = made.train.rows(np.arange(len(made.train)), LENGTH)
    told = same("ids", rows, np.load(plain), 0)
    moved = source.stat().st_size + sum(file.stat().st_size for file in made.path.iterdir())
    yield s.row(
        "data, corpus", f"{size:.2f} MB of text, {len(rows):,} sentences, {made.vocab_size:,} words; plain: tokenizers alone",
        ours, lambda: plain_prepare(source, plain, made.tokenizer), told, amount=size, unit="MB",
        floor=s.moved(moved, "text and corpus once"),
    )  # fmt: skip
    pixels, batch = (16, 8) if s.quick else (64, 64)
    found = pairs(s, [pixels])
    chosen = found.chosen[:batch]
    packed = found.pixels[pixels]
    told = same("pixels", packed(chosen), decoded(found.data, chosen, pixels))
    yield s.row(
        "data, images", f"{len(chosen)} images of {pixels} x {pixels}; plain: Pillow, one at a time",
        lambda: packed(chosen), lambda: decoded(found.data, chosen, pixels).to(s.device), told, amount=len(chosen), unit="images",
        floor=s.moved(len(chosen) * 3 * pixels**2 * 5, "bytes in, floats out"),
    )  # fmt: skip


def start_up(s: Setting) -> Iterator[Row]:
    """What a user waits before anything happens; the floor is Python itself, and there is no plain form."""

    def python(*words: str) -> str:
        return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True).stdout

    floor = s.best(lambda: python("-c", "pass"), times=5), "Python that does nothing"
    for name, words in (("textgan --help", ("-m", "textgan", "--help")), ("import textgan", ("-c", "import textgan"))):
        yield s.row(
            f"start-up, {name}", "a process of its own", lambda words=words: python(*words), None, "no plain form",
            amount=1, unit="starts", floor=floor,
        )  # fmt: skip
