"""SeqGAN's synthetic experiment over several seeds: maximum likelihood, SeqGAN, rewards that know nothing, other GANs.

    python scripts/reproduce_seqgan_oracle.py --oracle seqgan_target_lstm.npz
    python scripts/reproduce_seqgan_oracle.py --oracle seqgan_target_lstm.npz --methods relgan --seeds 0

Trains with `textgan train`, several runs at a time, goes on where it was stopped, and writes the table into PAPERS.md; runs that
ended before are in it too. The default is a schedule that fits three seeds into two hours on two cores: for SeqGAN 40 epochs of
pretraining instead of 120, and for D two rounds of pretraining instead of 50, 2,000 negatives instead of 10,000, one epoch and
one set a round instead of 3 and 5; 50 rounds instead of 200. --full is the papers'. The generators of SeqGAN and of its controls
start from the same pretrained one. RelGAN took 67 minutes more for one seed beside other work: 8 epochs of pretraining instead of
150, 300 rounds instead of 3,000, one step of D a round instead of 5.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean, stdev

import torch
from tables import FINISHED, train, where_and_when, write_between

from textgan import load
from textgan.corpus import Corpus
from textgan.evaluate.sweep import measure
from textgan.generators import RNNGenerator

SHORT = "--pretrain-epochs 40 --d-pretrain-rounds 2 --d-samples 2000 --d-epochs 1 --d-steps 1 --rounds 50"
OTHERS = {  # settings, then those of --full
    "gumbel": ("--pretrain-epochs 40", "--pretrain-epochs 40"),
    "relgan": (
        "--pretrain-epochs 8 --rounds 300 --d-steps 1 --beta-max 2",
        "--pretrain-epochs 150 --rounds 3000 --d-steps 5 --beta-max 2",
    ),
}
METHODS = ("mle", "seqgan", *OTHERS)
REWARDS = ("discriminator", "constant", "random")
NAMES = {
    "discriminator": "SeqGAN", "constant": "constant reward, no discriminator", "random": "random reward, no discriminator",
    "gumbel": "Gumbel-softmax GAN", "relgan": "RelGAN",
}  # fmt: skip
PUBLISHED = {"MLE, 120 epochs": "9.038", "SeqGAN": "8.736"}
TEMPERATURES = (1.2, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25)
SWEPT = 2000  # sequences that a point of a sweep draws and scores: an error of about 0.01 nats
LEVELS = (9, 8, 7, 6)
# Caccia et al., 2020 (their released curves; NLL_test of 10,000 fresh sequences)
PUBLISHED_LEVELS = {
    "MLE, early-stopped (Caccia et al.)": "7.71, 8.04, 8.55, 9.27",
    "best GAN (Caccia et al.)": "7.97, 8.49, 9.13, 10.56",
}


def steps(run: Path) -> int:
    """Steps of the newest checkpoint."""
    return max((int(p.name) for p in (run / "checkpoints").glob("[0-9]*")), default=0)


def train_mle(a: argparse.Namespace, seed: int) -> None:
    """120 epochs, judged every tenth; the best is kept."""
    run = a.out / f"mle-{seed}"
    train("mle", run, f"oracle:{a.oracle}", seed, "--epochs", "120", "--evaluate-every", "10")


def train_seqgan(a: argparse.Namespace, seed: int) -> None:
    """Pretraining once, then each reward from a copy of that run."""
    options = [] if a.full else SHORT.split()
    epochs = 120 if a.full else 40
    first = a.out / f"pretrained-{seed}"
    end = epochs * -(-10_000 // 64)
    if steps(first) != end:
        if steps(first) > end:
            raise SystemExit(f"{first} went beyond its {end} steps of pretraining; remove it, and the controls of seed {seed}")
        train("seqgan", first, f"oracle:{a.oracle}", seed, *options, "--evaluate-every", "10", "--until", str(end))
    for reward in REWARDS:
        run = a.out / f"{reward}-{seed}"
        if not run.is_dir():
            temporary = a.out / f".{run.name}"
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(first, temporary)
            config = json.loads((temporary / "config.json").read_text())
            config["config"]["reward"] = reward
            (temporary / "config.json").write_text(json.dumps(config, indent=1) + "\n")
            temporary.rename(run)
        train("seqgan", run, f"oracle:{a.oracle}", seed)


def train_others(method: str, a: argparse.Namespace, seed: int) -> None:
    """Pretraining and game of a method that has no controls."""
    options = OTHERS[method][a.full].split()
    train(method, a.out / f"{method}-{seed}", f"oracle:{a.oracle}", seed, *options, "--evaluate-every", "4")


def evaluations(run: Path) -> list[dict[str, float]]:
    return [json.loads(p.read_text()) for p in sorted((run / "eval").glob("[0-9]*.json"))]


def sweep(checkpoint: Path, run: Path) -> list[tuple[float, float]]:
    """(NLL_oracle, NLL_test) over temperatures; kept beside the run."""
    kept = run / "sweep.json"
    if not kept.is_file():
        corpus, oracle = Corpus.open(run / "data"), RNNGenerator.from_pretrained(run / "data" / "oracle")
        held_out = torch.from_numpy(corpus.test.rows(range(SWEPT), 20))
        model, found = load(checkpoint), []
        for t in TEMPERATURES:
            figures = measure(model, t, n=SWEPT, length=20, held_out=held_out, oracle=oracle)
            found.append((figures["nll_oracle"][0], figures["nll_test"][0]))
        kept.write_text(json.dumps(found) + "\n")
    return [(x, y) for x, y in json.loads(kept.read_text())]


def at(curve: list[tuple[float, float]], level: float) -> float | None:
    """NLL_test where NLL_oracle is ``level``, on straight lines between the temperatures."""
    for (x0, y0), (x1, y1) in itertools.pairwise(curve):
        if min(x0, x1) <= level <= max(x0, x1):
            return y0 + (y1 - y0) * (level - x0) / (x1 - x0)
    return None


def spread(values: list[float]) -> str:
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def table(a: argparse.Namespace) -> str:
    """What the runs found, as Markdown."""
    rows: dict[str, list[tuple[float, float]]] = {}
    curves: dict[str, list[list[tuple[float, float]]]] = {}

    def add(name: str, found: dict[str, float]) -> None:
        rows.setdefault(name, []).append((found["nll_oracle"], found["nll_test"]))

    def runs(method: str) -> list[Path]:
        return sorted(p.parent for p in a.out.glob(f"{method}-*/{FINISHED}"))

    for run in runs("mle"):
        mle = evaluations(run)
        add("MLE, early-stopped", min(mle, key=lambda e: e["nll_test"]))
        add("MLE, 40 epochs", next(e for e in mle if e["step"] == 40 * 157))
        add("MLE, 120 epochs", mle[-1])
        curves.setdefault("MLE, early-stopped", []).append(sweep(run / "best", run))
    for method, name in NAMES.items():
        for run in runs(method):
            found = evaluations(run)
            if method == "relgan":  # another generator, so another start
                add("RelGAN's generator after MLE", [e for e in found if e["stage"] == "pretrain_g"][-1])
            add(name, found[-1])
            curves.setdefault(name, []).append(sweep(run, run))
    lines = ["| | NLL_oracle | NLL_test | seeds | published NLL_oracle |", "|---|---|---|---|---|"]
    for name, values in rows.items():
        o, t = zip(*values, strict=True)
        lines.append(f"| {name} | {spread(list(o))} | {spread(list(t))} | {len(values)} | {PUBLISHED.get(name, '')} |")
    lines += ["", f"NLL_test where the temperature brings NLL_oracle to {', '.join(map(str, LEVELS))}:", ""]
    lines += [f"| | {' | '.join(map(str, LEVELS))} |", "|---" * (1 + len(LEVELS)) + "|"]
    for name, found_curves in curves.items():
        cells = []
        for level in LEVELS:
            known = [v for v in (at(c, level) for c in found_curves) if v is not None]
            cells.append(spread(known) if len(known) == len(found_curves) else "not reached")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, values in PUBLISHED_LEVELS.items():
        lines.append(f"| published: {name} | {' | '.join(values.split(', '))} |")
    schedule = "the schedules of the papers" if a.full else "the short schedules"
    return "\n".join(
        [
            *lines,
            "",
            f"Mean ± standard deviation over seeds; {schedule}; 10,000 fresh test sequences, {SWEPT:,} in the sweeps. "
            f"{where_and_when()}",
        ]
    )


def main() -> None:
    """Train what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", required=True, help="the published oracle's .npz")
    parser.add_argument("--out", type=Path, default=Path("runs/seqgan-oracle"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["mle", "seqgan", "gumbel"], help="what to train")
    parser.add_argument("--full", action="store_true", help="the papers' schedules: days on a CPU")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time, one thread each")
    parser.add_argument("--papers", type=Path, default=Path("PAPERS.md"), help="where the table goes")
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    work = {"seqgan": train_seqgan, "mle": train_mle, **{name: partial(train_others, name) for name in OTHERS}}
    jobs = [(work[method], seed) for seed in a.seeds for method in work if method in a.methods]
    with ThreadPoolExecutor(a.jobs) as pool:
        for done in [pool.submit(run, a, seed) for run, seed in jobs]:
            done.result()
    print(f"trained in {(time.monotonic() - began) / 60:.0f} minutes", flush=True)
    torch.set_num_threads(a.jobs)
    written = table(a)
    print(written)
    write_between(a.papers, "seqgan-oracle", written)


if __name__ == "__main__":
    main()
