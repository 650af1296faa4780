"""The commands that make encoders of encoders: ``expand``, ``combine``, ``export``."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import UserError
from .cards import corpus_of, encoder_card, generator_card
from .parse import parse, positive, say


def _new(path: str) -> Path:
    out = Path(path)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is already there; expected a new or empty folder")
    return out


@dataclass(frozen=True)
class ExpandOptions:
    """Options of expand."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run of quickthought or skipthought, or one of its checkpoints."""
    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    """Folder to write; `textgan encode OUT ...` and the others take it like a run."""
    vectors: str = ""
    """Word vectors that know more words: a word2vec run, or a file of word2vec, GloVe or fastText; must be given."""
    min_count: int = 5
    """Words that came less often in training do not take part in learning the map."""


def expand(argv: list[str]) -> int:
    """``textgan expand``."""
    given = parse(
        ExpandOptions, argv, "textgan expand",
        "Teach an encoder more words, from other word vectors. Example:\n\n  textgan expand runs/a big --vectors glove.txt",
    )  # fmt: skip
    from ..encoders import SentenceEncoder, encoder_folders
    from ..expansion import expand as widen
    from ..runtime.run import write_text
    from ..vectors import keyed_vectors

    positive(given, "min_count")
    if not given.vectors:
        raise UserError("no vectors were named; expected --vectors RUN or FILE")
    out, encoder, vectors = _new(given.out), SentenceEncoder.from_pretrained(given.run), keyed_vectors(given.vectors)
    corpus = corpus_of(Path(given.run))
    counts = corpus.train.counts(corpus.vocab_size) if corpus else None
    report = {}
    for folder, part, tokenizer in zip(encoder_folders(given.run), encoder.parts, encoder.tokenizers, strict=True):
        new, words, quality = widen(part, tokenizer, vectors, counts, given.min_count)
        new.save_pretrained(out / folder.name)
        words.save(out / folder.name)
        report[folder.name] = {"vectors": given.vectors, **quality}
        say(
            f"{folder.name}: {quality['added']:,} words added; the map was learnt from {quality['shared']:,} words; "
            f"on held-out ones R2 {quality['r2']:.3f}, cosine {quality['cosine']:.3f}, nearest {100 * quality['nearest']:.1f} %"
        )
    write_text(out / "expansion.json", json.dumps(report, indent=1) + "\n")
    return 0


@dataclass(frozen=True)
class CombineOptions:
    """Options of combine."""

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN RUN ...")]
    """Two or more trained runs."""
    out: str = ""
    """Folder to write; must be given."""


def combine(argv: list[str]) -> int:
    """``textgan combine``."""
    given = parse(
        CombineOptions, argv, "textgan combine",
        "Put the vectors of several encoders side by side, each divided by its length (Skip-Thought's combine-skip). "
        "Example:\n\n  textgan combine runs/uni runs/bi --out both",
    )  # fmt: skip
    from ..encoders import encoder_folders

    if len(given.runs) < 2 or not given.out:
        raise UserError("two runs or more and a folder are wanted; expected textgan combine RUN RUN --out DIR")
    found = [encoder_folders(run) for run in given.runs]
    out = _new(given.out)
    for k, folders in enumerate(found):
        for folder in folders:
            shutil.copytree(folder, out / f"{k}-{folder.name}")
    say(f"{sum(map(len, found))} encoders of {len(found)} runs in {out}")
    return 0


FORMATS = {  # what a run may hold, and the libraries that can have it; the first is auto's choice
    "word vectors": ("word2vec", "word2vec-text", "gensim"),
    "a sentence encoder": ("sentence-transformers", "onnx"),
    "a generator": ("transformers", "onnx"),
}


@dataclass(frozen=True)
class ExportOptions:
    """Options of export."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run, one of its checkpoints, or what `textgan expand` wrote."""
    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    """Folder to write; or a file that ends in .onnx."""
    to: Literal["auto", "transformers", "sentence-transformers", "onnx", "word2vec", "word2vec-text", "gensim"] = "auto"
    """The library that is to load it: transformers for a generator; sentence-transformers for an encoder; onnx for either, as
    the generator's step or the encoder (needs the extra [onnx]); for a word2vec run word2vec's binary format, its text format, or
    gensim's KeyedVectors. auto is the first that fits, and onnx where the name ends so."""
    licence: str = ""
    """Licence of the weights, for the model card, such as cc-by-4.0; the text they were learnt from may have a say in it."""


def export(argv: list[str]) -> int:
    """``textgan export``."""
    given = parse(
        ExportOptions, argv, "textgan export",
        "Write a generator, an encoder or word vectors for another library. Examples:\n\n"
        "  textgan export runs/gan model --to transformers\n  textgan export runs/skip model --to sentence-transformers\n"
        "  textgan export runs/words vectors --to word2vec-text\n  textgan export runs/gan gan.onnx",
    )  # fmt: skip
    file = given.out.endswith(".onnx")
    holds = held(given.run)
    to = ("onnx" if file else FORMATS[holds][0]) if given.to == "auto" else given.to
    if to not in FORMATS[holds]:
        raise UserError(f"{given.run} holds {holds}; expected --to {', '.join(FORMATS[holds])}, or auto; received --to {to}")
    if file != (to == "onnx"):
        raise UserError(
            f"onnx is one file, whose name ends in .onnx, and others are folders; received {given.out} with --to {to}"
        )
    out = Path(given.out) if file else _new(given.out)
    if to == "onnx":
        _export_onnx(given.run, out, holds)
    elif holds == "word vectors":
        _export_vectors(given.run, out, to)
    elif holds == "a sentence encoder":
        from ..encoders import SentenceEncoder
        from ..hf import export_sentence_transformer

        encoder = SentenceEncoder.from_pretrained(given.run)
        export_sentence_transformer(encoder, out, encoder_card(given.run, encoder, given.licence))
        say(f"{out} is written; in Python: import textgan.hf; SentenceTransformer({str(out)!r})")
    else:
        from .. import generator_folder
        from ..hf import export_generator

        folder = generator_folder(given.run)
        export_generator(folder, out, generator_card(folder, given.licence))
        say(f"{out} is written; in Python: import textgan.hf; pipeline(model={str(out)!r})")
    return 0


def held(run: str) -> str:
    """What of FORMATS there is in a run, a checkpoint or a folder.

    Raises:
        UserError: nothing.
    """
    from ..encoders import encoder_folders
    from ..generators import is_generator
    from ..runtime import newest

    folder = newest(Path(run))
    if (folder / "vectors" / "vectors.bin").is_file():
        return "word vectors"
    if any(is_generator(path) for path in (folder / "generator", folder)):
        return "a generator"
    encoder_folders(run)
    return "a sentence encoder"


def _export_onnx(run: str, out: Path, holds: str) -> None:
    from .. import generator_folder, load, trained_length
    from ..encoders import SentenceEncoder
    from ..onnx import export_encoder, export_step
    from ..tokenizers import load as load_tokenizer

    if out.exists():
        raise UserError(f"{out} is already there; expected the name of a new file")
    if holds == "a generator":
        folder = generator_folder(run)
        tokenizer = load_tokenizer(folder) if any(folder.glob("tokenizer*")) else None
        files = export_step(load(folder), out, tokenizer, trained_length(folder))
    else:
        files = export_encoder(SentenceEncoder.from_pretrained(run), out)
    say(f"{' and '.join(map(str, files))} {'are' if len(files) > 1 else 'is'} written; onnxruntime runs the model")


def _export_vectors(run: str, out: Path, to: str) -> None:
    from ..vectors import keyed_vectors

    vectors = keyed_vectors(run)
    out.mkdir(parents=True, exist_ok=True)
    file = out / {"word2vec": "vectors.bin", "word2vec-text": "vectors.txt", "gensim": "vectors.kv"}[to]
    if to == "gensim":
        vectors.save(str(file))
    else:
        vectors.save_word2vec_format(str(file), str(out / "vocabulary.txt"), binary=to == "word2vec")
    say(f"{len(vectors):,} vectors of {vectors.vector_size} numbers in {file}")
