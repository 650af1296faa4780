"""The networks that several methods train: a recurrent generator and a CNN, or what transformers has in their place."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import torch
from torch import nn

from .corpus import Corpus
from .decode import symbols
from .discriminators import CNNHighway, CNNHighwayConfig
from .errors import UserError
from .generators import Generator, RNNConfig, RNNGenerator
from .runtime import Workers
from .vectors import start_from

OF_THE_RNN = ("cell", "embedding_dim", "hidden_dim", "num_layers", "dropout", "embeddings")
OF_THE_CNN = ("d_embedding_dim", "d_dropout", "d_l2")
HIGH_LR = 1e-3  # from which on a pretrained transformer is likely to forget what it knows


def make_generator(config: Any, corpus: Corpus, workers: Workers, length: int) -> Generator:
    """The generator that a method's config asks for: an RNNGenerator, or a BorrowedGenerator where it names one.

    Raises:
        UserError: the config contradicts itself or the corpus, or there is no such model.
    """
    c = config
    if c.generator:
        return _borrowed_generator(c, corpus, workers, length)
    if (c.lora or c.shard) and not getattr(c, "discriminator", ""):
        raise UserError(f"--{'lora' if c.lora else 'shard'} is for pretrained networks; expected --generator hf:PATH with it")
    sizes = (c.embedding_dim, c.hidden_dim, c.num_layers, c.cell, c.dropout)
    G = RNNGenerator(RNNConfig(corpus.vocab_size, *sizes, **symbols(corpus))).to(workers.device)
    for parameter in G.parameters():
        nn.init.normal_(parameter, 0, 0.1)  # as SeqGAN's authors' code
    if c.embeddings:
        start_from(G.embedding, c.embeddings, corpus.tokenizer)
    return G


def _borrowed_generator(c: Any, corpus: Corpus, workers: Workers, length: int) -> Generator:
    from .hf.borrowed import BorrowedGenerator

    _only_defaults(c, OF_THE_RNN, c.generator)
    if getattr(c, "rollout_policy", "") == "lagged" and c.shard:
        raise UserError("--rollout-policy lagged keeps a whole copy of G, which --shard is to spare; expected one of the two")
    G = BorrowedGenerator.from_pretrained(c.generator)
    if corpus.tokenizer is None or corpus.tokenizer.vocab != G.tokenizer.vocab:
        held = "synthetic ids" if corpus.tokenizer is None else "another tokenizer's"
        raise UserError(
            f"the data's tokens are {held}; expected those of {c.generator}; prepare it with --tokenizer {c.generator}"
        )
    if length > G.places:
        raise UserError(f"--length {length} is too long for {c.generator}; expected {G.places} at most")
    if c.lora:
        G.adapt(c.lora)
    else:
        for name in ("lr", "g_lr"):
            if workers.main and getattr(c, name, 0) >= HIGH_LR:
                flag = "--" + name.replace("_", "-")
                warnings.warn(f"{flag} {getattr(c, name):g} suits an LSTM; a pretrained model wants about 5e-5", stacklevel=2)
    G = G.to(workers.device)
    if c.shard:
        G.shard(workers)
    return G


def make_discriminator(config: Any, corpus: Corpus, workers: Workers, length: int) -> Any:
    """SeqGAN's discriminator, a CNNHighway, or a BorrowedDiscriminator where the config names one.

    Raises:
        UserError: the config contradicts itself or the corpus, or there is no such model.
    """
    c = config
    if not c.discriminator:
        return CNNHighway(CNNHighwayConfig(corpus.vocab_size, length, c.d_embedding_dim, dropout=c.d_dropout)).to(workers.device)
    from .hf.borrowed import BorrowedDiscriminator

    _only_defaults(c, OF_THE_CNN, c.discriminator)
    if corpus.tokenizer is None:
        raise UserError("--discriminator reads text; these data are synthetic ids")
    D = BorrowedDiscriminator(c.discriminator, corpus.tokenizer, corpus.eos)
    if c.lora:
        D.adapt(c.lora)
    D = D.to(workers.device)
    if c.shard:
        D.shard(workers)
    return D


def _only_defaults(config: Any, names: tuple[str, ...], source: str) -> None:
    if not source.startswith("hf:"):
        raise UserError(f"a pretrained model is named as hf:PATH or hf:NAME; received {source!r}")
    default = {f.name: f.default for f in dataclasses.fields(config)}
    for name in names:
        if getattr(config, name) != default[name]:
            flag = "--" + name.replace("_", "-")
            raise UserError(f"{flag} is of our own network; {source} is as it is; leave {flag} out")


def adam(module: nn.Module, lr: float) -> torch.optim.Adam:
    """Adam on the parameters of a module that are trained."""
    return torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr, fused=True)
