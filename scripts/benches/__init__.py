"""The benches by name: ``python scripts/bench.py NAME``. Each is a function of a Setting that gives rows."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

BENCHES = {
    "rollouts": "text_gans:rollouts",
    "rewards": "text_gans:rewards",
    "generator-step": "text_gans:generator_step",
    "sampling": "text_gans:sampling",
    "mle-epoch": "text_gans:mle_epoch",
    "discriminator-epoch": "text_gans:discriminator_epoch",
    "gumbel-step": "relaxed:gumbel_step",
    "relgan-step": "relaxed:relgan_step",
    "maskgan-step": "maskgan:maskgan_step",
    "skipthought-train": "encoders:skipthought_train",
    "skipthought-encode": "encoders:skipthought_encode",
    "word2vec": "encoders:word2vec",
    "bleu": "metrics:bleu",
    "self-bleu": "metrics:self_bleu",
    "cgan-step": "images:cgan_step",
    "stackgan-step": "images:stackgan_step",
    "data": "data:data",
    "start-up": "data:start_up",
}


def find(name: str) -> Callable[[Any], Iterator[Any]]:
    """The bench of this name."""
    module, _, function = BENCHES[name].partition(":")
    found: Callable[[Any], Iterator[Any]] = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return found
