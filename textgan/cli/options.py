"""The options of training, as dataclasses: their fields are the flags, their docstrings the help."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from ..errors import UserError


@dataclass(frozen=True)
class DataOptions:
    """Where the text comes from and how it becomes tokens."""

    data: tyro.conf.OmitArgPrefixes[str] = ""
    """A text file, glob, folder, .jsonl or .csv (all also .gz or .bz2); - for standard input; datasets:NAME; wikipedia-sample;
    lee-news; a folder that `textgan prepare` wrote; oracle (synthetic, own LSTM) or oracle:PATH.npz (the published one).
    Must be given."""
    column: str | None = None
    """Column of a .jsonl, .csv or data set that holds the text; a list of sentences in it is a document."""
    split: Literal["auto", "line", "sentence"] = "auto"
    """Whether a line is a sentence or prose is to be cut into sentences."""
    tokenizer: str = "auto"
    """word, char, bpe, unigram, or the path of a saved tokenizer; auto is the one of --generator, or word. For `textgan prepare`
    also hf: and the folder or name of a model of transformers."""
    vocab_size: int = 5000
    """Largest vocabulary, special tokens included."""
    lowercase: bool = False
    """Turn all letters into small ones."""
    length: int = 20
    """Tokens in a sequence, end mark included (SeqGAN: 20)."""
    overlong: Literal["skip", "truncate"] = "skip"
    """What happens to sentences longer than that; how many there were is said."""
    held_out: float = 0.05
    """Share of the text kept for testing."""
    test: str | None = None
    """Test on this text instead."""
    oracle_sequences: int = 10_000
    """Sequences drawn from the oracle for training, and as many again for testing (SeqGAN: 10,000)."""


@dataclass(frozen=True)
class RunOptions:
    """How any run goes."""

    run: Annotated[str, tyro.conf.arg(aliases=["--run-dir"])] = ""
    """Folder of the new run; must be given. Under torchrun write --run-dir: torchrun takes --run for an option of its own."""
    seed: int = 0
    """Decides all randomness."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    threads: int = 0
    """CPU threads; 0 leaves the choice to torch."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 uses autocast."""
    log_every: int = 50
    """Steps between logged lines."""
    save_minutes: float = 2.0
    """Minutes between checkpoints; the ends of stages are always saved."""
    keep: int = 2
    """Checkpoints kept."""
    until: int | None = None
    """Stop after this many steps; the command resume goes on."""
    tensorboard: bool = False
    """Also write TensorBoard files (needs the extra [tensorboard])."""
    profile: bool = False
    """Look where the time of five steps goes, after four to warm up: RUN/profile.json is a trace for ui.perfetto.dev or
    chrome://tracing, and the five dearest operations are told. The result of the training is the same."""
    dry_run: bool = False
    """Prepare the data, say what would be done, and stop."""


@dataclass(frozen=True)
class TrainOptions(RunOptions):
    """How a run of textgan goes."""

    evaluate_every: int = 5
    """Epochs or rounds between evaluations on held-out text, with samples."""
    best: str = "auto"
    """The checkpoint at which this figure of the evaluations was lowest (highest, with a + before it) is kept in
    RUN/best; auto takes the held-out loss, an empty name keeps none."""


def check_config(config: Any) -> None:
    """Ranges that the field's type does not say."""
    for f in dataclasses.fields(config):
        value, flag = getattr(config, f.name), "--" + f.name.replace("_", "-")
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if f.name.endswith(("dropout", "decay", "ema")):
            if not 0 <= value < 1:
                raise UserError(f"{flag} must lie in [0, 1); received {value}")
        elif f.name in ("discount", "smooth"):
            if not 0 < value <= 1:
                raise UserError(f"{flag} must lie in (0, 1]; received {value}")
        elif f.name == "flip":
            if not 0 <= value < 0.5:
                raise UserError(f"{flag} must lie in [0, 0.5), as half the labels say nothing; received {value}")
        elif f.name in ("clip", "limit", "beta_max") or f.name.endswith(("lr", "temperature")):
            if not 0 < value < float("inf"):
                raise UserError(f"{flag} must be a finite number above 0; received {value}")
        elif not value < float("inf"):
            raise UserError(f"{flag} must be a finite number; received {value}")
        elif value < (least := _least(f, value)):
            raise UserError(f"{flag} is too small; expected {least} or more; received {value}")


def _least(f: dataclasses.Field[Any], value: float) -> int:
    """The smallest number that a field may have: 0 where it may be a fraction, where 0 is its default, or where it says so."""
    none = isinstance(value, float) or f.default == 0 or f.name.endswith(("_epochs", "rounds", "rollouts"))
    return int(f.metadata.get("least", 0 if none else 1))
