"""What the tests share: a small corpus of real-looking captions, and one torch thread."""

import os
import random

import pytest
import torch

from textgan.corpus import prepare

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


def captions(n=200, seed=0):
    r = random.Random(seed)
    who, does, where = ["a man", "a dog", "two women"], ["rides", "sees", "holds"], ["a horse", "the red car", "a kite"]
    return [f"{r.choice(who)} {r.choice(does)} {r.choice(where)} ." for _ in range(n)]


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "captions.txt"
    path.write_text("\n".join(captions()) + "\n")
    return path


@pytest.fixture(scope="session")
def corpus(text, tmp_path_factory):
    return prepare(str(text), tmp_path_factory.mktemp("corpus") / "c", length=8, held_out=0.1)
