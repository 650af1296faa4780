"""The one training loop: seed the step, run it, log, evaluate, sample, save, stop."""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..errors import UserError
from .player import Player
from .profile import Watch
from .run import Run, lines
from .workers import Workers, fold


@dataclass(frozen=True)
class Stage:
    """A row of the paper's algorithm box.

    Attributes:
        name: as in the paper.
        steps: how many there are.
        step: does step ``i`` (0 <= i < steps) and gives its metrics as tensors, without a host sync.
        unit: steps in an epoch or a round; evaluation and samples come at the end of units.
        batch: real or generated sequences a step looks at, over the whole group.
        always: steps that are logged whatever the interval, because they are rare.
        turn: steps in which every player moves; they are logged together, so that no player's metrics are always passed over.
    """

    name: str
    steps: int
    step: Callable[[int], dict[str, Tensor]]
    unit: int = 1
    batch: int = 0
    always: Callable[[int], bool] = lambda i: False
    turn: int = 1

    def within(self, i: int, every: int) -> bool:
        """Whether step ``i`` belongs to a turn in which a multiple of ``every`` steps is completed."""
        first = i - i % self.turn
        return (first + self.turn) // every > first // every


class Algorithm(Protocol):
    """What ``fit`` trains. There is no base class: anything of this shape will do."""

    players: Mapping[str, Player]
    kept: Mapping[str, nn.Module]

    def stages(self) -> Sequence[Stage]:
        """The stages in order."""

    def sample(self, n: int) -> list[str] | bytes:
        """Generated samples to look at: lines of text, or a picture as a PNG file."""


class Interrupted(Exception):
    """Training was stopped by a signal after its state was saved."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.exit_code = 128 + number


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying; the second one kills."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """On the CPU, sums in the same order every time; without it the gradient of ``x[index]`` depends on how threads meet."""
    settings: Any = torch.utils.deterministic
    before = torch.get_deterministic_debug_mode(), settings.fill_uninitialized_memory
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        settings.fill_uninitialized_memory = before[1]


class Progress:
    """A bar with rate and time left on a terminal; elsewhere a plain line now and then."""

    def __init__(self, total: int, done: int, show: bool, every_s: float = 10.0, unit: str = "steps") -> None:
        self.total, self.start, self.show, self.every_s = total, done, show, every_s
        self.unit = unit
        self.began = self.told = time.monotonic()
        self.bar: Any = None
        if show and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
            )
            self.bar = Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
            self.task = self.bar.add_task("", total=total, completed=done, rate="")
            self.bar.start()

    def update(self, done: int, stage: str, metrics: str = "") -> None:
        """Show that ``done`` steps are done."""
        if not self.show:
            return
        now = time.monotonic()
        rate = (done - self.start) / max(now - self.began, 1e-9)
        if self.bar is not None:
            self.bar.update(
                self.task, total=self.total, completed=done, description=stage, rate=f"{rate:,.1f} {self.unit}/s {metrics}"
            )
        elif now - self.told >= self.every_s or done == self.total:
            self.told = now
            left = (self.total - done) / max(rate, 1e-9)
            text = f"{stage}  {self.unit.removesuffix('s')} {done}/{self.total}  {rate:,.1f} {self.unit}/s  {left:.0f} s left"
            print(f"{text}  {metrics}".rstrip(), file=sys.stderr, flush=True)  # noqa: T201

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.stop()


def fit(
    algorithm: Algorithm,
    run: Run,
    workers: Workers,
    *,
    seed: int,
    until: int | None = None,
    log_every: int = 50,
    save_minutes: float = 2.0,
    evaluate: Callable[[], dict[str, float]] | None = None,
    evaluate_every: int = 1,
    best: str = "",
    samples: int = 20,
    precision: str = "fp32",
    tensorboard: bool = False,
    profile: bool = False,
    progress: bool = True,
    finish: Callable[[Path], None] = lambda folder: None,
) -> int:
    """Train from the run's newest checkpoint to the end; gives the number of steps done.

    Args:
        algorithm: players and stages.
        run: where everything is written.
        workers: the group of processes.
        seed: decides all randomness and, through Batches, the order of the data.
        until: stop after this many steps in all.
        log_every: steps between lines of metrics.jsonl; the last turn of every unit is always logged.
        save_minutes: minutes between checkpoints; the end of a stage, a signal and the end are always saved.
        evaluate: gives held-out figures, written to eval/STEP.json.
        evaluate_every: units (epochs or rounds) between evaluations and samples.
        best: a figure of ``evaluate``; the checkpoint at which it was lowest (highest, with a + before its name) is kept in the
            run's folder ``best``. "auto" is the first figure that ``evaluate`` gives.
        samples: how many samples are written each time.
        precision: "fp32" or "bf16" (autocast).
        tensorboard: also write TensorBoard files.
        profile: look where the time of the first steps goes, and write RUN/profile.json.
        progress: show a bar or plain lines.
        finish: see Run.save.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state is saved.
        UserError: a gradient was not finite; nothing of it was saved.
    """
    stages = list(algorithm.stages())
    total = sum(stage.steps for stage in stages)
    end = total if until is None else min(until, total)
    step = run.restore(algorithm.players, algorithm.kept, workers)
    spent = run.rewind(step) if workers.main else 0.0
    began = saved = time.monotonic()
    writer = None
    if tensorboard and workers.main:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=step)
    bar = Progress(end, step, progress and workers.main)
    watch = Watch(run.path / "profile.json", workers.device) if profile and workers.main else None
    autocast = torch.autocast(workers.device.type, torch.bfloat16) if precision == "bf16" else nullcontext()

    def check() -> None:
        bad = [name for name, player in algorithm.players.items() if not bool(player.finite)]
        if bad:
            raise UserError(
                f"a gradient of {', '.join(bad)} became infinite or NaN by step {step}; expected finite numbers; the last "
                "checkpoint is whole: start again with a lower learning rate or a stronger clipping"
            )

    def save() -> None:
        nonlocal saved
        check()
        run.save(step, algorithm.players, algorithm.kept, finish, main=workers.main)
        saved = time.monotonic()

    def keep_best(figures: dict[str, float]) -> None:
        name, sign = best.removeprefix("+"), -1 if best.startswith("+") else 1
        name = next(iter(figures)) if name == "auto" else name
        if name not in figures:
            raise UserError(f"--best {best}: there is no such figure; expected one of {', '.join(figures)}")
        better = False
        if workers.main and math.isfinite(figures[name]):  # the others might read what is being written
            better = all(sign * figures[name] < sign * row[name] for row in run.evaluations() if name in row)
        if workers.agree(int(better)):
            check()
            run.save(step, algorithm.players, algorithm.kept, finish, best=True, main=workers.main)

    def look() -> None:
        workers.seed(fold(seed, 1), step)
        with torch.no_grad():
            figures = evaluate() if evaluate else {}
            drawn = algorithm.sample(samples) if samples else []
        if figures and best:
            keep_best(figures)
        if workers.main:
            if figures:
                run.write("eval", step, "json", json.dumps({"step": step, "stage": stage.name, **figures}, indent=1))
            if isinstance(drawn, bytes):
                run.write("samples", step, "png", drawn)
            elif drawn:
                run.write("samples", step, "txt", lines(drawn))
            if writer:
                for key, value in figures.items():
                    writer.add_scalar(f"eval/{key}", value, step)

    try:
        with _deterministic(workers.device), _signals() as received:
            first = 0
            for stage in stages:
                seen = sum(s.batch * s.steps for s in stages[: stages.index(stage)])
                for i in range(max(0, step - first), max(0, min(stage.steps, end - first))):
                    workers.seed(seed, step)
                    with autocast:
                        metrics = stage.step(i)
                    step += 1
                    if watch:
                        watch.step()
                    unit_done, last = (i + 1) % stage.unit == 0, i + 1 == stage.steps
                    logging = stage.always(i) or any(stage.within(i, every) for every in (log_every, stage.unit, stage.steps))
                    if logging:
                        check()
                        row = {key: float(value) for key, value in metrics.items()}
                        now = time.monotonic()
                        if workers.main:
                            finite = {key: value if math.isfinite(value) else None for key, value in row.items()}
                            head: dict[str, float | int | str | None] = {
                                "step": step,
                                "stage": stage.name,
                                "samples_seen": seen + (i + 1) * stage.batch,
                            }
                            run.log({**head, **finite}, spent + now - began)
                            if writer:
                                for key, value in row.items():
                                    writer.add_scalar(key, value, step)
                        bar.update(step, stage.name, "  ".join(f"{k} {v:.4g}" for k, v in row.items()))
                    else:
                        bar.update(step, stage.name)
                    if (unit_done and (i + 1) // stage.unit % evaluate_every == 0) or last:
                        look()
                    stop = received[0] if received else 0
                    due = time.monotonic() - saved >= save_minutes * 60
                    if workers.world > 1:  # all processes must take the same branch, and asking them is a sync
                        stop, due = (workers.agree(stop), bool(workers.agree(int(due)))) if logging else (0, False)
                    if due or last or stop or step == end:
                        save()
                    if stop:
                        raise Interrupted(stop)
                first += stage.steps
    finally:
        bar.close()
        if watch:
            watch.close()
        if writer:
            writer.close()
    return step
