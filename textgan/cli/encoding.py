"""The commands ``encode`` and ``nearest``."""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..errors import UserError
from .parse import parse, positive, say

PIECE = 10_000  # lines between two saved positions


@dataclass(frozen=True)
class EncodeOptions:
    """Options of encode."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run of quickthought or skipthought, or one of its checkpoints."""
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="IN")]
    """A text file, a sentence a line."""
    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    """The .npy file to write: float32, a row a line."""
    batch_size: int = 128
    """Sentences at a time."""
    normalize: bool = False
    """Divide every vector by its length."""


def _lines(path: Path) -> Any:
    return open(path, encoding="utf-8-sig", errors="replace", newline="\n")


def encode(argv: list[str]) -> int:
    """``textgan encode``: streams, and goes on where it was interrupted."""
    given = parse(
        EncodeOptions,
        argv,
        "textgan encode",
        "Vectors of the sentences in a file. Example:\n\n  textgan encode runs/a in.txt out.npy",
    )
    import numpy as np

    from ..encoders import SentenceEncoder

    positive(given, "batch_size")
    source, out = Path(given.source), Path(given.out)
    if not source.is_file():
        raise UserError(f"no such file; expected a text file with a sentence a line; received {source}")
    encoder = SentenceEncoder.from_pretrained(given.run)
    with _lines(source) as file:
        count = sum(1 for _ in file)
    if not count:
        raise UserError(f"{source} holds no line; expected a sentence a line")
    part, place = out.with_name(out.name + ".part"), out.with_name(out.name + ".place")
    done, wanted = 0, f"{count} {encoder.dimension} {source.stat().st_mtime_ns} {given.run} {given.normalize}"
    if part.is_file() and place.is_file():
        found, _, told = place.read_text(encoding="utf-8").partition(" ")
        done = int(found) if told == wanted else 0
    shape = (count, encoder.dimension)
    rows = np.lib.format.open_memmap(part, mode="r+" if done else "w+", dtype=np.float32, shape=None if done else shape)
    if done:
        say(f"going on at line {done + 1:,}")
    with _lines(source) as file:
        lines = itertools.islice(file, done, None)
        while piece := list(itertools.islice(lines, PIECE)):
            rows[done : done + len(piece)] = encoder.encode(piece, given.batch_size, normalize_embeddings=given.normalize)
            done += len(piece)
            rows.flush()
            place.write_text(f"{done} {wanted}", encoding="utf-8")
            if count > PIECE:
                say(f"{done:,} of {count:,} sentences")
    del rows
    os.replace(part, out)
    place.unlink()
    say(f"{count:,} vectors of {encoder.dimension} numbers in {out}")
    return 0


@dataclass(frozen=True)
class NearestOptions:
    """Options of nearest."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run of word2vec, quickthought or skipthought, or one of its checkpoints."""
    query: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TEXT")]
    """A word, or a sentence."""
    among: str = ""
    """File with the sentences to search, one a line; for a sentence only."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 10
    """How many."""


def nearest(argv: list[str]) -> int:
    """``textgan nearest``: cosine and text, a line each."""
    given = parse(
        NearestOptions,
        argv,
        "textgan nearest",
        'The nearest words or sentences. Example:\n\n  textgan nearest runs/a "a red car" --among in.txt',
    )
    positive(given, "number")
    vectors = _vectors(Path(given.run))
    found: list[tuple[str, float]]
    if vectors:
        from gensim.models import KeyedVectors

        words = KeyedVectors.load_word2vec_format(str(vectors), binary=True)
        word = given.query if given.query in words.key_to_index else given.query.lower()
        if word not in words.key_to_index:
            raise UserError(
                f"the word is not known to {given.run}; expected one of its {len(words):,} words; received {given.query!r}"
            )
        found = words.similar_by_word(word, given.number)
    else:
        found = _nearest_sentences(given)
    sys.stdout.writelines(f"{score:.3f}  {text}\n" for text, score in found)
    return 0


def _vectors(path: Path) -> Path | None:
    """Word vectors of a word2vec run, if it is one."""
    from ..runtime import Run

    if (path / "checkpoints").is_dir():
        path = Run(path).latest() or path
    return next((p for p in (path / "vectors" / "vectors.bin", path / "vectors.bin") if p.is_file()), None)


def _nearest_sentences(given: NearestOptions) -> list[tuple[str, float]]:
    import numpy as np

    from ..encoders import SentenceEncoder

    encoder = SentenceEncoder.from_pretrained(given.run)
    if not given.among:
        raise UserError("a sentence is searched in a file; expected --among FILE with a sentence a line")
    if not Path(given.among).is_file():
        raise UserError(f"--among: no such file; received {given.among}")
    with _lines(Path(given.among)) as file:
        texts = list(dict.fromkeys(line.strip() for line in file if line.strip()))
    if not texts:
        raise UserError(f"--among {given.among} holds no sentence")
    scores = encoder.encode(texts, normalize_embeddings=True) @ encoder.encode(given.query, normalize_embeddings=True)
    return [(texts[k], float(scores[k])) for k in np.argsort(-scores, kind="stable")[: given.number]]
