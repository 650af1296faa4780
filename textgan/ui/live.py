"""The tab that follows a training: curves, rewards and samples, drawn again whenever the run has written something."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ..report import curves_html, read, samples_html, summary
from . import parts

SECONDS = 3.0  # between two looks
Mark = tuple[Any, ...]


class Follower:
    """Runs as HTML, drawn once for all who look at them.

    Args:
        units: titles of the curves, in their order.
    """

    def __init__(self, units: Mapping[str, str]) -> None:
        self.units, self.lock = units, threading.Lock()
        self.known: dict[str, tuple[Mark, str]] = {}

    def look(self, path: str) -> tuple[Mark, str]:
        """What the run's files say now, with a mark that changes when they do."""
        folder = Path(path)
        files = [
            folder / "metrics.jsonl",
            *sorted((folder / "samples").glob("*"))[-1:],
            *sorted((folder / "eval").glob("*"))[-1:],
        ]
        stats = [(file.name, file.stat()) for file in files if file.is_file()]
        mark = tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
        with self.lock:
            if path not in self.known or self.known[path][0] != mark:
                record = read(folder)
                told = f"<p>{html.escape(summary(record))}</p>"
                body = (
                    f"<h3>Curves</h3>{curves_html([record], self.units)}<h3>Samples, the newest first</h3>{samples_html(record)}"
                )
                self.known[path] = (mark, f'<div class="report">{told}{body}</div>')
            return self.known[path]


def age(path: str, now: float) -> str:
    """When the run last wrote a line, in plain words."""
    file = Path(path) / "metrics.jsonl"
    if not file.is_file():
        return "Nothing was logged yet."
    seconds = max(0, round(now - file.stat().st_mtime))
    if seconds < 120:
        return f"Last line {seconds} s ago."
    long = (
        f"{seconds // 60} minutes"
        if seconds < 7200
        else f"{seconds // 3600} hours"
        if seconds < 172800
        else f"{seconds // 86400} days"
    )
    return f"Last line {long} ago: the training has ended or stands still."


def tab(runs: Sequence[str], units: Mapping[str, str]) -> None:
    """Lay the tab out; ``runs`` are folders that ``train`` writes, ``units`` the titles of their curves."""
    follower = Follower(units)

    @parts.told
    def follow(run: str, seen: Any) -> tuple[Any, str, Any]:
        if run not in runs:
            raise ValueError("there is no such run on this page")
        mark, page = follower.look(run)
        told = parts.quiet(f"{age(run, time.time())} This page looks every {SECONDS:g} seconds.")
        return (run, mark), told, gr.skip() if seen == (run, mark) else page

    seen = gr.State(None)
    run = parts.chooser(runs)
    status, out = gr.HTML(), gr.HTML()
    timer = gr.Timer(SECONDS)
    outputs = [seen, status, out]
    timer.tick(follow, [run, seen], outputs, show_progress="hidden", trigger_mode="once", concurrency_limit=4)
    run.change(follow, [run, seen], outputs, show_progress="hidden")
