"""Quality against diversity over temperatures, with the noise of drawing, and what may be concluded from it.

One temperature says little: a generator that sharpens its distribution gains quality and loses diversity, as a language model
does when its temperature is lowered (Caccia et al., 2020; Semeniuta et al., 2018). Here every generator is drawn from at several
temperatures, and another one is better only where it has more diversity at the same quality.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

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


def measure_text(samples: Sequence[Words], text: Text, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Each figure of the pairs that needs text, with its standard error."""
    vocabulary = {word for row in text.training for word in row}
    found = {
        "bleu_5": sentence_bleu(samples, text.held_out)[:, 4],
        "self_bleu_5": self_bleu(samples)[:, 4],
        "lm_nll": ngram_nll(text.training, samples, vocabulary),
        "reverse_lm_nll": ngram_nll(samples, text.held_out, vocabulary),
    }
    return {key: bootstrap(values, seed) for key, values in found.items()}


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
        encode: vectors of sentences, for ``fed``, which comes without an error.
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
            number = min(n, len(text.vectors))
            found["fed"] = frechet_distance(encode(written[:number]), text.vectors[:number]), math.nan
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


def gain(curve: Curve, baselines: Sequence[Curve], pair: Pair, level: float = 0.05) -> Gain | None:
    """Whether a generator has more diversity than the tempered baselines at the same quality, anywhere, beyond the noise.

    The baselines' frontier is drawn as straight lines between its points. The error adds those of both and of the quality; it is
    allowed for as many comparisons as there are temperatures (Bonferroni).

    Returns:
        the largest gain in units of its error, or None where no quality is reached by both.
    """
    named = {str(k): c for k, c in enumerate(baselines)}
    line = sorted(
        (named[name][t][pair.quality][0] * pair.quality_sign, *named[name][t][pair.diversity])
        for name, temperatures in front(named, pair).items()
        for t in temperatures
    )
    compared = []
    for temperature, figures in curve.items():
        (quality, quality_error), (diversity, error) = figures[pair.quality], figures[pair.diversity]
        quality *= pair.quality_sign
        for (x0, y0, e0), (x1, y1, e1) in itertools.pairwise(line):
            if x0 <= quality <= x1:
                share = (quality - x0) / (x1 - x0) if x1 > x0 else 0.5
                slope = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
                other = ((1 - share) * e0) ** 2 + (share * e1) ** 2
                total = math.sqrt(error**2 + other + 2 * (slope * quality_error) ** 2)
                compared.append((temperature, y0 + share * (y1 - y0) - diversity, total))
                break
    if not compared:
        return None
    z = NormalDist().inv_cdf(1 - level / 2 / len(compared))
    best = max(compared, key=lambda row: row[1] / max(row[2], 1e-12))
    return Gain(*best, best[1] > z * best[2])
