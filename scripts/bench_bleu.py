"""How fast BLEU and self-BLEU are beside nltk (and fast-bleu, where it is installed).

    python scripts/bench_bleu.py --references image_coco_test.txt --hypotheses samples.txt

One core. nltk is timed on a few hypotheses, which all have all references, and the time of all is extrapolated from those.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textgan.evaluate import self_bleu, sentence_bleu
from textgan.evaluate.words import words


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def nltk_bleu(hypotheses: Sequence[list[str]], references: Sequence[list[str]], own: bool, some: int) -> tuple[float, np.ndarray]:
    """Seconds for all hypotheses, from a few, and BLEU-2 to BLEU-5 of those."""
    from nltk.translate.bleu_score import SmoothingFunction
    from nltk.translate.bleu_score import sentence_bleu as score

    weights, smoothing = [tuple([1 / k] * k) for k in range(2, 6)], SmoothingFunction().method1

    def work() -> np.ndarray:
        rows = []
        for i in range(some):
            others = [*hypotheses[:i], *hypotheses[i + 1 :]] if own else references
            rows.append(score(others, hypotheses[i], weights, smoothing_function=smoothing))
        return np.array(rows)

    seconds, found = timed(work)
    return seconds / some * len(hypotheses), found


WEIGHTS = {k: tuple([1 / k] * k) for k in range(2, 6)}


def fast_bleu(hypotheses: Sequence[list[str]], references: Sequence[list[str]]) -> Any:
    from fast_bleu import BLEU

    return BLEU(references, WEIGHTS).get_score(hypotheses)


def fast_self_bleu(hypotheses: Sequence[list[str]], references: Sequence[list[str]]) -> Any:
    from fast_bleu import SelfBLEU

    return SelfBLEU(hypotheses, WEIGHTS).get_score()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=Path, required=True, help="real sentences, one a line")
    parser.add_argument("--hypotheses", type=Path, required=True, help="sentences to score, one a line")
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 2000, 10_000])
    parser.add_argument("--some", type=int, default=10, help="hypotheses that nltk scores")
    a = parser.parse_args()
    warnings.simplefilter("ignore")
    hypotheses, references = (words(p.read_text(encoding="utf-8").splitlines()) for p in (a.hypotheses, a.references))
    for size in a.sizes:
        h, r = hypotheses[:size], references[:size]
        for name, ours, own in (
            ("BLEU", lambda h=h, r=r: sentence_bleu(h, r), False),
            ("self-BLEU", lambda h=h: self_bleu(h), True),
        ):
            seconds, found = min((timed(ours) for _ in range(3)), key=lambda row: row[0])
            theirs, expected = nltk_bleu(h, r, own, min(a.some, size))
            agree = np.abs(found[: len(expected), 1:] - expected).max()
            told = f"{name:9} n {size:6,}: ours {seconds:7.3f} s   nltk about {theirs:9.1f} s"
            print(f"{told}   {theirs / seconds:9,.0f} times faster   largest difference {agree:.1e}", flush=True)
        for name, work in (("BLEU", fast_bleu), ("self-BLEU", fast_self_bleu)):
            try:
                print(f"{name:9} n {size:6,}: fast-bleu {timed(lambda work=work, h=h, r=r: work(h, r))[0]:.3f} s", flush=True)
            except ImportError:
                print("fast-bleu is not installed", flush=True)


if __name__ == "__main__":
    main()
