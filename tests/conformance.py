"""The checks that every algorithm passes; tests/test_conformance.py runs them. A new algorithm adds one line to TINY."""

import dataclasses

import torch

from textgan.algorithms import find
from textgan.runtime import Run, Workers, fit

TINY = {
    "mle": {"epochs": 2, "batch": 32, "embedding_dim": 6, "hidden_dim": 7},
    "seqgan": {
        "pretrain_epochs": 1, "d_pretrain_rounds": 1, "rounds": 2, "d_steps": 2, "d_epochs": 2, "d_samples": 32, "batch": 32,
        "rollouts": 2, "embedding_dim": 6, "hidden_dim": 7, "d_embedding_dim": 4, "rollout_policy": "lagged", "baseline": "batch",
    },
    "gumbel": {
        "pretrain_epochs": 1, "rounds": 3, "d_steps": 2, "batch": 32, "embedding_dim": 6, "hidden_dim": 7,
        "objective": "standard",
    },
    "relgan": {
        "pretrain_epochs": 1, "rounds": 3, "d_steps": 2, "batch": 32, "embedding_dim": 6, "slots": 2, "head_size": 4,
        "representations": 4, "d_embedding_dim": 8,
    },
    "maskgan": {
        "lm_epochs": 1, "fill_epochs": 1, "d_pretrain_steps": 2, "rounds": 3, "batch": 32, "embedding_dim": 6, "mask": "random",
        "last_mask_rate": 0.8,
    },
    "word2vec": {"epochs": 4, "vector_size": 6, "min_count": 1, "piece": 50, "sample": 0.0},
    "skipthought": {
        "epochs": 2, "batch": 16, "embedding_dim": 6, "hidden_dim": 8, "sampled": 5, "word_dropout": 0.2, "embeddings": "none",
    },
    "quickthought": {"epochs": 3, "batch": 32, "embedding_dim": 6, "hidden_dim": 8, "embeddings": "none"},
}  # fmt: skip
CANCEL = {"relgan": {"hidden.bias", "out.bias"}}  # constants of the scores, whose difference the relativistic loss takes
GENERATORS = ["mle", "seqgan", "gumbel", "relgan", "maskgan"]


def build(name, corpus, seed=0, **changes):
    algorithm, workers = find(name), Workers()
    workers.seed(seed, 0)
    return algorithm(algorithm.Config(**{**TINY[name], **changes}), corpus, workers, length=8, seed=seed), workers


def train(name, corpus, path, until=None, seed=0, **changes):
    made, workers = build(name, corpus, seed, **changes)
    saved = {"algorithm": name, "data": {"length": 8}, "config": dataclasses.asdict(made.config)}
    run = Run.open(path) if (path / "config.json").exists() else Run.create(path, saved, {})
    steps = fit(made, run, workers, seed=seed, until=until, log_every=3, progress=False)
    return made, steps


def weights(made):
    modules = {**{n: p.module for n, p in made.players.items()}, **made.kept}
    return {f"{n}.{k}": v.clone() for n, m in modules.items() for k, v in m.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
