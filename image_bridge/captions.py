"""Captions to vectors, by any encoder that has ``encode``; the vectors of a data set are computed once and memory-mapped."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from textgan.errors import UserError

from .images import ImageData

if TYPE_CHECKING:
    from textgan.encoders import SentenceEncoder

FILE = "encoder.json"  # says what kind of encoder lies in a folder
PIECE = 4096  # captions that are encoded at a time
COMMON = 5000  # words of a bag of words


class TextEncoder(Protocol):
    """What turns sentences into vectors."""

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Vectors (n, D), float32."""

    def save(self, folder: Path) -> None:
        """Write it into a folder that ``load_encoder`` reads."""

    def digest(self) -> str:
        """The same for encoders that give the same vectors."""


def split_words(sentence: str) -> list[str]:
    """Words in lower case, for a bag of words and for word vectors."""
    return re.findall(r"\w+", sentence.lower())


@dataclass(frozen=True)
class BagOfWords:
    """Which known words a sentence has, divided by the root of their number."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, sentences: Sequence[str]) -> BagOfWords:
        """The commonest words of some sentences."""
        counts: dict[str, int] = {}
        for sentence in sentences:
            for word in split_words(sentence):
                counts[word] = counts.get(word, 0) + 1
        return cls(tuple(sorted(counts, key=lambda w: (-counts[w], w))[:COMMON]))

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Vectors (n, D)."""
        index, out = {word: k for k, word in enumerate(self.words)}, np.zeros((len(sentences), len(self.words)), np.float32)
        for row, sentence in zip(out, sentences, strict=True):
            known = {index[word] for word in split_words(sentence) if word in index}
            row[list(known)] = 1 / max(1, len(known)) ** 0.5
        return out

    def save(self, folder: Path) -> None:
        """Write the words."""
        _save(folder, "bow", {"words": self.words})

    def digest(self) -> str:
        """A hash of the words."""
        return _hash("bow", *self.words)


@dataclass(frozen=True)
class AttributeWords:
    """One number for every value of every attribute: a label, written as ``colour: red; kind: circle``."""

    values: Mapping[str, tuple[str, ...]]

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Vectors (n, D).

        Raises:
            UserError: a sentence names an attribute or a value that there is not.
        """
        starts = np.cumsum([0, *(len(v) for v in self.values.values())])
        first = dict(zip(self.values, starts, strict=False))
        out = np.zeros((len(sentences), int(starts[-1])), np.float32)
        for row, sentence in zip(out, sentences, strict=True):
            for part in filter(None, (p.strip() for p in sentence.split(";"))):
                name, _, value = (p.strip() for p in part.partition(":"))
                if value not in self.values.get(name, ()):
                    known = "; ".join(f"{n}: {'|'.join(v)}" for n, v in self.values.items())
                    raise UserError(f"a label is written as NAME: VALUE; NAME: VALUE with {known}; received {part!r}")
                row[first[name] + self.values[name].index(value)] = 1
        return out

    def save(self, folder: Path) -> None:
        """Write the values."""
        _save(folder, "labels", {"values": self.values})

    def digest(self) -> str:
        """A hash of the values."""
        return _hash("labels", json.dumps(self.values, sort_keys=True))


@dataclass(frozen=True)
class ClassNames:
    """One number for each class, for generators that are told the class of an image; without classes, none at all.

    Attributes:
        label: the attribute that is the class.
        words: its values.
    """

    label: str = ""
    words: tuple[str, ...] = ()

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Vectors (n, classes) of names; without classes (n, 0) of empty ones.

        Raises:
            UserError: there is no such class.
        """
        known = self.words or ("",)
        wrong = next((s for s in sentences if s not in known), None)
        if wrong is not None and not self.words:
            raise UserError(f"this generator takes no text; expected none; received {wrong!r}")
        if wrong is not None:
            raise UserError(f"there is no {self.label} {wrong!r}; expected one of {', '.join(self.words)}")
        return np.eye(len(known), len(self.words), dtype=np.float32)[[known.index(s) for s in sentences]]

    def save(self, folder: Path) -> None:
        """Write the names."""
        _save(folder, "classes", {"label": self.label, "words": self.words})

    def digest(self) -> str:
        """A hash of the names."""
        return _hash("classes", self.label, *self.words)


class WordMean:
    """The mean of the word vectors of a sentence, zeros where it has no known word."""

    def __init__(self, vectors: Any, path: Path) -> None:
        self.vectors, self.path = vectors, path

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Vectors (n, D)."""
        out = np.zeros((len(sentences), self.vectors.vector_size), np.float32)
        for row, sentence in zip(out, sentences, strict=True):
            known = [word for word in split_words(sentence) if word in self.vectors.key_to_index]
            if known:
                row[:] = self.vectors[known].mean(0)
        return out

    def save(self, folder: Path) -> None:
        """Write all vectors, so that prompts may have words that the captions have not."""
        _save(folder, "words", {})
        self.vectors.save_word2vec_format(str(folder / "vectors.bin"), binary=True)

    def digest(self) -> str:
        """A hash of the vectors."""
        return _hash("words", *self.vectors.index_to_key, hashlib.sha256(self.vectors.vectors.tobytes()).hexdigest())


class TrainedEncoder:
    """A quickthought, skipthought or joint run, or a folder of sentence-transformers."""

    def __init__(self, folder: Path) -> None:
        from textgan.encoders import load_encoder

        self.folder, self.foreign = folder, (folder / "modules.json").is_file()
        self.model = load_encoder(folder)

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Vectors (n, D)."""
        return np.asarray(self.model.encode(sentences), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Copy its files."""
        if self.foreign:
            _save(folder, "trained", {"parts": ["."]})
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)
            return
        from textgan.encoders import encoder_folders

        parts = encoder_folders(self.folder)
        _save(folder, "trained", {"parts": [f"part{k}" for k in range(len(parts))]})
        for k, part in enumerate(parts):
            shutil.copytree(part, folder / f"part{k}", dirs_exist_ok=True)

    def digest(self) -> str:
        """A hash of the weights and tokenizers."""
        from textgan.encoders import encoder_folders

        folders = [self.folder] if self.foreign else encoder_folders(self.folder)
        files = [
            f for folder in folders for f in sorted(folder.rglob("*")) if f.is_file() and f.suffix != ".md" and f.name != FILE
        ]
        return _hash("trained", *(hashlib.sha256(f.read_bytes()).hexdigest() for f in files))


class NewEncoder:
    """An encoder that is trained on these images from the beginning."""

    def __init__(self, model: SentenceEncoder) -> None:
        self.model = model

    def save(self, folder: Path) -> None:
        """Write it as TrainedEncoder reads it."""
        _save(folder, "trained", {"parts": ["part0"]})
        self.model.parts[0].save_pretrained(folder / "part0")
        self.model.tokenizers[0].save(folder / "part0")


class GivenVectors:
    """Vectors that the user computed, one a caption in the order of the data: they know no other sentence."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError) as error:
            raise UserError(f"{path} is not a .npy file of numbers; expected (captions, D) floats ({error})") from error
        if self.vectors.ndim != 2 or self.vectors.dtype.kind != "f":
            raise UserError(f"{path} holds {self.vectors.dtype} of shape {self.vectors.shape}; expected (captions, D) floats")

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """There is no vector of another sentence.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"this run was trained on vectors from {self.path.name}; they know no sentence but those; give an encoder"
        )

    def save(self, folder: Path) -> None:
        """Say where they came from."""
        _save(folder, "given", {"name": self.path.name})

    def digest(self) -> str:
        """A hash of the file."""
        return _hash("given", hashlib.sha256(self.path.read_bytes()).hexdigest())


def _save(folder: Path, kind: str, values: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps({"kind": kind, **values}, indent=1) + "\n", encoding="utf-8")


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def load_encoder(spec: str, data: ImageData | None = None) -> TextEncoder:
    """The encoder that ``--text`` names.

    Args:
        spec: ``bow`` (words of the captions), ``labels`` (attributes), ``words:VECTORS`` (a word2vec run or file), a ``.npy``, a
            run of quickthought, skipthought or joint, a folder of sentence-transformers, or a folder that ``save`` wrote.
        data: what ``bow`` and ``labels`` are made from.

    Raises:
        UserError: there is no such encoder.
    """
    path = Path(spec)
    if spec == "bow" and data is not None:
        return BagOfWords.of([caption for row in np.flatnonzero(~data.held_out) for caption in data.captions[row]])
    if spec == "labels" and data is not None:
        if not data.attributes:
            raise UserError(f"{data.path} has no attributes; expected them in metadata.jsonl for --text labels")
        return AttributeWords({name: tuple(words) for name, (_, words) in data.attributes.items()})
    if spec.startswith("words:"):
        return _words(Path(spec.removeprefix("words:")))
    if path.suffix == ".npy":
        if not path.is_file():
            raise UserError(f"--text {spec}: no such file; expected a .npy of vectors, one a caption")
        return GivenVectors(path)
    if (path / FILE).is_file():
        try:
            return _saved(path)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path / FILE} is damaged ({error!r}); expected what training wrote; take another copy") from error
    if path.is_dir():
        return TrainedEncoder(path)
    raise UserError(
        "--text names what turns captions into vectors; expected bow, labels, words:VECTORS, a run of quickthought, skipthought "
        f"or joint, a folder of sentence-transformers, or a .npy; received {spec!r}"
    )


def saved_kind(folder: Path) -> str:
    """What kind of encoder ``save`` wrote into a folder; nothing where that cannot be read, which who loads it says."""
    try:
        return str(json.loads((folder / FILE).read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _saved(path: Path) -> TextEncoder:
    saved = json.loads((path / FILE).read_text(encoding="utf-8"))
    if saved["kind"] == "bow":
        return BagOfWords(tuple(saved["words"]))
    if saved["kind"] == "labels":
        return AttributeWords({name: tuple(words) for name, words in saved["values"].items()})
    if saved["kind"] == "classes":
        return ClassNames(saved["label"], tuple(saved["words"]))
    if saved["kind"] == "words":
        return _words(path / "vectors.bin")
    if saved["kind"] == "given":
        raise UserError(
            f"this run was trained on vectors from {saved['name']}; they know no sentence but those it was trained on; train "
            "with --text ENCODER to use prompts"
        )
    return TrainedEncoder(path)


def _words(path: Path) -> WordMean:
    from textgan.vectors import keyed_vectors

    return WordMean(keyed_vectors(str(path)), path)


class CaptionVectors:
    """The vectors of all captions of a data set.

    Args:
        data: images and captions.
        encoder: what gives the vectors.
        tell: is called with the captions encoded and their number.

    Attributes:
        texts: (C,) what was encoded: the captions, or the labels that stand for them.
        vectors: (C, D) float32, memory-mapped.
        first: (N + 1,): the captions of image i are ``first[i]`` to ``first[i + 1]``.
        mean: (D,) of the training captions.
        std: (D,) of them, never below a thousandth of its mean.

    Raises:
        UserError: a file of vectors has another number of them than there are captions.
    """

    def __init__(self, data: ImageData, encoder: TextEncoder, tell: Callable[[int, int], None] = lambda a, b: None) -> None:
        data.require_captions()
        captions = [c for some in data.captions for c in some]
        if isinstance(encoder, AttributeWords):
            captions = [labels(data, i) for i in range(len(data)) for _ in data.captions[i]]
        self.texts = captions
        self.first = np.cumsum([0, *(len(some) for some in data.captions)])
        if isinstance(encoder, GivenVectors):
            if len(encoder.vectors) != len(captions):
                raise UserError(
                    f"--text {encoder.path} has {len(encoder.vectors):,} vectors; expected {len(captions):,}, one a caption in "
                    f"the order of {data.path}/metadata.jsonl"
                )
            self.vectors: np.ndarray = encoder.vectors
        else:
            self.vectors = _encoded(data.path, captions, encoder, tell)
        if not all(np.isfinite(self.vectors[i : i + PIECE]).all() for i in range(0, len(captions), PIECE)):
            raise UserError("a vector of a caption is infinite or not a number; expected finite numbers")
        train = np.repeat(~data.held_out, np.diff(self.first))
        learnt = self.vectors[np.flatnonzero(train)[:100_000]].astype(np.float64)
        self.mean, std = learnt.mean(0).astype(np.float32), learnt.std(0)
        self.std = np.maximum(std, 1e-3 * max(float(std.mean()), 1e-8)).astype(np.float32)

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return int(self.vectors.shape[1])

    def pick(self, images: np.ndarray, u: np.ndarray, k: int = 1) -> np.ndarray:
        """The mean vector (n, D) of ``k`` captions of each image, drawn with replacement by the numbers u (n, k) in [0, 1)."""
        count = np.diff(self.first)[images][:, None]
        chosen = self.first[images][:, None] + np.minimum((u[:, :k] * count).astype(np.int64), count - 1)
        found: np.ndarray = self.vectors[chosen.ravel()].reshape(*chosen.shape, -1).mean(1).astype(np.float32)
        return found


def labels(data: ImageData, image: int) -> str:
    """The attributes of an image as AttributeWords reads them."""
    known = ((name, words[numbers[image]]) for name, (numbers, words) in data.attributes.items() if numbers[image] >= 0)
    return "; ".join(f"{name}: {word}" for name, word in known)


def _encoded(folder: Path, captions: Sequence[str], encoder: TextEncoder, tell: Callable[[int, int], None]) -> np.ndarray:
    key = _hash(encoder.digest(), *captions)[:16]
    ready = folder / "cache" / f"text-{key}.npy"
    if not ready.is_file():
        ready.parent.mkdir(exist_ok=True)
        temporary, out = ready.with_name(f".{ready.name}.{os.getpid()}.npy"), None
        different = list(dict.fromkeys(captions))
        place = {caption: k for k, caption in enumerate(different)}
        try:
            table = None
            for start in range(0, len(different), PIECE):
                found = encoder.encode(different[start : start + PIECE])
                table = np.zeros((len(different), found.shape[1]), np.float32) if table is None else table
                table[start : start + len(found)] = found
                tell(min(start + PIECE, len(different)), len(different))
            assert table is not None
            out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=(len(captions), table.shape[1]))
            for start in range(0, len(captions), PIECE):
                out[start : start + PIECE] = table[[place[c] for c in captions[start : start + PIECE]]]
            out.flush()
            os.replace(temporary, ready)
        finally:
            temporary.unlink(missing_ok=True)
    loaded: np.ndarray = np.load(ready, mmap_mode="r")
    return loaded


def meanings(data: ImageData) -> np.ndarray:
    """A number (N,) for each image; two images have the same one where a caption of one is right for the other as well.

    By the attributes where there are any, else by the captions: images that share the first caption; without either all differ.
    """
    shown = [labels(data, i) if data.attributes else next(iter(data.captions[i]), "") for i in range(len(data))]
    keys = [key or str(file) for key, file in zip(shown, data.files, strict=True)]
    index: dict[str, int] = {}
    return np.array([index.setdefault(key, len(index)) for key in keys])
