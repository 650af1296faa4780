"""The commands of ``image-bridge``."""

from __future__ import annotations

import warnings


def run(command: str, argv: list[str]) -> int:
    """Run a command with its words; gives the exit code. Warnings come as one line each."""
    from textgan.cli.parse import say

    from .data import data
    from .evaluation import evaluate
    from .reporting import report
    from .training import resume, train
    from .use import generate, interpolate

    commands = {
        "data": data, "train": train, "resume": resume, "report": report, "generate": generate, "interpolate": interpolate,
        "evaluate": evaluate,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *rest: say(f"image-bridge: warning: {message}")
        return commands[command](argv)
