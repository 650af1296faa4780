"""The Gumbel-softmax GAN: samples are made differentiable, and G is trained through D as an image GAN is.

Reference: Kusner and Hernandez-Lobato, "GANs for Sequences of Discrete Elements with the Gumbel-softmax Distribution", 2016; the
relaxation is that of Jang, Gu and Poole, "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017.

Algorithm 1 of the paper draws a minibatch of relaxed sequences and moves D and G on it in turn: ``d_step`` and ``g_step``, at the
temperature of ``temperature``. A round is one generator step and ``d_steps`` discriminator steps.

Departs: G is pretrained by maximum likelihood, the paper's is not (``pretrain_epochs=0``); its toy language has 5 symbols.
Departs: D is a CNN that reads vectors over the vocabulary, the paper's an LSTM.
Departs: the paper has only the relaxed samples and the standard objective; the others are those of later papers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..corpus import Corpus
from ..decode import symbols, texts
from ..discriminators import CNNHighway, CNNHighwayConfig, RelGANDiscriminator, RelGANDiscriminatorConfig
from ..estimators import Annealing, anneal, gumbel
from ..generators import RNNConfig, RNNGenerator
from ..objectives import (
    d_hinge,
    d_logistic,
    g_nonsaturating,
    gradient_penalty,
    nll,
    relativistic,
    wasserstein,
)
from ..runtime import Batches, Player, Stage, Workers, frozen
from ..vectors import start_from

Loss = Callable[[Tensor, Tensor], Tensor]  # of D's scores of real and of generated samples
OBJECTIVES: dict[str, tuple[Loss, Loss]] = {  # what D minimises, and what G does
    "standard": (d_logistic, lambda real, fake: g_nonsaturating(fake)),
    "relativistic": (relativistic, lambda real, fake: relativistic(fake, real)),
    "hinge": (d_hinge, lambda real, fake: -fake.mean()),
    "wasserstein": (wasserstein, lambda real, fake: -fake.mean()),
}


@dataclass(frozen=True)
class GumbelGANConfig:
    """Settings of the Gumbel-softmax GAN; sizes are SeqGAN's, so that the two compare."""

    pretrain_epochs: int = 40
    """Epochs of maximum likelihood for G (paper: 0)."""
    rounds: int = 1000
    """Adversarial rounds."""
    d_steps: int = 1
    """Discriminator steps a round (paper: 1)."""
    batch: int = 64
    """Real sequences a step, and generated ones, over all processes."""
    samples: Literal["straight-through", "relaxed"] = "straight-through"
    """What D sees and G reads back: one-hot vectors with the relaxed ones' gradient, or the relaxed ones (paper)."""
    temperature: float = 1.0
    """Temperature of the relaxation at the first round."""
    last_temperature: float = 0.2
    """Temperature at the last round."""
    schedule: Annealing = "exponential"
    """How the temperature goes from one to the other: by a factor, by an amount, its inverse by an amount, or not at all."""
    objective: Literal["standard", "relativistic", "hinge", "wasserstein"] = "relativistic"
    """The game: the original one (paper), RSGAN, hinge, or Wasserstein with gradient penalty."""
    penalty: float = 10.0
    """Weight of the gradient penalty; wasserstein only (WGAN-GP: 10)."""
    discriminator: Literal["cnn-highway", "representations"] = "cnn-highway"
    """SeqGAN's CNN, or RelGAN's with 64 small embeddings of the sentence."""
    cell: Literal["lstm", "gru"] = "lstm"
    """Recurrent cell of G (paper: LSTM)."""
    embedding_dim: int = 32
    """Size of a token's vector in G."""
    hidden_dim: int = 32
    """Size of the state of G."""
    num_layers: int = 1
    """Recurrent layers of G."""
    dropout: float = 0.0
    """Dropout of G in maximum likelihood."""
    d_dropout: float = 0.25
    """Dropout of D."""
    lr: float = 1e-2
    """Adam's learning rate in maximum likelihood."""
    g_lr: float = 1e-3
    """Adam's learning rate in the adversarial stage, with moments of its own (paper: 1e-3)."""
    d_lr: float = 1e-4
    """Adam's learning rate for D."""
    clip: float = 5.0
    """Largest norm of the gradients of G and D."""
    embeddings: str = ""
    """Start G from these word vectors: a word2vec run, or a file of word2vec, GloVe or fastText."""


class GumbelGAN:
    """Trains an RNNGenerator through a discriminator that reads its relaxed samples."""

    Config = GumbelGANConfig

    def __init__(self, config: GumbelGANConfig, corpus: Corpus, workers: Workers, *, length: int, seed: int) -> None:
        c = self.config = config
        self.corpus, self.workers, self.length = corpus, workers, length
        sizes = (c.embedding_dim, c.hidden_dim, c.num_layers, c.cell, c.dropout)
        self.G = RNNGenerator(RNNConfig(corpus.vocab_size, *sizes, **symbols(corpus))).to(workers.device)
        for parameter in self.G.parameters():
            nn.init.normal_(parameter, 0, 0.1)
        if c.embeddings:
            start_from(self.G.embedding, c.embeddings, corpus.tokenizer)
        self.D: nn.Module
        if c.discriminator == "cnn-highway":
            self.D = CNNHighway(CNNHighwayConfig(corpus.vocab_size, length, dropout=c.d_dropout))
        else:
            self.D = RelGANDiscriminator(RelGANDiscriminatorConfig(corpus.vocab_size, length, dropout=c.d_dropout))
        self.D.to(workers.device)
        self.d_loss, self.g_loss = OBJECTIVES[c.objective]
        self.g_mle = Player(self.G, torch.optim.Adam(self.G.parameters(), c.lr, fused=True), workers, c.clip)
        self.g = Player(self.G, torch.optim.Adam(self.G.parameters(), c.g_lr, fused=True), workers, c.clip)
        self.d = Player(self.D, torch.optim.Adam(self.D.parameters(), c.d_lr, fused=True), workers, c.clip)
        self.players: Mapping[str, Player] = {"generator_mle": self.g_mle, "generator": self.g, "discriminator": self.d}
        self.kept: Mapping[str, nn.Module] = {}
        self.local, self.game = workers.shard(c.batch), 1 + c.d_steps
        self.data = Batches(lambda i: corpus.train.rows(i, length), len(corpus.train), c.batch, seed, workers)
        self.real = Batches(lambda i: corpus.train.rows(i, length), len(corpus.train), c.batch, seed + 1, workers)

    def stages(self) -> Sequence[Stage]:
        """Maximum likelihood, then the game."""
        c, epoch = self.config, self.data.per_epoch
        return [
            Stage("pretrain_g", c.pretrain_epochs * epoch, self.pretrain_g_step, epoch, c.batch),
            Stage("adversarial", c.rounds * self.game, self.step, 50 * self.game, c.batch, turn=self.game),
        ]

    def temperature(self, i: int) -> float:
        """Of the relaxation, at step i of the game."""
        c = self.config
        return anneal(c.schedule, c.temperature, c.last_temperature, i // self.game / c.rounds)

    def pretrain_g_step(self, i: int) -> dict[str, Tensor]:
        """Maximum likelihood on a minibatch of real sequences."""
        x = self.data[i]  # (B, T)
        mask = self.G.mask(x)
        loss = nll(self.G.log_prob(x), mask, self.workers.mean(mask.sum().float()))
        return {"g/nll": self.workers.mean(loss.detach()), "g/grad": self.g_mle.minimise(loss)}

    def step(self, i: int) -> dict[str, Tensor]:
        """A step of the game: which player moves is a function of i."""
        return self.d_step(i) if i % self.game else self.g_step(i)

    def fake(self, i: int) -> tuple[Tensor, Tensor]:
        """Vectors over the vocabulary (B, T, V) that G draws for step i, and their tokens (B, T)."""
        noise = gumbel(self.workers.uniform(self.local, self.length, self.corpus.vocab_size))
        with frozen(self.G):
            return self.G.relax(noise, self.temperature(i), hard=self.config.samples == "straight-through")

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G down the gradient that comes through D and the relaxed samples."""
        fake, _ = self.fake(i)
        with frozen(self.D):
            loss = self.g_loss(self.D(self.real[i]), self.D(fake))
        return {"g/loss": self.workers.mean(loss.detach()), "g/grad": self.g.minimise(loss)}

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D on as many real sequences as generated ones."""
        c, real = self.config, self.real[i]
        with torch.no_grad():
            vectors, tokens = self.fake(i)
        self.D.train()
        on_real, on_fake = self.D(real), self.D(tokens if c.samples == "straight-through" else vectors)
        loss = self.d_loss(on_real, on_fake)
        if c.objective == "wasserstein":
            one_hot = F.one_hot(real, self.corpus.vocab_size).float()
            loss = loss + c.penalty * gradient_penalty(self.D, one_hot, vectors, self.workers.uniform(self.local))
        grad = self.d.minimise(loss)
        ahead = (on_real > on_fake).float().mean()  # how often the real one of a pair looks more real
        return {"d/loss": self.workers.mean(loss.detach()), "d/accuracy": self.workers.mean(ahead), "d/grad": grad}

    def sample(self, n: int) -> list[str]:
        """Generated sentences."""
        with frozen(self.G):
            u = torch.rand(n, self.length, generator=self.workers.noise, device=self.workers.device)
            return texts(self.corpus.tokenizer, self.G.sample(n, self.length, u), self.corpus.eos)
