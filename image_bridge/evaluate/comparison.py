"""All figures of a set of images beside those of real images: what ``image-bridge evaluate`` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from textgan.errors import UserError
from textgan.evaluate import frechet_distance

from ..captions import ClassNames, meanings
from ..images import ImageData
from .attributes import AttributeClassifier, attribute_classifier, attribute_table, by_value, classifier_scores, unseen
from .distances import kid
from .extractors import Extractor, own
from .judges import Tell, through
from .matching import Matcher, matcher, other_captions, r_precision
from .memorisation import SHOWN, beside_nearest, nearest, nearest_pixels
from .modes import mode_table
from .similarity import likeness, scales
from .texts import Texts, attributes_of

RARE = 0.01  # samples nearer to a training image than so many of the held-out images are counted
CAPTIONS, EACH = 50, 4  # captions of which several images are compared with each other, and how many of each
Figures = dict[str, float]
Told = Literal["captions", "class", "nothing"]  # to the generator


@dataclass(frozen=True)
class Judges:
    """The networks that look at images.

    Attributes:
        data: the real images.
        packed: all of them, (N, S, S, 3).
        device: where the networks lie.
        classifier: of the attributes, where there are any.
        matcher: of images and captions, where it is needed and there are captions.
    """

    data: ImageData
    packed: np.ndarray
    device: torch.device
    classifier: AttributeClassifier | None
    matcher: Matcher | None

    @classmethod
    def of(cls, data: ImageData, packed: np.ndarray, device: torch.device, tell: Tell, told: Told = "captions") -> Judges:
        """Those of a data set, trained, or from its cache; what is ``told`` to the generator says which are needed."""

        def part(what: str) -> Callable[[int, int], None]:
            return lambda done, total: tell(what, done, total)

        classifier = attribute_classifier(data, packed, device, part("attribute classifier"))
        captioned = told == "captions" or (classifier is None and all(data.captions))
        return cls(data, packed, device, classifier, matcher(data, packed, device, part("matcher")) if captioned else None)

    @cached_property
    def own(self) -> Extractor:
        """The classifier's features, or where there is none the matcher's.

        Raises:
            UserError: there is neither.
        """
        if self.classifier is not None:
            return own("attribute classifier of the data", self.classifier.features, self.device)
        if self.matcher is not None:
            return own("matcher of the data", self.matcher.features, self.device)
        raise UserError(
            f"{self.data.path} has neither attributes nor captions to train a judge of its own on; pip install 'textgan[images]' "
            "for --extractor efficientnet-lite0, or give --inception-weights"
        )


def attribute_figures(
    judge: AttributeClassifier, scores: Mapping[str, np.ndarray], texts: Texts, real_texts: Texts
) -> tuple[dict[str, Figures], dict[str, Any], set[str], Figures, Figures]:
    """How often images show what they are told.

    Args:
        judge: the classifier.
        scores: (n, V) of samples, "model", and of real images, "real".
        texts: what samples are told.
        real_texts: what real images are told.

    Returns:
        by attribute the accuracy of samples and of real images; the same by value; what the classifier does not see; and of both
        sides the mean accuracy and the classifier's scores.
    """
    seen = {"model": (scores["model"], texts), "real": (scores["real"], real_texts)}
    blind = unseen(attribute_table(judge, real_texts.wanted, scores["real"]))
    tables = {side: attribute_table(judge, told.wanted, found, blind) for side, (found, told) in seen.items()}
    sides = {side: by_value(judge, told.wanted, found) for side, (found, told) in seen.items()}
    values = {name: {side: rows.get(name, {}) for side, rows in sides.items()} for name in sides["model"]}
    merged: dict[str, Figures] = {}
    for name, row in tables["model"].items():
        beside = tables["real"].get(name, {})
        merged[name] = {"model": row["accuracy"], **{k: v for k, v in row.items() if k != "accuracy"}}
        merged[name] |= {f"real{'' if k == 'accuracy' else '_' + k}": v for k, v in beside.items() if k in ("accuracy", "judged")}
    figures: dict[str, Figures] = {}
    for side, (found, _) in seen.items():
        each = [row["accuracy"] for name, row in tables[side].items() if name not in {*blind, "all"}]
        figures[side] = {"accuracy": float(np.mean(each))} if each else {}
        figures[side] |= {f"classifier_score {name}": value for name, value in classifier_scores(judge, found).items()}
    return merged, values, blind & set(merged), figures["model"], figures["real"]


def distance_figures(
    extractor: Extractor, fake: np.ndarray, judges: Judges, held_out: np.ndarray, floor: np.ndarray, seed: int, tell: Tell
) -> tuple[Figures, Figures, int]:
    """KID and Fréchet distance from the held-out images: those of samples, and those of training images, which are the floor.

    Args:
        extractor: gives the features.
        fake: samples.
        judges: hold the real images.
        held_out: numbers of the held-out images.
        floor: numbers of as many training images as there are samples.
        seed: decides the subsets of KID.
        tell: is called with what is being done.

    Returns:
        the figures of both, and how many features there are.
    """

    def features(what: str, images: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
        return extractor(images, chosen, lambda done, total: tell(f"features of {what}", done, total))

    reference, found = features("held-out images", judges.packed, held_out), []
    for some in (features("samples", fake), features("training images", judges.packed, floor)):
        mean, spread = kid(some, reference, seed)
        frechet = frechet_distance(some, reference) if min(len(some), len(reference)) > 1 else float("nan")
        found.append({"kid": mean, "kid_sd": spread, "frechet": frechet})
    return found[0], found[1], reference.shape[1]


def matching_figures(
    judge: Matcher, fake: np.ndarray, texts: Texts, real: np.ndarray, real_texts: Texts, device: torch.device, seed: int
) -> tuple[Figures, Figures]:
    """R-precision of samples and of real images; the other captions are those of the held-out images."""
    pool = real_texts.captions
    with torch.inference_mode():
        of_pool = judge.captions(pool).cpu().numpy()
        found = []
        for images, told in ((fake, texts), (real, real_texts)):
            others = other_captions(told.captions, told.meaning, pool, real_texts.meaning, seed=seed)
            vectors, own_captions = through(judge, images, device), judge.captions(told.captions).cpu().numpy()
            share = r_precision(vectors, own_captions, of_pool, others) if others.shape[1] else float("nan")
            found.append({"r_precision": share, "r_precision_chance": 1 / (1 + others.shape[1])})
    return found[0], found[1]


def nearest_figures(
    judges: Judges, extractor: Extractor, fake: np.ndarray, texts: Texts, real: np.ndarray, tell: Tell
) -> tuple[Figures, Figures, Image.Image]:
    """Distances to the nearest training image, of samples and of held-out images, and a picture of samples beside them."""
    chosen = judges.data.usable(held_out=False)
    learnt = torch.from_numpy(_of_training(judges, extractor, tell))
    both = np.concatenate([fake, real])
    by_features, far = nearest(torch.from_numpy(extractor(both)), lambda a, b: learnt[a:b], len(chosen))
    by_pixels, apart = nearest_pixels(
        both, judges.packed, chosen, lambda done, total: tell("nearest training images", done, total)
    )
    model: Figures = {}
    beside: Figures = {}
    for name, distances in (("features", far), ("pixels", apart)):
        of_fake, of_real = distances[: len(fake)], distances[len(fake) :]
        near = np.quantile(of_real, RARE)
        for found, some in ((model, of_fake), (beside, of_real)):
            found[f"nearest_{name}"] = float(np.median(some))
            found[f"closer_{name}"] = float((some < near).mean())
    order = np.argsort(apart[: len(fake)], kind="stable")  # half of the picture has the nearest, half is spread over all
    rest = order[SHOWN // 2 :]
    shown = [*order[: SHOWN // 2], *rest[np.linspace(0, len(rest) - 1, min(SHOWN // 2, len(rest))).astype(int)]]
    rows = [(fake[i], judges.packed[chosen[by_features[i]]], judges.packed[by_pixels[i]]) for i in shown]
    captions = [texts.captions[i] for i in shown]
    return model, beside, beside_nearest(rows, captions, ("sample", "nearest in features", "in pixels"))


def _of_training(judges: Judges, extractor: Extractor, tell: Tell) -> np.ndarray:
    """Features (N, D) of all training images."""
    chosen = judges.data.usable(held_out=False)
    return extractor(judges.packed, chosen, lambda done, total: tell("features of all training images", done, total))


def real_groups(judges: Judges, meanings_wanted: np.ndarray) -> list[np.ndarray]:
    """Real images with the same meaning, at most EACH of a meaning: of those wanted, or where those have no two, of any."""
    data = judges.data
    whole = np.concatenate([data.usable(held_out) for held_out in (False, True)])
    means = meanings(data)[whole]
    values, counts = np.unique(means, return_counts=True)
    several = values[counts > 1]
    chosen = np.intersect1d(several, meanings_wanted)
    chosen = chosen if len(chosen) else several
    return [judges.packed[np.sort(whole[means == value])[:EACH]] for value in chosen[:CAPTIONS]]


def by_class(data: ImageData, names: ClassNames, seed: int) -> tuple[list[str], list[np.ndarray]]:
    """CAPTIONS classes that EACH images are drawn of, each in turn, and as many real images of each; without classes, of all.

    Returns:
        (CAPTIONS,) the classes, and (CAPTIONS, EACH) numbers of real images; fewer where a class has fewer.
    """
    whole = np.concatenate([data.usable(held_out) for held_out in (False, True)])
    kinds = data.classes(names.label)[0] if names.words else np.zeros(len(data), dtype=np.int64)
    words, r = names.words or ("",), np.random.default_rng(seed)
    chosen = [k % len(words) for k in range(CAPTIONS)]
    return [words[k] for k in chosen], [r.permutation(whole[kinds[whole] == k])[:EACH] for k in chosen]


def to_repeat(data: ImageData, texts: Texts) -> np.ndarray:
    """Which captions are drawn several times: at most CAPTIONS, first those whose meaning several real images have."""
    means = meanings(data)
    counts = np.bincount(means)[texts.meaning]
    _, first = np.unique(texts.meaning, return_index=True)
    order = np.sort(first)
    return order[np.argsort(counts[order] < 2, kind="stable")][:CAPTIONS]


def compare(
    judges: Judges, extractor: Extractor, fake: np.ndarray, texts: Texts, real_texts: Texts, alike: Sequence[np.ndarray],
    meanings_alike: np.ndarray, seed: int, tell: Tell, told: Told = "captions", real_alike: Sequence[np.ndarray] | None = None,
    copies: bool = True,
) -> tuple[dict[str, Any], Image.Image | None]:  # fmt: skip
    """Figures of samples beside those of real images.

    Args:
        judges: of the data.
        extractor: gives the features of KID and Fréchet distance.
        fake: (n, S, S, 3) samples.
        texts: their captions.
        real_texts: those of the held-out images that they are compared with.
        alike: groups (k, S, S, 3) of samples of one caption each.
        meanings_alike: what these captions mean; real images with these meanings are compared with each other beside them.
        seed: decides subsets, and which other captions R-precision has.
        tell: is called with what is being done.
        told: what the generator is told: captions, the class of an image, or nothing.
        real_alike: groups of real images that are compared with each other instead.
        copies: whether the nearest training images are looked for, which takes longest.

    Returns:
        ``model`` and ``real``, figures by name; ``attributes``, by attribute, ``values``, by attribute and value, and those
        ``unseen``, which the mean leaves out; ``modes``, see ``mode_table``; what the figures are about (``samples``,
        ``held_out``, ``size``, ``extractor``, ...); and a picture of samples beside their nearest training images.
    """
    data, packed, r = judges.data, judges.packed, np.random.default_rng(seed)
    learnt, real = data.usable(held_out=False), packed[real_texts.images]
    floor = np.sort(r.permutation(learnt)[: len(fake)])
    model, beside, features = distance_figures(extractor, fake, judges, real_texts.images, floor, seed, tell)
    attributes: dict[str, Figures] = {}
    covered: dict[str, Figures] = {}
    values: dict[str, Any] = {}
    blind: set[str] = set()
    if (judge := judges.classifier) is not None:
        scores = {side: through(judge, images, judges.device) for side, images in (("model", fake), ("real", real))}
        attributes, values, blind, of_fake, of_real = attribute_figures(judge, scores, texts, real_texts)
        model, beside = of_fake | model, of_real | beside
        with torch.inference_mode():
            of_learnt = judge.scores(torch.from_numpy(_of_training(judges, judges.own, tell)).to(judges.device)).cpu().numpy()
        shows = [attributes_of(data, image) for image in real_texts.images]
        covered = mode_table(judge, scores["model"], scores["real"], of_learnt, shows)
    if judges.matcher is not None and told == "captions":
        of_fake, of_real = matching_figures(judges.matcher, fake, texts, real, real_texts, judges.device, seed)
        model, beside = model | of_fake, beside | of_real
    picture = None
    if copies:
        has_own = judges.classifier is not None or judges.matcher is not None
        of_fake, of_real, picture = nearest_figures(judges, judges.own if has_own else extractor, fake, texts, real, tell)
        model, beside = model | of_fake, beside | of_real
    groups = real_groups(judges, meanings_alike) if real_alike is None else real_alike
    model["ms_ssim"], beside["ms_ssim"] = likeness(alike), likeness(groups)
    about = {
        "told": told,
        "samples": len(fake), "held_out": len(real), "floor": len(floor), "training": len(learnt), "size": packed.shape[1],
        "split": "held out", "ms_ssim_scales": scales(packed.shape[1]), "ms_ssim_captions": sum(len(g) > 1 for g in alike),
        "has_attributes": judges.classifier is not None,
        "extractor": {"name": extractor.name, "features": features, "resize": extractor.size or packed.shape[1]},
    }  # fmt: skip
    found = {
        "model": model,
        "real": beside,
        "attributes": attributes,
        "values": values,
        "unseen": sorted(blind),
        "modes": covered,
    }
    return {**about, **found}, picture
