"""The command ``completion``: what the shell needs to complete commands, options and their values."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import tyro

from .parse import parse

FILES = """
# Where there is nothing to complete, file names are.
_{name}_or_files() {{ _tyro_{name}; [[ -n "${{COMPREPLY[0]}}" ]] || COMPREPLY=(); }}
complete -o default -F _{name}_or_files {prog}
"""


@dataclass(frozen=True)
class CompletionOptions:
    """Options of completion."""

    shell: Annotated[tyro.conf.Positional[Literal["bash", "zsh"]], tyro.conf.arg(metavar="SHELL")]
    """bash or zsh."""


def completion(argv: list[str], prog: str, commands: Mapping[str, Any], methods: Mapping[str, Any]) -> int:
    """``textgan completion``, or another program's.

    Args:
        argv: the words.
        prog: the program's name.
        commands: the options of each command but ``train``.
        methods: the options of each method of ``train``.
    """
    given = parse(
        CompletionOptions, argv, f"{prog} completion",
        "A script that completes commands, options and values. Examples:\n\n"
        f"  {prog} completion bash > ~/.local/share/bash-completion/completions/{prog}\n"
        f"  {prog} completion zsh > ~/.zfunc/_{prog}",
    )  # fmt: skip
    unprefixed: Any = tyro.conf.OmitArgPrefixes
    train = dataclasses.make_dataclass("Train", [("method", unprefixed[_choice(methods)])])
    every = {**commands, "completion": CompletionOptions, "train": train}
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        tyro.cli(_choice(every), prog=prog, args=["--tyro-print-completion", given.shell])
    name = prog.replace("-", "_")
    sys.stdout.write(out.getvalue() + (FILES.format(name=name, prog=prog) if given.shell == "bash" else ""))
    return 0


def _choice(kinds: Mapping[str, Any]) -> Any:
    """A type of which tyro makes subcommands."""
    named = [Annotated[kind, tyro.conf.subcommand(name, prefix_name=False)] for name, kind in kinds.items()]
    return Union[tuple(named)]  # noqa: UP007  (of a number that is known only now)
