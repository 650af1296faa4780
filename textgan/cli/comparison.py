"""The command ``compare``: several generators over temperatures, against the plain baseline."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from ..errors import UserError
from .evaluation import TRAINING_LIMIT, run_of
from .parse import parse, positive, print_json, say

if TYPE_CHECKING:
    from ..evaluate.sweep import Curve, Pair


@dataclass(frozen=True)
class CompareOptions:
    """Options of compare."""

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN ...")]
    """Runs, or checkpoints of runs. Of a run of mle the best checkpoint is taken where there is one, of others the newest."""
    out: str = "compare.html"
    """The page to write; the figures go to a .json beside it."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 2000
    """Samples at each temperature, and held-out sentences at most."""
    temperatures: tuple[float, ...] = (1.2, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
    """Temperatures to draw at."""
    encoder: str = ""
    """Also the Fréchet embedding distance, with this sentence encoder (a run, or a folder of sentence-transformers)."""
    json: bool = False
    """Print JSON, as it is in the .json beside the page."""
    anyway: bool = False
    """Compare runs of different data or tokenizers too; held-out text and its words are the first run's."""
    seed: int = 0
    """Decides the samples."""


@dataclass(frozen=True)
class Entrant:
    """A run that takes part."""

    name: str
    path: Path
    run: Path
    algorithm: str
    control: str
    """What rewarded it in the place of the discriminator, or nothing."""


def compare(argv: list[str]) -> int:
    """``textgan compare``."""
    given = parse(
        CompareOptions, argv, "textgan compare",
        "Quality against diversity over temperatures, and whether a GAN beats the language model it started from. Example:\n\n"
        "  textgan compare runs/mle runs/gan --out compare.html",
    )  # fmt: skip
    from .. import generator_folder
    from ..runtime import Progress
    from ..runtime.run import write_text
    from .comparison_page import page

    positive(given, "number")
    if not given.runs:
        raise UserError("no run was named; expected textgan compare RUN [RUN ...]")
    if given.seed < 0:
        raise UserError(f"--seed must be 0 or more; received {given.seed}")
    out = page_file(given.out)
    if not given.temperatures or not all(0 < t < math.inf for t in given.temperatures):
        raise UserError(f"--temperatures must be finite numbers above 0; received {given.temperatures}")
    entrants = [entrant_of(name) for name in given.runs]
    _same_data(entrants, given.anyway)
    try_to_write(out)
    for entrant in entrants:
        say(f"{entrant.name}: {generator_folder(entrant.path).parent}")
    bar = Progress(len(entrants) * len(given.temperatures), 0, True, unit="temperatures")
    curves, beside = sweep(entrants, given.number, given.temperatures, given.encoder, given.seed, bar.update)
    bar.close()
    said = conclusions(entrants, curves, beside)
    if not given.json:
        sys.stdout.write(table(curves, beside, names_of(entrants)) + "\n" + "\n".join(said) + "\n")
    data = _data(entrants, curves, beside, said, given)
    write_text(out, page(names_of(entrants), curves, beside, said))
    write_text(out.with_suffix(".json"), json.dumps(data, indent=1) + "\n")
    if given.json:
        print_json(data)
    else:
        sys.stdout.write(f"{out}\n")
    return 0


def page_file(name: str) -> Path:
    """The page that ``--out`` names, with room for a .json beside it; looked at before any work is done.

    Raises:
        UserError: it cannot be one.
    """
    out = Path(name)
    if out.suffix == ".json" or out.is_dir() or out.with_suffix(".json").is_dir():
        raise UserError(f"--out {out} cannot be the page; expected the path of an .html file to write")
    return out


def try_to_write(out: Path) -> None:
    """Make the folder of a page, and see whether it can be written.

    Raises:
        UserError: it cannot.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        there = out.exists()
        out.touch()
        if not there:  # an interrupt must not leave an empty page
            out.unlink()
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}); expected the path of a file to write") from error


@dataclass(frozen=True)
class Beside:
    """What samples are compared with: figures of real text, and how many held-out sentences there are."""

    real: dict[str, tuple[float, float]]
    references: int
    samples: int


def entrant_of(name: str) -> Entrant:
    """A run, or a checkpoint of one, that takes part.

    Raises:
        UserError: it generates no text.
    """
    from ..algorithms import find
    from ..runtime import Run

    path = Path(name)
    run = run_of(path)
    saved = Run.open(run).config
    if hasattr(find(saved["algorithm"]), "evaluate"):
        raise UserError(f"{name} is an encoder; expected runs that generate text")
    if path == run and saved["algorithm"] == "mle" and (run / "best").is_dir():
        path = run / "best"
    reward = saved["config"].get("reward", "discriminator")
    return Entrant(name, path, run, saved["algorithm"], "" if reward == "discriminator" else reward)


def data_of(entrant: Entrant) -> tuple[Any, ...]:
    """What two runs must have in common to be compared: text, tokenizer, and whether they write text at all."""
    from ..corpus import Corpus

    corpus = Corpus.open(entrant.run / "data")
    tokenizer = tuple(file.read_bytes() for file in sorted((entrant.run / "data").glob("tokenizer*")))
    return corpus.tokenizer is None, corpus.info.get("content_sha256"), tokenizer


def _same_data(entrants: Sequence[Entrant], anyway: bool) -> None:
    known = {entrant.name: data_of(entrant) for entrant in entrants}
    if len({data[0] for data in known.values()}) > 1:
        raise UserError("some of these runs write text and others synthetic ids; expected runs of one kind")
    first = entrants[0]
    for entrant in entrants[1:]:
        if known[entrant.name] != known[first.name] and not anyway:
            raise UserError(
                f"{entrant.name} was trained on other data, or with another tokenizer, than {first.name}; expected runs of the "
                "same; --anyway compares them nevertheless"
            )


def sweep(
    entrants: Sequence[Entrant], number: int, temperatures: Sequence[float], encoder: str, seed: int,
    tell: Callable[[int, str], None],
) -> tuple[dict[str, Curve], Beside]:  # fmt: skip
    """Every run at every temperature, and what they are compared with.

    Args:
        entrants: the runs.
        number: samples at each temperature, and held-out sentences at most.
        temperatures: to draw at.
        encoder: also gives the Fréchet embedding distance, where it is named.
        seed: decides the samples.
        tell: is told after each temperature how many of all are done, and the run's name.
    """
    import torch

    from .. import load
    from ..corpus import Corpus
    from ..decode import texts
    from ..encoders import load_encoder
    from ..evaluate.sweep import Text, measure, measure_text, measure_vectors
    from ..evaluate.words import words
    from ..generators import RNNGenerator
    from ..runtime import Run

    run = entrants[0].run
    corpus, length = Corpus.open(run / "data"), Run.open(run).config["data"]["length"]
    test = corpus.test.rows(np.arange(min(number, len(corpus.test))), length)
    oracle = RNNGenerator.from_pretrained(run / "data" / "oracle") if (run / "data" / "oracle").is_dir() else None
    encode, text = load_encoder(encoder).encode if encoder else None, None
    beside: dict[str, tuple[float, float]] = {}
    if corpus.tokenizer is not None:
        real = texts(corpus.tokenizer, torch.from_numpy(test), corpus.eos)
        most = min(TRAINING_LIMIT, len(corpus.train))
        learnt = corpus.train.rows(np.linspace(0, len(corpus.train) - 1, most).round().astype(np.int64), length)
        training = texts(corpus.tokenizer, torch.from_numpy(learnt), corpus.eos)
        cut: Any = "character" if corpus.tokenizer.kind == "char" else "nltk"
        text = Text(words(real, cut), words(training, cut), cut, encode(real) if encode else None)
        chosen = np.sort(np.random.default_rng(seed).permutation(len(training))[:number])
        beside = measure_text([text.training[i] for i in chosen], text, seed)
        del beside["lm_nll"]  # of sentences that the model has learnt
        if encode and text.vectors is not None:
            beside["fed"] = measure_vectors(encode([training[i] for i in chosen]), text.vectors)
    curves: dict[str, Curve] = {}
    done = 0
    for entrant in entrants:
        model, own = load(entrant.path), Corpus.open(entrant.run / "data")
        same = own.info.get("content_sha256") == corpus.info.get("content_sha256")
        held_out = torch.from_numpy(test if same else own.test.rows(np.arange(min(number, len(own.test))), length))
        curve: dict[float, dict[str, tuple[float, float]]] = {}
        for temperature in sorted(temperatures, reverse=True):
            curve[temperature] = measure(
                model, temperature, n=number, length=length, held_out=held_out, tokenizer=own.tokenizer, text=text,
                oracle=oracle, encode=encode, seed=seed,
            )  # fmt: skip
            done += 1
            tell(done, entrant.name)
        curves[entrant.name] = curve
    return curves, Beside(beside, len(test), number)


def pairs_of(curves: Mapping[str, Curve]) -> list[Pair]:
    """The pairs of measures that every run has at every temperature."""
    from ..evaluate.sweep import PAIRS

    every = [figures for curve in curves.values() for figures in curve.values()]
    return [p for p in PAIRS if all(p.quality in figures and p.diversity in figures for figures in every)]


def names_of(entrants: Sequence[Entrant]) -> dict[str, str]:
    """What each run is called in tables and plots: controls say so."""
    return {e.name: f"{e.name} (control: {e.control} reward)" if e.control else e.name for e in entrants}


def conclusions(entrants: Sequence[Entrant], curves: Mapping[str, Curve], beside: Beside) -> list[str]:
    """Plain sentences: who lies on the frontier, and whether anything beats the tempered baseline beyond the noise."""
    from ..evaluate.sweep import front, gain

    names, said = names_of(entrants), []
    baselines = [curves[e.name] for e in entrants if e.algorithm == "mle"]
    pairs = pairs_of(curves)
    comparisons = len(pairs) * sum(e.algorithm != "mle" for e in entrants)
    for pair in pairs:
        held = front(curves, pair)
        where = "; ".join(f"{names[n]} at temperature {', '.join(f'{t:g}' for t in sorted(ts))}" for n, ts in held.items())
        said.append(f"By {pair.name}, the frontier of what was measured, noise left aside, is held by {where or 'nobody'}.")
        for entrant in entrants:
            if not baselines or entrant.algorithm == "mle":
                continue
            found = gain(curves[entrant.name], baselines, pair, comparisons)
            name = names[entrant.name]
            if found is None:
                said.append(f"{name} and the baseline reach no quality in common; give more --temperatures.")
                continue
            how = f"{found.gain:+.3f} (standard error {found.error:.3f}) at temperature {found.temperature:g}"
            if found.significant:
                said.append(f"{name} beats the tempered baseline by more than the noise of drawing: {how}.")
            else:
                said.append(f"{name} nowhere beats the tempered baseline by more than the noise of drawing; its best is {how}.")
    distances = {
        names[n]: min((f["fed"], t) for t, f in c.items()) for n, c in curves.items() if all("fed" in f for f in c.values())
    }
    if distances:
        listed = "; ".join(f"{name} {_figure(fed)} at temperature {t:g}" for name, (fed, t) in distances.items())
        said.append(f"The lowest Fréchet embedding distances: {listed}; real text {_figure(beside.real.get('fed'))}.")
    if not baselines:
        said.append("There is no run of mle among these, so nothing is said of a gain over the plain baseline.")
    else:
        said.append(
            "A gain is how much lower the measure of diversity is at the same quality. The noise is that of drawing samples and "
            "sentences; another training of the same model differs by more."
        )
    return said


def table(curves: Mapping[str, Curve], beside: Beside, names: Mapping[str, str]) -> str:
    """All figures as lines of text."""
    keys = list(dict.fromkeys(key for curve in curves.values() for figures in curve.values() for key in figures))
    width = max(len(name) for name in [*names.values(), "real text"])
    lines = [f"{'run':{width}}  {'temperature':>11}  " + "  ".join(f"{key:>{max(15, len(key))}}" for key in keys)]

    def line(name: str, temperature: str, figures: Mapping[str, tuple[float, float]]) -> None:
        cells = [f"{_figure(figures.get(key)):>{max(15, len(key))}}" for key in keys]
        lines.append(f"{name:{width}}  {temperature:>11}  " + "  ".join(cells))

    for name, curve in curves.items():
        for temperature, figures in curve.items():
            line(names[name], f"{temperature:g}", figures)
    if beside.real:
        line("real text", "", beside.real)
    count = f"Samples at each temperature: {beside.samples:,}; "
    count += f"held-out sentences, which are BLEU's references: {beside.references:,}."
    real = " Real text: as many training sentences in the place of samples." if beside.real else ""
    return "\n".join([*lines, count + real]) + "\n"


def _figure(value: tuple[float, float] | None) -> str:
    if value is None or math.isnan(value[0]):
        return "-"
    return f"{value[0]:.3f}" if math.isnan(value[1]) else f"{value[0]:.3f} ±{1.96 * value[1]:.3f}"


def _data(
    entrants: list[Entrant], curves: Mapping[str, Curve], beside: Beside, said: list[str], given: CompareOptions
) -> dict[str, Any]:
    """What goes to the .json beside the page."""
    return {
        "options": asdict(given),
        "runs": [{"name": e.name, "checkpoint": str(e.path), "algorithm": e.algorithm, "control": e.control} for e in entrants],
        "figures": {n: {f"{t:g}": _finite(figures) for t, figures in c.items()} for n, c in curves.items()},
        "real text": _finite(beside.real),
        "references": beside.references,
        "conclusions": said,
    }


def _finite(figures: Mapping[str, tuple[float, float]]) -> dict[str, list[float | None]]:
    return {key: [None if math.isnan(v) else v for v in value] for key, value in figures.items()}
