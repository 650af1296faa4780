"""The commands that make encoders of encoders: ``expand``, ``combine``, ``export``."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..errors import UserError
from .parse import parse, positive, say


def _new(path: str) -> Path:
    out = Path(path)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is already there; expected a new or empty folder")
    return out


def _corpus(run: str) -> Any:
    """The corpus of a run, or None."""
    from ..corpus import Corpus

    path = Path(run) / "data"
    return Corpus.open(path) if (path / "corpus.json").is_file() else None


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
    corpus = _corpus(given.run)
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


@dataclass(frozen=True)
class ExportOptions:
    """Options of export."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run of quickthought, skipthought or word2vec, one of its checkpoints, or what `textgan expand` wrote."""
    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DIR")]
    """Folder to write."""
    to: Literal["auto", "sentence-transformers", "word2vec", "word2vec-text", "gensim"] = "auto"
    """The library that is to load it: sentence-transformers for an encoder; for a word2vec run word2vec's binary format, its text
    format, or gensim's KeyedVectors. auto is sentence-transformers or word2vec."""


def export(argv: list[str]) -> int:
    """``textgan export``."""
    given = parse(
        ExportOptions, argv, "textgan export",
        "Write an encoder or word vectors for another library. Examples:\n\n"
        "  textgan export runs/a model --to sentence-transformers\n  textgan export runs/words vectors --to word2vec-text",
    )  # fmt: skip
    from ..encoders import SentenceEncoder
    from ..runtime import newest

    out = _new(given.out)
    words = (newest(Path(given.run)) / "vectors" / "vectors.bin").is_file()
    kind = ("word2vec" if words else "sentence-transformers") if given.to == "auto" else given.to
    if words != (kind != "sentence-transformers"):
        held = "word vectors; expected --to word2vec, word2vec-text or gensim" if words else "no word vectors; leave --to out"
        raise UserError(f"{given.run} holds {held}; received --to {given.to}")
    if words:
        from ..vectors import keyed_vectors

        vectors = keyed_vectors(given.run)
        out.mkdir(parents=True, exist_ok=True)
        file = out / {"word2vec": "vectors.bin", "word2vec-text": "vectors.txt", "gensim": "vectors.kv"}[kind]
        if kind == "gensim":
            vectors.save(str(file))
        else:
            vectors.save_word2vec_format(str(file), str(out / "vocabulary.txt"), binary=kind == "word2vec")
        say(f"{len(vectors):,} vectors of {vectors.vector_size} numbers in {file}")
        return 0
    encoder = SentenceEncoder.from_pretrained(given.run)
    from ..hf import export_sentence_transformer

    export_sentence_transformer(encoder, out, _card(given.run, encoder))
    say(f"{out} is written; in Python: import textgan.hf; SentenceTransformer({str(out)!r})")
    return 0


def _card(run: str, encoder: Any) -> str:
    """The model card: what it is, what it learnt from, how to use it."""
    path, corpus = Path(run), _corpus(run)
    lines = ["---", "library_name: sentence-transformers", "pipeline_tag: sentence-similarity", "tags: [textgan]", "---", ""]
    lines += ["# Sentence encoder", ""]
    sizes = ", ".join(
        f"{p.config.direction}directional GRU, {p.config.hidden_dim} numbers, {p.config.vocab_size:,} words"
        for p in encoder.parts
    )
    lines += [f"Trained with textgan. Vectors of {encoder.dimension} numbers: {sizes}.", ""]
    lines += [
        "    import textgan.hf  # makes the model type known",
        "    from sentence_transformers import SentenceTransformer",
        "",
    ]
    lines += ['    model = SentenceTransformer("this folder")', ""]
    if (path / "config.json").is_file():
        saved = json.loads((path / "config.json").read_text(encoding="utf-8"))
        settings = ", ".join(f"{k} {v}" for k, v in saved.get("config", {}).items() if v != "")
        lines += ["## Training", "", f"`{saved['algorithm']}`: {settings}.", ""]
    if corpus:
        info, counts = corpus.info, corpus.train.counts(corpus.vocab_size)
        lengths = corpus.train.lengths()
        lines += [
            "## Corpus", "",
            f"* {info.get('documents', 0):,} documents",
            f"* {len(corpus.train):,} sentences to train on, {len(corpus.test):,} held out",
            f"* {int(lengths.sum()):,} tokens, {lengths.mean():.1f} a sentence; vocabulary of {corpus.vocab_size:,}",
            f"* {100 * counts[3] / max(1, counts.sum()):.2f} % of the tokens are unknown words",
            f"* sha256 of the tokens: {info['content_sha256']}", "",
        ]  # fmt: skip
    expansion = Path(run) / "expansion.json"
    if expansion.is_file():
        lines += ["## Vocabulary expansion", "", "```json", expansion.read_text(encoding="utf-8").strip(), "```", ""]
    suite = path / "suite-sts.json"
    if suite.is_file():
        found = json.loads(suite.read_text(encoding="utf-8"))
        lines += ["## Measured", "", f"| | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
        lines += [f"| {task} | {' | '.join(f'{found[name][task]:.3f}' for name in found)} |" for task in found["trained"]]
    return "\n".join(lines).rstrip() + "\n"
