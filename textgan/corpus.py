"""From text to memory-mapped ids: sources, sentences, tokens, and the part that is held out."""

from __future__ import annotations

import bz2
import contextlib
import csv
import functools
import glob as globbing
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from . import tokenizers
from .errors import UserError

SCHEMA_VERSION = 1
BLOCK = 65_536  # sentences in an Arrow record batch
NAMED = ("wikipedia-sample", "lee-news")
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}
CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\x85\u2028\u2029]")
ENDS = re.compile(r"(?<=[。！？])([”」』）)]*)(?=.)")


@dataclass
class ReadReport:
    """What was mended while reading, so that nothing is lost in silence."""

    undecodable_bytes: int = 0
    undecodable_lines: dict[str, list[int]] = field(default_factory=dict)
    control_characters: int = 0


def _text_lines(path: Path, encoding: str, report: ReadReport) -> Iterator[str]:
    """Lines of a file, unpacked, without BOM, line ends or control characters."""
    bad: list[int] = []
    try:
        _check_is_text(path, encoding)
        with OPENERS.get(path.suffix, open)(path, "rb") as raw:
            # U+DC80..U+DCFF stand for undecodable bytes until they are counted
            text = io.TextIOWrapper(raw, encoding="utf-8-sig" if encoding == "utf-8" else encoding, errors="surrogateescape")
            for number, line in enumerate(text, 1):
                line = line.rstrip("\n")
                wrong = 0 if line.isascii() else sum("\udc80" <= c <= "\udcff" for c in line)
                if wrong:
                    report.undecodable_bytes += wrong
                    bad.append(number)
                    line = re.sub("[\udc80-\udcff]", "\ufffd", line)
                if not line.isprintable():
                    line, count = CONTROL.subn(" ", line)
                    report.control_characters += count
                yield line
    except (OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read; expected a text file; {error}") from error
    except LookupError as error:
        raise UserError(f"unknown encoding; received {encoding!r}") from error
    if bad:
        report.undecodable_lines[str(path)] = bad[:10]


def _check_is_text(path: Path, encoding: str) -> None:
    """Refuses pictures, archives and UTF-16, of whose bytes many are no text; a few wrong bytes are mended while reading."""
    with OPENERS.get(path.suffix, open)(path, "rb") as raw:
        start: bytes = raw.read(1 << 16)
    text = start.decode(encoding, errors="surrogateescape")
    wrong = sum("\udc80" <= c <= "\udcff" or c == "\0" for c in text)
    if wrong > len(start) / 5:
        raise UserError(
            f"{path} is not a text file in {encoding}; received {wrong / len(start):.0%} bytes that are no text at its start; "
            "if it is text in another encoding, turn it into UTF-8 first (iconv -f ENCODING -t UTF-8)"
        )


def _files(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    elif path.is_file():
        found = [path]
    else:
        found = sorted(Path(p) for p in globbing.glob(source, recursive=True) if Path(p).is_file())
    if not found:
        raise UserError(
            f"--data {source}: no such file, folder or pattern with matches; expected a text source, one of "
            f"{', '.join(NAMED)}, datasets:NAME, oracle, or - for standard input"
        )
    return found


def _column(names: Iterable[str], wanted: str | None, where: str) -> str:
    names = list(names)
    column = wanted or "text"
    if column not in names:
        raise UserError(f"{where} has no column {column!r}; expected --column with one of: {', '.join(map(str, names))}")
    return column


def _file_documents(path: Path, column: str | None, encoding: str, report: ReadReport) -> Iterator[list[str]]:
    kind = Path(path.stem).suffix if path.suffix in (".gz", ".bz2") else path.suffix
    lines = _text_lines(path, encoding, report)
    if kind == ".jsonl":
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                text = row[_column(row, column, f"{path} line {number}")]
            except (json.JSONDecodeError, TypeError, AttributeError) as error:
                raise UserError(f"{path} line {number} is not a JSON object ({error}); expected one a line") from error
            yield str(text).splitlines() or [""]
    elif kind in (".csv", ".tsv"):
        csv.field_size_limit(1 << 30)
        reader = csv.DictReader(lines, delimiter="\t" if kind == ".tsv" else ",")
        name = _column(reader.fieldnames or [], column, str(path))
        for row in reader:
            yield (row[name] or "").splitlines() or [""]
    else:
        held: list[str] = []
        for line in lines:
            pieces = line.split("\f")
            for place, piece in enumerate(pieces):
                if piece.strip():
                    held.append(piece)
                if held and (place < len(pieces) - 1 or not piece.strip() or len(held) >= BLOCK):
                    yield held
                    held = []
        if held:
            yield held


def _wikipedia_sample() -> Iterator[list[str]]:
    """The 102 articles in gensim's wheel, with what filter_wiki leaves of the markup taken out."""
    from gensim.corpora.wikicorpus import extract_pages, filter_wiki
    from gensim.test.utils import datapath

    name = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
    with bz2.open(datapath(name)) as file:
        for _, text, _ in extract_pages(file, filter_namespaces=("0",)):
            kept = []
            for line in filter_wiki(text).splitlines():
                line = re.sub(r"'{2,}|<[^>]*>|\([^\w)]*\)", "", line)
                line = re.sub(r"\s+([,.;:])", r"\1", re.sub(r"&\w+;", " ", line)).strip()
                prose = line.count(" ") >= 5 and line[0] not in "*#:;=|!{}" and line.rstrip("\"')”")[-1:] in ".?!"
                if prose and not re.search(r"[{}|]|==|https?:", line):
                    kept.append(line)
            if kept:
                yield kept


def documents(
    source: str, *, column: str | None = None, encoding: str = "utf-8", report: ReadReport | None = None
) -> Iterator[list[str]]:
    """Documents of a source as lists of lines, streamed.

    Args:
        source: a file (.txt, .jsonl, .csv, .tsv, also .gz and .bz2), folder, glob, a named corpus or datasets:NAME[:SPLIT].
        column: where the text is in tables; "text" when absent.
        encoding: of the files.
        report: is told what was mended.

    Raises:
        UserError: the source cannot be found or read.
    """
    report = ReadReport() if report is None else report
    if source == "wikipedia-sample":
        yield from _wikipedia_sample()
    elif source == "lee-news":
        from gensim.test.utils import datapath

        for line in _text_lines(Path(datapath("lee_background.cor")), encoding, report):
            yield [line]
    elif source.startswith("datasets:"):
        yield from _hub_documents(source.removeprefix("datasets:"), column)
    else:
        for path in _files(source):
            yield from _file_documents(path, column, encoding, report)


def _hub_documents(name: str, column: str | None) -> Iterator[list[str]]:
    import datasets

    name, _, split = name.partition(":")
    try:
        if Path(name).is_dir() and any((Path(name) / f).exists() for f in ("dataset_info.json", "dataset_dict.json")):
            found = datasets.load_from_disk(name)
            rows = found[split or "train"] if isinstance(found, datasets.DatasetDict) else found
        else:
            rows = datasets.load_dataset(name, split=split or "train", streaming=True)
    except Exception as error:
        raise UserError(f"datasets:{name} cannot be loaded; expected a data set's name or folder; {error}") from error
    for row in rows:
        yield str(row[_column(row, column, f"datasets:{name}")]).splitlines() or [""]


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


def _splitter(sample: Iterable[list[str]]) -> Callable[[str], list[str]]:
    """Cuts prose into sentences with Punkt, trained without labels on the text itself."""
    from nltk.tokenize.punkt import PunktSentenceTokenizer, PunktTrainer

    trainer = PunktTrainer()
    trainer.INCLUDE_ALL_COLLOCS = False
    seen = 0
    for lines in sample:
        text = " ".join(lines)[:1_000_000]
        trainer.train(text, finalize=False)
        seen += len(text)
        if seen > 5_000_000:
            break
    trainer.finalize_training()
    punkt = PunktSentenceTokenizer(trainer.get_params())

    def cut(text: str) -> list[str]:
        pieces = (p for start in range(0, len(text), 1_000_000) for p in punkt.tokenize(text[start : start + 1_000_000]))
        return [part for piece in pieces for part in ENDS.sub(r"\1\n", piece).split("\n")]

    return cut


def _looks_like_lines(sample: list[list[str]]) -> bool:
    """Whether most lines hold one sentence: short, and no full stop followed by a capital inside."""
    lines = [line for document in sample for line in document][:2000]
    prose = [len(line) > 400 or len(re.findall(r"[.!?]['\")]? +[A-Z]|[。！？].", line)) > 0 for line in lines]
    return not prose or statistics.mean(prose) < 0.5


class Sentences:
    """Sentences of a corpus, memory-mapped."""

    def __init__(self, path: Path, eos: int | None, pad: int | None) -> None:
        self.eos, self.pad = eos, pad
        try:
            self._file = pa.memory_map(str(path))
            reader = pa.ipc.open_file(self._file)
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(f"the corpus file {path} is missing or damaged ({error}); prepare the text again") from error
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        self._starts = np.cumsum([0, *(len(b) for b in batches)])
        self._views = [
            (b.column("ids").offsets.to_numpy(), b.column("ids").values.to_numpy(), b.column("document").to_numpy())
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
        for places, local, (offsets, values, _) in self._by_batch(indices):
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

    def documents(self, indices: np.ndarray) -> np.ndarray:
        """(n,) number of the document each sentence is from."""
        indices = np.asarray(indices)
        out = np.zeros(len(indices), dtype=np.int64)
        for places, local, (_, _, document) in self._by_batch(indices):
            out[places] = document[local]
        return out

    def lengths(self) -> np.ndarray:
        """(N,) tokens of each sentence, EOS not counted."""
        return np.concatenate([np.diff(offsets) for offsets, _, _ in self._views] or [np.zeros(0, dtype=np.int64)])


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


class _Writer:
    """Writes sentences in record batches."""

    def __init__(self, path: Path, wide: bool) -> None:
        self.schema = pa.schema([("ids", pa.list_(pa.int32() if wide else pa.uint16())), ("document", pa.int64())])
        self.file = pa.OSFile(str(path), "wb")
        self.writer = pa.ipc.new_file(self.file, self.schema)
        self.ids: list[Any] = []
        self.documents: list[int] = []
        self.count = 0

    def add(self, ids: Any, document: int) -> None:
        self.ids.append(ids)
        self.documents.append(document)
        self.count += 1
        if len(self.ids) >= BLOCK:
            self.flush()

    def flush(self) -> None:
        if self.ids:
            self.writer.write(
                pa.record_batch([pa.array(self.ids, self.schema.field(0).type), self.documents], schema=self.schema)
            )
            self.ids, self.documents = [], []

    def close(self) -> None:
        self.flush()
        self.writer.close()
        self.file.close()


def _finish(out: Path, temporary: Path, info: dict[str, Any]) -> Corpus:
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
    for name, rows in (("train", train), ("test", test)):
        writer = _Writer(temporary / f"{name}.arrow", vocab_size > 65_535)
        for row in rows:
            writer.add(row, 0)
        writer.close()
    counts = {
        "source": source,
        "length": train.shape[1],
        "sentences": len(train) + len(test),
        "train": len(train),
        "test": len(test),
    }
    return _finish(out, temporary, {**counts, "vocab_size": vocab_size, "tokenizer": None, "bos": 0, "eos": None, "pad": None})


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
        tokenizer: a kind, or the path of a saved one.
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
        lines = split == "line" or (split == "auto" and source not in NAMED and _looks_like_lines(sample))
        cut = None if lines else _splitter(documents(path, column=column))

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
        return _finish(out, temporary, {"source": source, **options, **special, **info})
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
    by_document = sum(1 for _, _ in zip(range(20), documents(path), strict=False)) >= 20
    counts = dict.fromkeys(("documents", "sentences", "kept", "skipped", "truncated", "tokens"), 0)
    unknown, sizes = 0, list[int]()
    wide = model.vocab_size > 65_535
    train, held = _Writer(folder / "train.arrow", wide), _Writer(folder / "test.arrow", wide)
    last: tuple[list[int], int] | None = None

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
                    out.add(ids, number)
                    last = (ids, number)
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
