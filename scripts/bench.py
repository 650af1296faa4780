"""Time what the packages do beside the plain form of each, in one process, and say how far it is from its floor.

    python scripts/bench.py                                   everything; the plain forms are slow
    python scripts/bench.py rollouts rewards --threads 1
    python scripts/bench.py generator-step --device cuda --json out.json

The plain form of a thing is the obvious one, which stands beside it in scripts/benches. Before a pair is timed, both must give
the same: exactly, or the same distribution where the draws differ. Both are then run by turns, and the median counts. "Floor" is
the time of the arithmetic at the rate of a square matrix product, or of the bytes at the rate of a copy; both rates are measured
in this process.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benches import BENCHES, find

# SeqGAN's oracle experiment as the known toolkit schedules it: how often each part comes. A set of 10,000 negatives serves three
# epochs of D before the game and two in it.
EXPERIMENT = {"mle-epoch": 120, "discriminator-epoch": 5 * 3 + 200 * 4 * 2, "sampling": 5 + 200 * 4, "generator-step": 200}


def lines(row: Any) -> str:
    """A row for people."""
    plain = f"{row.plain:10.4g} s {row.ratio:9.4g} times" if row.plain else f"{'-':>12} {'-':>15}"
    floor = f"{row.floor:10.3g} s {row.from_floor:9.3g} times" if row.floor else f"{'-':>12} {'-':>15}"
    rate = f"{row.amount / row.ours:12,.4g} {row.unit}/s"
    more = [row.told, *([f"floor: {row.floor_of}"] if row.floor else []), row.agreement]
    return f"{row.name:24} {row.ours:10.4g} s {plain} {floor} {rate}\n" + "\n".join(f"    {line}" for line in more)


def experiment(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of the whole oracle experiment and of its parts, from what was timed; nothing where a part was not."""
    timed = {row["name"]: row["ours"] for row in rows}
    if not EXPERIMENT.keys() <= timed.keys():
        return {}
    parts = {name: count * timed[name] for name, count in EXPERIMENT.items()}
    return {"whole": sum(parts.values()), **parts}


def main(argv: list[str] | None = None) -> None:
    """Print a table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to time; everything if absent: {', '.join(BENCHES)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="turns that count; one more warms up")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, which only show that a bench works")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    a = parser.parse_args(argv)
    unknown = [name for name in a.names if name not in BENCHES]
    if unknown or a.threads < 1 or a.repeat < 1:
        wrong = f"there is no bench {unknown[0]!r}" if unknown else "--threads and --repeat must be 1 or more"
        parser.error(f"{wrong}; there are {', '.join(BENCHES)}")
    for library in ("OMP", "MKL", "OPENBLAS", "RAYON"):  # before any of them is loaded
        os.environ[f"{library}_NUM_THREADS"] = str(a.threads)
    import torch
    from benches.timing import Disagreement, Setting

    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        s = Setting(Path(folder), a.quick, a.repeat, torch.device(a.device))
        device = torch.cuda.get_device_name(s.device) if s.device.type == "cuda" else a.device
        found: dict[str, Any] = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores", "python": platform.python_version(),
            "torch": torch.__version__, "device": device, "threads": a.threads, "repeat": a.repeat, "quick": a.quick,
            "date": time.strftime("%Y-%m-%d"), "flop_per_s": s.flop_rate(), "bytes_per_s": s.byte_rate(), "rows": [],
        }  # fmt: skip
        print(
            f"{found['machine']}, Python {found['python']}, torch {found['torch']}, {device}, {a.threads} thread(s); "
            f"median of {a.repeat}; matrix product {s.flop_rate() / 1e9:,.1f} GFLOP/s, copy {s.byte_rate() / 1e9:,.1f} GB/s"
        )
        print(f"{'':24} {'ours':>12} {'plain':>12} {'ratio':>15} {'floor':>12} {'from floor':>15} {'rate':>14}")
        for name in a.names or BENCHES:
            torch.manual_seed(0)
            try:
                for row in find(name)(s):
                    print(lines(row), flush=True)
                    found["rows"].append(dataclasses.asdict(row))
            except Disagreement as error:
                sys.exit(f"{name}: our form and the plain one disagree: {error}")
            found["experiment"] = experiment(found["rows"])
            if a.json:
                a.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        if (whole := found["experiment"]) and not a.quick:
            parts = ", ".join(f"{name} {EXPERIMENT[name]:,} times {whole[name] / 3600:.2f} h" for name in EXPERIMENT)
            print(f"the whole oracle experiment, extrapolated: {whole['whole'] / 3600:.2f} h ({parts})")


if __name__ == "__main__":
    main()
