"""Options from words, with mistakes told in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import json
import os
import re
import sys
from typing import Any

import tyro

from ..errors import UserError


def parse(kind: Any, argv: list[str], prog: str, description: str, default: Any = None) -> Any:
    """Options from words; a mistake becomes a UserError of one line.

    Raises:
        UserError: an unknown option (the nearest one is named), a missing or an ill-typed value.
    """
    out = io.StringIO()
    given: dict[str, Any] = {} if default is None else {"default": default}
    if "-h" in argv or "--help" in argv:
        _help(kind, prog, description, given)
    try:
        with contextlib.redirect_stderr(out), contextlib.redirect_stdout(out):
            parsed, unknown = tyro.cli(kind, args=argv, prog=prog, description=description, return_unknown_args=True, **given)
    except SystemExit:
        text = _plain_text(out)
        words = [line.strip("│╭╮╰╯─|+-* \t") for line in text.splitlines()]
        raise UserError(f"{_plain(' '.join(words))}; see `{prog} --help`") from None
    if unknown:
        word = unknown[0].split("=")[0]
        flags = {"--" + f.name.replace("_", "-") for f in _fields(kind)}
        near = difflib.get_close_matches(word, sorted(flags), 1)
        hint = f"did you mean {near[0]}?" if near else f"see `{prog} --help`"
        raise UserError(f"unknown option or extra word; received {word!r}; {hint}")
    return parsed


def _help(kind: Any, prog: str, description: str, given: dict[str, Any]) -> None:
    """Print the help and leave; without colours where NO_COLOR is set (https://no-color.org), which tyro does not read."""
    if not os.environ.get("NO_COLOR"):
        tyro.cli(kind, args=["--help"], prog=prog, description=description, **given)
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            tyro.cli(kind, args=["--help"], prog=prog, description=description, **given)
    finally:
        sys.stdout.write(_plain_text(out))


def _plain_text(out: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())


def _plain(text: str) -> str:
    """What tyro says of a mistake, in the words of all our errors."""
    for pattern, words in (
        (r"(--[\w-]+): invalid literal for int\(\) with base 10: ('.*?')", r"\1 expects a whole number; received \2"),
        (r"(--[\w-]+): could not convert string to float: ('.*?')", r"\1 expects a number; received \2"),
        (r"invalid choice ('.*?') for argument '([\w-]+)'\. Expected one of \((.*?),?\)", r"\2 expects one of \3; received \1"),
        (r"Missing value for argument '(--[\w-]+)'", r"\1 expects a value; received none"),
        (r"Missing from [\w -]+: +(\S+)", r"\1 is missing"),
    ):
        if found := re.search(pattern, text):
            return found.expand(words)
    return " ".join(text.split()) or "the options cannot be read"


def _fields(kind: Any) -> list[dataclasses.Field[Any]]:
    found = []
    for f in dataclasses.fields(kind):
        nested = next((a for a in getattr(f, "metadata", {}).get("nested", ())), None)
        found += _fields(nested) if nested else [f]
    return found


def positive(options: Any, *names: str) -> None:
    """Each of these options, where given, must be 1 or more."""
    for name in names:
        value = getattr(options, name, None)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be 1 or more; received {value}")


def print_json(value: Any) -> None:
    """A result for other programs, on one line; JSON knows no NaN, so that becomes null."""
    finite = json.loads(json.dumps(value), parse_constant=lambda name: None)
    sys.stdout.write(json.dumps(finite, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """Tell the user something that is not the result."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201
