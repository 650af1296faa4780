"""The GANs whose samples are relaxed, the Gumbel-softmax GAN and RelGAN, beside their plain forms.

The plain form reads one-hot vectors everywhere, real sentences too, and has one Conv2d a window; autograd fills the gradients of
both sides in either step, as a plain ``loss.backward()`` does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.algorithms.gumbel import GumbelGAN, GumbelGANConfig
from textgan.algorithms.relgan import RelGAN, RelGANConfig
from textgan.discriminators import RelGANDiscriminator
from textgan.runtime import Workers

from .material import sequences, sizes
from .text_gans import PlainDiscriminator, descend
from .timing import Row, Setting, same, spread

Relax = Callable[[Any, Tensor], Tensor]  # vectors (B, T, V) of a generator and noise


class PlainLogit(PlainDiscriminator):
    """A CNNHighway's logit (B,) that a sequence is real."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return scores[:, 1] - scores[:, 0]


class PlainRepresentations(nn.Module):
    """A RelGANDiscriminator with the weights of another, as one Conv2d a window that strides over the representations."""

    def __init__(self, model: RelGANDiscriminator) -> None:
        super().__init__()
        copied, size, self.convolutions = copy.deepcopy(model), model.size, nn.ModuleList()
        self.embedding, self.gate, self.candidate = copied.embedding, copied.gate, copied.candidate
        self.dropout, self.hidden, self.out = copied.dropout, copied.hidden, copied.out
        for layer in model.convolutions:
            convolution = nn.Conv2d(1, layer.out_features, (layer.in_features // size, size), stride=(1, size))
            convolution.weight.data.copy_(layer.weight.view_as(convolution.weight))
            convolution.bias.data.copy_(layer.bias)
            self.convolutions.append(convolution.to(layer.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        e = (x @ self.embedding.weight).unsqueeze(1)  # (B, 1, T, E)
        maps = [convolution(e).relu() for convolution in self.convolutions]  # (B, maps, T', S)
        f = torch.cat([part.amax(2) for part in maps], 1).transpose(1, 2)  # (B, S, features)
        t = self.gate(f).sigmoid()
        f = t * self.candidate(f).relu() + (1 - t) * f
        return self.out(self.hidden(self.dropout(f))).squeeze(2)  # (B, S)


def plain_relax(G: Any, noise: Tensor, temperature: float, hard: bool, feed_back: bool) -> Tensor:
    """Vectors (B, T, V) that G draws, one cell step at a time."""
    batch, length, size = noise.shape
    below, state, found = G.embedding(torch.full((batch,), G.config.bos, device=noise.device)), G._start(batch), []
    for t in range(length):
        state = G._step(below, state)
        scores = G.out(state[0][-1]) + noise[:, t]
        vector = (scores / temperature).softmax(1)
        if hard:
            vector = F.one_hot(scores.argmax(1), size).float() - vector.detach() + vector
        below = vector @ G.embedding.weight if feed_back else G.embedding(scores.argmax(1))
        found.append(vector)
    return torch.stack(found, 1)


class Plain:
    """Networks of its own; ``round`` is a step of D and one of G, by the relativistic loss."""

    def __init__(self, made: Any, D: nn.Module, relax: Relax) -> None:
        self.made, self.G, self.D, self.relax = made, copy.deepcopy(made.G), D, relax
        self.g = torch.optim.Adam(self.G.parameters(), made.config.g_lr)
        self.d = torch.optim.Adam(D.parameters(), made.config.d_lr)

    def noise(self) -> Tensor:
        """Gumbel noise (B, T, V)."""
        shape, device = (self.made.local, self.made.length, self.made.corpus.vocab_size), self.made.workers.device
        return -torch.empty(shape, device=device).exponential_().log()

    def real(self) -> Tensor:
        """Real sentences (B, T, V)."""
        return F.one_hot(self.made.real[0], self.made.corpus.vocab_size).float()

    def loss(self, better: Tensor, worse: Tensor) -> Tensor:
        apart = self.D(better) - self.D(worse)
        return F.binary_cross_entropy_with_logits(apart, torch.ones_like(apart))

    def round(self) -> None:
        real, clip = self.real(), self.made.config.clip
        descend(self.D, self.d, self.loss(real, self.relax(self.G, self.noise()).detach()), clip)
        descend(self.G, self.g, self.loss(self.relax(self.G, self.noise()), real), clip)


def compared(made: Any, plain: Plain, ours: Relax) -> str:
    """Both losses and their gradients, of the same noise."""
    x, noise = made.real[0], plain.noise()
    plain.D.eval()
    made.D.eval()
    fake, theirs = ours(made.G, noise), plain.relax(plain.G, noise)
    d = [F.softplus(made.D(fake.detach()) - made.D(x)).mean(), plain.loss(plain.real(), theirs.detach())]
    g = [F.softplus(made.D(x) - made.D(fake)).mean(), plain.loss(theirs, plain.real())]
    told = same("losses", [d[0], g[0]], [d[1], g[1]])
    gates = [torch.autograd.grad(loss, D.gate.weight) for loss, D in zip(d, (made.D, plain.D), strict=True)]
    outs = [torch.autograd.grad(loss, G.out.weight) for loss, G in zip(g, (made.G, plain.G), strict=True)]
    plain.D.train()
    # where two windows answer alike, G's gradient may come through either
    return f"{told}; {same('gradient of D', *gates, 1e-3)}; {same('gradient of G', *outs, 1e-2, 0.98)}"


def gumbel_step(s: Setting) -> Iterator[Row]:
    """A generator step and a discriminator step of the Gumbel-softmax GAN."""
    z, workers = sizes(s), Workers(device=s.device)
    workers.seed(0, 0)
    made = GumbelGAN(GumbelGANConfig(batch=z.batch), sequences(s), workers, length=z.length, seed=0)
    temperature = made.temperature(0)
    plain = Plain(made, PlainLogit(made.D), lambda G, noise: plain_relax(G, noise, temperature, True, True))
    told = compared(made, plain, lambda G, noise: G.relax(noise, temperature, hard=True)[0])

    def both() -> None:
        made.g_step(0)
        made.d_step(1)

    yield s.row(
        "gumbel-step", f"B {z.batch}, T {z.length}, V {z.vocab}: a step of G and one of D, straight-through", both, plain.round,
        told, amount=1, unit="rounds", floor=s.own_products(both),
    )  # fmt: skip


def relgan_step(s: Setting) -> Iterator[Row]:
    """A generator step and a discriminator step of RelGAN; its memory is the same module in both forms."""
    z, workers = sizes(s), Workers(device=s.device)
    workers.seed(0, 0)
    c = RelGANConfig(batch=z.batch, **({"head_size": 8, "representations": 4, "d_embedding_dim": 8} if s.quick else {}))
    made = RelGAN(c, sequences(s), workers, length=z.length, seed=0)
    spread(made.D)
    temperature = 1 / made.beta(0)
    plain = Plain(made, PlainRepresentations(made.D), lambda G, noise: plain_relax(G, noise, temperature, False, False))
    told = compared(made, plain, lambda G, noise: G.relax(noise, temperature, feed_back=False)[0])

    def both() -> None:
        made.g_step(0)
        made.d_step(1)

    yield s.row(
        "relgan-step", f"B {z.batch}, T {z.length}, V {z.vocab}, {c.representations} representations: a step of G and one of D",
        both, plain.round, told, amount=1, unit="rounds", floor=s.own_products(both),
    )  # fmt: skip
