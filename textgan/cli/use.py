"""The commands ``generate``, ``report`` and ``prepare``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import UserError
from .options import DataOptions
from .parse import parse, positive, print_json, say
from .training import describe, make_corpus


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
    import torch

    from .. import generator_folder, load, trained_length
    from ..decode import texts
    from ..sampling import restrict

    positive(given, "number")
    if given.length < 0 or given.seed < 0:
        raise UserError("--length and --seed must be 0 or more")
    try:
        restrict(torch.zeros(1, 2), given.temperature, given.top_k, given.top_p)
    except ValueError as error:
        raise UserError(f"--{str(error).replace('_', '-', 1)}") from error
    folder = generator_folder(given.run)
    model, tokenizer = load(folder), None
    if any(folder.glob("tokenizer*")):
        from ..tokenizers import load as load_tokenizer

        tokenizer = load_tokenizer(folder)
        if not given.unknown:
            model.ban[tokenizer.unk] = -torch.inf
    length, prompt = given.length or trained_length(folder), None
    if given.prompt:
        if tokenizer is None:
            raise UserError("--prompt needs a tokenizer; this run was trained on synthetic ids")
        prompt = torch.tensor(tokenizer.encode(given.prompt))
        if missing := int((prompt == tokenizer.unk).sum()):
            say(f"warning: {missing} tokens of the prompt are not in the vocabulary; they are read as <unk>")
        if len(prompt) >= length:
            raise UserError(f"--prompt is too long; expected fewer than {length} tokens; received {len(prompt)}; raise --length")
    u = torch.rand(given.number, length, generator=torch.Generator().manual_seed(given.seed))
    rows = []
    for part in u.split(512):
        x = model.sample(
            len(part), length, part, temperature=given.temperature, top_k=given.top_k, top_p=given.top_p, prompt=prompt
        )
        written = texts(tokenizer, x, model.config.eos)
        if given.json:
            with torch.no_grad():
                scores = model.log_prob(x).sum(1).tolist()
            written = [json.dumps({"text": t, "log_prob": s}, ensure_ascii=False) for t, s in zip(written, scores, strict=True)]
        rows += [" ".join(line.splitlines()) for line in written]
    if given.out == "-":
        sys.stdout.write("\n".join(rows) + "\n")
    else:
        from ..runtime.run import write_text

        try:
            write_text(Path(given.out), "\n".join(rows) + "\n")
        except OSError as error:
            raise UserError(f"--out {given.out} cannot be written ({error.strerror})") from error
    return 0


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
