"""The commands."""

from __future__ import annotations

import warnings

from .comparison import compare
from .encoding import analogy, encode, nearest, write_next
from .evaluation import evaluate
from .filling import fill
from .models import combine, expand, export
from .parse import say
from .training import resume, train
from .use import generate, prepare, report


def run(command: str, argv: list[str]) -> int:
    """Run one command; gives its exit code. Warnings come as one line each."""
    commands = {
        "train": train, "resume": resume, "generate": generate, "fill": fill, "evaluate": evaluate, "compare": compare,
        "report": report, "prepare": prepare,
        "encode": encode, "nearest": nearest, "analogy": analogy, "next": write_next,
        "expand": expand, "combine": combine, "export": export,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *rest: say(f"textgan: warning: {message}")
        return commands[command](argv)
