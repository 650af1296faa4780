"""COCO captions: BLEU, self-BLEU and held-out likelihood of maximum likelihood and SeqGAN, beside the published numbers.

    python scripts/reproduce_coco.py --train image_coco.txt --test image_coco_test.txt

The 10,000 captions of each file are those of Texygen. Sizes are the published ones (embedding and state of 32); captions of
more than 19 words are left out of training. 10,000 samples, all test captions as references, nltk's words and smoothing method1.
Trains with `textgan train`, goes on where it was stopped, and writes the table into PAPERS.md. The default schedule of SeqGAN is
short (40 epochs of pretraining, D with 2 rounds of pretraining, 2,000 negatives, one epoch and one set a round, 30 rounds);
--full is the paper's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tables import train, where_and_when, write_between

SHORT = "--pretrain-epochs 40 --d-pretrain-rounds 2 --d-samples 2000 --d-epochs 1 --d-steps 1 --rounds 30".split()
# Texygen's benchmark (Zhu et al., 2018); its sample files give the same numbers with this project's BLEU
PUBLISHED = {
    "published: MLE": ".731 .497 .305 .189 .916 .769 .583 .408",
    "published: SeqGAN": ".745 .498 .294 .180 .950 .840 .670 .489",
    "published: RankGAN": ".743 .467 .264 .156 .959 .882 .762 .618",
    "published: LeakGAN": ".746 .528 .355 .230 .966 .913 .848 .780",
}
BLEU = [f"{name}_{k}" for name in ("bleu", "self_bleu") for k in range(2, 6)]


def judge(path: Path, a: argparse.Namespace) -> dict[str, dict[str, float]]:
    """What `textgan evaluate` finds."""
    command = [sys.executable, "-m", "textgan", "evaluate", str(path), "--against", str(a.test), "--format", "json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return dict(json.loads(done.stdout))


def main() -> None:
    """Train what is missing, judge, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="captions to learn from, one a line")
    parser.add_argument("--test", type=Path, required=True, help="captions to compare with, one a line")
    parser.add_argument("--out", type=Path, default=Path("runs/coco"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true", help="the paper's schedule for SeqGAN")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time, one thread each")
    parser.add_argument("--papers", type=Path, default=Path("PAPERS.md"), help="where the table goes")
    a = parser.parse_args()
    began = time.monotonic()
    text = ["--test", str(a.test), "--length", "20", "--evaluate-every", "5"]
    gan = [] if a.full else SHORT
    runs = {"seqgan": ["seqgan", *gan], "constant": ["seqgan", *gan, "--reward", "constant"], "mle": ["mle", "--epochs", "80"]}
    with ThreadPoolExecutor(a.jobs) as pool:
        work = [
            pool.submit(train, method, a.out / name, str(a.train), a.seed, *text, *options)
            for name, (method, *options) in runs.items()
        ]
        for done in work:
            done.result()
        print(f"trained in {(time.monotonic() - began) / 60:.0f} minutes", flush=True)
        rows = {
            "MLE, early-stopped": a.out / "mle" / "best",
            "MLE, 80 epochs": a.out / "mle",
            "SeqGAN": a.out / "seqgan",
            "constant reward, no discriminator": a.out / "constant",
        }
        judged = dict(zip(rows, pool.map(lambda path: judge(path, a), rows.values()), strict=True))
    names = " | ".join(key.replace("self_bleu_", "self-BLEU-").replace("bleu_", "BLEU-") for key in BLEU)
    lines = [f"| | {names} | different | NLL_test |", "|---" * (len(BLEU) + 3) + "|"]
    first = judged["MLE, early-stopped"]
    for name, found in {"real text (training captions)": first["real"], **{n: j["model"] for n, j in judged.items()}}.items():
        cells = [f"{found[key]:.3f}".lstrip("0") for key in BLEU]
        likelihood = f"{found['nll_test']:.3f}" if "nll_test" in found else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {found['distinct_sentences']:,.0f} | {likelihood} |")
    lines += [f"| {name} | {' | '.join(values.split())} | | |" for name, values in PUBLISHED.items()]
    how = f"{first['samples']:,} samples, {first['references']:,} references; {'the' if a.full else 'short'} schedule; one seed."
    written = "\n".join([*lines, "", f"{how} NLL_test in nats a token. {where_and_when()}"])
    print(written)
    write_between(a.papers, "coco", written)


if __name__ == "__main__":
    main()
