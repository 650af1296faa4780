"""From text to a prepared corpus."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import tokenizers
from ..errors import UserError
from .sources import NAMED, ReadReport, documents
from .split import looks_like_lines, splitter
from .store import Corpus, Writer, finish


def _watched(found: Iterator[tuple[int, list[str]]], doing: str, every_s: float = 5.0) -> Iterator[tuple[int, list[str]]]:
    """Says now and then, on standard error, how far a long pass is."""
    began = told = time.monotonic()
    count = 0
    for number, sentences in found:
        count += len(sentences)
        now = time.monotonic()
        if now - told >= every_s:
            told = now
            print(f"{doing}: {count:,} sentences, {count / (now - began):,.0f}/s", file=sys.stderr, flush=True)  # noqa: T201
        yield number, sentences


def prepare(
    source: str,
    out: Path | str,
    *,
    tokenizer: str = "word",
    vocab_size: int = 5000,
    lowercase: bool = False,
    min_count: int = 1,
    length: int = 20,
    overlong: str = "skip",
    held_out: float = 0.05,
    test: str | None = None,
    column: str | None = None,
    split: str = "auto",
    seed: int = 0,
) -> Corpus:
    """Turn a source into memory-mapped ids, in two passes and flat memory.

    Args:
        source: see ``documents``; "-" is standard input.
        out: folder to write; it appears whole or not at all.
        tokenizer: a kind, the path of a saved one, or ``hf:`` and the folder or name of one of transformers.
        vocab_size: largest vocabulary.
        lowercase: turn letters into small ones.
        min_count: rarer words are unknown.
        length: a sentence fits if its tokens and EOS are at most this many.
        overlong: "skip" or "truncate" those that do not fit.
        held_out: share kept for testing, by document where there are at least 20, else by sentence.
        test: another source to test on.
        column: of tables.
        split: "line", "sentence" or "auto".
        seed: decides what is held out.

    Raises:
        UserError: no text, or none that fits.
    """
    out = Path(out)
    missing = [folder for folder in out.parents if not folder.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".corpus-", dir=out.parent))
    try:
        if source == "-":
            with open(temporary / "stdin.txt", "wb") as spool:
                shutil.copyfileobj(sys.stdin.buffer, spool)
            path = str(temporary / "stdin.txt")
        else:
            path = source
        sample: list[list[str]] = []
        for document in documents(path, column=column):
            sample.append(document)
            if len(sample) >= 2000 or sum(map(len, sample[-1:])) > 50_000:
                break
        if not any(line.strip() for document in sample for line in document):
            raise UserError(f"--data {source} holds no text; expected at least one sentence")
        lines = split == "line" or (split == "auto" and source not in NAMED and looks_like_lines(sample))
        cut = None if lines else splitter(documents(path, column=column))

        def sentences(place: str, report: ReadReport) -> Iterator[tuple[int, list[str]]]:
            for number, document in enumerate(documents(place, column=column, report=report)):
                found = document if cut is None else cut(" ".join(document))
                yield number, [s for s in map(tokenizers.clean, found) if s]

        if tokenizer in tokenizers.KINDS:
            learning = _watched(sentences(path, ReadReport()), "learning the vocabulary")
            stream = (s for _, found in learning for s in found)
            model = tokenizers.train(tokenizer, stream, vocab_size, lowercase=lowercase, min_count=min_count)
        else:
            model = tokenizers.load(tokenizer)
            if lowercase and model.kind == "pretrained":
                raise UserError(f"--lowercase cannot be had with {tokenizer}, which has its own way with letters; leave it out")
        model.save(temporary)
        info = _encode(path, test, sentences, model, temporary, length, overlong, held_out, seed, source)
        (temporary / "stdin.txt").unlink(missing_ok=True)
        options = {
            "length": length,
            "overlong": overlong,
            "lowercase": lowercase,
            "split": "line" if lines else "sentence",
        }
        special = {
            "vocab_size": model.vocab_size,
            "tokenizer": model.kind,
            "bos": model.bos,
            "eos": model.eos,
            "pad": model.pad,
        }
        return finish(out, temporary, {"source": source, **options, **special, **info})
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in missing:  # after an error they are empty, and nothing half-made is left
            with contextlib.suppress(OSError):
                folder.rmdir()


def _encode(
    path: str,
    test: str | None,
    sentences: Callable[[str, ReadReport], Iterator[tuple[int, list[str]]]],
    model: tokenizers.Tokenizer,
    folder: Path,
    length: int,
    overlong: str,
    held_out: float,
    seed: int,
    source: str,
) -> dict[str, Any]:
    """The second pass: ids into train.arrow and test.arrow; gives the counts."""
    report = ReadReport()
    by_document = sum(1 for _ in zip(range(20), sentences(path, ReadReport()), strict=False)) >= 20
    counts = dict.fromkeys(("documents", "sentences", "kept", "skipped", "truncated", "tokens"), 0)
    unknown, sizes = 0, list[int]()
    wide = model.vocab_size > 65_535
    train, held = Writer(folder / "train.arrow", wide), Writer(folder / "test.arrow", wide)
    last: tuple[list[int], int, int] | None = None

    def chosen(number: int) -> bool:
        digest = hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < held_out * 2**64

    for place, only in ((path, None), (test, held)) if test else ((path, None),):
        assert place is not None
        for number, found in _watched(sentences(place, report), "encoding"):
            counts["documents"] += 1
            for start in range(0, len(found), 10_000):
                for ids in model.encode_batch(found[start : start + 10_000]):
                    counts["sentences"] += 1
                    if len(sizes) < 100_000:
                        sizes.append(len(ids) + 1)
                    if not ids:
                        continue
                    if len(ids) + 1 > length:
                        if overlong == "skip":
                            counts["skipped"] += 1
                            continue
                        counts["truncated"] += 1
                        ids = ids[:length]
                    counts["kept"] += 1
                    counts["tokens"] += len(ids)
                    unknown += ids.count(model.unk)
                    out = only or (held if not test and chosen(number if by_document else counts["sentences"]) else train)
                    last = (ids, number, counts["sentences"])
                    out.add(*last)
    if last is None:
        middle = int(statistics.median(sizes)) if sizes else 0
        for writer in (train, held):
            writer.close()
        raise UserError(
            f"no sentence of {source} fits --length {length}; expected some; the median has {middle} tokens and the longest "
            f"{max(sizes, default=0)}; raise --length or use --overlong truncate"
        )
    warning = None
    for writer, name in ((train, "training"), (held, "held-out")):
        if not writer.count:
            writer.add(*last)
            warning = f"too few sentences to hold any out: the {name} part repeats one"
        writer.close()
    return {
        **counts, "train": train.count, "test": held.count, "unknown_rate": unknown / max(1, counts["tokens"]),
        "held_out_by": "document" if by_document else "sentence", "reading": asdict(report), "warning": warning,
    }  # fmt: skip
