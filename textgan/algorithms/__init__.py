"""The algorithms: one paper, one file. A name here is a command: ``textgan train NAME``."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import UserError

ALGORITHMS = {
    "mle": "textgan.algorithms.mle:MLE",
    "seqgan": "textgan.algorithms.seqgan:SeqGAN",
    "gumbel": "textgan.algorithms.gumbel:GumbelGAN",
    "relgan": "textgan.algorithms.relgan:RelGAN",
    "maskgan": "textgan.algorithms.maskgan:MaskGAN",
    "word2vec": "textgan.algorithms.word2vec:Word2Vec",
    "skipthought": "textgan.algorithms.skipthought:SkipThought",
    "quickthought": "textgan.algorithms.quickthought:QuickThought",
}
SUMMARIES = {
    "mle": "LSTM or GRU language model by maximum likelihood: the baseline of every text GAN",
    "seqgan": "SeqGAN (Yu et al., 2017): policy gradient with Monte Carlo rollouts against a CNN-Highway discriminator",
    "gumbel": "Gumbel-softmax GAN (Kusner and Hernandez-Lobato, 2016): samples made differentiable, trained through D",
    "relgan": "RelGAN (Nie et al., 2019): relational memory, many representations, relativistic loss",
    "maskgan": "MaskGAN (Fedus et al., 2018): an actor-critic that fills blanks, judged token by token",
    "word2vec": "vectors of words (Mikolov et al., 2013): skip-gram or CBOW, through gensim",
    "skipthought": "Skip-Thought (Kiros et al., 2015): a sentence encoder that writes the sentences before and after",
    "quickthought": "Quick-Thoughts (Logeswaran and Lee, 2018): a sentence encoder that tells true neighbours from others",
}


def find(name: str) -> Any:
    """The class of an algorithm, by its name here or as ``module:Class`` from outside.

    Raises:
        UserError: there is none.
    """
    target = ALGORITHMS.get(name, name)
    if ":" not in target:
        raise UserError(f"unknown algorithm; expected one of {', '.join(ALGORITHMS)} or module:Class; received {name!r}")
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"algorithm {name!r} cannot be imported ({error}); expected module:Class on the Python path") from error
