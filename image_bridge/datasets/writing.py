"""The one format: images, ``metadata.jsonl`` with a line an image, ``ATTRIBUTION.md``; whole or absent."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from textgan.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Row:
    """What is known of an image.

    Attributes:
        file_name: its path in the folder.
        captions: sentences that describe it.
        attributes: what it shows, by name; a name that does not apply is left out.
        split: "train" or "test"; where empty, a tenth of the images is held out by a hash of their names.
        licence: of the image.
        others: names of further images of the same thing (a line drawing, another style), as ``NAME_file_name``.
        scene: a number that images of the same thing in different domains share; none where there is no such image.
    """

    file_name: str
    captions: Sequence[str]
    attributes: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    licence: str = ""
    others: Mapping[str, str] = field(default_factory=dict)
    scene: int | None = None

    def json(self) -> str:
        """A line of metadata.jsonl."""
        row: dict[str, Any] = {"file_name": self.file_name, "captions": list(self.captions)}
        row |= {f"{name}_file_name": value for name, value in self.others.items()}
        for name in ("attributes", "split", "licence"):
            if value := getattr(self, name):
                row[name] = value
        if self.scene is not None:
            row["scene"] = self.scene
        return json.dumps(row, ensure_ascii=False)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``out`` only when all went well.

    Raises:
        UserError: there is something at ``out`` already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already; expected the name of a new folder; remove it first, or name another")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    temporary.mkdir()
    try:
        yield temporary
        if out.is_dir():
            out.rmdir()
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_rows(folder: Path, rows: Iterable[Row], attribution: str) -> int:
    """Write metadata.jsonl and ATTRIBUTION.md; gives the number of rows."""
    count = 0
    with open(folder / "metadata.jsonl", "w", encoding="utf-8") as file:
        for row in rows:
            file.write(row.json() + "\n")
            count += 1
    (folder / "ATTRIBUTION.md").write_text(attribution.strip() + "\n", encoding="utf-8")
    return count


def keep_attributes(folder: Path, names: Sequence[str]) -> None:
    """Leave out of metadata.jsonl all attributes but these and the domain.

    Raises:
        UserError: no image has one of them.
    """
    metadata = folder / "metadata.jsonl"
    rows = [json.loads(line) for line in metadata.read_text(encoding="utf-8").splitlines()]
    known = list(dict.fromkeys(name for row in rows for name in row.get("attributes", {})))
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise UserError(f"--attributes: no image has the attribute {unknown!r}; expected some of: {', '.join(known) or 'none'}")
    with open(metadata, "w", encoding="utf-8") as file:
        for row in rows:
            if "attributes" in row:
                row["attributes"] = {name: value for name, value in row["attributes"].items() if name in (*names, "domain")}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def in_parallel(work: Callable[[T], R], items: Sequence[T], processes: int, tell: Callable[[int, int], None]) -> Iterator[R]:
    """``work`` of each item in order, on several processes; ``tell`` is called with the number done and that of all."""
    if processes <= 1 or len(items) < 2:
        for done, item in enumerate(items, 1):
            yield work(item)
            tell(done, len(items))
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for done, result in enumerate(pool.map(work, items, chunksize=1), 1):
            yield result
            tell(done, len(items))


def file_name(number: int, name: str = "images") -> str:
    """Path of image ``number``, a thousand a folder."""
    return f"{name}/{number // 1000:04d}/{number:07d}.png"
