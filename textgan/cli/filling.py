"""The command ``fill``: words for the blanks of a sentence."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from ..errors import UserError
from .parse import parse, positive, print_json, say

BLANK = re.compile(r"___(\d*)")


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
    import torch

    from .. import generator_folder, load, trained_length
    from ..generators import MaskGenerator
    from ..sampling import restrict
    from ..tokenizers import load as load_tokenizer

    positive(given, "number")
    if given.seed < 0:
        raise UserError("--seed must be 0 or more")
    try:
        restrict(torch.zeros(1, 2), given.temperature, given.top_k, given.top_p)
    except ValueError as error:
        raise UserError(f"--{str(error).replace('_', '-', 1)}") from error
    folder = generator_folder(given.run)
    model = load(folder)
    if not isinstance(model, MaskGenerator):
        raise UserError(f"{given.run} cannot fill blanks; expected a run of maskgan")
    if not any(folder.glob("tokenizer*")):
        raise UserError("fill needs text; this run was trained on synthetic ids")
    tokenizer, length = load_tokenizer(folder), trained_length(folder)
    ids: list[int] = []
    for place, part in enumerate(BLANK.split(given.text)):  # text, number of blanks, text, number of blanks, ...
        if place % 2:
            ids += [-1] * int(part or 1)
        elif part.strip():
            ids += after_blank(tokenizer, part) if place else tokenizer.encode(part.strip())
    if -1 not in ids:
        raise UserError(f"there is no blank in the sentence; expected ___ or ___3 in it; received {given.text!r}")
    if len(ids) >= length:
        raise UserError(f"the sentence is too long; expected fewer than {length} tokens, blanks included; received {len(ids)}")
    if missing := ids.count(tokenizer.unk):
        say(f"warning: {missing} words of the sentence are not in the vocabulary; they are read as <unk>")
    x = torch.full((length,), model.config.pad)
    x[: len(ids) + 1] = torch.tensor([*ids, tokenizer.eos])
    blank = x < 0
    x = x.masked_fill(blank, model.config.pad).expand(given.number, length)
    present = (~blank).expand(given.number, length)
    model.ban[[tokenizer.eos, tokenizer.unk]] = -torch.inf  # a blank is a word
    u = torch.rand(given.number, length, generator=torch.Generator().manual_seed(given.seed))
    filled = model.fill(x, present, u, temperature=given.temperature, top_k=given.top_k, top_p=given.top_p)
    with torch.no_grad():
        p = model.fill_log_prob(filled, present).exp()
    for row, likely in zip(filled, p, strict=True):
        text = " ".join(tokenizer.decode(row[: len(ids)].tolist()).splitlines())
        if given.json:
            words = [tokenizer.decode([token]) for token in row[blank].tolist()]
            print_json({"text": text, "filled": words, "probability": likely[blank].tolist()})
        else:
            sys.stdout.write(text + "\n")
    return 0


def after_blank(tokenizer: Any, text: str) -> list[int]:
    """Ids of text that follows a blank as it would follow a word: "." right behind it is another token than " ."."""
    word, joined = tokenizer.encode("a"), tokenizer.encode("a" + text.rstrip())
    return list(joined[len(word) :] if joined[: len(word)] == word else tokenizer.encode(text.strip()))
