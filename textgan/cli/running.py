"""What the commands ``train`` and ``resume`` of both programs share: options, the files of a run, the way to its end."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from .. import __version__
from ..errors import UserError
from .options import RunOptions
from .parse import positive, say


def environment(argv: list[str], seed: int, workers: Any) -> dict[str, Any]:
    """What env.json says: versions, machine, words, seed, commit."""
    import torch

    try:
        here = Path(__file__).parent
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        commit = ""
    return {
        "python": platform.python_version(), "torch": torch.__version__, "textgan": __version__,
        "platform": platform.platform(), "device": str(workers.device), "world": workers.world,
        "threads": torch.get_num_threads(), "argv": argv, "seed": seed, "commit": commit or None,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "job": _job(),
    }  # fmt: skip


def _job() -> str | None:
    """What names the torchrun that started this process: the id of its rendezvous, or its process where it was given no id."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return f"{platform.node()}:{os.getppid()}" if name == "none" else name


def begun(path: Path, prog: str, workers: Any) -> bool:
    """Whether a run is there that this command began: torchrun gives it again when it has lost a process or a machine.

    Raises:
        UserError: the run there is another one.
    """

    def look() -> bool:
        if not (path / "config.json").exists():
            return False
        try:
            told = json.loads((path / "env.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            told = {}
        if _job() is not None and (told.get("job"), told.get("argv")) == (_job(), [prog, *sys.argv[1:]]):
            say(f"going on with {path}")
            return True
        raise UserError(f"--run {path} already holds a run; expected a new folder; go on with `{prog} resume {path}`")

    return bool(workers.agree(int(bool(workers.first(look)))))


def named(argv: list[str], prog: str, summaries: Mapping[str, str], usage: str) -> str | None:
    """The algorithm that the words begin with; None where help was wanted, which is told.

    Raises:
        UserError: no algorithm is named.
    """
    if argv and not argv[0].startswith("-"):
        return argv[0]
    if argv and argv[0] in ("-h", "--help"):
        listed = "\n".join(f"  {name:12} {what}" for name, what in summaries.items())
        sys.stdout.write(
            f"{prog} train ALGORITHM {usage}\n\nAlgorithms:\n{listed}\n\nOptions of one: {prog} train ALGORITHM --help\n"
        )
        return None
    raise UserError(f"no algorithm was named; expected {prog} train ALGORITHM with one of {', '.join(summaries)}")


def check_train(run: RunOptions) -> None:
    """Ranges of the options of training.

    Raises:
        UserError: one is out of range, or no folder is named.
    """
    if not run.run:
        raise UserError("no folder was named for the run; expected --run DIR")
    positive(run, "log_every", "evaluate_every", "keep", "until")
    if run.threads < 0 or run.seed < 0 or not run.save_minutes >= 0:
        raise UserError("--threads, --seed and --save-minutes must be 0 or more")


def options_of(**parts: Any) -> Any:
    """One class of options from several, whose fields are all flags without a prefix."""
    fields = [
        (name, Annotated[type(part), tyro.conf.OmitArgPrefixes], field(default=part, metadata={"nested": (type(part),)}))
        for name, part in parts.items()
    ]
    return dataclasses.make_dataclass("Options", fields, frozen=True)


def from_config(argv: list[str], name: str, options: Any) -> tuple[list[str], Any]:
    """The words without ``--config PATH``, and the options of the run that it names; ``options`` is what ``options_of`` made.

    Raises:
        UserError: there is no such run, or it is another algorithm's.
    """
    if "--config" not in argv:
        return argv, None
    place = argv.index("--config")
    if place + 1 >= len(argv):
        raise UserError("--config wants a path; expected the config.json of another run")
    path = Path(argv[place + 1])
    try:
        saved = json.loads((path / "config.json" if path.is_dir() else path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--config {path} cannot be read; expected a run's config.json; {error}") from error
    if not isinstance(saved, dict) or saved.get("algorithm") != name:
        other = saved.get("algorithm") if isinstance(saved, dict) else saved
        raise UserError(f"--config {path} belongs to another algorithm; expected {name}; received {other!r}")
    parts = {f.name: build(f.metadata["nested"][0], saved.get(f.name, {}), path) for f in dataclasses.fields(options)}
    parts["train"] = dataclasses.replace(parts["train"], run="", profile=False)
    return argv[:place] + argv[place + 2 :], options(**parts)


def build(kind: Any, values: dict[str, Any], path: Path) -> Any:
    """Options from a saved config; fields that this version does not know are named."""
    known = {f.name for f in dataclasses.fields(kind)}
    strange = sorted(set(values) - known)
    if strange:
        raise UserError(f"{path}: this version does not know the fields {', '.join(strange)}; start a new run")
    return kind(**values)


def plan(made: Any, things: str) -> None:
    """Say what a training would do."""
    for stage in made.stages():
        say(f"{stage.name}: {stage.steps} steps of {stage.batch} {things}, {stage.unit} a unit")
    for player, side in made.players.items():
        say(f"{player}: {sum(p.numel() for p in side.parameters):,} parameters")


def start_workers(options: RunOptions) -> Any:
    """The group of processes on the device that was asked for.

    Raises:
        UserError: there is no such device.
    """
    import torch

    from ..runtime import Workers

    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        return Workers.start(options.device)
    except ValueError as error:
        raise UserError(f"--device: {error}") from error


def to_the_end(made: Any, path: Path, options: RunOptions, workers: Any, prog: str, use: str, **settings: Any) -> int:
    """Train, from the run's newest checkpoint on; gives the exit code.

    Args:
        made: the algorithm.
        path: the run.
        options: how it goes.
        workers: the group, which ends here.
        prog: the program whose resume and report go on from here.
        use: what can be done with the result.
        settings: further arguments of ``fit``.

    Raises:
        UserError: memory does not suffice, or what ``fit`` raises.
    """
    import torch

    from ..runtime import Interrupted, Run, fit

    try:
        steps = fit(
            made, Run.open(path, options.keep), workers, seed=options.seed, until=options.until, log_every=options.log_every,
            save_minutes=options.save_minutes, precision=options.precision, tensorboard=options.tensorboard,
            profile=options.profile, **settings,
        )  # fmt: skip
        workers.agree(0)  # nobody leaves while another still writes
    except torch.OutOfMemoryError as error:
        raise UserError(f"{workers.device} has too little memory for this; lower --batch or the sizes; {error}") from error
    except Interrupted as stopped:
        if workers.main:
            say(f"saved; go on with `{prog} resume {path}`")
        return stopped.exit_code
    finally:
        workers.stop()
    if workers.main:
        total = sum(stage.steps for stage in made.stages())
        say(f"{steps} of {total} steps done; {use}, `{prog} report {path}` writes a page")
    return 0


@dataclass(frozen=True)
class ResumeOptions:
    """Options of resume: none that would change the result."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    until: int | None = None
    """Stop after this many steps in all."""
    device: str = ""
    """Another device than before."""
    threads: int = 0
    """CPU threads; 0 takes as many as before."""


def reopen(given: ResumeOptions, find: Callable[[str], Any], options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The algorithm of a run, and its options by part.

    Args:
        given: options of resume.
        find: gives an algorithm by its name.
        options: the classes of the parts "data" and "train".

    Raises:
        UserError: there is no such run, or this version does not understand it.
    """
    from ..runtime import Run

    positive(given, "until")
    path = Path(given.run)
    saved = Run.open(path).config
    if saved.get("schema_version") != 1:
        raise UserError(f"{path} was written by another version (schema {saved.get('schema_version')}); expected schema 1")
    algorithm = find(saved["algorithm"])
    parts = {part: build(kind, saved[part], path) for part, kind in {**options, "config": algorithm.Config}.items()}
    train = parts["train"]
    parts["train"] = dataclasses.replace(
        train, until=given.until, device=given.device or train.device, threads=given.threads or train.threads, profile=False
    )
    return algorithm, parts
