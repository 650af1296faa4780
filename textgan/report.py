"""A run, or several side by side, as one HTML file that needs nothing else: curves, samples over time, settings."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UserError
from .evaluate.labels import QUIET, UNITS, cell, label
from .runtime import Run
from .runtime.run import write_text

POINTS = 1000  # a curve is drawn with at most about twice as many points
STYLES = ("-", "--", ":", "-.")  # so that runs can be told apart without colour
COLOURS = ("#1b6ca8", "#c8553d", "#2f855a", "#7b4fa3", "#8a6d1d", "#3d5a6c")
MOMENTS, SHOWN = 6, 5  # samples: how many moments of the run, how many sentences of each

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1c2733;background:#fff;max-width:1080px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem;margin-bottom:.3rem}h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid #d5dce3}
table{border-collapse:collapse;font-size:.9rem;display:block;overflow-x:auto}
td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}
th{font-weight:600}tr.differs td{background:#fff6d6}.quiet{color:#5b6b7a;font-size:.9rem}
.curves{display:flex;flex-wrap:wrap;gap:1rem}.map svg{width:100%;height:auto}.curves svg{width:520px;max-width:100%;height:auto}
ol{margin:.2rem 0 1rem;padding-left:1.6rem}.moment{border-left:3px solid #d5dce3;padding-left:1rem;margin:.8rem 0}
.moment img{display:block;max-width:100%;height:auto}
code{background:#f2f5f8;padding:.1rem .3rem;overflow-wrap:anywhere}.warning{background:#fdecea;padding:.5rem .8rem}
"""


@dataclass
class Record:
    """What the files of one run say."""

    name: str
    config: dict[str, Any]
    environment: dict[str, Any]
    corpus: dict[str, Any]
    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    stages: list[tuple[str, int, int]]  # name, first step, last step
    evaluations: list[dict[str, Any]]
    samples: list[tuple[int, list[str] | bytes]]  # step; lines of text, or a picture as a PNG file
    steps: int
    seconds: float | None
    problems: list[str] = field(default_factory=list)


def _json(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        problems.append(f"{path.name} is missing or damaged")
        return {}
    return loaded if isinstance(loaded, dict) else {}


def logged(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """The rows of a file with a JSON object a line that a step wrote; ``problems`` says how many cannot be read."""
    rows, bad = [], 0
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                bad += 1
                continue
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
            else:
                bad += 1
    if bad:
        problems.append(f"{path.name}: {bad} unreadable lines were left out")
    return rows


def read(path: Path) -> Record:
    """The files of a run; what is missing or damaged is listed in ``problems``.

    Raises:
        UserError: the folder is not a run.
    """
    run, problems = Run.open(path), list[str]()
    config = run.config
    rows = logged(run.path / "metrics.jsonl", problems)
    times = logged(run.path / "timing.jsonl", problems)
    evaluations = [_json(file, problems) for file in sorted((run.path / "eval").glob("*.json"))]
    evaluations = [e for e in evaluations if isinstance(e.get("step"), int)]
    points: dict[str, list[tuple[int, float]]] = {}
    spans: dict[str, list[int]] = {}
    for prefix, source in (("eval/", evaluations), ("", rows)):
        for row in source:
            for key, value in row.items():
                if key not in ("step", "samples_seen") and isinstance(value, int | float):
                    points.setdefault(prefix + key, []).append((row["step"], float(value)))
    for row in rows:
        spans.setdefault(str(row.get("stage", "")), []).append(row["step"])
    stages, start = [], 0
    for name, steps in spans.items():
        stages.append((name, start, max(steps)))
        start = max(steps)
    samples: list[tuple[int, list[str] | bytes]] = []
    for file in sorted((run.path / "samples").glob("*")):
        if file.stem.isdigit() and file.suffix == ".txt":
            samples.append((int(file.stem), file.read_text(encoding="utf-8", errors="replace").splitlines()))
        elif file.stem.isdigit() and file.suffix == ".png":
            picture = file.read_bytes()
            if picture.startswith(b"\x89PNG\r\n"):
                samples.append((int(file.stem), picture))
            else:
                problems.append(f"samples/{file.name} is no picture")
    curves = {key: (np.array([s for s, _ in p]), np.array([v for _, v in p])) for key, p in points.items()}
    facts = run.path / "data" / "corpus.json" if (run.path / "data").is_dir() else run.path / "data.json"
    corpus = _json(facts, problems) if facts.parent != run.path or facts.is_file() else {}
    environment = _json(run.path / "env.json", problems)
    seconds = times[-1].get("time") if times else None
    done = rows[-1]["step"] if rows else 0
    return Record(str(path), config, environment, corpus, curves, stages, evaluations, samples, done, seconds, problems)


def thin(x: np.ndarray, y: np.ndarray, buckets: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most two points a bucket, its lowest and its highest, so that no peak is lost; x and y are (n,)."""
    if len(x) <= 2 * buckets:
        return x, y
    kept: set[int] = {0, len(x) - 1}
    for part in np.array_split(np.arange(len(x)), buckets):
        finite = part[np.isfinite(y[part])]
        if len(finite):
            kept |= {int(finite[y[finite].argmin()]), int(finite[y[finite].argmax()])}
    chosen = np.array(sorted(kept))
    return x[chosen], y[chosen]


def svg(draw: Callable[[Any], None], salt: str, inches: tuple[float, float], label: str) -> str:
    """What ``draw`` puts on matplotlib axes, as SVG to stand inside a page; the same drawing gives the same text."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = {
        "svg.hashsalt": salt,
        "svg.fonttype": "path",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(settings):  # type: ignore[arg-type]
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    return svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _figure(key: str, records: Sequence[Record], title: str) -> str:
    def draw(axes: Any) -> None:
        for k, record in enumerate(records):
            if key in record.curves:
                x, y = thin(*record.curves[key])
                style: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "linestyle": STYLES[k % len(STYLES)]}
                axes.plot(x, y, label=record.name, linewidth=1.6, marker="o" if len(x) < 30 else "", markersize=3, **style)
        if len(records) == 1:
            for place, (name, first, last) in enumerate(records[0].stages):
                axes.axvspan(first, last, color="#8899aa", alpha=0.16 if place % 2 else 0.06, linewidth=0)
                if last - first > 0.08 * records[0].steps:
                    middle = (first + last) / 2
                    axes.text(middle, 0.99, name, transform=axes.get_xaxis_transform(), fontsize=8, ha="center", va="top")
            axes.set_xlim(0, max(records[0].steps, 1))
        else:
            axes.legend(fontsize=8, frameon=False)
        axes.set_xlabel("step")
        axes.set_title(title, fontsize=10, loc="left")
        axes.grid(alpha=0.25, linewidth=0.6)

    return svg(draw, key, (6.2, 3.2), html.escape(f"{title} against the step", quote=True))


def curves_html(records: Sequence[Record], units: Mapping[str, str]) -> str:
    """A plot of every figure that was logged; ``units`` has their titles, in their order."""
    keys = {key for record in records for key in record.curves if key in units or not key.startswith("eval/")}
    order = [*units, *sorted(keys - units.keys())]
    figures = [_figure(key, records, units.get(key, key)) for key in order if key in keys]
    return f'<div class="curves">{"".join(figures)}</div>' if figures else '<p class="quiet">Nothing was logged yet.</p>'


def _word_map(record: Record, words: int = 250) -> str:
    """The most frequent words of a word2vec run in the two directions in which their vectors differ most."""
    newest = Run(record.name).latest() if (Path(record.name) / "checkpoints").is_dir() else None
    if newest is None or not (newest / "vectors" / "vectors.bin").is_file():
        return ""
    from gensim.models import KeyedVectors
    from sklearn.decomposition import PCA

    vectors = KeyedVectors.load_word2vec_format(str(newest / "vectors" / "vectors.bin"), binary=True, limit=words + 50)
    names = vectors.index_to_key[50:] or vectors.index_to_key  # the very first are function words
    if len(names) < 3:
        return ""
    places = PCA(2, random_state=0).fit_transform(vectors[names] / np.linalg.norm(vectors[names], axis=1, keepdims=True))
    label = html.escape(f"map of {len(names)} words", quote=True)

    def draw(axes: Any) -> None:
        axes.set_axis_off()
        axes.set_xlim(places[:, 0].min(), places[:, 0].max())
        axes.set_ylim(places[:, 1].min(), places[:, 1].max())
        for name, (x, y) in zip(names, places, strict=True):
            axes.text(x, y, name, fontsize=7, ha="center", va="center", alpha=0.85, parse_math=False)

    return f'<div class="map">{svg(draw, "map", (11, 7), label)}</div>'


def duration(seconds: float | None) -> str:
    """Seconds in words."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return "an unknown time"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def summary(record: Record) -> str:
    """One run in plain words."""
    data = record.config.get("data", {}).get("data", "unknown data")
    where = record.environment.get("device", "an unknown device")
    algorithm = record.config.get("algorithm", "unknown algorithm")
    text = f"{algorithm} on {data}: {record.steps:,} steps in {duration(record.seconds)} on {where}."
    if record.corpus:
        train, test = record.corpus.get("train"), record.corpus.get("test")
        if isinstance(train, int) and isinstance(test, int):
            text += f" It learned from {train:,} {record.corpus.get('unit', 'sentences')}; {test:,} were held out."
    found = [e for e in record.evaluations if isinstance(e.get("nll_test"), int | float)]
    if found:
        last, best = found[-1], min(found, key=lambda e: e["nll_test"])
        text += f" Held-out text now costs {last['nll_test']:.3f} nats a token (perplexity {math.exp(last['nll_test']):,.0f})"
        text += (
            f"; the lowest was {best['nll_test']:.3f} at step {best['step']:,}." if best is not last else ", the lowest so far."
        )
    oracle = [e["nll_oracle"] for e in found if isinstance(e.get("nll_oracle"), int | float)]
    if oracle:
        text += f" The oracle finds {oracle[-1]:.3f} nats a token in the samples; the lowest was {min(oracle):.3f}."
    return text


def _picture(image: bytes, step: int) -> str:
    return f'<img alt="samples at step {step:,}" src="data:image/png;base64,{base64.b64encode(image).decode()}">'


def _sentences(rows: Iterable[str]) -> str:
    return "<ol>" + "".join(f"<li>{html.escape(row) or '<i>(empty)</i>'}</li>" for row in rows) + "</ol>"


def samples_html(record: Record) -> str:
    """Samples at some moments of a run, the newest first."""
    if not record.samples:
        return '<p class="quiet">No samples were written yet.</p>'
    places = np.unique(np.linspace(0, len(record.samples) - 1, MOMENTS).round().astype(int))
    text = ""
    for place in reversed(places):
        step, rows = record.samples[place]
        stage = next((name for name, _, last in record.stages if step <= last), "")
        head = f"Step {step:,}" + (f" ({html.escape(stage)})" if stage else "")
        if isinstance(rows, bytes):
            shown = _picture(rows, step)
        else:
            shown = _sentences(rows if place == places[-1] else rows[:SHOWN])
        text += f'<div class="moment"><b>{head}</b>{shown}</div>'
    return text


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return flat


def _table(records: Sequence[Record], parts: Sequence[dict[str, Any]]) -> str:
    """One row a setting, one column a run; rows in which the runs differ are marked."""
    flat = [_flat(part) for part in parts]
    keys = list(dict.fromkeys(key for part in flat for key in part))
    if not keys:
        return '<p class="quiet">Not known.</p>'
    head = "".join(f"<th>{html.escape(record.name)}</th>" for record in records)
    rows = []
    for key in keys:
        values = [part.get(key, "") for part in flat]
        differs = ' class="differs"' if len(set(values)) > 1 else ""
        cells = "".join(f"<td>{html.escape(value)}</td>" for value in values)
        rows.append(f"<tr{differs}><td>{html.escape(key)}</td>{cells}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _suite(record: Record) -> str:
    """What `textgan evaluate --suite` found: an encoder beside its baselines, the best of each row in bold."""
    path = Path(record.name) / "suite-sts.json"
    found = _json(path, record.problems) if path.is_file() else {}
    if not found:
        return ""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in found)
    rows = []
    for task in found["trained"]:
        values = [float(figures[task]) for figures in found.values()]
        cells = (f"<td>{'<b>' * (v == max(values))}{v:.3f}{'</b>' * (v == max(values))}</td>" for v in values)
        rows.append(f"<tr><td>{html.escape(task)}</td>{''.join(cells)}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _judged(record: Record) -> str:
    """What `textgan evaluate` found: samples beside real text."""
    rows = []
    found: dict[str, dict[str, Any]] = {}
    real: dict[str, Any] = {}
    for file in ("samples.json", "best.json"):
        path = Path(record.name) / "eval" / file
        told = _json(path, record.problems) if path.is_file() else {}
        if isinstance(told.get("model"), dict):
            found[f"samples of checkpoint {told.get('checkpoint')}"], real = told["model"], told.get("real") or {}
    if found:
        found["real text"] = real
    heads = [f"<th>{html.escape(name)}</th>" for name in found]
    for key in dict.fromkeys(key for figures in found.values() for key in figures):
        if key not in QUIET:
            cells = "".join(f"<td>{cell(key, figures.get(key))}</td>" for figures in found.values())
            rows.append(f"<tr><td>{html.escape(label(key))}</td>{cells}</tr>")
    return f"<table><tr><th></th>{''.join(heads)}</tr>{''.join(rows)}</table>" if rows else ""


def page(records: Sequence[Record], units: Mapping[str, str] = UNITS) -> str:
    """The HTML of a report; ``units`` has the titles of the curves, in their order."""
    title = " and ".join(record.name for record in records)
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for record in records:
        parts.append(f"<p>{html.escape(summary(record))}</p>")
        for problem in record.problems:
            parts.append(f'<p class="warning">{html.escape(problem)}</p>')
        if record.corpus.get("warning"):
            parts.append(f'<p class="warning">{html.escape(str(record.corpus["warning"]))}</p>')
    parts.append("<h2>Curves</h2>" + curves_html(records, units))
    for record in records:
        if judged := _judged(record):
            parts.append(f"<h2>{html.escape(record.name)} beside real text</h2>{judged}")
        if judged := _suite(record):
            parts.append(f"<h2>{html.escape(record.name)} on judgements and classification</h2>{judged}")
        if drawn := _word_map(record):
            parts.append(f"<h2>Words of {html.escape(record.name)}, by their two principal components</h2>{drawn}")
    parts.append("<h2>Samples, the newest first</h2>")
    for record in records:
        parts.append((f"<h3>{html.escape(record.name)}</h3>" if len(records) > 1 else "") + samples_html(record))
    parts.append("<h2>Settings</h2>" + _table(records, [r.config for r in records]))
    parts.append("<h2>Data</h2>" + _table(records, [r.corpus for r in records]))
    commands = [" ".join(map(str, record.environment.get("argv", []))) for record in records]
    parts.append("<h2>Environment</h2>" + "".join(f"<p><code>{html.escape(c)}</code></p>" for c in commands if c))
    parts.append(_table(records, [{k: v for k, v in r.environment.items() if k != "argv"} for r in records]))
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><meta name="viewport" content="width=device-width">'
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{"".join(parts)}</body></html>\n'


def report(runs: Sequence[Path], out: Path | None = None, units: Mapping[str, str] = UNITS) -> Path:
    """Write the report of one run, or of several side by side; gives the file written.

    Args:
        runs: folders of runs.
        out: the file; report.html in the first run when absent.
        units: titles of the curves, in their order.

    Raises:
        UserError: a folder is not a run, or the file cannot be written.
    """
    records = [read(path) for path in runs]
    out = out or runs[0] / "report.html"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, page(records, units))
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}); expected the path of a file to write") from error
    return out
