"""Quality against diversity over temperatures, with the noise of drawing, and what may be concluded from it.

One temperature says little: a generator that sharpens its distribution gains quality and loses diversity, as a language model
does when its temperature is lowered (Caccia et al., 2020; Semeniuta et al., 2018). Here every generator is drawn from at several
temperatures, and another one is better only where it has more diversity at the same quality.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import torch

from ..decode import Decodes, texts
from ..generators import Generator
from .bleu import Words, self_bleu, sentence_bleu
from .embedding import frechet_distance
from .language_models import ngram_nll
from .nll import draw, sequence_nll
from .words import Cut, words

RESAMPLES = 1000
Encode = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Pair:
    """A measure of quality and one of diversity; ``sign`` is -1 where more is better."""

    name: str
    quality: str
    quality_label: str
    quality_sign: int
    diversity: str
    diversity_label: str


PAIRS = (
    Pair("BLEU-5 and self-BLEU-5", "bleu_5", "BLEU-5 against held-out text", -1, "self_bleu_5", "self-BLEU-5"),
    Pair("language model and reverse language model",
         "lm_nll", "NLL of samples under a 4-gram model of the text (nats a token)", 1,
         "reverse_lm_nll", "NLL of held-out text under a 4-gram model of the samples (nats a token)"),
    Pair("NLL_oracle and NLL_test", "nll_oracle", "NLL of samples under the oracle (nats a token)", 1,
         "nll_test", "NLL of held-out text under the generator (nats a token)"),
)  # fmt: skip


@dataclass(frozen=True)
class Text:
    """Real text that generators are compared with, cut into words: ``held_out`` and ``training``."""

    held_out: list[list[str]]
    training: list[list[str]]
    cut: Cut
    vectors: np.ndarray | None = None  # of the held-out text


def bootstrap(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Mean and standard error of (S,) values, or of a ratio of sums where values is (S, 2); rows are drawn again and again."""
    if values.ndim == 1:
        values = np.stack([values, np.ones_like(values)], 1)
    if not len(values) or np.isnan(values).any() or values[:, 1].sum() == 0:
        return math.nan, math.nan
    random = np.random.default_rng(seed)
    sums = np.stack([values[random.integers(0, len(values), len(values))].sum(0) for _ in range(RESAMPLES)])
    return float(values[:, 0].sum() / values[:, 1].sum()), float((sums[:, 0] / sums[:, 1]).std())


def jackknife(figure: Callable[[Sequence[Any]], float], samples: Sequence[Any], groups: int = 10) -> float:
    """Standard error of a figure that looks at all samples at once, from how it moves when a tenth of them is left out.

    What it is for: a figure whose value for one sample depends on the others, so that drawing its rows again says too little.
    """
    if len(samples) < 2 * groups:
        return math.nan
    found = np.array([figure([s for i, s in enumerate(samples) if i % groups != k]) for k in range(groups)])
    return float(np.sqrt((groups - 1) / groups * np.square(found - found.mean()).sum()))


def measure_text(samples: Sequence[Words], text: Text, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Each figure of the pairs that needs text, with its standard error."""
    vocabulary = {word for row in text.training for word in row}

    def reverse(chosen: Sequence[Words]) -> np.ndarray:
        return ngram_nll(chosen, text.held_out, vocabulary)

    def ratio(scores: np.ndarray) -> float:
        return float(scores[:, 0].sum() / scores[:, 1].sum())

    held_out, held_out_error = bootstrap(reverse(samples), seed)
    return {
        "bleu_5": bootstrap(sentence_bleu(samples, text.held_out)[:, 4], seed),
        "self_bleu_5": (
            float(self_bleu(samples)[:, 4].mean()),
            jackknife(lambda chosen: float(self_bleu(chosen)[:, 4].mean()), samples),
        ),
        "lm_nll": bootstrap(ngram_nll(text.training, samples, vocabulary), seed),
        "reverse_lm_nll": (held_out, math.hypot(held_out_error, jackknife(lambda chosen: ratio(reverse(chosen)), samples))),
    }


def measure_vectors(vectors: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """The Fréchet embedding distance of as many sentences of both, with its standard error over samples."""
    number = min(len(vectors), len(real))
    chosen = vectors[:number]
    error = jackknife(lambda rows: frechet_distance(np.stack(rows), real[:number]), list(chosen), 5)
    return frechet_distance(chosen, real[:number]), error


def measure(
    model: Generator,
    temperature: float,
    *,
    n: int,
    length: int,
    held_out: torch.Tensor,
    tokenizer: Decodes | None = None,
    text: Text | None = None,
    oracle: Generator | None = None,
    encode: Encode | None = None,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """A generator at one temperature: figures with their standard errors.

    Args:
        model: the generator.
        temperature: of its distribution, for samples and for likelihood.
        n: samples to draw.
        length: T.
        held_out: (M, T) ids of held-out text.
        tokenizer: turns samples into text.
        text: real text to compare with.
        oracle: the true distribution, where there is one.
        encode: vectors of sentences, for ``fed``.
        seed: of the samples.
    """
    x = draw(model, n, length, seed, temperature)
    found = {"nll_test": bootstrap(sequence_nll(model, held_out, temperature).cpu().numpy(), seed)}
    if oracle is not None:
        found["nll_oracle"] = bootstrap(sequence_nll(oracle, x).cpu().numpy(), seed)
    if text is not None:
        written = texts(tokenizer, x, model.config.eos)
        found |= measure_text(words(written, text.cut), text, seed)
        if encode is not None and text.vectors is not None:
            found["fed"] = measure_vectors(encode(written), text.vectors)
    return found


Curve = Mapping[float, Mapping[str, tuple[float, float]]]  # of one generator: figures by temperature


@dataclass(frozen=True)
class Gain:
    """How much diversity a generator has above the baseline's at the same quality, where that is largest against its noise."""

    temperature: float
    gain: float
    error: float
    significant: bool


def front(curves: Mapping[str, Curve], pair: Pair) -> dict[str, list[float]]:
    """Each generator's temperatures at which no point of any generator is better in both measures."""
    points = [
        (figures[pair.quality][0] * pair.quality_sign, figures[pair.diversity][0], name, temperature)
        for name, curve in curves.items()
        for temperature, figures in curve.items()
    ]
    kept: dict[str, list[float]] = {}
    best = math.inf
    for _, diversity, name, temperature in sorted(p for p in points if not math.isnan(p[0] + p[1])):
        if diversity < best:
            best = diversity
            kept.setdefault(name, []).append(temperature)
    return kept


def gain(curve: Curve, baselines: Sequence[Curve], pair: Pair, comparisons: int = 1, level: float = 0.05) -> Gain | None:
    """Whether a generator has more diversity than the tempered baselines at the same quality, anywhere, beyond the noise.

    The baselines' frontier is drawn as straight lines between its points; since it is convex, it lies between those lines and
    the lines beside them drawn on, and a gain must be larger than that gap too. Where only one of the two has points, beyond the
    baseline's best or worst quality, a generator is compared with that last point, and only where the answer cannot depend on
    how the baseline would go on. The error adds those of both and of the quality; it is allowed for as many comparisons as there
    are (Bonferroni).

    Args:
        curve: of the generator.
        baselines: the curves of the baselines.
        pair: the measures.
        comparisons: how many generators and pairs are looked at beside each other.
        level: chance of one false gain among all.

    Returns:
        the largest gain in units of its error, or None where no quality is reached by both.
    """
    named = {str(k): c for k, c in enumerate(baselines)}
    line = sorted(
        (named[name][t][pair.quality][0] * pair.quality_sign, *named[name][t][pair.diversity], named[name][t][pair.quality][1])
        for name, temperatures in front(named, pair).items()
        for t in temperatures
    )
    compared = []
    for temperature, figures in curve.items():
        (quality, quality_error), (diversity, error) = figures[pair.quality], figures[pair.diversity]
        if line and not math.isnan(quality + diversity):
            other = _baseline(line, quality * pair.quality_sign, diversity)
            if other is not None:
                y, other_error, slope, other_quality_error, bend = other
                noise = error**2 + other_error**2 + slope**2 * (quality_error**2 + other_quality_error**2)
                compared.append((temperature, y - diversity, math.sqrt(noise), bend))
    if not compared:
        return None
    z = NormalDist().inv_cdf(1 - level / 2 / (len(compared) * comparisons))
    t, most, noise_, bend = max(compared, key=lambda row: (row[1] - row[3]) / max(row[2], 1e-12))
    return Gain(t, most, noise_, most > z * noise_ + bend)


def _baseline(
    line: Sequence[tuple[float, float, float, float]], x: float, diversity: float
) -> tuple[float, float, float, float, float] | None:
    """The baseline at quality x: its diversity, that one's error, its slope, its error of quality, how far it may lie below.

    Args:
        line: (quality, diversity, error of diversity, error of quality) of its frontier, best quality first.
        x: quality, less is better.
        diversity: of the generator that is compared.
    """

    def slope(k: int) -> float:
        (x0, y0, *_), (x1, y1, *_) = line[k], line[k + 1]
        return (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0

    first, last = line[0], line[-1]
    if x < first[0]:  # of better quality than the baseline ever is: it wins if it is more diverse as well
        return (first[1], first[2], 0.0, 0.0, 0.0) if diversity <= first[1] else None
    if x > last[0]:  # of worse quality: it loses if it is less diverse as well
        return (last[1], last[2], 0.0, 0.0, 0.0) if diversity >= last[1] else None
    k = next((k for k in range(len(line) - 1) if x <= line[k + 1][0]), None)
    if k is None:  # the baseline is one point, and x is its quality
        return first[1], first[2], 0.0, first[3], 0.0
    (x0, y0, e0, q0), (x1, y1, e1, q1) = line[k], line[k + 1]
    share = (x - x0) / (x1 - x0) if x1 > x0 else 0.5
    y = y0 + share * (y1 - y0)
    lowest = [y0 + slope(k - 1) * (x - x0)] if k > 0 else []
    lowest += [y1 - slope(k + 1) * (x1 - x)] if k + 2 < len(line) else []
    bend = max(0.0, y - max(lowest)) if lowest else 0.0
    return y, math.hypot((1 - share) * e0, share * e1), slope(k), max(q0, q1), bend
