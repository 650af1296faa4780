"""Sentences of a trained generator, whole or for the blanks of a given one: what ``generate``, ``fill`` and the page share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import generator_folder, load, trained_length
from .decode import texts
from .errors import UserError
from .generators import Generator, MaskGenerator
from .sampling import restrict
from .tokenizers import Tokenizer
from .tokenizers import load as load_tokenizer

BLANK = re.compile(r"___(\d{0,9})")
PIECE = 512  # sentences drawn at a time


@dataclass(frozen=True)
class Draw:
    """How tokens are drawn: see sampling.restrict. The same seed gives the same sentences.

    Raises:
        ValueError: a number is out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more; received {self.seed}")
        restrict(torch.zeros(1, 2), self.temperature, self.top_k, self.top_p)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of a generator's ``sample`` and ``fill``."""
        return {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}

    def numbers(self, rows: int, length: int) -> Tensor:
        """Uniform numbers (rows, length) on the CPU: the same on every device."""
        return torch.rand(rows, length, generator=torch.Generator().manual_seed(self.seed))


@dataclass(frozen=True)
class Written:
    """A sentence, and its log-probability in nats."""

    text: str
    log_prob: float


class Writer:
    """Writes sentences with the generator of a run, of a checkpoint, or of a folder that ``save_pretrained`` wrote.

    Args:
        path: where the generator is.
        unknown: allow the mark for unknown words.
        device: where it runs.

    Raises:
        UserError: there is no generator.
    """

    def __init__(self, path: str | Path, *, unknown: bool = False, device: torch.device | str = "cpu") -> None:
        folder = generator_folder(path)
        self.device, self.length = torch.device(device), trained_length(folder)
        self.tokenizer: Tokenizer | None = load_tokenizer(folder) if any(folder.glob("tokenizer*")) else None
        self.model: Generator = load(folder).to(self.device)
        if self.tokenizer is not None and not unknown and self.tokenizer.unk >= 0:
            self.model.ban[self.tokenizer.unk] = -torch.inf

    def unknown(self, text: str) -> int:
        """How many tokens of a text are not in the vocabulary."""
        return 0 if self.tokenizer is None else self.tokenizer.encode(text).count(self.tokenizer.unk)

    @torch.no_grad()
    def write(self, n: int, how: Draw, *, prompt: str = "", length: int = 0, score: bool = True) -> list[Written]:
        """Draw n sentences.

        Args:
            n: how many.
            how: temperature, cuts and seed.
            prompt: text that every sentence begins with.
            length: largest number of tokens; 0 takes the run's.
            score: whether log-probabilities are wanted; NaN otherwise.

        Raises:
            ValueError: the prompt is too long, or there are no words to read it with.
        """
        length, start = length or self.length, None
        if prompt:
            if self.tokenizer is None:
                raise ValueError("prompt needs a tokenizer; this run was trained on synthetic ids")
            start = torch.tensor(self.tokenizer.encode(prompt), device=self.device)
            if len(start) >= length:
                told = f"expected fewer than {length} tokens; received {len(start)}"
                raise ValueError(f"prompt is too long; {told}; shorten it or allow longer sentences")
        written = []
        for u in how.numbers(n, length).split(PIECE):
            x = self.model.sample(len(u), length, u.to(self.device), prompt=start, **how.options)
            scores = self.model.log_prob(x).sum(1).tolist() if score else [float("nan")] * len(u)
            rows = texts(self.tokenizer, x, self.model.config.eos)
            written += [Written(" ".join(text.splitlines()), s) for text, s in zip(rows, scores, strict=True)]
        return written


@dataclass(frozen=True)
class Filled:
    """A sentence whose blanks were filled, the tokens that were filled in, and the probability of each."""

    text: str
    words: list[str]
    probability: list[float]


class Filler:
    """Fills blanks with the generator of a maskgan run or of one of its checkpoints.

    Args:
        path: where the generator is.
        device: where it runs.

    Raises:
        UserError: there is no generator that fills blanks of text.
    """

    def __init__(self, path: str | Path, *, device: torch.device | str = "cpu") -> None:
        folder = generator_folder(path)
        self.device, self.length = torch.device(device), trained_length(folder)
        model = load(folder)
        if not isinstance(model, MaskGenerator):
            raise UserError(f"{path} cannot fill blanks; expected a run of maskgan")
        if not any(folder.glob("tokenizer*")):
            raise UserError("fill needs text; this run was trained on synthetic ids")
        self.model, self.tokenizer = model.to(self.device), load_tokenizer(folder)
        self.model.ban[[self.tokenizer.eos, self.tokenizer.unk]] = -torch.inf  # a blank is a word

    def read(self, text: str) -> list[int]:
        """Ids of a sentence, with -1 for each blank: ___ is one token, ___3 are three.

        Raises:
            UserError: it has no blank, or too many tokens.
        """
        ids: list[int] = []
        for place, part in enumerate(BLANK.split(text)):  # text, number of blanks, text, number of blanks, ...
            if place % 2:
                self._fits(len(ids) + int(part or 1))
                ids += [-1] * int(part or 1)
            elif part.strip():
                ids += after_blank(self.tokenizer, part) if place else self.tokenizer.encode(part.strip())
        if -1 not in ids:
            raise UserError(f"there is no blank in the sentence; expected ___ or ___3 in it; received {text!r}")
        self._fits(len(ids))
        return ids

    def _fits(self, tokens: int) -> None:
        if tokens >= self.length:
            raise UserError(
                f"the sentence is too long; expected fewer than {self.length} tokens, blanks included; received {tokens}"
            )

    @torch.no_grad()
    def fill(self, ids: list[int], n: int, how: Draw) -> list[Filled]:
        """Fill the blanks of what ``read`` gave, n times."""
        x = torch.full((self.length,), self.model.config.pad)
        x[: len(ids) + 1] = torch.tensor([*ids, self.tokenizer.eos])
        blank = (x < 0).to(self.device)
        x = x.to(self.device).masked_fill(blank, self.model.config.pad).expand(n, self.length)
        present = (~blank).expand(n, self.length)
        u = how.numbers(n, self.length).to(self.device)
        filled = self.model.fill(x, present, u, **how.options)
        p = self.model.fill_log_prob(filled, present).exp()
        return [
            Filled(
                " ".join(self.tokenizer.decode(row[: len(ids)].tolist()).splitlines()),
                [self.tokenizer.decode([token]) for token in row[blank].tolist()],
                likely[blank].tolist(),
            )
            for row, likely in zip(filled, p, strict=True)
        ]


def after_blank(tokenizer: Any, text: str) -> list[int]:
    """Ids of text that follows a blank as it would follow a word: "." right behind it is another token than " ."."""
    word, joined = tokenizer.encode("a"), tokenizer.encode("a" + text.rstrip())
    return list(joined[len(word) :] if joined[: len(word)] == word else tokenizer.encode(text.strip()))
