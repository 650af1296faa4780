"""The commands of ``image-bridge``."""

from __future__ import annotations


def run(command: str, argv: list[str]) -> int:
    """Run a command with its words; gives the exit code."""
    from .data import data

    return {"data": data}[command](argv)
