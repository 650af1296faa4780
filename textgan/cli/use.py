"""The commands ``generate``, ``report`` and ``prepare``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..errors import UserError
from .options import DataOptions
from .parse import parse, positive, print_json, say
from .training import describe, make_corpus

if TYPE_CHECKING:
    from ..writing import Draw


@dataclass(frozen=True)
class GenerateOptions:
    """Options of generate."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run, a checkpoint, or a folder with a saved generator."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 10
    """How many sentences."""
    temperature: float = 1.0
    """Below 1 sharper, above 1 wilder."""
    top_k: int = 0
    """Draw from the k likeliest tokens only; 0 for all."""
    top_p: float = 1.0
    """Draw from the smallest set of tokens with this probability."""
    prompt: str = ""
    """Text that every sentence begins with."""
    length: int = 0
    """Largest number of tokens; 0 takes the run's."""
    seed: int = 0
    """The same seed gives the same sentences."""
    unknown: bool = False
    """Allow the mark for unknown words."""
    json: bool = False
    """Print JSON, an object a line, with the text and its log-probability in nats."""
    out: str = "-"
    """File to write; - for the terminal."""


def generate(argv: list[str]) -> int:
    """``textgan generate``."""
    given = parse(
        GenerateOptions, argv, "textgan generate", "Write sentences. Example:\n\n  textgan generate runs/a -n 20 --top-p 0.9"
    )
    from ..writing import Writer

    positive(given, "number")
    if given.length < 0:
        raise UserError(f"--length must be 0 or more; received {given.length}")
    how = drawing(given)
    writer = Writer(given.run, unknown=given.unknown)
    if missing := writer.unknown(given.prompt):
        say(f"warning: {missing} tokens of the prompt are not in the vocabulary; they are read as <unk>")
    try:
        written = writer.write(given.number, how, prompt=given.prompt, length=given.length, score=given.json)
    except ValueError as error:
        raise UserError(f"--{str(error).replace('_', '-', 1)}") from error
    rows = [json.dumps(asdict(w), ensure_ascii=False) if given.json else w.text for w in written]
    if given.out == "-":
        sys.stdout.write("\n".join(rows) + "\n")
    else:
        from ..runtime.run import write_text

        try:
            write_text(Path(given.out), "\n".join(rows) + "\n")
        except OSError as error:
            raise UserError(f"--out {given.out} cannot be written ({error.strerror})") from error
    return 0


def drawing(given: Any) -> Draw:
    """How a command's options say that tokens are drawn.

    Raises:
        UserError: one is out of its range.
    """
    from ..writing import Draw

    try:
        return Draw(given.temperature, given.top_k, given.top_p, given.seed)
    except ValueError as error:
        raise UserError(f"--{str(error).replace('_', '-', 1)}") from error


@dataclass(frozen=True)
class ReportOptions:
    """Options of report."""

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN ...")]
    """One run, or several side by side."""
    out: str = ""
    """File to write; the first run's report.html when absent."""
    json: bool = False
    """Print the file's name as JSON."""


def report(argv: list[str], prog: str = "textgan", units: Mapping[str, str] | None = None) -> int:
    """``textgan report``, or another program's, with its titles of curves."""
    given = parse(
        ReportOptions, argv, f"{prog} report", f"One HTML page. Example:\n\n  {prog} report runs/a runs/b --out both.html"
    )
    from ..evaluate.labels import UNITS
    from ..report import report as write

    if not given.runs:
        raise UserError(f"no run was named; expected {prog} report RUN [RUN ...]")
    page = write([Path(run) for run in given.runs], Path(given.out) if given.out else None, units or UNITS)
    if given.json:
        print_json({"file": str(page)})
    else:
        sys.stdout.write(f"{page}\n")
    return 0


@dataclass(frozen=True)
class PrepareOptions:
    """Options of prepare."""

    options: Annotated[DataOptions, tyro.conf.OmitArgPrefixes] = field(
        default_factory=DataOptions, metadata={"nested": (DataOptions,)}
    )
    out: str = ""
    """Folder to write."""
    seed: int = 0
    """Decides what is held out."""
    json: bool = False
    """Print what the corpus holds as JSON."""


def prepare(argv: list[str]) -> int:
    """``textgan prepare``."""
    given = parse(
        PrepareOptions,
        argv,
        "textgan prepare",
        "Tokenise once. Example:\n\n  textgan prepare --data my.txt --out my-corpus\n\n"
        "On several processes: torchrun --standalone --nproc-per-node 2 -m textgan prepare --data my.txt --out my-corpus",
    )
    if not given.out:
        raise UserError("no folder was named for the corpus; expected --out DIR")
    workers = None
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:  # alone, it needs no torch
        from ..runtime import Workers

        workers = Workers.start("cpu")
    corpus = make_corpus(given.options, Path(given.out), given.seed, workers)
    if workers is None or workers.main:
        say(describe(corpus))
        if given.json:
            print_json({"folder": given.out, **corpus.info})
    if workers:
        workers.stop()
    return 0
