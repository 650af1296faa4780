"""What the folders that were given hold, and so which tabs there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .. import generator_folder
from ..cli.models import held
from ..errors import UserError
from ..generators import MaskGenerator, class_in
from ..runtime import Run


@dataclass(frozen=True)
class Given:
    """A folder and what it holds."""

    path: str
    holds: str
    """One of cli.models.FORMATS, or nothing where a training has no checkpoint yet."""
    fills: bool
    """Whether the generator fills blanks."""
    training: bool
    """Whether it is a run, whose training can be followed."""


def look(path: str) -> Given:
    """What a folder holds.

    Raises:
        UserError: it is no run of textgan and holds no model of one.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"{path} is no run: there is no such folder; expected folders that `textgan train --run` wrote")
    training = is_run(folder)
    if training and (folder / "data.json").is_file():
        raise UserError(f"{path} is a run of image-bridge; expected runs of textgan; `image-bridge ui {path}` shows it")
    if (folder / "modules.json").is_file():
        return Given(path, "a sentence encoder", False, training)
    if training and not Run(folder).checkpoints():
        return Given(path, "", False, training)
    holds = held(path)
    return Given(path, holds, holds == "a generator" and class_in(generator_folder(path)) is MaskGenerator, training)


def is_run(folder: Path) -> bool:
    """Whether a training wrote this folder.

    Raises:
        UserError: its config.json is damaged.
    """
    try:
        return (folder / "config.json").is_file() and "algorithm" in json.loads(
            (folder / "config.json").read_text(encoding="utf-8")
        )
    except (ValueError, TypeError) as error:
        raise UserError(f"{folder / 'config.json'} is damaged: expected JSON; received {error}") from error
