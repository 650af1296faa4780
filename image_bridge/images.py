"""Images for training: read once, packed into one memory-mapped array of bytes at each size that is needed."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from textgan.errors import UserError

from .datasets.writing import in_parallel

LARGEST = 50_000_000  # pixels; more is a mistake, or a bomb
SMALLEST = 8  # pixels on a side
HELD_OUT = 10  # one image of so many, where the data do not say


def read_image(path: Path) -> Image.Image:
    """An image as RGB, upright, on white where it is transparent; 16-bit greys are scaled to 8.

    Raises:
        ValueError: it cannot be read, is too small or too large.
    """
    Image.MAX_IMAGE_PIXELS = None  # its header says how large it is, before anything is decoded
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > LARGEST:
                raise ValueError(
                    f"it is {opened.width} x {opened.height} pixels; expected {LARGEST // 1_000_000} million at most"
                )
            if min(opened.size) < SMALLEST:
                raise ValueError(f"it is {opened.width} x {opened.height} pixels; expected {SMALLEST} or more a side")
            opened.load()
            image: Image.Image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I") or image.mode == "F":
                values = np.asarray(image, dtype=np.float64)
                return Image.fromarray(np.clip(values / 257 if values.max() > 255 else values, 0, 255).astype(np.uint8)).convert(
                    "RGB"
                )
            if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
                image = image.convert("RGBA")
                white = Image.new("RGB", image.size, "white")
                white.paste(image, mask=image.getchannel("A"))
                return white
            return image.convert("RGB")
    except ValueError:
        raise
    except (OSError, SyntaxError, EOFError, IndexError, TypeError) as error:  # what Pillow says of damaged files
        raise ValueError(f"it cannot be read ({' '.join(str(error).split()) or type(error).__name__})") from error


def fitted(image: Image.Image, size: int) -> np.ndarray:
    """The middle square of an image as bytes (size, size, 3)."""
    return np.asarray(
        ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS if image.width > size else Image.Resampling.BICUBIC)
    )


@dataclass(frozen=True)
class Part:
    """Images for one process to pack."""

    files: Sequence[tuple[int, Path]]
    size: int
    target: Path


def _pack(part: Part) -> list[tuple[int, str]]:
    """Write images to their places; gives the numbers of those that cannot be read, and why."""
    out, damaged = np.load(part.target, mmap_mode="r+"), []
    for number, path in part.files:
        try:
            out[number] = fitted(read_image(path), part.size)
        except ValueError as error:
            damaged.append((number, str(error)))
    out.flush()
    return damaged


class ImageData:
    """A folder of images with captions and attributes.

    Args:
        path: a folder with metadata.jsonl.

    Attributes:
        files: the images' paths.
        captions: the captions of each.
        attributes: by name, a number for each image, -1 where it has none, and the words that the numbers stand for.
        held_out: whether each image is held out.
        scene: (N,) a number that images of the same thing in different domains share; -1 where there is none.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        metadata = self.path / "metadata.jsonl"
        if not metadata.is_file():
            raise UserError(
                f"{path} has no metadata.jsonl; expected a folder that `image-bridge data` wrote, or one of yours with lines "
                '{"file_name": "a.png", "captions": ["..."]}; `image-bridge data imagefolder` makes one of a folder of images'
            )
        rows = [_row(line, number, metadata) for number, line in enumerate(metadata.read_text(encoding="utf-8").splitlines(), 1)]
        if not rows:
            raise UserError(f"{metadata} is empty; expected a line an image")
        self.files = [self.path / row["file_name"] for row in rows]
        missing = next((f for f in self.files if not f.is_file()), None)
        if missing is not None:
            raise UserError(
                f"{metadata} names {missing.relative_to(self.path)}, which is not there; expected every image it names"
            )
        self.captions: list[list[str]] = [row["captions"] for row in rows]
        self.held_out = np.array([_held_out(row) for row in rows])
        self.scene = np.array([row["scene"] for row in rows], dtype=np.int64)
        names = dict.fromkeys(name for row in rows for name in row["attributes"])
        self.attributes: dict[str, tuple[np.ndarray, list[str]]] = {}
        for name in names:
            words = sorted({row["attributes"][name] for row in rows if name in row["attributes"]})
            index = {word: k for k, word in enumerate(words)}
            self.attributes[name] = np.array([index.get(row["attributes"].get(name, ""), -1) for row in rows]), words
        self.damaged: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.files)

    def digest(self) -> str:
        """A hash of the metadata and of the images' sizes and times."""
        found = hashlib.sha256((self.path / "metadata.jsonl").read_bytes())
        for file in self.files:
            stat = file.stat()
            found.update(f"{stat.st_size} {stat.st_mtime_ns}\n".encode())
        return found.hexdigest()

    def pack(
        self, size: int, processes: int = 1, strict: bool = False, tell: Callable[[int, int], None] = lambda done, total: None
    ) -> np.ndarray:
        """All images as bytes (N, size, size, 3), memory-mapped; made once and kept in the folder ``cache``.

        Images that cannot be read stay black and are named in ``damaged``; ``usable`` leaves them out.

        Raises:
            UserError: with ``strict``, an image cannot be read; or none can.
        """
        stem = self.path / "cache" / f"{size}-{self.digest()[:16]}"
        ready, notes = stem.with_suffix(".npy"), stem.with_suffix(".json")
        if not (ready.is_file() and notes.is_file()):
            stem.parent.mkdir(exist_ok=True)
            for old in stem.parent.glob(f"{size}-*"):
                old.unlink()
            temporary = stem.parent / f".{stem.name}.{os.getpid()}.npy"
            try:
                out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(self), size, size, 3))
                del out
                numbered, chunk = list(enumerate(self.files)), 256
                parts = [Part(numbered[i : i + chunk], size, temporary) for i in range(0, len(numbered), chunk)]
                told = in_parallel(_pack, parts, processes, lambda done, _: tell(min(done * chunk, len(self)), len(self)))
                damaged = [row for rows in told for row in rows]
                notes.write_text(json.dumps(damaged), encoding="utf-8")
                os.replace(temporary, ready)
            finally:
                temporary.unlink(missing_ok=True)
        self.damaged = {int(number): str(why) for number, why in json.loads(notes.read_text(encoding="utf-8"))}
        first = next(iter(self.damaged.items()), None)
        if first is not None and (strict or len(self.damaged) == len(self)):
            raise UserError(
                f"{self.files[first[0]]}: {first[1]}; {len(self.damaged)} of {len(self)} images cannot be used; mend them"
                + ("; without --strict they are skipped" if strict and len(self.damaged) < len(self) else "")
            )
        packed: np.ndarray = np.load(ready, mmap_mode="r")
        return packed

    def require_captions(self) -> None:
        """For what is made from captions.

        Raises:
            UserError: an image has none.
        """
        without = next((file for file, some in zip(self.files, self.captions, strict=True) if not some), None)
        if without is not None:
            raise UserError(
                f"{self.path} has an image without a caption ({without.relative_to(self.path)}); expected one or more for every "
                "image; `image-bridge train --help` says which methods need none"
            )

    def classes(self, label: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """A class (N,) for each image by its attribute ``label``, and what the classes are called.

        Raises:
            UserError: there is no such attribute, an image has none, or all have the same.
        """
        if label not in self.attributes:
            known = f"one of {', '.join(self.attributes)}" if self.attributes else "images with attributes, which these have not"
            raise UserError(f"--label {label} names no attribute of {self.path}; expected {known}")
        numbers, words = self.attributes[label]
        if (numbers < 0).any():
            first = self.files[int((numbers < 0).argmax())].relative_to(self.path)
            raise UserError(f"{first} has no {label}; expected one for every image of {self.path}; name another --label")
        if len(words) < 2:
            raise UserError(f"all images of {self.path} have the {label} {words[0]}; expected two classes or more")
        return numbers, tuple(words)

    def domains(self, label: str, wanted: str = "") -> tuple[str, ...]:
        """What the domains are called by the attribute ``label``: all of its values, or those that ``wanted`` has between commas.

        Raises:
            UserError: there is no such attribute or value, or fewer than two are wanted.
        """
        if label not in self.attributes:
            known = f"one of {', '.join(self.attributes)}" if self.attributes else "images with attributes, which these have not"
            raise UserError(f"--label {label} names no attribute of {self.path}; expected {known}")
        words = self.attributes[label][1]
        names = tuple(dict.fromkeys(name.strip() for name in wanted.split(",") if name.strip())) or tuple(words)
        if unknown := [name for name in names if name not in words]:
            raise UserError(
                f"--domains: no image of {self.path} has the {label} {unknown[0]!r}; expected some of {', '.join(words)}"
            )
        if len(names) < 2:
            raise UserError(f"expected two domains or more; received {', '.join(names)}; {self.path} has {', '.join(words)}")
        return names

    def usable(self, held_out: bool) -> np.ndarray:
        """Numbers of the images to train on, or of those held out, without the damaged."""
        whole = np.ones(len(self), dtype=bool)
        whole[list(self.damaged)] = False
        return np.flatnonzero(whole & (self.held_out == held_out))


def _row(line: str, number: int, source: Path) -> dict[str, Any]:
    """A line of metadata.jsonl, checked; ``text`` may stand for ``captions``."""
    where = f"{source} line {number}"
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where} is not JSON ({error}); expected an object with file_name and captions") from error
    if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
        raise UserError(f'{where} names no image; expected {{"file_name": "a.png", "captions": ["..."]}}; received {line[:80]}')
    captions = row.get("captions", row.get("text", []))
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list) or not all(isinstance(c, str) for c in captions):
        raise UserError(f"{where} has no captions; expected a list of sentences; received {captions!r}")
    whole = [c for c in (" ".join(c.split()) for c in captions) if c]
    if captions and not whole:
        raise UserError(f"{where} ({row['file_name']}) has empty captions; expected sentences, or no captions at all")
    attributes, scene = row.get("attributes") or {}, row.get("scene")
    if scene is not None and (type(scene) is not int or not 0 <= scene < 2**63):
        raise UserError(f"{where} has the scene {scene!r}; expected a whole number from 0, or none")
    return {
        "file_name": row["file_name"], "captions": whole, "split": row.get("split", ""), "scene": -1 if scene is None else scene,
        "attributes": {str(k): str(v) for k, v in attributes.items() if v is not None},
    }  # fmt: skip


def _held_out(row: dict[str, Any]) -> bool:
    if row["split"]:
        return bool(row["split"] != "train")
    return hashlib.sha256(row["file_name"].encode()).digest()[0] % HELD_OUT == 0


def png(image: np.ndarray) -> bytes:
    """Bytes (H, W, 3) as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()
