"""The commands."""

from __future__ import annotations

import warnings
from typing import Any

from . import training
from .comparison import CompareOptions, compare
from .completion import completion
from .encoding import (
    AnalogyOptions,
    EncodeOptions,
    NearestOptions,
    NextOptions,
    analogy,
    encode,
    nearest,
    write_next,
)
from .evaluation import EvaluateOptions, evaluate
from .filling import FillOptions, fill
from .models import CombineOptions, ExpandOptions, ExportOptions, combine, expand, export
from .page import UiOptions, ui
from .parse import say
from .running import ResumeOptions
from .training import resume, train
from .use import GenerateOptions, PrepareOptions, ReportOptions, generate, prepare, report

OPTIONS: dict[str, Any] = {  # of every command but train, whose methods have their own
    "resume": ResumeOptions, "generate": GenerateOptions, "fill": FillOptions, "evaluate": EvaluateOptions,
    "compare": CompareOptions, "report": ReportOptions, "prepare": PrepareOptions, "encode": EncodeOptions,
    "nearest": NearestOptions, "analogy": AnalogyOptions, "next": NextOptions, "expand": ExpandOptions,
    "combine": CombineOptions, "export": ExportOptions, "ui": UiOptions,
}  # fmt: skip


def _completion(argv: list[str]) -> int:
    from ..algorithms import SUMMARIES, find

    return completion(argv, "textgan", OPTIONS, {name: training.options_for(find(name)) for name in SUMMARIES})


def run(command: str, argv: list[str]) -> int:
    """Run one command; gives its exit code. Warnings come as one line each."""
    commands = {
        "train": train, "resume": resume, "generate": generate, "fill": fill, "evaluate": evaluate, "compare": compare,
        "report": report, "prepare": prepare,
        "encode": encode, "nearest": nearest, "analogy": analogy, "next": write_next,
        "expand": expand, "combine": combine, "export": export, "ui": ui, "completion": _completion,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *rest: say(f"textgan: warning: {message}")
        return commands[command](argv)
