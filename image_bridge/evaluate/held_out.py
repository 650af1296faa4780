"""Quick figures of a generator while it is trained."""

from __future__ import annotations

import numpy as np

from textgan.errors import UserError

from ..captions import ClassNames
from ..generators import Generator
from ..pairs import PairData, TrainingImages
from .attributes import attribute_classifier, attribute_table, unseen
from .distances import kid
from .drawing import drawn
from .judges import Tell, silent, through
from .matching import matcher
from .texts import class_texts, held_out_texts


def figures(
    G: Generator, images: TrainingImages, n: int = 500, seed: int = 0, batch: int = 64, tell: Tell = silent,
    names: ClassNames | None = None,
) -> dict[str, float]:  # fmt: skip
    """How good a generator is on held-out captions or classes, in seconds; what ``fit`` calls between steps as its ``evaluate``.

    The first call trains the judge (an attribute classifier, or where there are no attributes a matcher of images and captions),
    which takes a minute or two and is kept in the data's cache; call it once before training begins, so that the bar is not
    interrupted. Global random numbers are left as they were, and so is the mode of ``G``. With several processes call it in the
    first one only.

    Args:
        G: the generator, such as ``algorithm.kept["generator"]``, on the workers' device.
        images: what it is trained on: pairs, where it is told sentences.
        n: samples that are drawn, one for a held-out caption each.
        seed: decides captions and noise: the same ones at every call.
        batch: images at a time.
        tell: is called while the judge is trained, with what is being done, the images seen, and those to see.
        names: the classes that it is told, where it is told no sentences.

    Returns:
        ``kid`` in the judge's features, from the held-out images; where there are attributes, ``accuracy``, the mean over those
        that captions name and the judge sees, ``accuracy_NAME`` for each that is named, and ``accuracy_all`` of images that show
        everything their caption names.
        Nothing where no image is held out.

    Raises:
        UserError: the generator draws what is no image, or the data have neither attributes nor captions.
    """
    data, device, packed = images.data, images.workers.device, images.pixels[G.config.size].packed
    held = data.usable(held_out=True)
    if not len(held):
        return {}
    judge = attribute_classifier(data, packed, device, lambda done, total: tell("attribute classifier", done, total))
    if isinstance(images, PairData):
        texts = held_out_texts(data, n, seed)
        if [images.captions.texts[k] for k in texts.rows] != texts.captions:  # it is told labels
            texts = held_out_texts(data, n, seed, labels=True)
        vectors = images.captions.vectors[texts.rows]
    else:
        names = names or ClassNames()
        texts = class_texts(data, n, names, seed)
        vectors = names.encode(texts.captions)
    fake = drawn(G, vectors, seed, batch)
    if judge is None:
        if not all(data.captions):
            raise UserError(f"{data.path} has neither attributes nor captions to train a judge on; leave --figures out")
        features = matcher(data, packed, device, lambda done, total: tell("matcher", done, total)).features
    else:
        features = judge.features
    found = {"kid": kid(through(features, fake, device), through(features, packed, device, np.sort(held)[:n]), seed)[0]}
    if judge is not None:
        real = texts[: len(held)]
        blind = unseen(attribute_table(judge, real.wanted, through(judge, packed, device, real.images)))
        table = attribute_table(judge, texts.wanted, through(judge, fake, device), blind)
        found |= {f"accuracy_{name.replace(' ', '_')}": row["accuracy"] for name, row in table.items()}
        each = [row["accuracy"] for name, row in table.items() if name not in {*blind, "all"}]
        found |= {"accuracy": float(np.mean(each))} if each else {}
    return found
