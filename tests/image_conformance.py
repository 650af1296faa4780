"""The checks that every image algorithm passes; tests/test_image_conformance.py runs them. A new algorithm adds one line to TINY.

As a script it trains all of them at tiny size in the processes of torchrun: FOLDER of images, FILE for the weights.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from image_bridge.algorithms import find
from image_bridge.blocks import BatchNorm2d
from image_bridge.captions import CaptionVectors, load_encoder
from image_bridge.images import ImageData
from image_bridge.pairs import PairData
from image_bridge.preview import Preview, Previewed
from textgan.runtime import Run, Workers, fit

TINY = {
    "cgan": {"size": 16, "steps": 6, "batch": 8, "noise": 6, "code": 5, "width": 4, "d_width": 4, "variety": 0.1},
    "stackgan": {
        "size": 32, "stage1_steps": 3, "stage2_steps": 3, "batch": 8, "noise": 6, "code": 5, "width": 4, "d_width": 4,
        "residuals": 1,
    },
    "stackgan_v2": {
        "size": 16, "first": 8, "steps": 4, "batch": 8, "noise": 6, "code": 5, "width": 4, "d_width": 4, "residuals": 1,
    },
}  # fmt: skip
RECIPES = ("paper", "modern")


def build(name, folder, seed=0, workers=None, **changes):
    algorithm, workers = find(name), workers or Workers()
    config, data = algorithm.Config(**{**TINY[name], **changes}), ImageData(folder)
    packed = {size: data.pack(size) for size in algorithm.sizes(config)}
    captions = CaptionVectors(data, load_encoder("bow", data))
    pairs = PairData(data, captions, packed, workers, wrong=config.wrong, mean_of=config.captions, seed=seed)
    workers.seed(seed, 0)
    return algorithm(config, pairs, workers), pairs


def train(name, folder, path, until=None, seed=0, workers=None, precision="fp32", **changes):
    made, pairs = build(name, folder, seed, workers, **changes)
    run = Run.open(path) if (path / "config.json").exists() else Run.create(path, {"algorithm": name}, {})
    shown = Previewed(made, Preview(pairs, seed), grids=3)
    steps = fit(shown, run, pairs.workers, seed=seed, until=until, log_every=3, precision=precision, progress=False)
    return made, steps


def play(made, workers, seed=0):
    """Every step of every stage, without a run."""
    step = 0
    for stage in made.stages():
        for i in range(stage.steps):
            workers.seed(seed, step)
            stage.step(i)
            step += 1


def networks(made):
    return {**{n: p.module for n, p in made.players.items()}, **made.kept}


def weights(made):
    return {f"{n}.{k}": v.clone() for n, m in networks(made).items() for k, v in m.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def games():
    """What two processes must train as one does: every algorithm by both recipes."""
    return [(name, recipe) for name in TINY for recipe in RECIPES]


def main(folder, out):
    torch.set_num_threads(1)
    workers, found = Workers.start("cpu"), {}
    for name, recipe in games():
        made, _ = build(name, folder, workers=workers, recipe=recipe)
        play(made, workers)
        found[f"{name} {recipe}"] = weights(made)
    BatchNorm2d.forward = nn.BatchNorm2d.forward  # a control: every process by the statistics of its own part
    made, _ = build("cgan", folder, workers=workers, recipe="paper")
    play(made, workers)
    found["apart"] = weights(made)
    if workers.main:
        torch.save(found, out)
    workers.agree(0)
    workers.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
