"""MaskGAN: an actor-critic that fills blanks, judged token by token.

Reference: Fedus, Goodfellow, Dai, "MaskGAN: Better Text Generation via Filling in the ______", ICLR 2018.

Section 2.1 (G and D are encoders of the sentence with blanks m(x) and decoders that attend to it) is ``MaskGenerator`` and
``MaskDiscriminator``; equation 4 (the reward is log D of a token) is ``reward``; equations 5-7 (discounted returns, a learnt
baseline, the policy gradient) are ``g_step``; section 2.2 (a language model first, then in-filling by maximum likelihood) are the
stages ``language_model`` and ``in_filling``. A round is ``d_steps`` times a step of D and one of the critic, then one of G.

What the authors' code does beyond the paper, and so does this: the critic reads D's decoder, and only its own head is trained;
advantages are cut to +-5; rewards and gradients count at blanks only; D's encoder reads m(x), as the paper's does.
Departs: a sentence begins with BOS, so that its first token can be a blank too; the authors' first one is always given.
Departs: the encoder reads the sentence itself with blanks; the authors' reads it without its last token.
Departs: G is in eval mode where it samples and is scored in the game; the authors' dropout stays on.
Departs: the in-filling loss is a mean over blanks; the authors' counts given tokens as zeros, which only scales it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..corpus import Corpus
from ..decode import symbols, texts
from ..discriminators import MaskDiscriminator, MaskDiscriminatorConfig
from ..errors import UserError
from ..estimators import discounted_returns, policy_gradient
from ..generators.masked import LSTMStack, MaskConfig, MaskGenerator, blanks
from ..likelihood import token_log_prob
from ..objectives import nll
from ..runtime import Batches, Player, Stage, Workers, frozen
from ..vectors import start_from


@dataclass(frozen=True)
class MaskGANConfig:
    """Settings of MaskGAN; sizes and rates are those of the authors' PTB experiment, the schedule is much shorter."""

    lm_epochs: int = 5
    """Epochs of the language model whose weights G and D start from."""
    fill_epochs: int = 5
    """Epochs of in-filling by maximum likelihood."""
    d_pretrain_steps: int = 50
    """Steps of D before the game (code: 0 on PTB, 100 on IMDB)."""
    rounds: int = 40
    """Rounds of the game, a generator step each (code: 100,000)."""
    d_steps: int = 2
    """Steps of D, and of the critic, a round (code: 2 on PTB, 8 on IMDB)."""
    batch: int = 128
    """Sentences a step, over all processes (code: 128)."""
    mask: Literal["contiguous", "random"] = "contiguous"
    """Blanks are one stretch of a sentence, or drawn one by one (paper: contiguous)."""
    mask_rate: float = 0.5
    """Share of a sentence that is blank (code: 0.5)."""
    last_mask_rate: float = 0.5
    """The same at the last round; it changes linearly over the game (code: 0.5)."""
    embedding_dim: int = 650
    """Size of a token's vector and of the states (code: 650)."""
    num_layers: int = 2
    """Layers of each encoder and decoder (code: 2)."""
    dropout: float = 0.66
    """Variational dropout of G (code: 0.66)."""
    d_dropout: float = 0.28
    """Variational dropout of D (code: 0.28)."""
    discount: float = 0.89
    """Weight of the next token's reward (code: 0.89)."""
    advantage_clip: float = 5.0
    """Advantages are cut to this on both sides (code: 5)."""
    lr: float = 7.5e-4
    """Adam's learning rate in both stages of maximum likelihood (code: 7.5e-4)."""
    g_lr: float = 3.9e-5
    """Adam's learning rate for G in the game, with moments of its own (code: 3.9e-5)."""
    d_lr: float = 5e-4
    """Adam's learning rate for D (code: 5e-4)."""
    critic_lr: float = 9.8e-4
    """Adam's learning rate for the critic (code: 9.8e-4 on IMDB; 5.2e-7 on PTB, which leaves it as it was born)."""
    clip: float = 10.0
    """Largest norm of each gradient (code: 10)."""
    embeddings: str = ""
    """Start the language model from these word vectors: a word2vec run, or a file of word2vec, GloVe or fastText."""


class LanguageModel(nn.Module):
    """G's decoder without anything to attend to, whose weights all encoders and decoders start from."""

    def __init__(self, vocab_size: int, size: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, size)
        self.stack = LSTMStack(size, layers, dropout)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        nn.init.uniform_(self.embedding.weight, -0.05, 0.05)

    def forward(self, inputs: Tensor) -> Tensor:
        """States (B, T, H) that know each of ``inputs`` (B, T) and those before it."""
        states: Tensor = self.stack(self.embedding(inputs))[0]
        return states


class MaskGAN:
    """Trains a MaskGenerator with a MaskDiscriminator's rewards and a critic."""

    Config = MaskGANConfig

    def __init__(self, config: MaskGANConfig, corpus: Corpus, workers: Workers, *, length: int, seed: int) -> None:
        c = self.config = config
        for flag, rate in (("--mask-rate", c.mask_rate), ("--last-mask-rate", c.last_mask_rate)):
            if not 0 < rate <= 1:
                raise UserError(f"{flag} must lie in (0, 1]; received {rate}")
        if c.fill_epochs < 1:
            raise UserError(f"--fill-epochs must be 1 or more, so that G can fill blanks at all; received {c.fill_epochs}")
        self.corpus, self.workers, self.length = corpus, workers, length
        V, H, L = corpus.vocab_size, c.embedding_dim, c.num_layers
        self.lm = LanguageModel(V, H, L, c.dropout).to(workers.device)
        if c.embeddings:
            start_from(self.lm.embedding, c.embeddings, corpus.tokenizer)
        self.G = MaskGenerator(MaskConfig(V, H, L, length, c.dropout, **symbols(corpus))).to(workers.device)
        self.D = MaskDiscriminator(MaskDiscriminatorConfig(V, H, L, c.d_dropout, self.G.config.pad)).to(workers.device)
        self.critic = nn.Linear(H, 1).to(workers.device)

        def player(module: nn.Module, lr: float) -> Player:
            return Player(module, torch.optim.Adam(module.parameters(), lr, fused=True), workers, c.clip)

        self.language, self.g_mle, self.g = player(self.lm, c.lr), player(self.G, c.lr), player(self.G, c.g_lr)
        self.d, self.v = player(self.D, c.d_lr), player(self.critic, c.critic_lr)
        self.players: Mapping[str, Player] = {
            "language_model": self.language, "generator_mle": self.g_mle, "generator": self.g, "discriminator": self.d,
            "critic": self.v,
        }  # fmt: skip
        self.kept: Mapping[str, nn.Module] = {}
        self.local, self.game = workers.shard(c.batch), 2 * c.d_steps + 1
        self.data = Batches(lambda i: corpus.train.rows(i, length), len(corpus.train), c.batch, seed, workers)

    def stages(self) -> Sequence[Stage]:
        """The language model, in-filling, D alone, the game."""
        c, epoch = self.config, self.data.per_epoch
        return [
            Stage("language_model", c.lm_epochs * epoch, self.language_model_step, epoch, c.batch),
            Stage("in_filling", c.fill_epochs * epoch, self.in_filling_step, epoch, c.batch),
            Stage("pretrain_d", c.d_pretrain_steps, self.d_step, max(1, c.d_pretrain_steps), c.batch),
            Stage("adversarial", c.rounds * self.game, self.step, 50 * self.game, c.batch, turn=self.game),
        ]

    def mask_rate(self, i: int) -> float:
        """Share of blanks at step i of the game."""
        c = self.config
        return c.mask_rate + (c.last_mask_rate - c.mask_rate) * (i // self.game / max(1, c.rounds - 1))

    def blanked(self, i: int, rate: float) -> tuple[Tensor, Tensor]:
        """Real sentences x (B, T) of minibatch i, and what of them is present (B, T)."""
        x = self.data[i]
        u = self.workers.uniform(self.local, self.length)
        return x, ~blanks(self.G.mask(x).sum(1), self.length, rate, self.config.mask, u)

    def filled(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """G's sentences (B, T), and where they hold tokens that G drew (B, T)."""
        with frozen(self.G), torch.no_grad():
            fake = self.G.fill(x, present, self.workers.uniform(self.local, self.length))
        return fake, ~present & self.G.mask(fake)

    def reward(self, fake: Tensor, x: Tensor, present: Tensor, drawn: Tensor) -> Tensor:
        """Log D of every token that G drew (B, T), 0 of those that were given (eq. 4)."""
        with frozen(self.D), torch.no_grad():
            found: Tensor = (self.D(fake, x, present).sigmoid() + 1e-7).log() * drawn
        return found

    def value(self, fake: Tensor) -> Tensor:
        """The critic's estimate (B, T) of the return, from what stands before each token; only its head gets a gradient."""
        with frozen(self.D), torch.no_grad():
            states = self.D.before(fake).float()
        found: Tensor = self.critic(states).squeeze(2)
        return found

    def language_model_step(self, i: int) -> dict[str, Tensor]:
        """Maximum likelihood of real sentences, from left to right."""
        x = self.data[i]
        mask = self.G.mask(x)
        states = self.lm(F.pad(x[:, :-1], (1, 0), value=self.G.config.bos))
        log_prob = token_log_prob(states, self.lm.embedding.weight, self.lm.bias, x, mask)
        loss = nll(log_prob, mask, self.workers.mean(mask.sum().float()))
        return {"lm/nll": self.workers.mean(loss.detach()), "lm/grad": self.language.minimise(loss)}

    @torch.no_grad()
    def start(self, module: MaskGenerator | MaskDiscriminator) -> None:
        """Give G or D the language model's weights (section 2.2)."""
        module.embedding.load_state_dict(self.lm.embedding.state_dict())
        for stack in (module.seq2seq.encoder, module.seq2seq.decoder):
            stack.load_state_dict(self.lm.stack.state_dict())
        if isinstance(module, MaskGenerator):
            module.out.bias.copy_(self.lm.bias)

    def in_filling_step(self, i: int) -> dict[str, Tensor]:
        """Maximum likelihood of the blanks of real sentences, given the rest."""
        if i == 0:
            self.start(self.G)
        x, present = self.blanked(i, self.config.mask_rate)
        mask = ~present
        loss = nll(self.G.fill_log_prob(x, present), mask, self.workers.mean(mask.sum().float()))
        return {"g/fill_nll": self.workers.mean(loss.detach()), "g/grad": self.g_mle.minimise(loss)}

    def step(self, i: int) -> dict[str, Tensor]:
        """A step of the game: which player moves is a function of i."""
        game, place = divmod(i, self.game)
        if place == self.game - 1:
            return self.g_step(i)
        if place % 2:
            return self.critic_step(i)
        return self.d_step(self.config.d_pretrain_steps + game * self.config.d_steps + place // 2, self.mask_rate(i))

    def d_step(self, i: int, rate: float | None = None) -> dict[str, Tensor]:
        """D on the same sentences, real and filled by G; only tokens at blanks count (eq. 2)."""
        if i == 0:
            self.start(self.D)
        x, present = self.blanked(i, self.config.mask_rate if rate is None else rate)
        fake, drawn = self.filled(x, present)
        real = ~present
        self.D.train()
        on_real, on_fake = self.D(torch.cat([x, fake]), x, present).chunk(2)
        counts = [self.workers.mean(mask.sum().float()).clamp(min=1) for mask in (real, drawn)]
        loss = ((F.softplus(-on_real) * real).sum() / counts[0] + (F.softplus(on_fake) * drawn).sum() / counts[1]) / 2
        right = (((on_real > 0) & real).sum() / counts[0] + ((on_fake <= 0) & drawn).sum() / counts[1]) / 2
        grad = self.d.minimise(loss)
        return {"d/loss": self.workers.mean(loss.detach()), "d/accuracy": self.workers.mean(right), "d/grad": grad}

    def critic_step(self, i: int) -> dict[str, Tensor]:
        """The critic towards the returns of filled sentences."""
        x, present = self.blanked(i, self.mask_rate(i))
        fake, drawn = self.filled(x, present)
        returns = discounted_returns(self.reward(fake, x, present, drawn), self.config.discount)
        error = (self.value(fake) - returns).square() * drawn
        loss = error.sum() / self.workers.mean(drawn.sum().float()).clamp(min=1)
        return {"v/loss": self.workers.mean(loss.detach()), "v/grad": self.v.minimise(loss)}

    def g_step(self, i: int) -> dict[str, Tensor]:
        """G along the policy gradient of its tokens at blanks, with the critic as baseline (eq. 5-7)."""
        c = self.config
        x, present = self.blanked(i, self.mask_rate(i))
        fake, drawn = self.filled(x, present)
        reward = self.reward(fake, x, present, drawn)
        with torch.no_grad():
            advantage = (discounted_returns(reward, c.discount) - self.value(fake)).clamp(-c.advantage_clip, c.advantage_clip)
        with frozen(self.G):
            loss = policy_gradient(self.G.fill_log_prob(fake, present), advantage, drawn)
        grad = self.g.minimise(loss)
        mean = self.workers.mean(reward.sum()) / self.workers.mean(drawn.sum().float()).clamp(min=1)
        return {"g/loss": self.workers.mean(loss.detach()), "g/reward": mean, "g/grad": grad}

    def sample(self, n: int) -> list[str]:
        """Sentences that are nothing but blanks, filled."""
        with frozen(self.G):
            u = torch.rand(n, self.length, generator=self.workers.noise, device=self.workers.device)
            return texts(self.corpus.tokenizer, self.G.sample(n, self.length, u), self.corpus.eos)
