"""RelGAN: a relational memory that writes, and a discriminator of many representations that G is trained through.

Reference: Nie, Narodytska, Patel, "RelGAN: Relational Generative Adversarial Networks for Text Generation", ICLR 2019.

Section 3.1 (relational memory) is ``RMCGenerator``; 3.2 (Gumbel-softmax with the inverse temperature beta of equation 7, annealed
as in the last lines of 3.2) is ``beta`` and ``fake``; 3.3 (many embedded representations, the relativistic loss of equation 9) is
``RelGANDiscriminator``, ``d_step`` and ``g_step``. A round is one generator step and ``d_steps`` discriminator steps.

Departs: beta reaches beta_max at the last round, as in the paper; the authors divide by 5,000 rounds, of which they do 3,000.
As in the code, and not in the paper's figure 1, G reads hard tokens back, and no gradient flows through what it reads.
Departs: in the generator's step D is in eval mode; the authors' dropout stays on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..corpus import Corpus
from ..decode import symbols, texts
from ..discriminators import RelGANDiscriminator, RelGANDiscriminatorConfig
from ..errors import UserError
from ..estimators import gumbel
from ..generators import RMCConfig, RMCGenerator
from ..objectives import nll, relativistic
from ..runtime import Batches, Player, Stage, Workers, frozen


@dataclass(frozen=True)
class RelGANConfig:
    """Settings of RelGAN; sizes and rates are those of the authors' experiments, the schedule is shorter."""

    pretrain_epochs: int = 6
    """Epochs of maximum likelihood for G (paper: 150)."""
    rounds: int = 50
    """Adversarial rounds (code: 3,000 on the oracle, 2,000 on text)."""
    d_steps: int = 5
    """Discriminator steps a round (paper: 5)."""
    batch: int = 64
    """Real sequences a step, and generated ones, over all processes (paper: 64)."""
    beta_max: float = 100.0
    """Inverse temperature at the last round; at the first it is 1 (paper: 100 or 1,000 on text, 1 or 2 on the oracle)."""
    embedding_dim: int = 32
    """Size of a token's vector in G (paper: 32)."""
    slots: int = 1
    """Slots of the memory (paper: 1)."""
    heads: int = 2
    """Heads of its attention (paper: 2)."""
    head_size: int = 256
    """Size of a head (paper: 256)."""
    representations: int = 64
    """Representations of a sentence in D, the paper's S (paper: 64)."""
    d_embedding_dim: int = 64
    """Numbers of a token's vectors in D, over all representations (paper: 64)."""
    d_dropout: float = 0.25
    """Dropout of D (code: 0.25)."""
    lr: float = 1e-2
    """Adam's learning rate in maximum likelihood (paper: 1e-2)."""
    g_lr: float = 1e-4
    """Adam's learning rate in the adversarial stage, with moments of its own (paper: 1e-4)."""
    d_lr: float = 1e-4
    """Adam's learning rate for D (paper: 1e-4)."""
    clip: float = 5.0
    """Largest norm of the gradients of G and D (code: 5)."""


class RelGAN:
    """Trains an RMCGenerator through a RelGANDiscriminator."""

    Config = RelGANConfig

    def __init__(self, config: RelGANConfig, corpus: Corpus, workers: Workers, *, length: int, seed: int) -> None:
        c = self.config = config
        if c.d_embedding_dim % c.representations:
            raise UserError(
                f"--d-embedding-dim must be a multiple of --representations; received {c.d_embedding_dim} and {c.representations}"
            )
        if length < 2:
            raise UserError(f"--length must be 2 or more, the width of D's smallest window; received {length}")
        self.corpus, self.workers, self.length = corpus, workers, length
        memory = (c.embedding_dim, c.slots, c.heads, c.head_size)
        self.G = RMCGenerator(RMCConfig(corpus.vocab_size, *memory, **symbols(corpus))).to(workers.device)
        shape = RelGANDiscriminatorConfig(corpus.vocab_size, length, c.representations, c.d_embedding_dim, dropout=c.d_dropout)
        self.D = RelGANDiscriminator(shape).to(workers.device)
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

    def beta(self, i: int) -> float:
        """Inverse temperature at step i of the game: beta_max ** (n / N), round n of N."""
        return float(self.config.beta_max ** (i // self.game / self.config.rounds))

    def pretrain_g_step(self, i: int) -> dict[str, Tensor]:
        """Maximum likelihood on a minibatch of real sequences."""
        x = self.data[i]  # (B, T)
        mask = self.G.mask(x)
        loss = nll(self.G.log_prob(x), mask, self.workers.mean(mask.sum().float()))
        return {"g/nll": self.workers.mean(loss.detach()), "g/grad": self.g_mle.minimise(loss)}

    def step(self, i: int) -> dict[str, Tensor]:
        """A step of the game: which player moves is a function of i."""
        return self.d_step(i) if i % self.game else self.g_step(i)

    def fake(self, i: int) -> Tensor:
        """Relaxed sequences (B, T, V) of step i: softmax of beta times logits with Gumbel noise (eq. 7)."""
        noise = gumbel(self.workers.uniform(self.local, self.length, self.corpus.vocab_size))
        with frozen(self.G):
            return self.G.relax(noise, 1 / self.beta(i), feed_back=False)[0]

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G, so that its sequences look more real than real ones (eq. 9)."""
        fake = self.fake(i)
        with frozen(self.D):
            loss = relativistic(self.D(fake), self.D(self.real[i]))
        return {"g/loss": self.workers.mean(loss.detach()), "g/grad": self.g.minimise(loss)}

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D, so that real sequences look more real than those of G (eq. 9), in each representation."""
        with torch.no_grad():
            fake = self.fake(i)
        self.D.train()
        on_real, on_fake = self.D(self.real[i]), self.D(fake)  # (B, S)
        loss = relativistic(on_real, on_fake)
        ahead = (on_real > on_fake).float().mean()  # how often the real one of a pair looks more real
        grad = self.d.minimise(loss)
        return {"d/loss": self.workers.mean(loss.detach()), "d/accuracy": self.workers.mean(ahead), "d/grad": grad}

    def sample(self, n: int) -> list[str]:
        """Generated sentences."""
        with frozen(self.G):
            u = torch.rand(n, self.length, generator=self.workers.noise, device=self.workers.device)
            return texts(self.corpus.tokenizer, self.G.sample(n, self.length, u), self.corpus.eos)
