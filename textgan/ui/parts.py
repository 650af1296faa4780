"""What the tabs share: loaded models, errors as one line, the controls of drawing, lists as HTML."""

from __future__ import annotations

import base64
import functools
import html
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import UserError
from ..runtime import Run
from ..writing import Draw

LAST_SEED = 2**31 - 1
LONGEST = 500  # characters of a text


class Models:
    """Models by their folders, loaded when they are first used, and again once a run has a newer checkpoint.

    All users share them, one call at a time: what a call needs comes with it, and nothing of it stays.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: dict[tuple[Any, str], tuple[str, Any]] = {}

    @contextmanager
    def use(self, make: Callable[[str], Any], path: str) -> Iterator[Any]:
        """What ``make`` loads from a folder, for this caller alone until the block ends; its user sees the warnings."""
        with self.lock, warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always", UserWarning)
            mark = max((folder.name for folder in Run(path).checkpoints()), default="")
            if self.known.get((make, path), ("none", None))[0] != mark:
                self.known[make, path] = (mark, make(path))
            yield self.known[make, path][1]
        for message in {str(warning.message) for warning in found if warning.category is UserWarning}:
            gr.Warning(message)


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose mistakes the user sees as one line."""

    @functools.wraps(function)
    def wrapped(*words: Any) -> Any:
        try:
            return function(*words)
        except (UserError, ValueError, OSError) as error:
            raise gr.Error(" ".join(str(error).split()), duration=10, print_exception=False) from error

    return wrapped


def within(name: str, value: float, least: float, most: float) -> Any:
    """A number from the page, which anything can be sent to.

    Raises:
        UserError: it is none, or out of its range.
    """
    if not isinstance(value, int | float) or not least <= value <= most:
        raise UserError(f"{name} must lie between {least:,} and {most:,}; received {value!r}")
    return value


def short(text: str, limit: int = LONGEST) -> str:
    """A text from the page on one line.

    Raises:
        UserError: it is empty or too long.
    """
    text = " ".join(str(text or "").split())
    if not text:
        raise UserError("there is no text; write something first")
    if len(text) > limit:
        raise UserError(f"the text is too long; expected {limit:,} characters at most; received {len(text):,}")
    return text


def chooser(runs: Sequence[str]) -> Any:
    """Which of the runs is used; not shown where there is one."""
    return gr.Dropdown(list(runs), value=runs[0], label="Run", visible=len(runs) > 1, interactive=True)


def seed_field() -> Any:
    """The seed."""
    return gr.Number(0, label="Seed", info="the same seed gives the same result", precision=0, minimum=0, maximum=LAST_SEED)


def another(seed: float) -> int:
    """The next seed."""
    return int(within("the seed", seed, 0, LAST_SEED) + 1) % LAST_SEED


def drawing_controls(most: int, number: int) -> list[Any]:
    """How many, temperature, top-k, top-p and seed, for ``drawing``."""
    return [
        gr.Slider(1, most, number, step=1, label="How many"),
        gr.Slider(0.1, 2, 1, step=0.05, label="Temperature", info="below 1 safer, above 1 wilder"),
        gr.Slider(0, 200, 0, step=1, label="Top-k", info="draw from the k likeliest words only; 0 is all"),
        gr.Slider(0.05, 1, 1, step=0.05, label="Top-p", info="draw from the likeliest words with this probability"),
        seed_field(),
    ]


def drawing(most: int, number: float, temperature: float, top_k: float, top_p: float, seed: float) -> tuple[int, Draw]:
    """What the controls say; see ``within``."""
    within("the temperature", temperature, 0.05, 10)
    within("top-p", top_p, 0.01, 1)
    k, s = int(within("top-k", top_k, 0, 100_000)), int(within("the seed", seed, 0, LAST_SEED))
    return int(within("the number", number, 1, most)), Draw(temperature, k, top_p, s)


def listed(rows: Sequence[tuple[str, str]], empty: str = "nothing") -> str:
    """Texts, each with a short note at its side, as a list; both are escaped."""
    items = (
        f"<li><span>{html.escape(text) or f'<i>{empty}</i>'}</span><small>{html.escape(note)}</small></li>" for text, note in rows
    )
    return f'<ol class="found">{"".join(items)}</ol>'


def inline(png: bytes, told: str, kind: str) -> str:
    """A PNG file as an image in HTML.

    Args:
        png: the file.
        told: what it shows, for those who do not see it.
        kind: its class.
    """
    encoded = base64.b64encode(png).decode()
    return f'<img class="{kind}" alt="{html.escape(told, quote=True)}" src="data:image/png;base64,{encoded}">'


def quiet(text: str) -> str:
    """A remark."""
    return f'<p class="remark">{html.escape(text)}</p>'


def lines_of(file: str, most: int) -> list[str]:
    """The different lines of a text file that a user gave.

    Raises:
        UserError: it is no text in UTF-8, holds none, or has too many lines.
    """
    try:
        content = Path(file).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("the file is not text in UTF-8; expected a sentence a line") from error
    found = list(dict.fromkeys(line for line in (" ".join(row.split()) for row in content.splitlines()) if line))
    if not 1 <= len(found) <= most:
        raise UserError(f"the file holds {len(found):,} different lines; expected 1 to {most:,}, a sentence each")
    return [line[:LONGEST] for line in found]
