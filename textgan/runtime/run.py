"""A run is a directory: its config, its environment, one line per logged step, and checkpoints that are whole or absent."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from .player import Player
from .sharding import dealt_moments, dealt_weights, gathered, sharded
from .workers import Workers

SCHEMA_VERSION = 1


def write_text(path: Path, text: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never half of it."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def networks(players: Mapping[str, Player], kept: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """All saved networks by name; one that two players share goes under the name of the last."""
    names = {id(player.module): name for name, player in players.items()}
    modules = {names[id(player.module)]: player.module for player in players.values()}
    return {**modules, **kept}


class Run:
    """The files of one run.

    Args:
        path: the folder.
        keep: how many checkpoints are kept.
    """

    def __init__(self, path: Path | str, keep: int = 2) -> None:
        self.path = Path(path)
        self.keep = keep

    @classmethod
    def create(cls, path: Path | str, config: Mapping[str, Any], environment: Mapping[str, Any], keep: int = 2) -> Run:
        """Start a new run in a folder that has none.

        Raises:
            UserError: a run is there already.
        """
        run = cls(path, keep)
        if (run.path / "config.json").exists():
            raise UserError(
                f"--run {path} already holds a run; expected a new folder; go on with `resume {path}` or name another"
            )
        run.path.mkdir(parents=True, exist_ok=True)
        write_text(run.path / "env.json", json.dumps(environment, indent=1) + "\n")
        write_text(run.path / "config.json", json.dumps({"schema_version": SCHEMA_VERSION, **config}, indent=1) + "\n")
        return run

    @classmethod
    def open(cls, path: Path | str, keep: int = 2) -> Run:
        """An existing run.

        Raises:
            UserError: the folder holds no run.
        """
        run = cls(path, keep)
        if not (run.path / "config.json").is_file():
            raise UserError(f"{path} is not a run; expected a folder that `train --run` wrote (with config.json)")
        return run

    @property
    def config(self) -> dict[str, Any]:
        """What config.json says."""
        try:
            loaded: dict[str, Any] = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{self.path / 'config.json'} is damaged: expected JSON; received {error}") from error
        if not isinstance(loaded, dict):
            raise UserError(f"{self.path / 'config.json'} is damaged: expected a JSON object; received {type(loaded).__name__}")
        return loaded

    def log(self, row: Mapping[str, float | int | str | None], time: float) -> None:
        """Append one line to metrics.jsonl, which depends on nothing but the seed; the clock goes to timing.jsonl."""
        for name, line in (("metrics.jsonl", row), ("timing.jsonl", {"step": row["step"], "time": round(time, 3)})):
            with open(self.path / name, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def rewind(self, step: int) -> float:
        """Forget what was logged after ``step``, so that it can be trained again; gives the seconds trained until then."""
        seconds = 0.0
        for name in ("metrics.jsonl", "timing.jsonl"):
            kept = []
            if (self.path / name).exists():
                for line in (self.path / name).read_text(encoding="utf-8").splitlines():
                    try:
                        row = json.loads(line)
                    except json.JSONDecodeError:  # the line on which the process was killed
                        break
                    if row["step"] > step:
                        break
                    kept.append(line + "\n")
                    seconds = row.get("time", seconds)
                write_text(self.path / name, "".join(kept))
        for folder in ("samples", "eval"):
            for file in (self.path / folder).glob("*"):
                if file.stem.isdigit() and int(file.stem) > step:
                    file.unlink()
        return seconds

    def write(self, folder: str, step: int, suffix: str, text: str | bytes) -> None:
        """Write ``folder/STEP.suffix``, for samples and evaluations."""
        (self.path / folder).mkdir(exist_ok=True)
        write_text(self.path / folder / f"{step:08d}.{suffix}", text)

    def evaluations(self) -> list[dict[str, Any]]:
        """What was found at each evaluation, oldest first; files that cannot be read are left out."""
        found = []
        for file in sorted((self.path / "eval").glob("[0-9]*.json")):
            with contextlib.suppress(OSError, ValueError):
                found.append(json.loads(file.read_text(encoding="utf-8")))
        return found

    def save(
        self,
        step: int,
        players: Mapping[str, Player],
        kept: Mapping[str, nn.Module],
        finish: Callable[[Path], None] = lambda folder: None,
        best: bool = False,
        main: bool = True,
    ) -> Path:
        """Write a checkpoint under a temporary name, sync it, and only then give it its own. Every process has to come by.

        Args:
            step: steps done.
            players: their networks and optimizers are saved.
            kept: networks that are saved though never trained.
            finish: adds files to the temporary folder (a tokenizer beside its model).
            best: write it to the folder ``best`` instead, which holds one.
            main: whether this process writes; the others only give what they hold of the networks that are dealt out.
        """
        modules = networks(players, kept)
        weights = {name: module.state_dict() for name, module in modules.items()}
        moments = {name: player.optimizer.state_dict() for name, player in players.items()}
        parts = {name: gathered(weights[name], main) for name, module in modules.items() if sharded(module)}
        weights |= parts
        moments |= {name: gathered(moments[name], main) for name, player in players.items() if player.sharded}
        root = self.path if best else self.path / "checkpoints"
        final, temporary = root / ("best" if best else f"{step:08d}"), root / f".tmp-{step:08d}"
        if not main:
            return final
        root.mkdir(exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        torch.save({"step": step, "networks": weights, "optimizers": moments}, temporary / "state.pt")
        for name, module in modules.items():
            save_pretrained: Callable[..., None] | None = getattr(module, "save_pretrained", None)
            if save_pretrained:
                save_pretrained(temporary / name, **({"weights": parts[name]} if name in parts else {}))
        finish(temporary)
        files = sorted(p for p in temporary.rglob("*") if p.is_file())
        digests = {str(p.relative_to(temporary)): _digest(p) for p in files}
        write_text(temporary / "manifest.json", json.dumps(digests, indent=1))
        for file in files:
            with open(file, "rb") as opened:
                os.fsync(opened.fileno())
        for folder in {file.parent for file in files} | {temporary}:
            _sync_folder(folder)
        shutil.rmtree(final, ignore_errors=True)
        os.rename(temporary, final)
        _sync_folder(root)
        for old in self.checkpoints()[: -self.keep]:
            shutil.rmtree(old)
        return final

    def checkpoints(self) -> list[Path]:
        """All checkpoint folders, oldest first, whole or not."""
        return sorted(p for p in (self.path / "checkpoints").glob("*") if p.name.isdigit())

    def latest(self) -> Path | None:
        """The newest whole checkpoint; a damaged one is named in a warning and passed over."""
        for folder in reversed(self.checkpoints()):
            problem = damage(folder)
            if problem is None:
                return folder
            warnings.warn(f"checkpoint {folder} is damaged ({problem}); the one before it is used", stacklevel=2)
        return None

    def restore(self, players: Mapping[str, Player], kept: Mapping[str, nn.Module], workers: Workers) -> int:
        """Load the newest whole checkpoint into the networks and optimizers; gives its step, 0 if there is none.

        Every process of the group reads the one that the first has found whole.

        Raises:
            UserError: the checkpoint was written by other networks than these.
        """
        found = self.latest() if workers.main else None
        step = workers.agree(int(found.name) if found else 0)
        if not step:
            return 0
        folder = self.path / "checkpoints" / f"{step:08d}"
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        try:
            for name, module in networks(players, kept).items():
                weights = state["networks"][name]
                module.load_state_dict(dealt_weights(weights, module) if sharded(module) else weights)
            for name, player in players.items():
                moments = state["optimizers"][name]
                player.optimizer.load_state_dict(dealt_moments(moments, player.parameters) if player.sharded else moments)
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{folder} does not fit this version's networks ({reason}); start a new run") from error
        return int(state["step"])


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint's files, or None."""
    try:
        manifest: dict[str, str] = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return "no readable manifest.json"
    for name, digest in manifest.items():
        if not (checkpoint / name).is_file():
            return f"{name} is missing"
        if _digest(checkpoint / name) != digest:
            return f"{name} has changed"
    return None


def lines(rows: Iterable[str]) -> str:
    """Text with one row a line; line breaks inside a row become blanks."""
    return "".join(" ".join(row.splitlines()) + "\n" for row in rows)


def newest(path: Path) -> Path:
    """The newest checkpoint of a run; any other path as it is."""
    return (Run(path).latest() or path) if (path / "checkpoints").is_dir() else path
