"""SeqGAN: a generator trained by policy gradient on the rewards of a discriminator.

Reference: Yu, Zhang, Wang, Yu, "SeqGAN: Sequence Generative Adversarial Nets with Policy Gradient", AAAI 2017.

Algorithm 1, line by line: lines 1-3 (pretrain G by MLE) are ``pretrain_g_step``; lines 4-5 (pretrain D) and 12-15 (d-steps)
are ``d_step``; lines 7-11 (g-steps: sequence, Q by equation 4, update by equation 8) are ``g_step``; line 16 (the rollout
policy follows G) is the EMA at the end of ``g_step``.

A round of the adversarial stage is ``g_steps`` generator steps, then ``d_steps`` times: draw ``d_samples`` negatives, train D
for ``d_epochs`` epochs on them. Every minibatch is one step of the run, so that a run can stop anywhere.

Departs: ``rollout_policy="lagged"`` is what the authors' code means by its update rate of 0.8, which has no effect there
because the graph was built before; "current", the default, is what it does.
Departs: the policy gradient is a mean over sequences, the authors' a sum; Adam does not see the difference, the clipping does.
Departs: every minibatch of D holds as many real as generated sequences; the authors shuffle both together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..corpus import Corpus
from ..decode import texts
from ..estimators import policy_gradient, rollout_reward
from ..networks import adam, make_discriminator, make_generator
from ..objectives import d_logistic, nll
from ..runtime import EMA, Batches, Player, Stage, Workers, frozen
from ..runtime.workers import fold


@dataclass(frozen=True)
class SeqGANConfig:
    """Settings of SeqGAN; defaults are those of the authors' oracle experiment."""

    pretrain_epochs: int = 120
    """Epochs of maximum likelihood for G (code: 120)."""
    d_pretrain_rounds: int = 50
    """Times that D is pretrained on fresh negatives (code: 50)."""
    rounds: int = 200
    """Adversarial rounds (code: 200)."""
    g_steps: int = 1
    """Generator steps a round (paper: 1)."""
    d_steps: int = 5
    """Times a round that D gets fresh negatives (paper: 5)."""
    d_epochs: int = 3
    """Epochs over each set of negatives, the paper's k (paper: 3)."""
    d_samples: int = 10_000
    """Negatives in a set, and real sequences beside them (code: 10,000)."""
    batch: int = 64
    """Sequences a step, over all processes (code: 64)."""
    rollouts: int = 16
    """Completions of each prefix, the paper's N; 0 gives every token the reward of the whole sequence (code: 16)."""
    discount: float = 1.0
    """Factor of the reward for each token that is still to come; 1 is the paper's terminal reward."""
    baseline: Literal["none", "batch"] = "none"
    """What is subtracted from the reward: nothing, as in the paper, or its mean over the batch at each place."""
    reward: Literal["discriminator", "constant", "random", "shuffled"] = "discriminator"
    """What G is rewarded with. The others are controls that know nothing of a sequence: 0.5 for every token, uniform numbers, and
    the discriminator's rewards of another sequence. What G gains with them it does not owe to D."""
    rollout_policy: Literal["current", "lagged"] = "current"
    """Who completes the prefixes: G as it is, or a copy of G that follows it (see the file's docstring)."""
    rollout_decay: float = 0.8
    """How much of the lagged copy stays at each generator step (code: 0.8)."""
    cell: Literal["lstm", "gru"] = "lstm"
    """Recurrent cell of G (paper: LSTM)."""
    embedding_dim: int = 32
    """Size of a token's vector in G (code: 32)."""
    hidden_dim: int = 32
    """Size of the state of G (code: 32)."""
    num_layers: int = 1
    """Recurrent layers of G (code: 1)."""
    dropout: float = 0.0
    """Dropout of G in maximum likelihood (code: 0)."""
    d_embedding_dim: int = 64
    """Size of a token's vector in D (code: 64)."""
    d_dropout: float = 0.25
    """Dropout of D (code: 0.25)."""
    d_l2: float = 0.2
    """Weight of L2 on D's output layer (code: 0.2)."""
    lr: float = 1e-2
    """Adam's learning rate in maximum likelihood (code: 0.01)."""
    g_lr: float = 1e-2
    """Adam's learning rate in the adversarial stage, with moments of its own (code: 0.01)."""
    d_lr: float = 1e-4
    """Adam's learning rate for D (code: 1e-4)."""
    clip: float = 5.0
    """Largest norm of G's gradient (code: 5)."""
    generator: str = ""
    """Train this pretrained language model in the place of an LSTM: hf: and the folder or name of a causal LM of transformers.
    Sizes and tokenizer are its own; a learning rate of about 5e-5 suits it."""
    discriminator: str = ""
    """Train this pretrained encoder in the place of the CNN: hf: and its folder or name."""
    lora: int = 0
    """Of pretrained networks, train only adapters of this rank (needs peft, of the extra [hf]); 0 trains everything."""
    shard: bool = False
    """Deal pretrained networks out over the processes of torchrun, so that none holds all of one; alone it changes nothing."""
    embeddings: str = ""
    """Start G from these word vectors: a word2vec run, or a file of word2vec, GloVe or fastText."""


class SeqGAN:
    """Trains a generator against a discriminator: an LSTM and a CNNHighway, or pretrained ones of transformers."""

    Config = SeqGANConfig

    def __init__(self, config: SeqGANConfig, corpus: Corpus, workers: Workers, *, length: int, seed: int) -> None:
        c = self.config = config
        self.corpus, self.workers, self.length, self.seed = corpus, workers, length, seed
        self.G = make_generator(c, corpus, workers, length)
        self.D = make_discriminator(c, corpus, workers, length)
        self.g_mle = Player(self.G, adam(self.G, c.lr), workers, c.clip)
        self.g = Player(self.G, adam(self.G, c.g_lr), workers, c.clip)
        self.d = Player(self.D, adam(self.D, c.d_lr), workers)
        self.players: Mapping[str, Player] = {"generator_mle": self.g_mle, "generator": self.g, "discriminator": self.d}
        self.lagged = EMA(self.G, c.rollout_decay) if c.rollout_policy == "lagged" else None
        self.kept: Mapping[str, nn.Module] = {"rollout": self.lagged.copy} if self.lagged else {}

        self.local, self.half = workers.shard(c.batch), workers.shard(max(c.batch // 2, workers.world))
        global_half = self.half * workers.world
        self.data = Batches(lambda i: corpus.train.rows(i, length), len(corpus.train), c.batch, seed, workers)
        self.real = Batches(lambda i: corpus.train.rows(i, length), len(corpus.train), global_half, seed + 1, workers)
        self.d_epoch = -(-c.d_samples // global_half)  # minibatches in an epoch of D
        self.d_round = c.d_epochs * self.d_epoch
        self.asked = c.reward in ("discriminator", "shuffled")  # otherwise D is of no use and is not trained
        self.game = c.g_steps + self.asked * c.d_steps * self.d_round  # steps in a round
        self.negatives: tuple[int, Batches, Tensor] | None = None  # a cache: a function of (seed, set, G)

    def stages(self) -> Sequence[Stage]:
        """Pretraining of both sides, then the game."""
        c, epoch = self.config, self.data.per_epoch
        pretrain_d = self.asked * c.d_pretrain_rounds * self.d_round
        return [
            Stage("pretrain_g", c.pretrain_epochs * epoch, self.pretrain_g_step, epoch, c.batch),
            Stage("pretrain_d", pretrain_d, self.d_step, self.d_round, c.batch),
            Stage("adversarial", c.rounds * self.game, self.step, self.game, c.batch, lambda i: i % self.game < c.g_steps),
        ]

    def step(self, i: int) -> dict[str, Tensor]:
        """A step of the game: which player moves is a function of i."""
        c = self.config
        game, place = divmod(i, self.game)
        if place < c.g_steps:
            return self.g_step(game * c.g_steps + place)
        return self.d_step((c.d_pretrain_rounds + game * c.d_steps) * self.d_round + place - c.g_steps)

    def pretrain_g_step(self, i: int) -> dict[str, Tensor]:
        """Maximum likelihood on a minibatch of real sequences (lines 1-3)."""
        x = self.data[i]  # (B, T)
        mask = self.G.mask(x)
        loss = nll(self.G.log_prob(x), mask, self.workers.mean(mask.sum().float()))
        grad = self.g_mle.minimise(loss)
        if self.lagged:
            self.lagged.copy.load_state_dict(self.G.state_dict())
        return {"g/nll": self.workers.mean(loss.detach()), "g/grad": grad}

    def g_step(self, i: int) -> dict[str, Tensor]:
        """Sequences, their action values, one step along the policy gradient (lines 7-11)."""
        c, T = self.config, self.length
        with frozen(self.G, self.D), torch.no_grad():
            x = self.G.sample(self.local, T, self.workers.uniform(self.local, T))  # (B, T)
            q = self.action_value(x)  # (B, T), eq. 4
        mask = self.G.mask(x)
        baseline = torch.zeros_like(q)
        if c.baseline == "batch":
            total, count = self.workers.mean(q.sum(0)), self.workers.mean(mask.sum(0).float())
            baseline = (total / count.clamp(min=1)).expand_as(q)
        with frozen(self.G):  # dropout would score another policy than the one that was sampled
            loss = policy_gradient(self.G.log_prob(x), q - baseline, mask)  # eq. 8
        grad = self.g.minimise(loss)
        if self.lagged:
            self.lagged.update()  # line 16
        last = mask.sum(1) - 1
        reward = q.gather(1, last.unsqueeze(1)).mean()
        return {"g/loss": self.workers.mean(loss.detach()), "g/reward": self.workers.mean(reward), "g/grad": grad}

    def action_value(self, x: Tensor) -> Tensor:
        """What each token of x (B, T) is worth: mean reward of the rollouts (eq. 4), or the rewards of a control."""
        c, (batch, T) = self.config, x.shape
        if c.reward == "constant":
            return 0.5 * self.G.mask(x).float()
        if c.reward == "random":
            return self.workers.uniform(batch, T) * self.G.mask(x)
        policy, u = self.lagged.copy if self.lagged else self.G, self.workers.uniform(batch, T - 1, c.rollouts, T)
        q = rollout_reward(policy, self.D.probability, x, u, n=c.rollouts, discount=c.discount)
        return q.roll(1, 0) * self.G.mask(x) if c.reward == "shuffled" else q

    def d_step(self, i: int) -> dict[str, Tensor]:
        """D on a minibatch of real sequences and negatives (lines 4-5 and 12-15, eq. 5)."""
        real = self.real[i]  # (B/2, T)
        fake = self.fake(i)
        self.D.train()
        on_real, on_fake = self.D(torch.cat([real, fake])).chunk(2)
        loss = d_logistic(on_real, on_fake)
        grad = self.d.minimise(loss + self.config.d_l2 * self.D.l2())
        accuracy = ((on_real > 0).float().mean() + (on_fake <= 0).float().mean()) / 2
        return {"d/loss": self.workers.mean(loss.detach()), "d/accuracy": self.workers.mean(accuracy), "d/grad": grad}

    def fake(self, i: int) -> Tensor:
        """Negatives (B/2, T) of D's minibatch i: the set is drawn once from G, which rests meanwhile, or again after a resume."""
        workers, (number, place) = self.workers, divmod(i, self.d_round)
        size = self.d_epoch * self.half * workers.world
        if self.negatives is None or self.negatives[0] != number:
            noise = torch.Generator(workers.device).manual_seed(fold(self.seed, 2, number))
            u = torch.rand(size, self.length, generator=noise, device=workers.device).chunk(workers.world)[workers.rank]
            with frozen(self.G):
                rows = workers.gather(self.G.sample(len(u), self.length, u))
            order = Batches(lambda i: i, size, self.half * workers.world, fold(self.seed, 3, number), workers)
            self.negatives = (number, order, rows)
        _, order, rows = self.negatives
        return rows[torch.from_numpy(order.indices(place)).to(workers.device)]

    def sample(self, n: int) -> list[str]:
        """Generated sentences."""
        with frozen(self.G):
            u = torch.rand(n, self.length, generator=self.workers.noise, device=self.workers.device)
            return texts(self.corpus.tokenizer, self.G.sample(n, self.length, u), self.corpus.eos)
