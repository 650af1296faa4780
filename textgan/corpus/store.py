"""Prepared corpora: memory-mapped ids, and the files that hold them."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import tokenizers
from ..errors import UserError

SCHEMA_VERSION = 1
BLOCK = 65_536  # sentences in an Arrow record batch


class Sentences:
    """Sentences of a corpus, memory-mapped."""

    def __init__(self, path: Path, eos: int | None, pad: int | None) -> None:
        self.eos, self.pad = eos, pad
        try:
            self._file = pa.memory_map(str(path))
            reader = pa.ipc.open_file(self._file)
            batches = [reader.get_batch(i).select(["ids", "document", "place"]) for i in range(reader.num_record_batches)]
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise UserError(
                f"the corpus file {path} is missing, damaged or of another version ({error}); prepare it again"
            ) from error
        self._starts = np.cumsum([0, *(len(b) for b in batches)])
        self._views = [
            (
                b.column("ids").offsets.to_numpy(),
                b.column("ids").values.to_numpy(),
                b.column("document").to_numpy(),
                b.column("place").to_numpy(),
            )
            for b in batches
        ]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _by_batch(self, indices: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]]:
        which = np.searchsorted(self._starts, indices, "right") - 1
        for k in np.unique(which):
            places = np.flatnonzero(which == k)
            yield places, indices[places] - self._starts[k], self._views[k]

    def rows(self, indices: np.ndarray, length: int) -> np.ndarray:
        """(n, length) int64: ids, EOS where it fits, then padding."""
        indices = np.asarray(indices)
        out = np.full((len(indices), length), self.pad or 0, dtype=np.int64)
        steps = np.arange(length)
        for places, local, (offsets, values, *_) in self._by_batch(indices):
            starts = offsets[local].astype(np.int64)
            sizes = offsets[local + 1] - starts
            source = np.minimum(starts[:, None] + steps, max(len(values) - 1, 0))
            inside = steps < sizes[:, None]
            found = values[source] if len(values) else np.zeros_like(source)
            block = np.where(inside, found, self.pad or 0).astype(np.int64)
            if self.eos is not None:
                block[steps == sizes[:, None]] = self.eos
            out[places] = block
        return out

    def _column(self, indices: np.ndarray, column: int) -> np.ndarray:
        """(n,) values of column 2, the document, or 3, the place in the running text."""
        out = np.zeros(len(indices), dtype=np.int64)
        for places, local, view in self._by_batch(indices):
            out[places] = view[column][local]
        return out

    def documents(self, indices: np.ndarray) -> np.ndarray:
        """(n,) number of the document each sentence is from."""
        return self._column(np.asarray(indices), 2)

    def lengths(self, indices: np.ndarray | None = None) -> np.ndarray:
        """(n,) tokens of these sentences, or of all, EOS not counted."""
        if indices is None:
            return np.concatenate([np.diff(offsets) for offsets, *_ in self._views] or [np.zeros(0, dtype=np.int64)])
        indices = np.asarray(indices)
        out = np.zeros(len(indices), dtype=np.int64)
        for places, local, (offsets, *_) in self._by_batch(indices):
            out[places] = offsets[local + 1] - offsets[local]
        return out

    def follows(self, indices: np.ndarray) -> np.ndarray:
        """(n,) true where a sentence comes directly after the one before it: same document, and nothing was left out between."""
        indices = np.asarray(indices)
        before = np.maximum(indices - 1, 0)
        same = self._column(indices, 2) == self._column(before, 2)
        return np.asarray(same & (self._column(indices, 3) == self._column(before, 3) + 1))

    def runs(self) -> Iterator[tuple[int, np.ndarray]]:
        """``follows`` of all sentences in pieces, each with the number of its first."""
        for start in range(0, len(self), BLOCK):
            yield start, self.follows(np.arange(start, min(len(self), start + BLOCK)))

    def triples(self) -> np.ndarray:
        """(M,) every i for which i - 1, i and i + 1 follow each other directly; 4 bytes each where that is enough."""
        kind = np.int32 if len(self) < 2**31 else np.int64
        found, last = [np.zeros(0, dtype=kind)], False
        for start, follows in self.runs():
            both = np.concatenate([[last], follows[:-1]]) & follows  # of i - 1 and i: i - 1 is the middle of a triple
            found.append((np.flatnonzero(both) + start - 1).astype(kind))
            last = bool(follows[-1])
        return np.concatenate(found)

    def counts(self, vocab_size: int) -> np.ndarray:
        """(vocab_size,) how often each token comes."""
        total = np.zeros(vocab_size, dtype=np.int64)
        for offsets, values, *_ in self._views:
            total += np.bincount(values[offsets[0] : offsets[-1]], minlength=vocab_size)
        return total


class Corpus:
    """A prepared corpus: a training and a held-out part, and the tokenizer that made them."""

    def __init__(self, path: Path, info: dict[str, Any], tokenizer: tokenizers.Tokenizer | None) -> None:
        self.path, self.info, self.tokenizer = path, info, tokenizer
        self.vocab_size: int = info["vocab_size"]
        self.bos: int = info["bos"]
        self.eos: int | None = info["eos"]
        self.pad: int | None = info["pad"]

    @functools.cached_property
    def train(self) -> Sentences:
        """What is trained on."""
        return Sentences(self.path / "train.arrow", self.eos, self.pad)

    @functools.cached_property
    def test(self) -> Sentences:
        """What is held out."""
        return Sentences(self.path / "test.arrow", self.eos, self.pad)

    @classmethod
    def open(cls, path: Path | str) -> Corpus:
        """A corpus that ``prepare`` wrote.

        Raises:
            UserError: there is none.
        """
        path = Path(path)
        try:
            info = json.loads((path / "corpus.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is not a prepared corpus; expected corpus.json in it; {error}") from error
        return cls(path, info, None if info["tokenizer"] is None else tokenizers.load(path))


def schema_of(vocab_size: int) -> pa.Schema:
    """The columns of a file of sentences: ids, the number of the document, and the sentence's own in the running text."""
    ids = pa.list_(pa.int32() if vocab_size > 65_535 else pa.uint16())
    return pa.schema([("ids", ids), ("document", pa.int64()), ("place", pa.int64())])


def batch_of(rows: Iterable[tuple[Any, int, int]], schema: pa.Schema) -> pa.RecordBatch:
    """Sentences as (ids, document, place) in the form that a ``Writer`` takes."""
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.record_batch([pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)], schema=schema)


class Writer:
    """Writes sentences to a file, in record batches of BLOCK."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self.file = pa.OSFile(str(path), "wb")
        self.writer = pa.ipc.new_file(self.file, schema)
        self.held: list[pa.RecordBatch] = []
        self.count = self.written = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """More sentences."""
        self.held.append(batch)
        self.count += len(batch)
        if self.count - self.written >= BLOCK:
            self._write(BLOCK)

    def _write(self, least: int) -> None:
        """Write batches as long as ``least`` sentences are held."""
        table = pa.Table.from_batches(self.held, self.schema).combine_chunks()
        while (left := self.count - self.written) >= least:
            start = len(table) - left
            self.writer.write_table(table.slice(start, BLOCK))
            self.written += min(BLOCK, left)
        self.held = table.slice(len(table) - left).to_batches()

    def close(self) -> None:
        """Write the rest and end the file."""
        self._write(1)
        self.writer.close()
        self.file.close()


def finish(out: Path, temporary: Path, info: dict[str, Any]) -> Corpus:
    """Write corpus.json and give the whole folder its name."""
    digest = hashlib.sha256()
    for name in ("train.arrow", "test.arrow"):
        with open(temporary / name, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    info = {"schema_version": SCHEMA_VERSION, **info, "content_sha256": digest.hexdigest()}
    (temporary / "corpus.json").write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    os.rename(temporary, out)
    return Corpus.open(out)


def write_oracle(out: Path, train: np.ndarray, test: np.ndarray, vocab_size: int, source: str) -> Corpus:
    """A corpus of synthetic sequences (N, T) of fixed length, without special tokens."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".corpus-", dir=out.parent))
    schema = schema_of(vocab_size)
    for name, rows in (("train", train), ("test", test)):
        writer = Writer(temporary / f"{name}.arrow", schema)
        for start in range(0, len(rows), BLOCK):  # no sequence follows another
            writer.add(batch_of(((row, 0, 2 * place) for place, row in enumerate(rows[start : start + BLOCK], start)), schema))
        writer.close()
    counts = {
        "source": source,
        "length": train.shape[1],
        "sentences": len(train) + len(test),
        "train": len(train),
        "test": len(test),
    }
    return finish(out, temporary, {**counts, "vocab_size": vocab_size, "tokenizer": None, "bos": 0, "eos": None, "pad": None})
