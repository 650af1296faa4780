"""The commands of encoders and word vectors: ``encode``, ``nearest``, ``analogy``, ``next``."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..errors import UserError
from .parse import parse, positive, print_json, say
from .use import drawing

PIECE = 4096  # lines between two saved positions; processes share pieces out, so that one has no other batches than many


@dataclass(frozen=True)
class EncodeOptions:
    """Options of encode."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run of quickthought or skipthought, one of its checkpoints, a folder of encoders, or one of sentence-transformers."""
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="IN")]
    """A text file, a sentence a line."""
    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    """The .npy file to write: float32, a row a line."""
    batch_size: int = 256
    """Sentences at a time."""
    precision: Literal["fp32", "bf16", "int8"] = "fp32"
    """bf16 is several times faster on processors that have it (AMX), and nearly the same. int8 is 1.8 times (600 numbers) to
    2.8 times (2,400) as fast on those that have VNNI, as most since 2022; a vector's cosine with that of fp32 is about .9999."""
    normalize: bool = False
    """Divide every vector by its length."""
    words: int = 0
    """Write states at so many tokens instead, (lines, tokens, numbers), and their mask beside OUT in OUT.mask.npy."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def _lines(path: Path) -> Any:
    return open(path, encoding="utf-8-sig", errors="replace", newline="\n")


def encode(argv: list[str]) -> int:
    """``textgan encode``: streams, goes on where it was interrupted, and shares the lines among the processes of torchrun."""
    given = parse(
        EncodeOptions,
        argv,
        "textgan encode",
        "Vectors of the sentences in a file. Example:\n\n  textgan encode runs/a in.txt out.npy\n\n"
        "On several processes: torchrun --standalone --nproc-per-node 2 -m textgan encode runs/a in.txt out.npy",
    )
    import numpy as np

    from ..encoders import load_encoder
    from ..runtime import Progress, Workers

    positive(given, "batch_size")
    if given.words < 0:
        raise UserError(f"--words must be 0 or more; received {given.words}")
    if given.words and given.normalize:
        raise UserError("--words gives states as they are; leave --normalize out")
    if given.words and given.precision != "fp32":
        raise UserError(f"--words gives states in fp32; leave --precision {given.precision} out")
    source, out = Path(given.source), Path(given.out)
    if not source.is_file():
        raise UserError(f"no such file; expected a text file with a sentence a line; received {source}")
    encoder = load_encoder(given.run)
    if given.words:
        encoder.states([], given.words)  # what has none says so before anything is written
    with _lines(source) as file:
        count = sum(1 for _ in file)
    if not count:
        raise UserError(f"{source} holds no line; expected a sentence a line")
    try:
        workers = Workers.start(given.device)
    except ValueError as error:
        raise UserError(f"--device: {error}") from error
    for network in encoder.parts:
        network.to(workers.device)
    if given.precision == "int8":
        encoder.encode([], precision="int8")  # an encoder that cannot do that says so before anything is written
    shape = (count, given.words, encoder.dimension) if given.words else (count, encoder.dimension)
    marks = {"lines": count, "from": source.stat().st_mtime_ns, "processes": workers.world}
    wanted = json.dumps({**dataclasses.asdict(given), **marks, "batch_size": 0, "device": ""}, sort_keys=True)
    files: list[tuple[Path, Any, tuple[int, ...]]] = [(out, np.float32, shape)]
    if given.words:
        files.append((out.with_name(out.name + ".mask.npy"), np.bool_, shape[:2]))
    parts = [file.with_name(file.name + ".part") for file, *_ in files]
    place = out.with_name(f"{out.name}.place{workers.rank}")
    pieces = -(-count // PIECE)
    first, last = (min(count, pieces * r // workers.world * PIECE) for r in (workers.rank, workers.rank + 1))
    done = 0
    if all(part.is_file() for part in parts) and place.is_file():
        found, _, told = place.read_text(encoding="utf-8").partition(" ")
        done = int(found) if told == wanted else 0
    fresh = workers.agree(int(done > 0)) == 0  # nobody has done anything that is of use
    if workers.main and fresh:
        for part, (_, kind, size) in zip(parts, files, strict=True):
            np.lib.format.open_memmap(part, mode="w+", dtype=kind, shape=size).flush()
    workers.agree(0)  # the others wait for the files
    arrays = [np.lib.format.open_memmap(part, mode="r+") for part in parts]
    if done:
        say(f"going on at line {first + done + 1:,}")
    bar = Progress(last - first, done, workers.main and count > PIECE, unit="sentences")
    with _lines(source) as file:
        lines = itertools.islice(file, first + done, last)
        while piece := list(itertools.islice(lines, PIECE)):
            here = slice(first + done, first + done + len(piece))
            if given.words:
                states, mask = encoder.states(piece, given.words, batch_size=given.batch_size)
                arrays[0][here], arrays[1][here] = states.numpy(), mask.numpy()
            else:
                arrays[0][here] = encoder.encode(
                    piece, given.batch_size, normalize_embeddings=given.normalize, precision=given.precision
                )
            done += len(piece)
            for array in arrays:
                array.flush()
            place.write_text(f"{done} {wanted}", encoding="utf-8")
            bar.update(done, "encoding")
    bar.close()
    del arrays
    workers.agree(0)  # all are done
    place.unlink()
    if workers.main:
        for part, (file, *_) in zip(parts, files, strict=True):
            os.replace(part, file)
        what = f"states at {given.words} tokens" if given.words else "vectors"
        say(f"{what} of {count:,} sentences, {encoder.dimension} numbers each, in {out}")
    workers.stop()
    return 0


@dataclass(frozen=True)
class NearestOptions:
    """Options of nearest."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run of word2vec, quickthought or skipthought, one of its checkpoints, or a folder of sentence-transformers."""
    query: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TEXT")]
    """A word, or a sentence."""
    among: str = ""
    """File with the sentences to search, one a line; without it the run's own text is searched, 20,000 sentences at the most."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 10
    """How many."""
    json: bool = False
    """Print JSON, an object a line, with the text and its cosine."""


def nearest(argv: list[str]) -> int:
    """``textgan nearest``: cosine and text, a line each."""
    given = parse(
        NearestOptions,
        argv,
        "textgan nearest",
        "The nearest words or sentences. Examples:\n\n  textgan nearest runs/words horse\n"
        '  textgan nearest runs/skip "a red car" --among in.txt',
    )
    from ..neighbours import Sentences, WordVectors

    positive(given, "number")
    words: Sentences | WordVectors | None = WordVectors.of_run(given.run)
    if words is None:
        words = Sentences.of_run(given.run, _among(Path(given.among)) if given.among else None)
    _print(words.nearest(given.query, given.number), given.json)
    return 0


def _print(found: list[tuple[str, float]], as_json: bool) -> None:
    for text, score in found:
        if as_json:
            print_json({"text": text, "cosine": score})
        else:
            sys.stdout.write(f"{score:.3f}  {text}\n")


def _among(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"--among: no such file; received {path}")
    with _lines(path) as file:
        texts = list(dict.fromkeys(line.strip() for line in file if line.strip()))
    if not texts:
        raise UserError(f"--among {path} holds no sentence")
    return texts


@dataclass(frozen=True)
class AnalogyOptions:
    """Options of analogy."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A word2vec run, or one of its checkpoints."""
    words: Annotated[tyro.conf.Positional[tuple[str, str, str]], tyro.conf.arg(metavar="A B C")]
    """king man woman asks for what is to woman as king is to man."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 5
    """How many."""
    json: bool = False
    """Print JSON, an object a line, with the word and its cosine."""


def analogy(argv: list[str]) -> int:
    """``textgan analogy``: the words nearest to A - B + C (3CosAdd)."""
    given = parse(
        AnalogyOptions, argv, "textgan analogy", "Words by analogy. Example:\n\n  textgan analogy runs/words king man woman"
    )
    from ..neighbours import WordVectors

    positive(given, "number")
    words = WordVectors.of_run(given.run)
    if words is None:
        raise UserError(f"{given.run} holds no word vectors; expected a word2vec run or one of its checkpoints")
    _print(words.analogy(given.words, given.number), given.json)
    return 0


@dataclass(frozen=True)
class NextOptions:
    """Options of next."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A skipthought run, or one of its checkpoints."""
    sentence: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SENTENCE")]
    """What comes before it, or after it with --previous."""
    previous: bool = False
    """Write the sentence before it instead."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1
    """How many sentences."""
    beam: int = 0
    """Width of a beam search; 0 for none."""
    temperature: float = 1.0
    """Below 1 sharper, above 1 wilder; for drawn sentences."""
    top_k: int = 1
    """Draw from the k likeliest words only; 1 is greedy, 0 is all."""
    top_p: float = 1.0
    """Draw from the smallest set of words with this probability."""
    length: int = 40
    """Largest number of tokens."""
    seed: int = 0
    """The same seed gives the same sentences."""
    json: bool = False
    """Print JSON, an object a line."""


def write_next(argv: list[str]) -> int:
    """``textgan next``."""
    given = parse(
        NextOptions,
        argv,
        "textgan next",
        'The next sentence. Example:\n\n  textgan next runs/skip "he opened the door ." --beam 5',
    )
    import torch

    from ..algorithms.skipthought import SkipThoughtModel
    from ..decode import texts
    from ..runtime import newest
    from ..tokenizers import load

    positive(given, "number", "length")
    how = drawing(given)
    if given.beam < 0 or (given.beam and given.beam < given.number):
        raise UserError(f"--beam must be 0 or at least --number; received {given.beam} for {given.number}")
    folder = newest(Path(given.run)) / "model"
    if not (folder / "model.safetensors").is_file():
        raise UserError(f"{given.run} holds no decoders; expected a skipthought run or one of its checkpoints")
    model, tokenizer = SkipThoughtModel.from_pretrained(folder), load(folder)
    with torch.no_grad():
        thought = model.encoder(torch.tensor([[*tokenizer.encode(given.sentence), tokenizer.eos]]))
    direction: Any = "previous" if given.previous else "next"
    if given.beam:
        rows = [row for _, row in model.beam(thought[0], direction, given.length, given.beam)[: given.number]]
        found = [tokenizer.decode(row) for row in rows]
    else:
        u = how.numbers(given.number, given.length)
        found = texts(tokenizer, model.write(thought.expand(given.number, -1), direction, given.length, u, **how.options), 2)
    for text in found:
        if given.json:
            print_json({"text": text})
        else:
            sys.stdout.write(f"{text}\n")
    return 0
