"""The sentences of a source in pieces that processes share out among them, and what they make of them put together again."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .. import tokenizers
from .sources import ReadReport, documents
from .store import Writer, batch_of

PIECE = 1 << 16  # characters of consecutive documents that one process takes at a time


@dataclass(frozen=True)
class Text:
    """The share of one process in the sentences of a source: of the pieces, every ``world``-th from ``rank`` on.

    Attributes:
        source: see ``documents``.
        column: of tables.
        cut: turns prose into sentences; None where a line is one.
        rank: the process.
        world: how many there are.
    """

    source: str
    column: str | None
    cut: Callable[[str], list[str]] | None
    rank: int = 0
    world: int = 1

    def pieces(self, doing: str, report: ReadReport | None = None) -> Iterator[list[tuple[int, list[str]]]]:
        """Pieces in order: the number of each document, and its sentences.

        Args:
            doing: what the first process says, now and then, that it does.
            report: is told what was mended in all documents.
        """
        told, kept = Progress(doing), list[tuple[int, list[str]]]()
        piece = size = 0
        for number, document in enumerate(documents(self.source, column=self.column, report=report)):
            if size >= PIECE:
                if kept:
                    yield kept
                kept, piece, size = [], piece + 1, 0
            size += sum(map(len, document))
            if piece % self.world == self.rank:
                found = document if self.cut is None else self.cut(" ".join(document))
                kept.append((number, [s for s in map(tokenizers.clean, found) if s]))
                if self.rank == 0:
                    told.more(len(kept[-1][1]))
        if kept:
            yield kept

    def sentences(self, doing: str) -> Iterator[str]:
        """The same without documents."""
        return (sentence for piece in self.pieces(doing) for _, found in piece for sentence in found)


class Progress:
    """Says now and then, on standard error, how far a long pass is."""

    def __init__(self, doing: str, every_s: float = 5.0) -> None:
        self.doing, self.every_s, self.count = doing, every_s, 0
        self.began = self.told = time.monotonic()

    def more(self, sentences: int) -> None:
        """So many were read."""
        self.count += sentences
        now = time.monotonic()
        if now - self.told >= self.every_s:
            self.told = now
            rate = self.count / (now - self.began)
            print(f"{self.doing}: {self.count:,} sentences, {rate:,.0f}/s", file=sys.stderr, flush=True)  # noqa: T201


@dataclass
class Tally:
    """What was counted while encoding.

    Attributes:
        counts: documents, sentences, kept, skipped, truncated, tokens and unknown tokens.
        sizes: how many sentences have so many tokens, EOS included.
    """

    counts: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)


Encoded = Iterator[tuple[pa.RecordBatch, int]]  # what is kept of a piece, places counted from its beginning; its sentences


def encode(
    text: Text, model: tokenizers.Tokenizer, length: int, overlong: str, schema: pa.Schema, report: ReadReport, tally: Tally
) -> Encoded:
    """Pieces as ids; ``report`` and ``tally`` are told."""
    counts = tally.counts
    for piece in text.pieces("encoding", report):
        kept: list[tuple[list[int], int, int]] = []
        place = 0
        for number, found in piece:
            for start in range(0, len(found), 10_000):
                for ids in model.encode_batch(found[start : start + 10_000]):
                    place += 1
                    tally.sizes[len(ids) + 1] += 1
                    if not ids:
                        continue
                    if len(ids) + 1 > length:
                        if overlong == "skip":
                            counts["skipped"] += 1
                            continue
                        counts["truncated"] += 1
                        ids = ids[:length]
                    counts["tokens"] += len(ids)
                    counts["unknown"] += ids.count(model.unk)
                    kept.append((ids, number, place))
        counts.update(documents=len(piece), sentences=place, kept=len(kept))
        yield batch_of(kept, schema), place


def leave(encoded: list[Encoded], folder: Path, rank: int, schema: pa.Schema, tally: Tally) -> None:
    """Write the share of this process in every source, for the first process to ``gather``."""
    sentences = []
    for number, pieces in enumerate(encoded):
        sentences.append(list[int]())
        path = str(folder / f"part-{number}-{rank}.arrow")
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for batch, count in pieces:
                writer.write_batch(batch)
                sentences[-1].append(count)
    told = {"sentences": sentences, "counts": tally.counts, "sizes": list(tally.sizes.items())}
    (folder / f"part-{rank}.json").write_text(json.dumps(told), encoding="utf-8")


def gather(folder: Path, world: int) -> tuple[list[Encoded], Tally]:
    """All pieces of every source, as one process would have had them, and what all have counted."""
    told = [json.loads((folder / f"part-{rank}.json").read_text(encoding="utf-8")) for rank in range(world)]
    total = Tally()
    for one in told:
        total.counts.update(one["counts"])
        total.sizes.update(dict(one["sizes"]))

    def pieces(number: int) -> Encoded:
        files = [pa.OSFile(str(folder / f"part-{number}-{rank}.arrow"), "rb") for rank in range(world)]
        readers = [pa.ipc.open_file(file) for file in files]
        for k in range(sum(reader.num_record_batches for reader in readers)):
            place, rank = divmod(k, world)
            yield readers[rank].get_batch(place), told[rank]["sentences"][number][place]
        for file in files:
            file.close()

    return [pieces(number) for number in range(len(told[0]["sentences"]))], total


def collect(
    encoded: list[Encoded], tally: Tally, folder: Path, schema: pa.Schema, held_out: float, by_document: bool, seed: int
) -> dict[str, Any]:
    """Write train.arrow and test.arrow; gives the counts. A second source, where there is one, is all of what is held out."""

    def chosen(number: int) -> bool:
        digest = hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < held_out * 2**64

    train, held = Writer(folder / "train.arrow", schema), Writer(folder / "test.arrow", schema)
    last: pa.RecordBatch | None = None
    before = 0
    for source, pieces in enumerate(encoded):
        for batch, sentences in pieces:
            ids, numbers, places = batch.columns[0], batch.columns[1].to_numpy(), batch.columns[2].to_numpy() + before
            before += sentences
            if not len(batch):
                continue
            last = pa.record_batch([ids, numbers, places], schema=schema)
            if len(encoded) > 1:
                (held if source else train).add(last)
                continue
            different, where = np.unique(numbers if by_document else places, return_inverse=True)
            out = np.array([chosen(int(number)) for number in different])[where]
            train.add(last.filter(pa.array(~out)))
            held.add(last.filter(pa.array(out)))
    warning = None
    for writer, name in ((train, "training"), (held, "held-out")):
        if not writer.count and last is not None:
            writer.add(last.slice(len(last) - 1))
            warning = f"too few sentences to hold any out: the {name} part repeats one"
        writer.close()
    names = ("documents", "sentences", "kept", "skipped", "truncated", "tokens")
    return {
        **{name: tally.counts[name] for name in names}, "train": train.count, "test": held.count,
        "unknown_rate": tally.counts["unknown"] / max(1, tally.counts["tokens"]),
        "held_out_by": "document" if by_document else "sentence", "warning": warning,
    }  # fmt: skip
