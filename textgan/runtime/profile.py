"""A look at where the time of a few training steps goes: a trace for a browser, and the dearest operations."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity

WARM_UP, STEPS, DEAREST = 4, 5, 5  # steps before, steps that are looked at, operations that are told


class Watch:
    """Looks at ``STEPS`` steps after a warm-up, and tells on standard error what it saw.

    Args:
        path: where a Chrome trace is written (for chrome://tracing or ui.perfetto.dev).
        device: whose time is told.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise torch tells its users when it starts and stops
        self.path, self.device, self.done, self.began = path, device, 0, 0.0
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
        self.profile: Any = torch.profiler.profile(activities=activities)

    def step(self) -> None:
        """To be called after each training step."""
        self.done += 1
        if self.done == WARM_UP:
            self.profile.prepare_trace()
            self.profile.start_trace()
            self.began = self._now()
        elif self.done == WARM_UP + STEPS:
            seconds = self._now() - self.began
            self.profile.stop_trace()
            temporary = self.path.with_name(f".{os.getpid()}.{self.path.name}")
            self.profile.export_chrome_trace(str(temporary))
            os.replace(temporary, self.path)
            _say(f"{STEPS} steps took {seconds:.3f} s; the dearest operations:", *self.dearest(seconds), f"trace: {self.path}")

    def dearest(self, seconds: float) -> list[str]:
        """The dearest operations, a line each: name, own time, its share of all the time, calls."""
        own = "self_device_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
        events = [event for event in self.profile.key_averages() if event.device_type.name == "CPU"]
        spent = sorted(((getattr(event, own) / 1e6, event) for event in events), key=lambda pair: -pair[0])[:DEAREST]
        return [f"  {e.key[:45]:45} {t:8.3f} s  {t / seconds:6.1%}  {e.count:8,} calls" for t, e in spent]

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def close(self) -> None:
        """After training; says so where it ended too soon."""
        if self.done < WARM_UP + STEPS:
            if self.done >= WARM_UP:
                self.profile.stop_trace()
            _say(f"no profile: it takes {WARM_UP + STEPS} steps, and only {self.done} were done")


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)  # noqa: T201
