"""The checks that every image algorithm passes; tests/test_image_conformance.py runs them.

A new algorithm adds one line to TINY, and one to VARIANTS where it has several forms.

As a script it trains all of them at tiny size in the processes of torchrun: FOLDER of images, FILE for the weights.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from image_bridge.algorithms import fed, find
from image_bridge.blocks import BatchNorm2d
from image_bridge.captions import CaptionVectors, ClassNames, load_encoder
from image_bridge.generators import TRANSLATORS, UNetGenerator, load_generator, load_translator
from image_bridge.images import ImageData
from image_bridge.lines import LineImages, LinePreview, pack_lines
from image_bridge.pairs import PairData, TrainingImages
from image_bridge.preview import PlainPreview, Preview, Previewed, TranslationPreview
from textgan.runtime import Run, Workers, fit

SMALL = {"size": 8, "channels": 1, "steps": 6, "batch": 8, "noise": 6, "width": 4, "d_width": 4}
DOMAINS = {"label": "size", "size": 16, "epochs": 1, "batch": 8, "width": 4, "d_width": 4}
TINY = {
    "cgan": {"size": 16, "steps": 6, "batch": 8, "noise": 6, "code": 5, "width": 4, "d_width": 4, "variety": 0.1},
    "stackgan": {
        "size": 32, "stage1_steps": 3, "stage2_steps": 3, "batch": 8, "noise": 6, "code": 5, "width": 4, "d_width": 4,
        "residuals": 1,
    },
    "stackgan_v2": {
        "size": 16, "first": 8, "steps": 4, "batch": 8, "noise": 6, "code": 5, "width": 4, "d_width": 4, "residuals": 1,
    },
    "gan": {**SMALL, "width": 12, "d_width": 6},
    "dcgan": SMALL,
    "wgan": {**SMALL, "steps": 4, "critic_steps": 2},
    "wgan_gp": {**SMALL, "steps": 4, "critic_steps": 2},
    "sngan": {**SMALL, "steps": 4, "critic_steps": 2},
    "acgan": {**SMALL, "label": "colour", "lr": 0.01},
    "infogan": {**SMALL, "values": 3, "hidden": 8, "q_hidden": 6, "lr": 0.01, "d_lr": 0.01},
    "pggan": {"size": 16, "channels": 1, "phase": 16, "batch": 8, "noise": 6, "width": 4},
    "cyclegan": {**DOMAINS, "domains": "large,small", "pool": 9, "blocks": 2, "d_layers": 2},
    "stargan": {
        "label": "size", "size": 16, "steps": 3, "critic_steps": 2, "batch": 8, "width": 4, "blocks": 1, "d_width": 4,
    },
    "dtn": {
        "label": "size", "classes": "colour", "size": 8, "f_steps": 3, "steps": 3, "batch": 8, "features": 6, "f_width": 4,
        "width": 4, "d_width": 4, "tv": 0.1,
    },
    "combogan": {**DOMAINS, "label": "kind", "domains": "circle,ring,star", "epochs": 2, "pool": 9, "blocks": 2, "d_layers": 2},
    "xgan": {**{k: v for k, v in DOMAINS.items() if k != "epochs"}, "domains": "large,small", "steps": 4, "code": 12},
    "vaegan": {**SMALL, "steps": 4, "e_width": 4, "gamma": 0.1},
    "colorgan": {"size": 16, "steps": 6, "batch": 8, "width": 4, "d_width": 4},
}  # fmt: skip
BESIDE = {"growth": "nearest", "bilateral": 20.0, "ema": 0.9}  # what the papers of translators have not
RECIPES = [{"recipe": "paper"}, {"recipe": "modern"}]
VARIANTS = {
    "cgan": [*RECIPES, {"condition": "planes", "size": 14, "channels": 1}, {"recipe": "paper", "channels": 1}],
    "stackgan": RECIPES, "stackgan_v2": RECIPES, 
    "dcgan": [
        {}, {"augment": True, "ema": 0.9}, {"flip": 0.2, "r1": 0.5, "minibatch_discrimination": 3, "d_lr": 1e-3},
        {"feature_matching": True},
    ],
    "wgan_gp": [{}, {"body": "resnet"}], "sngan": [{}, {"body": "sngan"}],
    "cyclegan": [{}, BESIDE], "dtn": [{}, {**BESIDE, "d_norm": "spectral"}], "xgan": [{}, BESIDE],
    "combogan": [{}, {**BESIDE, "views": "grey_and_blurred", "identity": 0.5, "latent": 1.0, "forward": 0.2, "epochs": 1}],
    "acgan": [{"condition": "concatenate"}, {"condition": "multiply"}],
    "colorgan": [{"task": "color"}, {"task": "mosaic"}],
    "stargan": [{}, {"label": "size,kind", "domains": "large + ring,large + star,small + ring,small + star"}],
}  # fmt: skip
WHOLE = {"gan": {"dropout": 0.0}}  # every process leaves out other units
CASES = [(name, changes) for name in TINY for changes in VARIANTS.get(name, [{}])]  # what is checked of each algorithm


def build(name, folder, seed=0, workers=None, **changes):
    algorithm, workers = find(name), workers or Workers()
    config, data = algorithm.Config(**{**TINY[name], **changes}), ImageData(folder)
    packed = {size: data.pack(size) for size in algorithm.sizes(config)}
    if fed(algorithm) == "pairs":
        captions = CaptionVectors(data, load_encoder("bow", data))
        images = PairData(data, captions, packed, workers, wrong=config.wrong, mean_of=config.captions, seed=seed)
    elif fed(algorithm) == "lines":
        images = LineImages(data, packed, pack_lines(data, config.lines, [*packed]), workers, seed)
    else:
        images = TrainingImages(data, packed, workers, seed)
    workers.seed(seed, 0)
    return algorithm(config, images, workers), images


def preview(made, images, seed):
    if fed(made) == "pairs":
        return Preview(images, seed)
    if fed(made) == "domains":
        return TranslationPreview(images, ClassNames(made.config.label, made.kept["generator"].config.domains), seed)
    if fed(made) == "lines":
        return LinePreview(images, made.G.config, seed)
    label = made.config.label if fed(made) == "classes" else ""
    return PlainPreview(images, ClassNames(label, images.data.classes(label)[1]) if label else ClassNames(), seed)


def drawn(G, r):
    """Images of a generator, or what one makes of some."""
    size = G.config.size
    if isinstance(G, UNetGenerator):
        return G.images(torch.randn(3, G.config.inputs, size, size, generator=r))
    if isinstance(G, TRANSLATORS):
        targets = torch.tensor([G.config.domains.index(name) for name in G.config.targets])
        x, source = torch.rand(3, 3, size, size, generator=r), torch.zeros(3, dtype=torch.long)
        return G.translate(2 * x - 1, source, targets[torch.arange(3) % len(targets)])
    return G.images(*(torch.randn(3, n, generator=r) for n in (G.config.text, G.config.noise)))


def load(made, folder):
    """The saved generator of an algorithm."""
    if fed(made) == "lines":
        return UNetGenerator.from_pretrained(folder)
    return load_translator(folder) if fed(made) == "domains" else load_generator(folder)


def train(name, folder, path, until=None, seed=0, workers=None, precision="fp32", **changes):
    made, images = build(name, folder, seed, workers, **changes)
    run = Run.open(path) if (path / "config.json").exists() else Run.create(path, {"algorithm": name}, {})
    shown = Previewed(made, preview(made, images, seed), grids=3)
    steps = fit(shown, run, images.workers, seed=seed, until=until, log_every=3, precision=precision, progress=False)
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


def main(folder, out):
    torch.set_num_threads(1)
    workers, found = Workers.start("cpu"), {}
    for name, changes in CASES:
        made, _ = build(name, folder, workers=workers, **changes, **WHOLE.get(name, {}))
        play(made, workers)
        found[f"{name} {changes}"] = weights(made)
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
