"""The command ``compare``: several runs side by side on the same real images, as one page."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from textgan.cli.comparison import check_writable, page_file
from textgan.cli.parse import parse, positive, print_json
from textgan.errors import UserError

from .judging import Bars, Opened, asked, device_of, extractor_of, judged, opened, real_images, run_of, trained_on

BUFFERS = {
    "running_mean", "running_var", "num_batches_tracked", "_u", "_v", "grown", "held", "count",
}  # of networks; they are not trained  # fmt: skip


@dataclass(frozen=True)
class CompareOptions:
    """Options of compare."""

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN ...")]
    """Runs of image-bridge, or checkpoints of runs. Of a run the newest checkpoint is taken."""
    out: str = "compare.html"
    """The page to write; the figures go to a .json beside it."""
    data: str = ""
    """Folder of the real images; those that the first run was trained on when absent."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1000
    """How many samples of each run, and how many held-out images at most."""
    extractor: Literal["auto", "efficientnet-lite0", "own"] = "auto"
    """What gives the features of KID and Fréchet distance: see `image-bridge evaluate --help`."""
    json: bool = False
    """Print JSON, as it is in the .json beside the page."""
    seed: int = 0
    """Decides the noise, the captions, and which real images are compared."""
    batch: int = 64
    """Images at a time."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


@dataclass(frozen=True)
class Cost:
    """What a training has cost until a checkpoint.

    Attributes:
        steps: of all players.
        images: in their minibatches; nothing where it was not logged.
        seconds: spent in training, over all resumes; nothing where it was not logged.
        device: that it was trained on.
        generator: parameters of the generator.
        others: parameters of each of the other networks.
    """

    steps: int
    images: int | None
    seconds: float | None
    device: str
    generator: int
    others: dict[str, int]


@dataclass(frozen=True)
class Entrant:
    """A run that takes part.

    Attributes:
        one: its generator.
        algorithm: that it was trained by.
        cost: of its training.
        curves: its losses by name: steps and values.
    """

    one: Opened
    algorithm: str
    cost: Cost
    curves: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Compared:
    """What was found.

    Attributes:
        entrants: the runs.
        found: what ``judged`` gave of each.
        data: the folder of the real images.
        size: at which all were compared.
        notes: what must be known beside the figures.
    """

    entrants: Sequence[Entrant]
    found: Sequence[dict[str, Any]]
    data: str
    size: int
    notes: list[str]


def compare(argv: list[str]) -> int:
    """``image-bridge compare``."""
    given = parse(
        CompareOptions, argv, "image-bridge compare",
        "Several runs on one page: figures beside those of real images, cost, losses, samples of the same noise. Example:\n\n"
        "  image-bridge compare runs/dcgan runs/sngan runs/acgan --out compare.html",
    )  # fmt: skip
    positive(given, "number", "batch")
    if given.seed < 0:
        raise UserError(f"--seed must be 0 or more; received {given.seed}")
    if not given.runs:
        raise UserError("no run was named; expected image-bridge compare RUN [RUN ...]")
    out = page_file(given.out)
    check_writable(out)
    entrants = [entrant_of(name) for name in dict.fromkeys(given.runs)]
    bars = Bars()
    try:
        text, record, printed = _compared(entrants, given, bars)
    finally:
        bars.close()
    from textgan.runtime.run import write_text

    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
    write_text(out.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    if given.json:
        print_json(record)
    else:
        sys.stdout.write(f"{printed}\n{out}\n")
    return 0


def entrant_of(name: str) -> Entrant:
    """A run that takes part, or a checkpoint of one.

    Raises:
        UserError: it draws no images, or has no whole checkpoint.
    """
    from textgan.report import read
    from textgan.runtime import Run

    from ..algorithms import ALGORITHMS, fed, find

    run = run_of(Path(name))
    algorithm = str(Run.open(run).config.get("algorithm", "unknown")) if run else ""
    if algorithm in ALGORITHMS and fed(find(algorithm)) == "captions":
        raise UserError(f"{name} is an encoder of sentences; expected runs that draw images")
    one = opened(name)
    if run is None:
        raise UserError(f"{name} lies in no run, so nothing is known of its training; expected a run or one of its checkpoints")
    record = read(run)
    cost = _cost(one, run, record.environment.get("device", "an unknown device"))
    curves = {key: curve for key, curve in record.curves.items() if key.endswith("/loss")}
    return Entrant(one, algorithm, cost, curves)


def _cost(one: Opened, run: Path, device: str) -> Cost:
    import torch

    from textgan.report import logged

    file = one.folder.parent / "state.pt"
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        steps, networks = int(state["step"]), state["networks"]
    except Exception as error:  # torch and its unpickler have many ways to say that a file is damaged
        raise UserError(f"{file} is missing or damaged; expected a whole checkpoint; name another one of {run}") from error
    rows = [[row for row in logged(run / name, []) if row["step"] <= steps] for name in ("metrics.jsonl", "timing.jsonl")]
    images, seconds = (part[-1].get(key) if part else None for part, key in zip(rows, ("samples_seen", "time"), strict=True))
    others = {n: parameters(weights) for n, weights in networks.items() if n != "generator" and not n.endswith("_now")}
    return Cost(steps, images, seconds, device, sum(p.numel() for p in one.G.parameters()), others)


def parameters(weights: dict[str, Any]) -> int:
    """How many numbers of a network's state are trained."""
    return sum(value.numel() for name, value in weights.items() if name.rsplit(".", 1)[-1] not in BUFFERS)


def _compared(entrants: Sequence[Entrant], given: CompareOptions, bars: Bars) -> tuple[str, dict[str, Any], str]:
    """The page, what is written beside it, and what is printed."""
    from ..evaluate import Judges
    from .comparison_page import page, summary, table
    from .comparison_pictures import sheets
    from .evaluation import finite

    device, source = device_of(given.device), trained_on(entrants[0].one.name, given.data)
    extractor = extractor_of(given.extractor, device, given.batch)
    sizes = sorted({entrant.one.G.config.size for entrant in entrants})
    packs = {size: real_images(source, size, bars) for size in sizes}
    data, packed = packs[sizes[0]]
    whats = []
    for entrant in entrants:
        with _named(entrant, bars):
            whats.append(asked(entrant.one, data, given.number, given.seed, bars))
    told = "captions" if any(what.told == "captions" for what in whats) else whats[0].told
    judges = Judges.of(data, packed, device, bars, told)
    found, shown = [], []
    for entrant, what in zip(entrants, whats, strict=True):
        with _named(entrant, bars):
            by = extractor or judges.own
            figures, _ = judged(entrant.one, what, judges, by, given.seed, given.batch, bars, copies=False)
            found.append(finite(figures))
            shown.append(sheets(entrant, what, data, packs[entrant.one.G.config.size][1], figures, given.seed))
        entrant.one.G.cpu()
    all_of = Compared(entrants, found, source, sizes[0], _notes(entrants, sizes, data))
    record = {
        "options": asdict(given),
        "data": source,
        "size": sizes[0],
        "runs": [
            {
                "name": e.one.name, "checkpoint": e.one.checkpoint, "algorithm": e.algorithm, "trained_on": e.one.data,
                "cost": dataclasses.asdict(e.cost), "figures": figures,
            }
            for e, figures in zip(entrants, found, strict=True)
        ],
        "conclusions": summary(all_of),
        "notes": all_of.notes,
    }  # fmt: skip
    printed = "\n".join([table(all_of), *summary(all_of), *all_of.notes])
    return page(all_of, shown), record, printed


@contextmanager
def _named(entrant: Entrant, bars: Bars) -> Iterator[None]:
    """Bars and errors say which run they are about."""
    bars.of = entrant.one.name
    try:
        yield
    except UserError as error:
        raise UserError(f"{entrant.one.name}: {error}") from error
    bars.of = ""


def _notes(entrants: Sequence[Entrant], sizes: Sequence[int], data: Any) -> list[str]:
    """What must be known of runs that are not alike."""
    found = []
    if len(sizes) > 1:
        larger = [f"{e.one.name} ({e.one.G.config.size})" for e in entrants if e.one.G.config.size != sizes[0]]
        found.append(
            f"All images are compared at {sizes[0]} x {sizes[0]} pixels, the size of the smallest; those of {', '.join(larger)} "
            "were reduced to it. The pictures have their own size."
        )
    here = hashlib.sha256((data.path / "metadata.jsonl").read_bytes()).hexdigest()
    for entrant in entrants:
        file = (entrant.one.run or Path()) / "data.json"
        known = json.loads(file.read_text(encoding="utf-8")).get("metadata_sha256") if file.is_file() else here
        if known != here:
            found.append(
                f"{entrant.one.name} was trained on other images ({entrant.one.data or 'not known'}); what is held out here may "
                "be among them."
            )
    return found
