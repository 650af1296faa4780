"""How time and memory grow with the work: rollouts and rewards with batch, T, V and N, preparation with the size of the text.

    python scripts/bench_growth.py --out docs/growth.png

Every point is a process of its own, on one thread, so that its memory is its own: how much the resident memory was, at its peak,
above what it was before the work (Linux). The plot has logarithmic axes; "power" in a title is the slope that is fitted to all
points: with which power of its size a thing grows. The figures lie beside the plot as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BASE = {"batch": 32, "length": 20, "vocab": 5000, "rollouts": 8}
SWEEPS = {
    "batch": [8, 16, 32, 64, 128], "length": [5, 10, 20, 40], "vocab": [1250, 2500, 5000, 10_000, 20_000],
    "rollouts": [2, 4, 8, 16, 32], "megabytes": [1, 2, 4, 8, 16],
}  # fmt: skip
QUICK = {"batch": 4, "length": 6, "vocab": 50, "rollouts": 2}
QUICK_SWEEPS = {"batch": [4, 8], "megabytes": [0.07, 0.14]}


def resident(peak: bool) -> float:
    """Resident memory in MB, now or at its peak since ``forget_peak``."""
    name = "VmHWM:" if peak else "VmRSS:"
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1000


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def rewards(batch: int, length: int, vocab: int, rollouts: int) -> Callable[[], object]:
    """Rollouts and rewards of SeqGAN at these sizes."""
    import torch

    from textgan.discriminators import CNNHighway, CNNHighwayConfig
    from textgan.estimators import rollout_reward
    from textgan.generators import RNNConfig, RNNGenerator

    torch.set_num_threads(1)
    torch.manual_seed(0)
    G, D = RNNGenerator(RNNConfig(vocab, bos=0, eos=None)), CNNHighway(CNNHighwayConfig(vocab, length)).eval()
    x = G.sample(batch, length)
    return lambda: rollout_reward(G, D.probability, x, torch.rand(batch, length - 1, rollouts, length), n=rollouts)


def preparation(megabytes: float, folder: Path) -> Callable[[], object]:
    """Preparation of a text of this size, a sentence a line."""
    from prepare_large import write

    from textgan.corpus import prepare

    source, turn = folder / "text.txt", iter(range(1000))

    def work() -> object:
        return prepare(str(source), folder / f"corpus-{next(turn)}", length=40, split="line")

    write(source, 1, lines=True, words=2000)
    work()  # what is imported on the way does not count
    write(source, int(megabytes * 1e6), lines=True, words=2000)
    return work


def point(sizes: dict[str, Any], repeat: int, folder: Path) -> dict[str, float]:
    """Median seconds of a point, and the peak of the memory that the first time took, in MB."""
    work = preparation(sizes["megabytes"], folder) if "megabytes" in sizes else rewards(**sizes)
    before = resident(False)
    forget_peak()
    work()
    memory, seconds = resident(True) - before, []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return {**sizes, "seconds": statistics.median(seconds), "megabytes_of_memory": memory}


def slope(x: list[float], y: list[float]) -> float:
    """The power with which y grows with x, by least squares on logarithms."""
    return float(np.polyfit(np.log(x), np.log(np.maximum(y, 1e-9)), 1)[0])


def plot(found: dict[str, list[dict[str, float]]], out: Path) -> None:
    """A column for each thing that grows; time above, memory below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, NullFormatter

    names = {"batch": "batch", "length": "T", "vocab": "V", "rollouts": "N", "megabytes": "text, MB"}
    figure, axes = plt.subplots(2, len(found), figsize=(2.6 * len(found), 4.8), squeeze=False, layout="constrained")
    for column, (name, rows) in enumerate(found.items()):
        for row, (key, unit) in enumerate((("seconds", "time, s"), ("megabytes_of_memory", "own memory, MB"))):
            axis, x, y = axes[row][column], [r[name] for r in rows], [max(r[key], 1e-3) for r in rows]
            axis.loglog(x, y, marker="o", markersize=4, color="tab:blue" if row == 0 else "tab:orange")
            axis.set_ylim(10.0 ** np.floor(np.log10(min(y))), 10.0 ** np.ceil(np.log10(max(y)) + 1e-9))
            axis.set_title(f"power {slope(x, y):.2f}", fontsize=10)
            axis.set_xlabel(names[name])
            axis.set_ylabel(unit if column == 0 else "")
            axis.set_xticks(x, [f"{value:g}" for value in x], fontsize=8)
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            for some in (axis.xaxis, axis.yaxis):
                some.set_minor_formatter(NullFormatter())
            axis.grid(alpha=0.3)
    figure.savefig(out, dpi=150)
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    """Write the plot and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("growth.png"), help="the plot; the figures go beside it as .json")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, which only show that it works")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    a = parser.parse_args(argv)
    if a.point:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(point(json.loads(a.point), a.repeat, Path(folder))))
        return
    base, found = QUICK if a.quick else BASE, dict[str, list[dict[str, float]]]()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    for name, values in (QUICK_SWEEPS if a.quick else SWEEPS).items():
        for value in values:
            sizes = {name: value} if name == "megabytes" else {**base, name: value}
            command = [sys.executable, __file__, "--point", json.dumps(sizes), "--repeat", str(a.repeat)]
            told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
            found.setdefault(name, []).append(json.loads(told))
            print(told.strip(), flush=True)
    for name, rows in found.items():
        x = [row[name] for row in rows]
        time_slope, memory_slope = (slope(x, [row[key] for row in rows]) for key in ("seconds", "megabytes_of_memory"))
        print(f"with {name}: time grows with the power {time_slope:.2f}, memory with {memory_slope:.2f}")
    a.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    plot(found, a.out)


if __name__ == "__main__":
    main()
