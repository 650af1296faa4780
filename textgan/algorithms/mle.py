"""Maximum likelihood: the language model that every text GAN starts from and must be compared with.

Reference: the baseline "MLE" of Yu et al., "SeqGAN: Sequence Generative Adversarial Nets with Policy Gradient", AAAI 2017.

``step`` is one minibatch of gradient descent on the negative log-likelihood in nats a token, EOS included, padding not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..corpus import Corpus
from ..decode import texts
from ..networks import adam, make_generator
from ..objectives import nll
from ..runtime import Batches, Player, Stage, Workers


@dataclass(frozen=True)
class MLEConfig:
    """Settings of maximum likelihood; defaults are those of SeqGAN's pretraining."""

    epochs: int = 120
    """Passes over the training sentences (SeqGAN: 120)."""
    batch: int = 64
    """Sentences a step, over all processes (SeqGAN: 64)."""
    cell: Literal["lstm", "gru"] = "lstm"
    """Recurrent cell (SeqGAN: LSTM)."""
    embedding_dim: int = 32
    """Size of a token's vector (SeqGAN: 32)."""
    hidden_dim: int = 32
    """Size of the state (SeqGAN: 32)."""
    num_layers: int = 1
    """Recurrent layers (SeqGAN: 1)."""
    dropout: float = 0.0
    """Share of embedding and output units dropped in training (SeqGAN: 0)."""
    lr: float = 1e-2
    """Adam's learning rate (SeqGAN: 0.01)."""
    clip: float = 5.0
    """Largest norm of the gradient (SeqGAN: 5)."""
    generator: str = ""
    """Train this pretrained language model in the place of an LSTM: hf: and the folder or name of a causal LM of transformers.
    Sizes and tokenizer are its own; a learning rate of about 5e-5 suits it."""
    lora: int = 0
    """Of pretrained networks, train only adapters of this rank (needs peft, of the extra [hf]); 0 trains everything."""
    shard: bool = False
    """Deal pretrained networks out over the processes of torchrun, so that none holds all of one; alone it changes nothing."""
    embeddings: str = ""
    """Start from these word vectors: a word2vec run, or a file of word2vec, GloVe or fastText."""


class MLE:
    """Trains a language model by maximum likelihood."""

    Config = MLEConfig

    def __init__(self, config: MLEConfig, corpus: Corpus, workers: Workers, *, length: int, seed: int) -> None:
        self.config, self.corpus, self.workers, self.length = config, corpus, workers, length
        c = config
        self.G = make_generator(c, corpus, workers, length)
        self.g = Player(self.G, adam(self.G, c.lr), workers, c.clip)
        self.data = Batches(lambda i: corpus.train.rows(i, length), len(corpus.train), c.batch, seed, workers)
        self.players: Mapping[str, Player] = {"generator": self.g}
        self.kept: Mapping[str, nn.Module] = {}

    def stages(self) -> Sequence[Stage]:
        """One stage."""
        epoch = self.data.per_epoch
        return [Stage("mle", self.config.epochs * epoch, self.step, epoch, self.config.batch)]

    def step(self, i: int) -> dict[str, Tensor]:
        """One minibatch of real sentences."""
        x = self.data[i]  # (B, T)
        mask = self.G.mask(x)
        loss = nll(self.G.log_prob(x), mask, self.workers.mean(mask.sum().float()))
        return {"g/nll": self.workers.mean(loss.detach()), "g/grad": self.g.minimise(loss)}

    def sample(self, n: int) -> list[str]:
        """Generated sentences."""
        self.G.eval()
        x = self.G.sample(n, self.length, torch.rand(n, self.length, generator=self.workers.noise, device=self.workers.device))
        self.G.train()
        return texts(self.corpus.tokenizer, x, self.corpus.eos)
