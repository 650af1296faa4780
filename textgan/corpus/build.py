"""From text to a prepared corpus."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import tokenizers
from ..errors import UserError
from .pieces import Tally, Text, collect, encode, gather, leave
from .sources import NAMED, ReadReport, documents
from .split import looks_like_lines, splitter
from .store import Corpus, finish, schema_of

if TYPE_CHECKING:
    from ..runtime import Workers


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
    workers: Workers | None = None,
) -> Corpus:
    """Turn a source into memory-mapped ids, in two passes and flat memory.

    Several processes share the sentences out among them, and write the same bytes as one. Each reads the whole source; bpe and
    unigram are learnt by the first alone.

    Args:
        source: see ``documents``; "-" is standard input.
        out: folder to write; it appears whole or not at all. All processes must see it.
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
        workers: the processes that do it together, each of which must call this; None for this one alone.

    Raises:
        UserError: no text, or none that fits.
    """
    out = Path(out)
    rank, world = (workers.rank, workers.world) if workers else (0, 1)
    first: Callable[[Callable[[], Any]], Any] = workers.first if workers else lambda work: work()
    name = secrets.randbits(62)
    temporary = out.parent / f".corpus-{workers.agree(name if workers.main else 0) if workers else name:x}"
    missing = [] if rank else [folder for folder in out.parents if not folder.exists()]

    def begin() -> None:
        temporary.mkdir(parents=True)
        if source == "-":
            with open(temporary / "stdin.txt", "wb") as spool:
                shutil.copyfileobj(sys.stdin.buffer, spool)

    try:
        first(begin)
        path = str(temporary / "stdin.txt") if source == "-" else source
        sample: list[list[str]] = []
        for document in documents(path, column=column):
            sample.append(document)
            if len(sample) >= 2000 or sum(map(len, sample[-1:])) > 50_000:
                break
        if not any(line.strip() for document in sample for line in document):
            raise UserError(f"--data {source} holds no text; expected at least one sentence")
        lines = split == "line" or (split == "auto" and source not in NAMED and looks_like_lines(sample))
        text = Text(path, column, None if lines else splitter(documents(path, column=column)), rank, world)
        if tokenizer in tokenizers.KINDS:
            _learn(tokenizer, text, vocab_size, temporary, first, lowercase=lowercase, min_count=min_count)
        else:
            given = tokenizers.load(tokenizer)
            if lowercase and given.kind == "pretrained":
                raise UserError(f"--lowercase cannot be had with {tokenizer}, which has its own way with letters; leave it out")
            first(lambda: given.save(temporary))
        model = tokenizers.load(temporary)
        texts = [text, dataclasses.replace(text, source=test)] if test else [text]
        by_document = sum(1 for _ in zip(range(20), documents(path, column=column), strict=False)) >= 20
        schema, report, tally = schema_of(model.vocab_size), ReadReport(), Tally()
        encoded = [encode(one, model, length, overlong, schema, report, tally) for one in texts]
        if world > 1:
            leave(encoded, temporary, rank, schema, tally)
            first(lambda: None)  # waits for the others
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

        def end() -> None:
            found, total = gather(temporary, world) if world > 1 else (encoded, tally)
            info = collect(found, total, temporary, schema, held_out, by_document, seed)
            if not info["kept"]:
                middle = int(statistics.median(total.sizes.elements())) if total.sizes else 0
                raise UserError(
                    f"no sentence of {source} fits --length {length}; expected some; the median has {middle} tokens and the "
                    f"longest {max(total.sizes, default=0)}; raise --length or use --overlong truncate"
                )
            for rest in (*temporary.glob("part-*"), *temporary.glob("stdin.txt")):
                rest.unlink()
            reading = {"reading": dataclasses.asdict(report)}
            finish(out, temporary, {"source": source, **options, **special, **info, **reading})

        first(end)
        return Corpus.open(out)
    finally:
        if rank == 0:
            shutil.rmtree(temporary, ignore_errors=True)
        for folder in missing:  # after an error they are empty, and nothing half-made is left
            with contextlib.suppress(OSError):
                folder.rmdir()


def _learn(
    kind: str, text: Text, vocab_size: int, folder: Path, first: Callable[[Callable[[], Any]], Any], **options: Any
) -> None:
    """Learn a vocabulary and save it in ``folder``; words and characters are counted by all processes together."""
    doing = "learning the vocabulary"
    if kind in tokenizers.COUNTED:
        counts = folder / "counts"
        counts.mkdir(exist_ok=True)
        tokenizers.count(kind, text.sentences(doing), counts, f"{text.rank}", lowercase=options["lowercase"])
        first(lambda: None)  # waits for the others
        first(lambda: tokenizers.from_counts(kind, counts, vocab_size, **options).save(folder))
        if text.rank == 0:
            shutil.rmtree(counts)
    else:
        whole = dataclasses.replace(text, rank=0, world=1)
        first(lambda: tokenizers.train(kind, whole.sentences(doing), vocab_size, **options).save(folder))
