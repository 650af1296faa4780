"""How good a sentence encoder becomes in an hour on two CPU cores: its curve over time, and its two baselines.

    python scripts/encoders_in_an_hour.py --data corpora --suite-data sts --out runs/hour

Learns word vectors (both cores), then trains Quick-Thoughts and Skip-Thought beside each other, each on one core and each started
from these vectors, with `textgan train`. At the given minutes of training both are stopped, judged, and resumed; judging does not
count, the word vectors do. Quick-Thoughts ends with its fourth epoch, after about half an hour. Writes curve.json and curve.png;
at the end both are judged beside their baselines.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

RECIPES = {
    "quickthought": ["--epochs", "4", "--precision", "bf16", "--log-every", "20"],
    "skipthought": ["--epochs", "60", "--direction", "uni", "--hidden-dim", "600", "--precision", "bf16", "--log-every", "20"],
}  # fmt: skip


def textgan(*words: str) -> list[str]:
    return [sys.executable, "-m", "textgan", *words]


def train_until(runs: dict[str, Path], seconds: float, a: argparse.Namespace, words: Path, corpus: Path) -> None:
    """Train every run for so many seconds of its own clock, then let it save."""
    processes = {}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, run in runs.items():
        if clock(run) >= seconds:
            continue
        if (run / "config.json").exists():
            command = textgan("resume", str(run))
        else:
            common = [
                "--data",
                str(corpus),
                "--run",
                str(run),
                "--embeddings",
                str(words),
                "--threads",
                "1",
                "--seed",
                str(a.seed),
            ]
            command = textgan("train", name, *common, *RECIPES[name], "--evaluate-every", "2")
        with open(run.parent / f"{run.name}.log", "a", encoding="utf-8") as log:
            processes[name] = subprocess.Popen(command, stderr=log, env=environment)
    waiting = dict(processes)
    while waiting:
        time.sleep(1)
        for name, process in list(waiting.items()):
            if process.poll() is not None:
                del waiting[name]
            elif clock(runs[name]) >= seconds:
                process.send_signal(signal.SIGINT)
                process.wait()
                del waiting[name]


def clock(run: Path) -> float:
    """Seconds of training that a run has logged."""
    try:
        lines = (run / "timing.jsonl").read_text(encoding="utf-8").splitlines()
        return float(json.loads(lines[-1])["time"])
    except (OSError, IndexError, ValueError):
        return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of texts, a sentence a line, blank lines between documents")
    parser.add_argument("--suite-data", required=True, help="folder with SICK_*.txt, sts-*.csv, NAME.all")
    parser.add_argument("--out", default="runs/hour")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 20, 40, 60])
    parser.add_argument("--methods", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    out = Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    corpus, words, state = out / "corpus", out / "words", out / "curve.json"
    if not state.is_file():  # started again, the script goes on
        began = time.monotonic()
        text = ["--data", a.data, "--split", "line", "--lowercase", "--length", "40", "--vocab-size", "20000"]
        subprocess.run(textgan("prepare", *text, "--out", str(corpus)), check=True)
        vectors = ["--vector-size", "300", "--epochs", "8", "--workers", "2"]
        subprocess.run(
            textgan("train", "word2vec", "--data", a.data, "--split", "line", "--run", str(words), *vectors), check=True
        )
        state.write_text(json.dumps({"prepared_s": time.monotonic() - began, "curve": {name: [] for name in a.methods}}) + "\n")
    saved = json.loads(state.read_text())
    used, curve = saved["prepared_s"], saved["curve"]
    print(f"corpus and word vectors: {used:.0f} s", flush=True)
    runs = {name: out / name for name in curve}
    for minutes in [m for m in a.minutes if all(m > row["minutes"] for rows in curve.values() for row in rows)]:
        train_until(runs, max(1.0, 60 * minutes - used), a, words, corpus)
        last = minutes == a.minutes[-1]
        with ThreadPoolExecutor(len(runs)) as pool:
            found = pool.map(judge, runs.values(), [a.suite_data] * len(runs), [last] * len(runs))
            judged = dict(zip(runs, found, strict=True))
        for name, run in runs.items():
            step = int(sorted((run / "checkpoints").iterdir())[-1].name)
            curve[name].append({"minutes": minutes, "step": step, **judged[name]})
            told = ", ".join(f"{k} {v:.3f}" for k, v in judged[name].items())
            print(f"{minutes:g} minutes, {name}, step {step}: {told}", flush=True)
        state.write_text(json.dumps(saved, indent=1) + "\n")
    draw(curve, out / "curve.png")


JUDGE = """
import json, pathlib, sys
from textgan.encoders import SentenceEncoder
from textgan.evaluate.sts import read_suite, score
print(json.dumps(score(SentenceEncoder.from_pretrained(sys.argv[1]).encode, read_suite(pathlib.Path(sys.argv[2])))))
"""


def judge(run: Path, suite: str, last: bool) -> dict[str, float]:
    """The figures of a run; at the end beside its baselines, as `textgan evaluate` prints them."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if last:
        command = textgan("evaluate", str(run), "--suite", "sts", "--suite-data", suite)
        print(subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout, flush=True)
        return dict(json.loads((run / "suite-sts.json").read_text())["trained"])
    command = [sys.executable, "-W", "ignore", "-c", JUDGE, str(run), suite]
    return dict(json.loads(subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout))


def draw(curve: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Every task over the minutes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks = [key for key in next(iter(curve.values()))[0] if key not in ("minutes", "step") and "rho" not in key]
    figure, axes = pyplot.subplots(1, len(tasks), figsize=(3.2 * len(tasks), 3), layout="constrained")
    for task, axis in zip(tasks, axes, strict=True):
        for name, rows in curve.items():
            axis.plot([row["minutes"] for row in rows], [row[task] for row in rows], marker="o", label=name)
        axis.set_title(task)
        axis.set_xlabel("minutes")
    axes[0].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
