"""How well images of one domain become images of another: beside the truth where there is one, and beside doing without."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from textgan.errors import UserError
from textgan.runtime import frozen

from ..generators import Translator
from ..grids import grid
from ..images import ImageData
from .attributes import AttributeClassifier, attribute_table, unseen
from .distances import kid
from .drawing import as_bytes
from .extractors import Extractor
from .judges import Tell, pixels, silent, through
from .memorisation import PIECE, mean_image, nearest_pixels

SHOWN = 8  # rows of the picture
COLUMNS = 8  # domains in it
SIDES = ("translation", "copy", "mean", "nearest")
ARROW = " > "  # from domain to domain
Figures = dict[str, float]
Drawn = tuple[np.ndarray, np.ndarray | None]  # images, and these on their way back


@torch.inference_mode()
def translated(G: Translator, images: np.ndarray, source: int, target: int, batch: int = 64) -> Drawn:
    """Images (n, S, S, 3) as images of another domain, and these on their way back; None where there is no way back.

    Args:
        G: the translator, on any device; its mode is left as it was.
        images: of one domain.
        source: the number of that domain in ``G.config.domains``.
        target: the number of the other.
        batch: images at a time.

    Raises:
        UserError: the translator's weights have come to nothing.
    """
    device, there, again = next(G.parameters()).device, [], []
    with frozen(G):
        for start in range(0, len(images), batch):
            x = pixels(images[start : start + batch], device)
            a, b = (torch.full((len(x),), k, device=device) for k in (source, target))
            y = G.translate(x, a, b)
            if not y.isfinite().all():
                raise UserError("the translator draws what is no image (infinite or no numbers); take a checkpoint from before")
            there.append(as_bytes(y))
            if G.config.domains[source] in G.config.targets:
                again.append(as_bytes(G.translate(y, b, a)))
    return np.concatenate(there), np.concatenate(again) if again else None


def values_of(data: ImageData, label: str, domain: str) -> dict[str, str]:
    """By attribute, what images of a domain show: "blond + yes" of the label "hair colour,glasses" are two.

    Raises:
        UserError: the data have no such attribute.
    """
    names = [label] if label in data.attributes else [name.strip() for name in label.split(",")]
    unknown = next((name for name in names if name not in data.attributes), None)
    if unknown is not None:
        raise UserError(
            f"{data.path} has no attribute {unknown!r}, by which the run tells its domains; expected the data that it was "
            "trained on, or some of that kind"
        )
    return dict(zip(names, [domain] if len(names) == 1 else domain.split(" + "), strict=True))


def domain_numbers(data: ImageData, label: str, domains: Sequence[str]) -> np.ndarray:
    """The number (N,) of each image's domain, -1 where it is of none of them."""
    values_of(data, label, domains[0])  # says what the data lack
    numbers, words = data.attribute(label)
    place = np.array([*(domains.index(word) if word in domains else -1 for word in words), -1])
    found: np.ndarray = place[numbers]
    return found


def chosen_images(data: ImageData, domain: np.ndarray, number: int, count: int, seed: int) -> list[np.ndarray]:
    """Numbers of at most ``count`` held-out images of each domain; the same scenes of all domains.

    Args:
        data: images.
        domain: (N,) what ``domain_numbers`` gave.
        number: of domains.
        count: images of each at most.
        seed: decides which, where there are more.
    """
    r = np.random.default_rng(seed)
    of_scene, of_image = r.random(data.scene.max(initial=0) + 1), r.random(len(domain))
    order = np.where(data.scene >= 0, of_scene[data.scene], 1 + of_image)  # those with a truth first
    held = data.usable(held_out=True)
    found = []
    for k in range(number):
        own = held[domain[held] == k]
        found.append(np.sort(own[np.argsort(order[own], kind="stable")][:count]))
    return found


def images_of_domains(
    data: ImageData, label: str, domains: Sequence[str], count: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Numbers of the held-out images of each domain, at most ``count``, and of those to train on.

    Raises:
        UserError: a domain has none, or the data tell no such domains.
    """
    domain, training = domain_numbers(data, label, domains), data.usable(held_out=False)
    found = []
    for k, held in enumerate(chosen_images(data, domain, len(domains), count, seed)):
        learnt = training[domain[training] == k]
        for kind, some in (("held-out image", held), ("image to train on", learnt)):
            if not len(some):
                raise UserError(
                    f"{data.path} has no {kind} of {label} {domains[k]}; expected one or more of every domain; take more images"
                )
        found.append((held, learnt))
    return found


def true_ones(data: ImageData, sources: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the images ``sources`` have an image of the same scene among ``targets``: places in both."""
    place = {int(data.scene[i]): k for k, i in reversed(list(enumerate(targets)))}
    found = [(k, place[int(data.scene[i])]) for k, i in enumerate(sources) if data.scene[i] >= 0 and data.scene[i] in place]
    of_source, of_target = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return of_source, of_target


def differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The mean absolute difference (n,) of images (n, S, S, 3), channels in [0, 1]."""
    found = np.empty(len(a))
    for start in range(0, len(a), PIECE):
        here = slice(start, start + PIECE)
        found[here] = np.abs(a[here].astype(np.int16) - b[here]).mean((1, 2, 3)) / 255
    return found


def cosine_distances(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """One minus the cosine (n,) of features (n, D); 0 where they point the same way, 1 where they have nothing in common."""
    lengths = np.maximum(np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1), 1e-12)
    found: np.ndarray = 1 - (u.astype(np.float64) * v).sum(1) / lengths
    return found


def with_error(name: str, values: np.ndarray) -> Figures:
    """The mean of some values and, as ``NAME_error``, its standard error; nothing of no values."""
    if not len(values):
        return {}
    error = {f"{name}_error": float(values.std(ddof=1) / len(values) ** 0.5)} if len(values) > 1 else {}
    return {name: float(values.mean()), **error}


def wanted_attributes(
    data: ImageData, sources: np.ndarray, target: Mapping[str, str], known: Collection[str]
) -> list[dict[str, str]]:
    """What the translations of some images should show: what the domain has of its own, and else what they show themselves.

    Args:
        data: images with attributes.
        sources: numbers of the images.
        target: what images of the domain show.
        known: attributes that real images of the domain have; others cannot be kept there.
    """
    kept = {name: some for name, some in data.attributes.items() if name in known}
    return [{name: w[n[i]] for name, (n, w) in kept.items() if n[i] >= 0} | dict(target) for i in sources]


def shown_attributes(data: ImageData, chosen: np.ndarray) -> list[dict[str, str]]:
    """What some images show, each by attribute."""
    return wanted_attributes(data, chosen, {}, data.attributes)


class _Domain:
    """Real images of one domain and what the judges say of them."""

    def __init__(
        self, data: ImageData, packed: np.ndarray, held: np.ndarray, learnt: np.ndarray, judge: AttributeClassifier,
        extractor: Extractor, device: torch.device, tell: Callable[[int, int], None],
    ) -> None:  # fmt: skip
        self.held, self.learnt, self.images = held, learnt, packed[held]
        self.features, self.seen = extractor(self.images, tell=tell), through(judge, self.images, device)
        self.shown = shown_attributes(data, held)
        self.mean = mean_image(packed, learnt)


def judge_translator(
    G: Translator, data: ImageData, packed: np.ndarray, judge: AttributeClassifier, extractor: Extractor, count: int,
    seed: int = 0, batch: int = 64, tell: Tell = silent,
) -> tuple[dict[str, Any], Image.Image]:  # fmt: skip
    """Figures of every way from a domain to another, and a picture of held-out images, their translations and the truth.

    Beside the translation stand what needs no translator: the input itself (``copy``), the mean training image of the target
    (``mean``), and the training image of the target that is nearest to the input by pixels (``nearest``).

    Args:
        G: the translator, on its device.
        data: images of its domains.
        packed: all of them, (N, S, S, 3) at its size.
        judge: the classifier of their attributes, on the same device.
        extractor: gives the features of distances and of KID.
        count: held-out images of each domain at most.
        seed: decides which, and the subsets of KID.
        batch: images at a time.
        tell: is called with what is being done.

    Returns:
        ``ways``, by "FROM > TO", and ``mean``, their mean: figures by side (see ``way``); what they are about (``domains``,
        ``label``, ``size``, ``extractor``, ...); and the picture.

    Raises:
        UserError: a domain has no held-out image, or none to train on, or the data tell no such domains.
    """

    def part(what: str) -> Callable[[int, int], None]:
        return lambda done, total: tell(what, done, total)

    config, device = G.config, next(G.parameters()).device
    found = images_of_domains(data, config.label, config.domains, count, seed)
    of_domain = [
        _Domain(data, packed, held, learnt, judge, extractor, device, part("features of real images")) for held, learnt in found
    ]
    seen = np.concatenate([some.seen for some in of_domain])
    blind = unseen(attribute_table(judge, [row for some in of_domain for row in some.shown], seen))
    ways, drawn, done = {}, {}, 0
    whole = sum(len(held) * len(set(config.targets) - {name}) for name, (held, _) in zip(config.domains, found, strict=True))
    for (a, from_name), (b, to_name) in itertools.product(enumerate(config.domains), repeat=2):
        if a == b or to_name not in config.targets:
            continue
        name = f"{from_name}{ARROW}{to_name}"
        drawn[a, b] = translated(G, of_domain[a].images, a, b, batch)
        target = values_of(data, config.label, to_name)
        ways[name] = way(data, packed, of_domain[a], of_domain[b], drawn[a, b], target, judge, extractor, blind, seed)
        done += len(of_domain[a].held)
        tell("translations", done, whole)
    judged = {
        "told": "image", "label": config.label, "domains": list(config.domains), "targets": list(config.targets),
        "size": packed.shape[1], "split": "held out",
        "held_out": {name: len(some.held) for name, some in zip(config.domains, of_domain, strict=True)},
        "extractor": {"name": extractor.name, "resize": extractor.size or packed.shape[1]},
        "unseen": sorted(blind), "mean": mean_of(list(ways.values())), "ways": ways,
    }  # fmt: skip
    return judged, _picture(G, data, of_domain, drawn)


def way(
    data: ImageData, packed: np.ndarray, source: _Domain, target: _Domain, drawn: Drawn,
    values: Mapping[str, str], judge: AttributeClassifier, extractor: Extractor, blind: Collection[str], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Figures of the way from one domain to another.

    Args:
        data: images.
        packed: all of them.
        source: images that were translated.
        target: real images of the other domain.
        drawn: what ``translated`` gave.
        values: what the images of the other domain show.
        judge: see ``judge_translator``, like the others.
        extractor: of features.
        blind: attributes that do not count in ``all``.
        seed: of KID.

    Returns:
        ``images`` and ``scenes``, how many were translated and how many have a truth; ``figures`` by side, of which "real" are
        training images of the other domain: ``l1`` and ``features``, the distances from the truth, ``kid`` from held-out images
        of the other domain, ``cycle``, the L1 of the input and its way there and back; ``attributes`` by name: the share of
        images of each side that show what they should, that of real images, ``chance`` (the commonest value, or of what the
        domain is to show one divided by the number of values), ``asked`` (1 where the domain is to show it, 0 where it is to be
        kept), ``judged``, the number of images. ``NAME_error`` are standard errors, ``kid_sd`` the spread over subsets.
    """
    device, there, back = extractor.device, *drawn
    near, _ = nearest_pixels(source.images, packed, target.learnt)
    different, place = np.unique(near, return_inverse=True)
    several = packed[different]
    mean, mean_seen = extractor(target.mean[None]), through(judge, target.mean[None], device)
    n = len(there)
    images = {
        "translation": there,
        "copy": source.images,
        "mean": np.broadcast_to(target.mean, there.shape),
        "nearest": several[place],
    }
    features = {
        "translation": extractor(there), "copy": source.features, "mean": mean.repeat(n, 0),
        "nearest": extractor(several)[place],
    }  # fmt: skip
    seen = {
        "translation": through(judge, there, device), "copy": source.seen, "mean": mean_seen.repeat(n, 0),
        "nearest": through(judge, several, device)[place],
    }  # fmt: skip
    mine, true = true_ones(data, source.held, target.held)
    wanted = wanted_attributes(data, source.held, values, {name for row in target.shown for name in row})
    real = attribute_table(judge, target.shown, target.seen, blind)
    figures: dict[str, Figures] = {}
    attributes: dict[str, Figures] = {}
    for side in SIDES:
        figures[side] = with_error("l1", differences(images[side][mine], target.images[true]))
        figures[side] |= with_error("features", cosine_distances(features[side][mine], target.features[true]))
        figures[side]["kid"], figures[side]["kid_sd"] = kid(features[side], target.features, seed)
        for name, row in attribute_table(judge, wanted, seen[side], blind).items():
            found = attributes.setdefault(name, {"judged": row["judged"]})
            share = found[side] = row["accuracy"]
            if side == "translation":
                found["translation_error"] = float((share * (1 - share) / row["judged"]) ** 0.5)
            if name in real:
                found["real"] = real[name]["accuracy"]
            if name != "all":
                found |= {"asked": float(name in values), "chance": row["one_of" if name in values else "commonest"]}
    if back is not None:
        figures["translation"] |= with_error("cycle", differences(back, source.images))
    floor = np.sort(np.random.default_rng(seed).permutation(target.learnt)[:n])
    figures["real"] = dict(zip(("kid", "kid_sd"), kid(extractor(packed, floor), target.features, seed), strict=True))
    return {"images": n, "scenes": len(mine), "figures": figures, "attributes": attributes}


def mean_of(ways: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over all ways of every figure, of those ways that have it; no errors, as ways share their images."""
    out: dict[str, Any] = {"images": sum(one["images"] for one in ways), "scenes": sum(one["scenes"] for one in ways)}
    for kind in ("figures", "attributes"):
        gathered: dict[str, dict[str, list[float]]] = {}
        for row, figures in itertools.chain.from_iterable(one[kind].items() for one in ways):
            for key, value in figures.items():
                if not key.endswith(("_error", "_sd")):
                    gathered.setdefault(row, {}).setdefault(key, []).append(value)
        out[kind] = {row: {key: float(np.mean(some)) for key, some in cells.items()} for row, cells in gathered.items()}
        for row, cells in gathered.items():
            if "judged" in cells:
                out[kind][row]["judged"] = sum(cells["judged"])
    return out


def _picture(
    G: Translator, data: ImageData, of_domain: Sequence[_Domain], drawn: Mapping[tuple[int, int], Drawn]
) -> Image.Image:  # fmt: skip
    """Rows of held-out images: the image, then for each other domain its translation, that on its way back, and the truth."""
    names, rows, captions = G.config.domains, [], []
    targets = [names.index(name) for name in G.config.targets][:COLUMNS]
    back, truth = any(again is not None for _, again in drawn.values()), bool((data.scene >= 0).any())
    each = max(1, SHOWN // len(names))
    for a, source in enumerate(of_domain[:SHOWN]):
        ways = {b: drawn[a, b] for b in targets if (a, b) in drawn}
        if not ways:
            continue  # the only target there is
        true = {b: dict(zip(*true_ones(data, source.held, of_domain[b].held), strict=True)) for b in ways}
        for k in np.linspace(0, len(source.held) - 1, min(each, len(source.held))).astype(int):
            row = [source.images[k]]
            for b, (there, again) in ways.items():
                row += [there[k]] if again is None else [there[k], again[k]]
                row += [of_domain[b].images[true[b][k]] if k in true[b] else np.full_like(there[k], 255)] * truth
            rows.append(row)
            captions.append(f"{names[a]} as {', '.join(names[b] for b in ways)}")
    each_way = ["translated", *["and back"] * back, *["truth"] * truth]
    most = max(len(row) for row in rows) - 1
    return grid(rows, captions, max(1, 64 // rows[0][0].shape[0]), ["held out", *each_way * (most // len(each_way))])
