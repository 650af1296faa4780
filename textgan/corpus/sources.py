"""Where text comes from: files, folders, tables, data sets, and corpora that came with the installation."""

from __future__ import annotations

import bz2
import csv
import glob as globbing
import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError

BLOCK = 65_536  # lines after which a document without blank lines is cut
NAMED = ("wikipedia-sample", "lee-news")
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}
CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\x85\u2028\u2029]")


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


def _document(value: Any) -> list[str]:
    """A document of a table's cell: the lines of a text, or a list of sentences as they are."""
    parts = value if isinstance(value, list) else [value]
    return [line for part in parts for line in str(part).splitlines()] or [""]


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
            yield _document(text)
    elif kind in (".csv", ".tsv"):
        csv.field_size_limit(1 << 30)
        reader = csv.DictReader(lines, delimiter="\t" if kind == ".tsv" else ",")
        name = _column(reader.fieldnames or [], column, str(path))
        for row in reader:
            yield _document(row[name] or "")
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
        column: where the text is in tables; "text" when absent. A list of sentences (JSON lines, data sets) is a document.
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
    rows: Iterator[Any] = iter(())
    try:
        if Path(name).is_dir() and any((Path(name) / f).exists() for f in ("dataset_info.json", "dataset_dict.json")):
            found = datasets.load_from_disk(name)
            parts = dict(found) if isinstance(found, datasets.DatasetDict) else {str(found.split or "train"): found}
            wanted = split or (next(iter(parts)) if len(parts) == 1 else "train")
            if wanted not in parts:
                raise UserError(
                    f"datasets:{name} has no split {wanted!r}; expected datasets:{name}:SPLIT with {' or '.join(parts)}"
                )
            rows = iter(parts[wanted])
        else:
            rows = iter(datasets.load_dataset(name, split=split or "train", streaming=True))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"datasets:{name} cannot be loaded; expected a data set's name or folder; {error}") from error
    while True:
        try:
            row = next(rows, None)
        except Exception as error:  # a stream may be damaged further on
            raise UserError(f"datasets:{name} cannot be read to its end; {str(error).splitlines()[0]}") from error
        if row is None:
            return
        yield _document(row[_column(row, column, f"datasets:{name}")])
