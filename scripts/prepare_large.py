"""Show that a corpus larger than memory is prepared, and trained on, in flat memory.

    python scripts/prepare_large.py --gigabytes 2 --folder /tmp/large

Writes a text of that size (documents of sentences over a Zipf vocabulary of 200,000 words), runs `textgan prepare` and a short
`textgan train` on it in processes of their own, and prints the peak resident memory of each, as the system counts it.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def write(path: Path, size: int, seed: int = 0) -> None:
    """A file of at least ``size`` bytes: prose, 50 lines of four sentences a document."""
    r = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(r.choice(letters, n)) for n in r.integers(2, 10, 200_000)])
    with open(path, "w", encoding="utf-8") as file:
        while file.tell() < size:
            lines = []
            ranks = np.minimum((r.pareto(1.0, 50 * 48) + 1).astype(int), len(words)) - 1
            for line in words[ranks].reshape(50, 48):
                sentences = [line[k : k + 12] for k in range(0, 48, 12)]
                lines.append(" ".join(" ".join(s).capitalize() + "." for s in sentences))
            file.write("\n".join(lines) + "\n\n")


def run(*words: str) -> tuple[float, float]:
    """Seconds and peak resident memory in MB of a command."""
    began = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    subprocess.run([sys.executable, "-m", "textgan", *words], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if peak <= before:
        print("  (not above the peak of the command before)")
    return time.monotonic() - began, peak / (1 if sys.platform == "darwin" else 1024) / (1024 if sys.platform == "darwin" else 1)


def main() -> None:
    """Print size, seconds and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--folder", default="large")
    parser.add_argument("--tokenizer", default="word")
    a = parser.parse_args()
    folder = Path(a.folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "text.txt"
    if not text.exists() or text.stat().st_size < a.gigabytes * 1e9:
        write(text, int(a.gigabytes * 1e9))
    corpus, trained = folder / f"corpus-{a.tokenizer}", folder / f"run-{a.tokenizer}-{int(time.time())}"
    seconds, peak = run("prepare", "--data", str(text), "--out", str(corpus), "--tokenizer", a.tokenizer, "--length", "40")
    print(f"prepare: {text.stat().st_size / 1e9:.2f} GB of text in {seconds:.0f} s, peak resident memory {peak:.0f} MB")
    size = sum(file.stat().st_size for file in corpus.iterdir())
    seconds, peak = run("train", "mle", "--data", str(corpus), "--run", str(trained), "--epochs", "1", "--until", "100")
    print(f"train: 100 steps on {size / 1e9:.2f} GB of ids in {seconds:.0f} s, peak resident memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
