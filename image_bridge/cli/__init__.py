"""The commands of ``image-bridge``."""

from __future__ import annotations

import warnings
from typing import Any


def run(command: str, argv: list[str]) -> int:
    """Run a command with its words; gives the exit code. Warnings come as one line each."""
    from textgan.cli.parse import say

    from .comparison import compare
    from .data import data
    from .evaluation import evaluate
    from .page import ui
    from .reporting import report
    from .training import resume, train
    from .translation import translate
    from .use import generate, interpolate

    commands = {
        "data": data, "train": train, "resume": resume, "report": report, "generate": generate, "interpolate": interpolate,
        "translate": translate, "evaluate": evaluate, "compare": compare, "ui": ui, "completion": _completion,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *rest: say(f"image-bridge: warning: {message}")
        return commands[command](argv)


def options() -> dict[str, Any]:
    """The options of every command but train, whose methods have their own."""
    from textgan.cli.page import UiOptions
    from textgan.cli.use import ReportOptions

    from .comparison import CompareOptions
    from .data import DataOptions
    from .evaluation import EvaluateOptions
    from .training import ResumeImagesOptions
    from .translation import TranslateOptions
    from .use import GenerateOptions, InterpolateOptions

    return {
        "data": DataOptions, "resume": ResumeImagesOptions, "report": ReportOptions, "generate": GenerateOptions,
        "interpolate": InterpolateOptions, "translate": TranslateOptions, "evaluate": EvaluateOptions,
        "compare": CompareOptions, "ui": UiOptions,
    }  # fmt: skip


def _completion(argv: list[str]) -> int:
    from textgan.cli.completion import completion

    from ..algorithms import SUMMARIES, find
    from . import training

    return completion(argv, "image-bridge", options(), {name: training.options_for(find(name)) for name in SUMMARIES})
