"""Does an image show what its caption says? An attribute classifier, trained on real images, looks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..blocks import Trunk
from ..images import ImageData
from .judges import kept

PAIRED = 1000  # captions that are exchanged where all attributes at once are judged: every one with every image


def named(caption: str, attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes of an image that its caption speaks of.

    A value counts as named where the caption has it as whole words, as often as there are attributes with this value: "brown
    hair" alone does not tell the colour of a brown skin. Of a "yes" the attribute's name must be there; a "no" is never named.

    Args:
        caption: a sentence.
        attributes: what the image shows, by name.
    """
    text = " ".join(caption.lower().split())
    needed = Counter(value.lower() for value in attributes.values())
    found = {}
    for name, value in attributes.items():
        word, times = (name.lower(), 1) if value == "yes" else (value.lower(), needed[value.lower()])
        if value != "no" and len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text)) >= times:
            found[name] = value
    return found


class AttributeClassifier(nn.Module):
    """A head for every attribute on one trunk.

    Args:
        size: width and height of the images.
        values: of each attribute.
    """

    def __init__(self, size: int, values: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.values = {name: list(words) for name, words in values.items()}
        self.features = Trunk(size)
        self.heads = nn.ModuleList(nn.Linear(self.features.width, len(words)) for words in values.values())

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B, V) of all values of all attributes, one attribute after the other, for images (B, 3, S, S)."""
        return self.scores(self.features(x))

    def scores(self, h: Tensor) -> Tensor:
        """The same for the features (B, F) of images."""
        return torch.cat([head(h) for head in self.heads], 1)

    def split(self, scores: np.ndarray) -> dict[str, np.ndarray]:
        """The scores (n, V) of ``forward`` by attribute, as probabilities."""
        ends = np.cumsum([len(words) for words in self.values.values()])
        parts = np.split(scores.astype(np.float64), ends[:-1], 1)
        powers = [np.exp(part - part.max(1, keepdims=True)) for part in parts]
        return {name: p / p.sum(1, keepdims=True) for name, p in zip(self.values, powers, strict=True)}

    def numbers(self, wanted: Sequence[Mapping[str, str]]) -> dict[str, np.ndarray]:
        """By attribute, the numbers (n,) of the values that images should show; -1 where nothing is wanted of them."""
        index = {name: {word: k for k, word in enumerate(words)} for name, words in self.values.items()}
        return {name: np.array([known.get(row.get(name, ""), -1) for row in wanted]) for name, known in index.items()}


def attribute_classifier(
    data: ImageData, packed: np.ndarray, device: torch.device, tell: Callable[[int, int], None] = lambda done, total: None
) -> AttributeClassifier | None:
    """The classifier of a data set, trained or from its cache; none where no attribute has two values in the training images.

    Args:
        data: images with attributes.
        packed: all of them, (N, S, S, 3).
        device: where it runs.
        tell: is called with the images seen in training and those to see.
    """
    chosen = data.usable(held_out=False)
    known = {name: np.unique(numbers[chosen][numbers[chosen] >= 0]) for name, (numbers, _) in data.attributes.items()}
    values = {name: words for name, (_, words) in data.attributes.items() if len(known[name]) > 1}
    if not values:
        return None
    labels = torch.stack([torch.from_numpy(data.attributes[name][0]) for name in values], 1).to(device)  # (N, A)
    weights = []  # of each value: rare ones count for more, so that they are seen at all
    for column, words in zip(labels[torch.from_numpy(chosen).to(device)].T, values.values(), strict=True):
        weights.append((torch.bincount(column[column >= 0], minlength=len(words)) + 1).float().rsqrt())

    def loss(judge: AttributeClassifier, indices: np.ndarray, x: Tensor) -> Tensor:
        want = labels[torch.from_numpy(indices).to(device)]
        scores = judge(x).split([len(words) for words in values.values()], 1)
        parts = []
        for k, part in enumerate(scores):
            each = weights[k][want[:, k].clamp(min=0)] * (want[:, k] >= 0)  # (B,)
            cost = F.cross_entropy(part, want[:, k].clamp(min=0), reduction="none")
            parts.append((each * cost).sum() / each.sum().clamp(min=1e-8))
        return torch.stack(parts).sum()

    size = packed.shape[1]
    return kept("attributes", data, packed, lambda: AttributeClassifier(size, values), loss, device, tell=tell)


def unseen(table: Mapping[str, Mapping[str, float]]) -> set[str]:
    """The attributes that the classifier does not see, such as earrings of a pixel: it cannot judge them.

    Args:
        table: what ``attribute_table`` found for held-out real images.

    Returns:
        those of which it finds less than half of what there is to find beyond chance, ``exchanged``.
    """
    blind = set()
    for name, row in table.items():
        accuracy, chance = row["accuracy"], row["exchanged"]
        if name != "all" and (accuracy <= chance or accuracy - chance < (1 - chance) / 2):  # false where chance is not known
            blind.add(name)
    return blind


def attribute_table(
    judge: AttributeClassifier, wanted: Sequence[Mapping[str, str]], seen: np.ndarray, without: Collection[str] = ()
) -> dict[str, dict[str, float]]:
    """How often images show what their captions name.

    Args:
        judge: the classifier.
        wanted: for each image, the attributes that its caption names.
        seen: (n, V) the classifier's scores of the images.
        without: attributes that do not count in ``all``, as the classifier does not see them.

    Returns:
        by attribute that some caption names: ``accuracy``; ``exchanged``, the same for the captions of all other images (what a
        generator reaches that is deaf to its captions); ``commonest``, the share of the value that is named most often, and
        ``one_of``, one divided by the number of values (what guessing reaches); ``judged``, the number of images. And ``all``, of
        images that show everything their captions name, without the two of guessing.
    """
    chosen = {name: p.argmax(1) for name, p in judge.split(seen).items()}
    targets = {name: t for name, t in judge.numbers(wanted).items() if (t >= 0).any()}
    found: dict[str, dict[str, float]] = {}
    n = len(wanted)
    for name, t in targets.items():
        p, values = chosen[name], len(judge.values[name])
        there = t >= 0
        hits = int((p[there] == t[there]).sum())
        of_p, of_t = np.bincount(p, minlength=values), np.bincount(t[there], minlength=values)
        judged = int(there.sum())
        found[name] = {
            "accuracy": hits / judged,
            "exchanged": (int(of_p @ of_t) - hits) / (judged * (n - 1)) if n > 1 else float("nan"),
            "commonest": int(of_t.max()) / judged,
            "one_of": 1 / values,
            "judged": judged,
        }
    counted = [name for name in targets if name not in without]
    if counted:
        p, t = (np.stack([rows[name] for name in counted], 1) for rows in (chosen, targets))  # (n, A)
        some = np.flatnonzero((t >= 0).any(1))
        right = np.mean([((t[i] == p[i]) | (t[i] < 0)).all() for i in some])
        few = some[:PAIRED]
        pairs = ((t[few, None] == p[None, few]) | (t[few, None] < 0)).all(2)  # (captions, images)
        np.fill_diagonal(pairs, False)
        exchanged = pairs.sum() / (len(few) * (len(few) - 1)) if len(few) > 1 else float("nan")
        found["all"] = {"accuracy": float(right), "exchanged": float(exchanged), "judged": len(some)}
    return found


def by_value(judge: AttributeClassifier, wanted: Sequence[Mapping[str, str]], seen: np.ndarray) -> dict[str, dict[str, float]]:
    """By attribute and value, the share of the images whose captions name it that show it; only what some caption names.

    Args:
        judge: the classifier.
        wanted: for each image, the attributes that its caption names.
        seen: (n, V) the classifier's scores of the images.
    """
    targets, found = judge.numbers(wanted), {}
    for name, p in judge.split(seen).items():
        rows = {word: targets[name] == k for k, word in enumerate(judge.values[name])}
        found[name] = {word: float((p[row].argmax(1) == k).mean()) for k, (word, row) in enumerate(rows.items()) if row.any()}
    return {name: row for name, row in found.items() if row}


def classifier_scores(judge: AttributeClassifier, seen: np.ndarray) -> dict[str, float]:
    """The form of the Inception score (Salimans et al., 2016) with each head of the classifier in Inception's place.

    exp(mean over images of KL(p(y|x) || p(y))): 1 where all images look alike to the head, the number of values where each image
    shows one clearly and all are as common. It is no Inception score and cannot be compared with published ones.
    """
    found = {}
    for name, p in judge.split(seen).items():
        p = np.maximum(p, 1e-300)
        found[name] = float(np.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean()))
    return found
