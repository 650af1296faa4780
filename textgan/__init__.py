"""Text GANs, language models and sentence encoders, trained on the user's corpus."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .generators import Generator

try:
    __version__ = version("textgan")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0+unknown"


def load(path: str | Path) -> Generator:
    """The generator of a run, of one of its checkpoints, or of a folder that ``save_pretrained`` wrote.

    Raises:
        UserError: there is none.
    """
    from .generators import load_generator

    return load_generator(generator_folder(path))


def generator_folder(path: str | Path) -> Path:
    """Where the generator of a run or checkpoint lies; its tokenizer lies beside it."""
    from .errors import UserError
    from .runtime import Run

    path = Path(path)
    if (path / "checkpoints").is_dir():
        newest = Run(path).latest()
        if newest is None:
            raise UserError(f"{path} has no whole checkpoint yet; train further with `textgan resume {path}`")
        path = newest
    if (path / "generator").is_dir():
        path = path / "generator"
    if not any(path.glob("model*.safetensors")):
        raise UserError(f"{path} holds no generator; expected a run, a checkpoint or a folder with model.safetensors")
    return path


def run_folder(path: str | Path) -> Path | None:
    """The run that a path is, or lies in; None outside of one."""
    for folder in (Path(path), *Path(path).resolve().parents):
        if (folder / "config.json").is_file() and (folder / "checkpoints").is_dir():
            return folder
    return None


def trained_length(path: str | Path) -> int:
    """T of the run that a generator lies in, 20 outside of one."""
    run = run_folder(path)
    return int(json.loads((run / "config.json").read_text(encoding="utf-8"))["data"]["length"]) if run else 20
