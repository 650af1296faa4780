"""Does a generator draw all there is? How often samples show each value of an attribute, beside real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .attributes import AttributeClassifier, attribute_table, unseen

COVERED = 0.1  # of a value's share among real images: so much among samples, and it counts as covered


def modes(samples: np.ndarray, real: np.ndarray) -> tuple[int, float]:
    """How many values samples cover, and how far their shares lie from those of real images.

    Args:
        samples: (V,) how many samples show each value.
        real: (V,) how many real images do.

    Returns:
        how many of the values that real images show have at least COVERED of their share among samples; and the divergence
        KL(samples || real) in nats, 0 for equal shares. Each value has one more real image in it, so that it is finite.
    """
    p, q = samples / samples.sum(), real / real.sum()
    covered = int(((real > 0) & (p >= COVERED * q)).sum())
    q = (real + 1) / (real + 1).sum()
    there = p > 0
    return covered, float((p[there] * np.log(p[there] / q[there])).sum())


def mode_table(
    judge: AttributeClassifier, fake: np.ndarray, held_out: np.ndarray, learnt: np.ndarray, shows: Sequence[Mapping[str, str]]
) -> dict[str, dict[str, float]]:
    """By attribute the values covered and the divergence, of samples and of held-out images, which are the floor.

    All are counted as the classifier sees them, so that its mistakes are alike on all sides.

    Args:
        judge: the classifier.
        fake: (n, V) its scores of samples.
        held_out: (m, V) of held-out images.
        learnt: (N, V) of the training images, which say what there is.
        shows: the attributes of each held-out image.

    Returns:
        of each attribute ``values`` (how many training images show), ``model`` and ``real`` (how many of them are covered),
        ``model_kl`` and ``real_kl``, ``accuracy`` (of the classifier on held-out images; no number where none has the attribute)
        and ``seen``, whether it judges the attribute at all.
    """
    of_classifier = attribute_table(judge, shows, held_out)
    blind = unseen(of_classifier)
    chosen = [{name: p.argmax(1) for name, p in judge.split(scores).items()} for scores in (fake, held_out, learnt)]
    found: dict[str, dict[str, float]] = {}
    for name, words in judge.values.items():
        of_fake, of_held, of_learnt = (np.bincount(some[name], minlength=len(words)) for some in chosen)
        (model, model_kl), (real, real_kl) = modes(of_fake, of_learnt), modes(of_held, of_learnt)
        found[name] = {
            "values": int((of_learnt > 0).sum()), "model": model, "real": real, "model_kl": model_kl, "real_kl": real_kl,
            "accuracy": of_classifier.get(name, {}).get("accuracy", float("nan")), "seen": name not in blind,
        }  # fmt: skip
    return found


def in_all(table: Mapping[str, Mapping[str, float]], side: str) -> dict[str, float]:
    """Over all attributes that the classifier sees: values ``covered``, how many there are (``of``), and the mean ``kl``.

    Args:
        table: what ``mode_table`` gave.
        side: "model" or "real".

    Returns:
        nothing where it sees none.
    """
    rows = [row for row in table.values() if row["seen"]]
    if not rows:
        return {}
    covered, of = sum(row[side] for row in rows), sum(row["values"] for row in rows)
    return {"covered": covered, "of": of, "kl": float(np.mean([row[f"{side}_kl"] for row in rows]))}
