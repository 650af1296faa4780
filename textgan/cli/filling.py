"""The command ``fill``: words for the blanks of a sentence."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from .parse import parse, positive, print_json, say
from .use import drawing


@dataclass(frozen=True)
class FillOptions:
    """Options of fill."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run of maskgan, or one of its checkpoints."""
    text: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TEXT")]
    """The sentence; ___ is a blank of one token, ___3 of three."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 5
    """How many fillings."""
    temperature: float = 1.0
    """Below 1 sharper, above 1 wilder."""
    top_k: int = 0
    """Draw from the k likeliest tokens only, 1 for the likeliest; 0 for all."""
    top_p: float = 1.0
    """Draw from the smallest set of tokens with this probability."""
    seed: int = 0
    """The same seed gives the same fillings."""
    json: bool = False
    """Print JSON, an object a line, with the tokens that were filled in and the probability of each."""


def fill(argv: list[str]) -> int:
    """``textgan fill``."""
    given = parse(
        FillOptions, argv, "textgan fill",
        'Fill the blanks of a sentence. Example:\n\n  textgan fill runs/m "a man ___ a ___ horse" -n 5',
    )  # fmt: skip
    from ..writing import Filler

    positive(given, "number")
    how = drawing(given)
    filler = Filler(given.run)
    ids = filler.read(given.text)
    if missing := ids.count(filler.tokenizer.unk):
        say(f"warning: {missing} words of the sentence are not in the vocabulary; they are read as <unk>")
    for found in filler.fill(ids, given.number, how):
        if given.json:
            print_json({"text": found.text, "filled": found.words, "probability": found.probability})
        else:
            sys.stdout.write(found.text + "\n")
    return 0
