"""How near coloured line drawings, or restored mosaics, come to the held-out images that they were made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from textgan.runtime import frozen
from textgan.runtime.workers import fold

from ..generators import UNetGenerator
from ..grids import grid
from ..images import ImageData
from ..lines import LineImages, sources
from ..transforms import HINT, hints
from .attributes import attribute_classifier, attribute_table, unseen
from .comparison import Judges
from .distances import kid
from .drawing import as_bytes
from .extractors import Extractor
from .judges import Tell, pixels, silent, through
from .memorisation import coarse, mean_image, nearest
from .texts import attributes_of, held_out_images

SHOWN = 8  # rows of the picture
NAMES = {
    "hinted": "coloured, with hints",
    "unhinted": "coloured, no hints",
    "restored": "restored",
    "source": "the input itself",
    "hint": "the hint itself",
    "mean": "mean training image",
    "nearest": "training image of the nearest input",
    "real": "real images",
}
HEADINGS = {  # of the picture, in its order
    "source": "input", "hint": "hint", "hinted": "coloured", "unhinted": "without hint", "restored": "restored",
    "nearest": "nearest",
}  # fmt: skip
COLUMNS = {"l1": "L1", "psnr": "PSNR (dB)", "features": "features", "kid": "KID x 1000", "accuracy": "attributes"}
Figures = dict[str, float]


def pixel_figures(images: np.ndarray, truth: np.ndarray) -> Figures:
    """How far images lie from the true ones: ``l1``, the mean difference of channels in [0, 1]; ``psnr``, mean over images (dB).

    Args:
        images: (n, S, S, 3) bytes.
        truth: the same.
    """
    l1, squared = [], []
    for a, b in zip(images, truth, strict=True):
        difference = a / 255.0 - b / 255.0
        l1.append(np.abs(difference).mean())
        squared.append(np.square(difference).mean())
    with np.errstate(divide="ignore"):
        return {"l1": float(np.mean(l1)), "psnr": float(-10 * np.log10(squared).mean())}


class _Sides:
    """Images that stand for held-out ones, each kind made when it is asked for.

    Args:
        G: the generator.
        packed: all images of the data.
        lines: their drawn lines, where it takes those.
        held: numbers of the held-out images.
        seed: decides the hints.
        batch: images at a time.
    """

    def __init__(
        self, G: UNetGenerator, packed: np.ndarray, lines: np.ndarray | None, held: np.ndarray, seed: int, batch: int
    ) -> None:
        self.G, self.packed, self.lines, self.held, self.batch = G, packed, lines, held, batch
        self.device = next(G.parameters()).device
        self.u = torch.rand(len(held), HINT, generator=torch.Generator().manual_seed(fold(seed, 4)))
        self.kinds = ["restored", "source"] if G.config.source == "mosaic" else ["hinted", "unhinted", "source", "hint"]

    def of(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images and sources of these numbers."""
        x = pixels(self.packed[numbers], self.device)
        return x, sources(self.G.config, x, None if self.lines is None else pixels(self.lines[numbers], self.device))

    def make(self, kind: str) -> np.ndarray:
        """Those of ``kind`` as bytes (n, S, S, 3)."""
        found = []
        with frozen(self.G), torch.inference_mode():
            for start in range(0, len(self.held), self.batch):
                x, source = self.of(self.held[start : start + self.batch])
                hint = hints(x, self.u[start : start + self.batch].to(self.device))
                if kind in ("source", "hint"):
                    made = hint if kind == "hint" else source.expand_as(x)
                elif kind == "restored":
                    made = self.G.images(source)
                else:
                    made = self.G.images(torch.cat([source, hint if kind == "hinted" else torch.ones_like(hint)], 1))
                found.append(as_bytes(made))
        return np.concatenate(found)

    def nearest(self, learnt: np.ndarray, tell: Callable[[int, int], None]) -> np.ndarray:
        """Of the training images ``learnt``, those whose sources are nearest to the held-out ones'."""

        def among(a: int, b: int) -> Tensor:
            if b - a > 1:
                tell(b, len(learnt))
            x, source = self.of(learnt[a:b])
            return coarse(as_bytes(source.expand_as(x)))

        found, _ = nearest(coarse(self.make("source")), among, len(learnt))
        chosen: np.ndarray = self.packed[learnt[found]]
        return chosen

    def mean(self, learnt: np.ndarray) -> np.ndarray:
        """The mean of the training images ``learnt``, once for each."""
        image = mean_image(self.packed, learnt)
        return np.broadcast_to(image, (len(self.held), *image.shape))


def judge(
    G: UNetGenerator, data: ImageData, packed: np.ndarray, lines: np.ndarray | None, extractor: Extractor | None, n: int,
    seed: int, batch: int, tell: Tell,
) -> tuple[dict[str, Any], Image.Image]:  # fmt: skip
    """Figures of what a generator makes of held-out images, and of what needs no generator.

    Args:
        G: the generator, on its device.
        data: images.
        packed: all of them, (N, S, S, 3).
        lines: their drawn lines, where the generator takes those.
        extractor: gives the features of KID; our own judge when absent.
        n: held-out images, at most.
        seed: decides which, and the hints.
        batch: images at a time.
        tell: is called with what is being done.

    Returns:
        ``methods``: of each kind in NAMES its L1, PSNR, distance of our classifier's features, KID from the held-out images and
        mean accuracy of attributes; ``attributes``, the accuracies of each and what guessing reaches; what the figures are
        about; and a picture.

    Raises:
        UserError: no image is held out.
    """
    held = np.sort(np.random.default_rng(seed).permutation(held_out_images(data))[:n])
    learnt, truth, device = data.usable(held_out=False), packed[held], next(G.parameters()).device
    judges = Judges.of(data, packed, device, tell, "nothing")
    own = judges.own if judges.classifier is not None or judges.matcher is not None else None
    seen_by, classifier = extractor or own, judges.classifier
    sides, shown, methods, tables = _Sides(G, packed, lines, held, seed, batch), [], {}, {}
    wanted = [attributes_of(data, i) for i in held]
    blind: set[str] = set()
    if classifier is not None:
        scores = through(classifier, truth, device)
        blind = unseen(attribute_table(classifier, wanted, scores))
        tables["real"] = attribute_table(classifier, wanted, scores, blind)
    of_truth = own(truth) if own else None
    reference = (of_truth if seen_by is own else seen_by(truth)) if seen_by else None
    floor = np.sort(np.random.default_rng(seed).permutation(learnt)[: len(held)])
    rows = np.linspace(0, len(held) - 1, min(SHOWN, len(held))).astype(int)
    for kind in [*sides.kinds, "mean", "nearest"]:
        tell(NAMES[kind], 0, len(held))
        if kind == "mean":
            images = sides.mean(learnt)
        elif kind == "nearest":
            images = sides.nearest(learnt, lambda done, total: tell("nearest training images", done, total))
        else:
            images = sides.make(kind)
        found = methods[kind] = pixel_figures(images, truth)
        features = own(images) if own else None
        if of_truth is not None and features is not None:
            found["features"] = float(np.linalg.norm(features - of_truth, axis=1).mean())
        if seen_by is not None and reference is not None and kind != "mean":
            some = features if seen_by is own else seen_by(images)
            assert some is not None
            found["kid"], found["kid_sd"] = kid(some, reference, seed)
        if classifier is not None:
            tables[kind] = attribute_table(classifier, wanted, through(classifier, images, device), blind)
        shown.append((kind, images[rows]))
    methods["real"] = {}
    if seen_by is not None and reference is not None:
        methods["real"]["kid"], methods["real"]["kid_sd"] = kid(seen_by(packed[floor]), reference, seed)
    for kind, table_of in tables.items():
        methods[kind] |= _mean_accuracy(table_of, blind)
    about = {
        "images": len(held), "training": len(learnt), "size": G.config.size, "source": G.config.source,
        "unseen": sorted(blind),
        "extractor": seen_by.name if seen_by else None, "kid_floor": len(floor),
    }  # fmt: skip
    attributes = _by_attribute(tables)
    order = [kind for kind in HEADINGS if kind in methods]
    columns = [*(dict(shown)[kind] for kind in order), truth[rows]]
    picture = grid(
        [list(row) for row in zip(*columns, strict=True)], scale=max(1, 64 // G.config.size),
        headings=[*(HEADINGS[kind] for kind in order), "truth"],
    )  # fmt: skip
    return {**about, "methods": methods, "attributes": attributes}, picture


def _mean_accuracy(table_of: Mapping[str, Figures], blind: set[str]) -> Figures:
    each = [row["accuracy"] for name, row in table_of.items() if name not in {*blind, "all"}]
    return {"accuracy": float(np.mean(each))} if each else {}


def _by_attribute(tables: Mapping[str, Mapping[str, Figures]]) -> dict[str, Figures]:
    """By attribute the accuracy of each kind, and what guessing reaches."""
    found: dict[str, Figures] = {}
    for name, row in tables.get("real", {}).items():
        found[name] = {kind: table_of[name]["accuracy"] for kind, table_of in tables.items()}
        found[name] |= {key: row[key] for key in ("commonest", "one_of") if key in row}
    return found


def figures(G: UNetGenerator, images: LineImages, n: int = 500, seed: int = 0, batch: int = 64, tell: Tell = silent) -> Figures:
    """How near a generator comes to held-out images, in seconds; what ``fit`` calls between steps as its ``evaluate``.

    Args:
        G: the generator, on the workers' device.
        images: what it is trained on.
        n: held-out images, at most.
        seed: decides the hints.
        batch: images at a time.
        tell: is called while the classifier of attributes is trained.

    Returns:
        ``l1`` and ``psnr``, and where there are attributes ``kid`` in the classifier's features and ``accuracy``, the mean over
        those that it sees; nothing where no image is held out.
    """
    data, size = images.data, G.config.size
    packed, held = images.pixels[size].packed, data.usable(held_out=True)[:n]
    if not len(held):
        return {}
    sides = _Sides(G, packed, images.lines[size].packed if images.lines else None, held, seed, batch)
    made, truth = sides.make(sides.kinds[0]), packed[held]
    found = pixel_figures(made, truth)
    classifier = attribute_classifier(data, packed, sides.device, lambda a, b: tell("attribute classifier", a, b))
    if classifier is None:
        return found
    of_made, of_truth = (through(classifier.features, some, sides.device) for some in (made, truth))
    found["kid"] = kid(of_made, of_truth, seed)[0]
    wanted = [attributes_of(data, i) for i in held]
    seen = {kind: attribute_table(classifier, wanted, through(classifier, some, sides.device)) for kind, some in
            (("real", truth), ("made", made))}  # fmt: skip
    return found | _mean_accuracy(seen["made"], unseen(seen["real"]))


def _cell(key: str, row: Figures) -> str:
    value = row.get(key)
    if value is None or value != value:
        return "-"
    return {"l1": f"{value:.4f}", "psnr": f"{value:.2f}", "kid": f"{1000 * value:.1f}"}.get(key, f"{value:.3f}")


def table(judged: dict[str, Any]) -> str:
    """What ``judge`` found, as two tables and what must be known to read them."""
    from .labels import lined_up

    methods, attributes = judged["methods"], judged["attributes"]
    rows = [("", *COLUMNS.values()), *((NAMES[k], *(_cell(c, row) for c in COLUMNS)) for k, row in methods.items())]
    out = lined_up(rows) + "\n"
    if attributes:
        short = {kind: {"source": "input", "mean": "mean image", "nearest": "nearest"}.get(kind, kind) for kind in methods}
        head = ("attribute", *short.values(), "commonest", "one of")
        shown = [
            (f"({name})" if name in judged["unseen"] else name, *(_cell(k, row) for k in (*methods, "commonest", "one_of")))
            for name, row in attributes.items()
        ]
        out += lined_up([head, *shown]) + "\n"
    notes = [
        f"{judged['images']:,} held-out images at {judged['size']} x {judged['size']} pixels. L1 and PSNR: from the image "
        "itself, channels in [0, 1].",
    ]
    if judged["extractor"]:
        notes.append(
            f"KID: from the held-out images, features of {judged['extractor']}; under real images that of "
            f"{judged['kid_floor']:,} training images."
        )
    if attributes:
        notes.append(
            "Features: distance from those of the image itself, by a classifier of the training images' attributes. Attributes: "
            "share that it reads right; under real images its own accuracy on them. Commonest and one of: what guessing the "
            "commonest value, or any, reaches."
        )
    if judged["unseen"]:
        notes.append(
            f"In brackets: {', '.join(judged['unseen'])}. The classifier does not see them at this size; no mean has them."
        )
    return out + "\n".join(notes) + "\n"
