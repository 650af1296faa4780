"""The command ``ui``: a page in the browser, served on this machine."""

from __future__ import annotations

from typing import Any

from textgan.cli.page import UiOptions, start
from textgan.cli.parse import parse
from textgan.errors import UserError

TOLD = (
    "A page in the browser, on this machine alone unless --host says otherwise; Ctrl-C ends it. It draws captions, goes from "
    "one to another with a slider, and follows trainings while they go on. Needs the extra [ui]. Example:\n\n"
    "  image-bridge ui runs/faces"
)


def ui(argv: list[str]) -> int:
    """``image-bridge ui``."""
    given = parse(UiOptions, argv, "image-bridge ui", TOLD)
    if not given.runs:
        raise UserError("no run was named; expected image-bridge ui RUN [RUN ...]")

    def make(device: str) -> Any:
        from ..ui import build

        return build([path.rstrip("/") or path for path in dict.fromkeys(given.runs)], device)

    return start(given, make)
