"""A round of MaskGAN beside its plain form.

The plain form has the same networks; it draws blanks with torch.multinomial from a full softmax, reads the sentence with blanks
again for its real and for its filled version, and takes the likelihood from all scores (B, T, V).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from textgan.algorithms.maskgan import MaskGAN, MaskGANConfig
from textgan.runtime import Workers

from .material import sequences, sizes
from .text_gans import Draw, by_numbers, descend, multinomial
from .timing import Row, Setting, same, spread


def plain_fill(G, x: Tensor, present: Tensor, draw: Draw | None = None) -> Tensor:
    """Fill the blanks of x (B, T) from left to right, with nn.LSTM one step at a time."""
    draw = draw or multinomial
    vectors, bias = G.context(x, present)
    memory, state = G.seq2seq.encoder(vectors)
    token, out = torch.full((len(x), 1), G.config.bos, device=x.device), []
    for t in range(x.shape[1]):
        h, state = G.seq2seq.decoder(G.embedding(token), state)
        p = G.out(G.seq2seq.attend(h, memory, bias)[:, -1]).softmax(1)
        token = torch.where(present[:, t : t + 1], x[:, t : t + 1], draw(p, t))
        out.append(token)
    return torch.cat(out, 1)


class PlainMaskGAN:
    """Steps of D, of the critic and of G, on sentences without EOS."""

    def __init__(self, made: MaskGAN) -> None:
        self.c = made.config
        self.G, self.D, self.critic = (copy.deepcopy(part) for part in (made.G, made.D, made.critic))
        rates = ((self.G, self.c.g_lr), (self.D, self.c.d_lr), (self.critic, self.c.critic_lr))
        self.g, self.d, self.v = (torch.optim.Adam(part.parameters(), lr) for part, lr in rates)

    def d_loss(self, x: Tensor, fake: Tensor, present: Tensor) -> Tensor:
        on_real, on_fake = self.D(x, x, present)[~present], self.D(fake, x, present)[~present]
        loss = F.binary_cross_entropy_with_logits
        return (loss(on_real, torch.ones_like(on_real)) + loss(on_fake, torch.zeros_like(on_fake))) / 2

    @torch.no_grad()
    def returns(self, fake: Tensor, x: Tensor, present: Tensor) -> Tensor:
        """What is still to come at each token (B, T), from the last to the first."""
        reward = (self.D(fake, x, present).sigmoid() + 1e-7).log() * ~present
        total, found = torch.zeros_like(reward[:, 0]), []
        for t in reversed(range(reward.shape[1])):
            total = reward[:, t] + self.c.discount * total
            found.append(total)
        return torch.stack(found[::-1], 1)

    def value(self, fake: Tensor) -> Tensor:
        with torch.no_grad():
            states = self.D.before(fake)
        return self.critic(states).squeeze(2)

    def v_loss(self, x: Tensor, fake: Tensor, present: Tensor) -> Tensor:
        return (self.value(fake) - self.returns(fake, x, present))[~present].square().mean()

    def g_loss(self, x: Tensor, fake: Tensor, present: Tensor) -> Tensor:
        with torch.no_grad():
            advantage = (self.returns(fake, x, present) - self.value(fake)).clamp(-self.c.advantage_clip, self.c.advantage_clip)
        log_p = self.G.logits(fake, present).log_softmax(2).gather(2, fake.unsqueeze(2)).squeeze(2)
        return -(log_p * advantage * ~present).sum() / len(x)

    def round(self, x: Tensor, present: Tensor) -> None:
        steps = ((self.D, self.d, self.d_loss), (self.critic, self.v, self.v_loss), (self.G, self.g, self.g_loss))
        for part, optimizer, loss in steps:
            with torch.no_grad():
                fake = plain_fill(self.G.eval(), x, present)
            descend(part, optimizer, loss(x, fake, present), self.c.clip)


def maskgan_step(s: Setting) -> Iterator[Row]:
    """A step of D, one of the critic and one of G, each with sentences of its own."""
    z, workers = sizes(s), Workers(device=s.device)
    workers.seed(0, 0)
    config = MaskGANConfig(dropout=0.0, d_dropout=0.0, **({"batch": 8, "embedding_dim": 16} if s.quick else {}))
    made = MaskGAN(config, sequences(s), workers, length=z.length, seed=0)
    spread(made.G, made.D, made.critic)
    plain, (x, present) = PlainMaskGAN(made), made.blanked(0, config.mask_rate)

    def both() -> None:
        made.step(0)
        made.step(1)
        made.step(made.game - 1)

    u = torch.rand(x.shape, device=s.device)
    with torch.no_grad():
        fake = made.G.eval().fill(x, present, u)
        filled = same("tokens of the same draws", fake, plain_fill(plain.G.eval(), x, present, by_numbers(u)), 0, 0.95)
        drawn, log_d = ~present, F.logsigmoid
        on_real, on_fake = made.D(torch.cat([x, fake]), x, present).chunk(2)
        d = (-log_d(on_real)[drawn].mean() - log_d(-on_fake)[drawn].mean()) / 2
        reward = made.reward(fake, x, present, drawn)
        ahead = torch.stack([
            (reward[:, t:] * config.discount ** torch.arange(z.length - t, device=s.device)).sum(1) for t in range(z.length)
        ], 1)  # fmt: skip
        v = (made.critic(made.D.before(fake)).squeeze(2) - ahead)[drawn].square().mean()
        advantage = (ahead - made.value(fake)).clamp(-config.advantage_clip, config.advantage_clip)
        g = -(made.G.fill_log_prob(fake, present) * advantage).sum() / len(x)
        theirs = [loss(x, fake, present) for loss in (plain.d_loss, plain.v_loss, plain.g_loss)]
    told = f"{filled}; {same('losses', [d, v, g], theirs)}"
    yield s.row(
        "maskgan-step", f"B {config.batch}, T {z.length}, V {z.vocab}, H {config.embedding_dim}: D, critic and G",
        both, lambda: plain.round(x, present), told, amount=1, unit="rounds", floor=s.own_products(both),
    )  # fmt: skip
