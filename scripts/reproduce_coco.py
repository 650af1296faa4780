"""COCO captions: BLEU, self-BLEU and held-out likelihood of every text GAN here, beside maximum likelihood and the published.

    python scripts/reproduce_coco.py --train image_coco.txt --test image_coco_test.txt

The 10,000 captions of each file are those of Texygen; captions of more than 19 words are left out of training. 10,000 samples,
all test captions as references, nltk's words and smoothing method1. Trains with `textgan train`, one core a run, goes on where it
was stopped, and writes two tables into PAPERS.md; runs that ended before are in them too. Sizes are those of the papers, the
default schedules are short (SETTINGS); --full has those of the papers.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tables import FINISHED, train, where_and_when, write_between

SEQGAN = "--pretrain-epochs 40 --d-pretrain-rounds 2 --d-samples 2000 --d-epochs 1 --d-steps 1 --rounds 30"
SETTINGS = {  # name of the run: method, short schedule, that of --full, always
    "mle": ("mle", "", "", "--epochs 80"),
    "seqgan": ("seqgan", SEQGAN, "", ""),
    "constant": ("seqgan", SEQGAN, "", "--reward constant"),
    "gumbel": ("gumbel", "", "--rounds 10000", ""),
    "relgan": ("relgan", "--pretrain-epochs 6 --rounds 60 --d-steps 1", "--pretrain-epochs 150 --rounds 2000", ""),
    "maskgan": ("maskgan", "--fill-epochs 6 --rounds 60", "--lm-epochs 20 --fill-epochs 20 --rounds 100000", ""),
}
NAMES = {
    "seqgan": "SeqGAN", "constant": "constant reward, no discriminator", "gumbel": "Gumbel-softmax GAN", "relgan": "RelGAN",
    "maskgan": "MaskGAN, nothing given",
}  # fmt: skip
# Texygen's benchmark (Zhu et al., 2018; its sample files give the same numbers with this project's BLEU); RelGAN: its paper, with
# beta_max 100. NLL_gen, on training captions: RelGAN's paper.
PUBLISHED = {
    "published: MLE": ".731 .497 .305 .189 .916 .769 .583 .408 .718",
    "published: SeqGAN": ".745 .498 .294 .180 .950 .840 .670 .489 1.082",
    "published: RankGAN": ".743 .467 .264 .156 .959 .882 .762 .618 1.344",
    "published: LeakGAN": ".746 .528 .355 .230 .966 .913 .848 .780 .679",
    "published: RelGAN": ".849 .687 .502 .331 - - - - .756",
}
PLACES = 37  # of a padded caption in the published NLL_gen
BLEU = [f"{name}_{k}" for name in ("bleu", "self_bleu") for k in range(2, 6)]


def judge(path: Path, a: argparse.Namespace) -> dict[str, dict[str, float]]:
    """What `textgan evaluate` finds, kept beside the checkpoint, and nll_gen: nats a place of training captions."""
    kept = path / "judged.json"
    if not kept.is_file():
        command = [sys.executable, "-m", "textgan", "evaluate", str(path), "--against", str(a.test), "--json"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        from textgan import load
        from textgan.corpus import Corpus
        from textgan.evaluate import nll_test

        found, run = json.loads(done.stdout), path.parent if path.name == "best" else path
        on_training = nll_test(load(path), Corpus.open(run / "data").train, 20)
        found["model"]["nll_gen"] = on_training["nll_test_sequence"] / PLACES
        kept.write_text(json.dumps(found) + "\n")
    return dict(json.loads(kept.read_text()))


def minutes(run: Path) -> str:
    """How long a run has trained."""
    return f"{json.loads((run / 'timing.jsonl').read_text().splitlines()[-1])['time'] / 60:.0f}"


def samples_table(a: argparse.Namespace, pool: ThreadPoolExecutor) -> str:
    """BLEU, self-BLEU and likelihoods, as Markdown."""
    rows = {"MLE, early-stopped": a.out / "mle" / "best", "MLE, 80 epochs": a.out / "mle"}
    rows |= {name: a.out / run for run, name in NAMES.items()}
    rows = {name: path for name, path in rows.items() if any((p / FINISHED).is_file() for p in (path, path.parent))}
    judged = dict(zip(rows, pool.map(lambda path: judge(path, a), rows.values()), strict=True))
    names = " | ".join(key.replace("self_bleu_", "self-BLEU-").replace("bleu_", "BLEU-") for key in BLEU)
    lines = [f"| | {names} | NLL_gen | NLL_test | different | minutes |", "|---" * (len(BLEU) + 5) + "|"]
    first = next(iter(judged.values()))
    for name, found in {"real text (training captions)": first["real"], **{n: j["model"] for n, j in judged.items()}}.items():
        cells = [f"{found[key]:.3f}".lstrip("0") for key in BLEU]
        cells += [f"{found[key]:.3f}" if key in found else "" for key in ("nll_gen", "nll_test")]
        cells += [
            f"{found['distinct_sentences']:,.0f}",
            minutes(rows[name]) if name in rows and rows[name].name != "best" else "",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [f"| {name} | {' | '.join(values.split())} | | | |" for name, values in PUBLISHED.items()]
    how = (
        f"{first['samples']:,} samples, {first['references']:,} references; {'full' if a.full else 'short'} schedules; one seed."
    )
    nll = (
        f"NLL_gen: nats of a training caption divided by {PLACES} places, the published convention; NLL_test: nats a token of "
        "the test captions, EOS counted. Minutes of training on one core, another run on the other."
    )
    return "\n".join([*lines, "", f"{how} {nll} {where_and_when()}"])


def unigram(run: Path, length: int = 20) -> float:
    """Nats a blank if it is filled with words of the training text at random, at their frequencies (one added to each count)."""
    from textgan.corpus import Corpus
    from textgan.generators.masked import blanks

    corpus = Corpus.open(run / "data")
    train_ids, test_ids = (part.rows(np.arange(len(part)), length) for part in (corpus.train, corpus.test))
    real = train_ids != 0
    counts = np.bincount(train_ids[real], minlength=corpus.vocab_size) + 1
    u = torch.rand(len(test_ids), length, generator=torch.Generator().manual_seed(0))
    blank = blanks(torch.from_numpy((test_ids != 0).sum(1)), length, 0.5, "contiguous", u).numpy()
    return float(-np.log(counts[test_ids[blank]] / counts.sum()).mean())


def filling_table(a: argparse.Namespace) -> str:
    """In-filling perplexity of MaskGAN after maximum likelihood and after the game, as Markdown."""
    run = a.out / "maskgan"
    if not (run / FINISHED).is_file():
        return ""
    found = [json.loads(p.read_text()) for p in sorted((run / "eval").glob("[0-9]*.json"))]
    start = [e for e in found if e["stage"] == "in_filling"][-1]
    values = {
        "random tokens": start["fill_perplexity_random"],
        "random tokens, at the frequencies of the training text": math.exp(unigram(run)),
        "after in-filling by maximum likelihood": start["fill_perplexity"],
        "after the game": found[-1]["fill_perplexity"],
    }
    lines = [
        "",
        "Blanks of test captions, half of each (one stretch), given the rest:",
        "",
        "| | perplexity of a blank |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(f"| {name} | {value:.1f} |" for name, value in values.items())])


def main() -> None:
    """Train what is missing, judge, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="captions to learn from, one a line")
    parser.add_argument("--test", type=Path, required=True, help="captions to compare with, one a line")
    parser.add_argument("--out", type=Path, default=Path("runs/coco"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), help="what to train")
    parser.add_argument("--full", action="store_true", help="the papers' schedules: days on a CPU")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time, one thread each")
    parser.add_argument("--papers", type=Path, default=Path("PAPERS.md"), help="where the tables go")
    a = parser.parse_args()
    began = time.monotonic()
    with ThreadPoolExecutor(a.jobs) as pool:
        work = []
        for name in a.methods:
            method, short, full, always = SETTINGS[name]
            options = ["--test", str(a.test), "--length", "20", "--evaluate-every", "5", *always.split()]
            options += (full if a.full else short).split()
            work.append(pool.submit(train, method, a.out / name, str(a.train), a.seed, *options))
        for done in work:
            done.result()
        print(f"trained in {(time.monotonic() - began) / 60:.0f} minutes", flush=True)
        written = samples_table(a, pool) + "\n" + filling_table(a)
    print(written)
    write_between(a.papers, "coco", written.strip())


if __name__ == "__main__":
    main()
