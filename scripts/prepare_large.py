"""Show that a corpus larger than memory is prepared, and trained on, in flat memory.

    python scripts/prepare_large.py --gigabytes 5 --folder /tmp/large --split line --methods quickthought skipthought

Writes a text of that size (documents of 50 sentences over a Zipf vocabulary of 200,000 words), runs `textgan prepare` and a short
`textgan train` of each method on it, in processes of their own, and prints the peak of each one's memory: its own, which is what
must stay flat, and with the mapped file, whose pages the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil


def write(path: Path, size: int, lines: bool, seed: int = 0, words: int = 200_000) -> None:
    """A file of at least ``size`` bytes of so many different words; a sentence a line, or four of them as prose."""
    r = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    known = np.array(["".join(r.choice(letters, n)) for n in r.integers(2, 10, words)])
    with open(path, "w", encoding="utf-8") as file:
        while file.tell() < size:
            ranks = np.minimum((r.pareto(1.0, 500 * 24) + 1).astype(int), len(known)) - 1
            found = [" ".join(s).capitalize() + "." for s in known[ranks].reshape(500, 24)]
            joined = found if lines else [" ".join(found[k : k + 4]) for k in range(0, 500, 4)]
            each = len(joined) // 10
            file.writelines("\n".join(joined[k : k + each]) + "\n\n" for k in range(0, len(joined), each))


def run(*words: str) -> tuple[float, float, float]:
    """Seconds, peak of its own memory and of all its resident memory in MB, of a command."""
    began, own, all_of_it = time.monotonic(), 0, 0
    process = subprocess.Popen([sys.executable, "-m", "textgan", *words])

    def watch() -> None:
        nonlocal own, all_of_it
        seen = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                memory = seen.memory_info()
            except psutil.NoSuchProcess:
                return
            own, all_of_it = max(own, memory.rss - getattr(memory, "shared", 0)), max(all_of_it, memory.rss)
            time.sleep(0.2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    watcher.join()
    if code:
        sys.exit(f"textgan {' '.join(words)} ended with {code}")
    return time.monotonic() - began, own / 1e6, all_of_it / 1e6


def main() -> None:
    """Print size, seconds and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--folder", default="large")
    parser.add_argument("--tokenizer", default="word")
    parser.add_argument("--split", choices=("line", "sentence"), default="sentence")
    parser.add_argument("--methods", nargs="*", default=["mle"])
    parser.add_argument("--steps", type=int, default=100)
    a = parser.parse_args()
    folder = Path(a.folder)
    folder.mkdir(parents=True, exist_ok=True)
    text, corpus = folder / f"text-{a.split}.txt", folder / f"corpus-{a.split}-{a.tokenizer}"
    if not text.exists() or text.stat().st_size < a.gigabytes * 1e9:
        write(text, int(a.gigabytes * 1e9), a.split == "line")
    if not corpus.exists():
        options = ["--tokenizer", a.tokenizer, "--length", "40", "--split", a.split, "--vocab-size", "20000", "--lowercase"]
        seconds, own, resident = run("prepare", "--data", str(text), "--out", str(corpus), *options)
        size = text.stat().st_size / 1e9
        print(
            f"prepare: {size:.2f} GB of text in {seconds:.0f} s, own memory {own:.0f} MB, resident {resident:.0f} MB", flush=True
        )
    size = sum(file.stat().st_size for file in corpus.iterdir()) / 1e9
    for method in a.methods:
        at = folder / f"run-{method}-{int(time.time())}"
        seconds, own, resident = run("train", method, "--data", str(corpus), "--run", str(at), "--until", str(a.steps))
        told = f"own memory {own:.0f} MB, resident {resident:.0f} MB"
        print(f"train {method}: {a.steps} steps on {size:.2f} GB of ids in {seconds:.0f} s, {told}", flush=True)


if __name__ == "__main__":
    main()
