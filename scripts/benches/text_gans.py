"""SeqGAN at the sizes of its oracle experiment, and maximum likelihood, beside the form in which one writes them first.

The plain form is that of the papers' scripts: a loop over prefixes and repetitions, each replaying its prefix; tokens drawn with
torch.multinomial from a full softmax; the discriminator as one Conv2d a window; the likelihood from all scores at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.algorithms.seqgan import SeqGAN, SeqGANConfig
from textgan.discriminators import CNNHighway, CNNHighwayConfig
from textgan.estimators import policy_gradient, rollout_reward
from textgan.generators import RNNConfig, RNNGenerator
from textgan.objectives import d_logistic, nll
from textgan.runtime import Workers
from textgan.sampling import categorical

from .material import sequences, sizes
from .timing import Row, Setting, alike, same, short

Draw = Callable[[Tensor, int], Tensor]  # tokens (B, 1) of probabilities (B, V), for place t


class PlainDiscriminator(nn.Module):
    """A CNNHighway with the weights of another, as one Conv2d a window; reads tokens, or vectors over the vocabulary."""

    def __init__(self, model: CNNHighway) -> None:
        super().__init__()
        width = model.config.embedding_dim
        copied = copy.deepcopy(model)
        self.embedding, self.gate, self.candidate, self.out = copied.embedding, copied.gate, copied.candidate, copied.out
        self.dropout, self.convolutions = nn.Dropout(copied.config.dropout), nn.ModuleList()
        for layer in model.convolutions:
            convolution = nn.Conv2d(1, layer.out_features, (layer.in_features // width, width))
            convolution.weight.data.copy_(layer.weight.view_as(convolution.weight))
            convolution.bias.data.copy_(layer.bias)
            self.convolutions.append(convolution.to(layer.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        e = (x @ self.embedding.weight if x.is_floating_point() else self.embedding(x)).unsqueeze(1)  # (B, 1, T, E)
        maps = [convolution(e).relu().squeeze(3) for convolution in self.convolutions]
        f = torch.cat([F.max_pool1d(part, part.shape[2]).squeeze(2) for part in maps], 1)
        t = self.gate(f).sigmoid()
        f = t * self.candidate(f).relu() + (1 - t) * f
        return self.out(self.dropout(f))  # (B, 2)

    def probability(self, x: Tensor) -> Tensor:
        return self(x).softmax(-1)[:, 1]


def multinomial(p: Tensor, t: int) -> Tensor:
    return torch.multinomial(p, 1)


def by_numbers(u: Tensor) -> Draw:
    """Draws that a row of u (B, T) decides, as ours do: so the two forms can be compared token by token."""
    return lambda p, t: categorical(p.log(), u[:, t]).unsqueeze(1)


def plain_sample(G: RNNGenerator, x: Tensor, given: int, length: int, draw: Draw | None = None) -> Tensor:
    """Finish x from its first ``given`` tokens, with nn.LSTM one step at a time."""
    draw = draw or multinomial
    token = torch.full((len(x), 1), G.config.bos, device=x.device)
    state, out = None, []
    for t in range(length):
        h, state = G.rnn(G.embedding(token), state)
        token = x[:, t : t + 1] if t < given else draw(G.out(h[:, -1]).softmax(-1), t)
        out.append(token)
    return torch.cat(out, 1)


def plain_rollouts(G: RNNGenerator, x: Tensor, n: int, u: Tensor | None = None) -> Tensor:
    """All prefixes finished n times, (B, T - 1, n, T); u of that shape decides the draws."""
    length, found = x.shape[1], []
    for t in range(1, length):
        draws = [None if u is None else by_numbers(u[:, t - 1, i]) for i in range(n)]
        found.append(torch.stack([plain_sample(G, x, t, length, draw) for draw in draws], 1))
    return torch.stack(found, 1)


def plain_rewards(G: RNNGenerator, D: Any, x: Tensor, n: int, u: Tensor | None = None) -> Tensor:
    """The mean probability (B, T) of n rollouts of each prefix, and that of x itself at the end."""
    length, found = x.shape[1], []
    for t in range(1, length):
        draws = [None if u is None else by_numbers(u[:, t - 1, i]) for i in range(n)]
        found.append(torch.stack([D.probability(plain_sample(G, x, t, length, draw)) for draw in draws]).mean(0))
    return torch.stack([*found, D.probability(x)], 1)


def plain_log_prob(G: RNNGenerator, x: Tensor) -> Tensor:
    """Log-probability (B, T) of each token of x, from the log-softmax of all scores (B, T, V)."""
    h, _ = G.rnn(G.embedding(F.pad(x[:, :-1], (1, 0), value=G.config.bos)))
    return G.out(h).log_softmax(-1).gather(2, x.unsqueeze(2)).squeeze(2)


def descend(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, clip: float | None = 5.0) -> None:
    optimizer.zero_grad()
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()


def cell_flop(c: RNNConfig) -> int:
    """Operations of the products of one step of an LSTM."""
    return 2 * 4 * c.hidden_dim * (c.embedding_dim + c.hidden_dim)


def token_flop(c: RNNConfig) -> int:
    """Operations of one more token: a step of the cell, and the scores of all tokens."""
    return cell_flop(c) + 2 * c.hidden_dim * c.vocab_size


def convolution_flop(c: CNNHighwayConfig, prefix: int = 0) -> int:
    """Operations of D's convolutions of one sequence, without the windows that lie in its first ``prefix`` tokens."""
    places = {w: c.length - w + 1 - max(0, prefix - w + 1) for w in c.windows if w <= c.length}
    return sum(2 * m * w * c.embedding_dim * places[w] for w, m in zip(c.windows, c.maps, strict=True) if w in places)


def fourier_flop(c: CNNHighwayConfig) -> int:
    """Operations of D's convolutions of one sequence by Fourier transforms, once those of the filters are there.

    A filter that is as wide as the sentence has one window, a product.
    """
    products, E = 3 * (c.length + c.length % 2) // 2 - 1, c.embedding_dim
    narrow = [(w, m) for w, m in zip(c.windows, c.maps, strict=True) if w < c.length]
    back = sum(2 * products * m * (c.length - w + 1) for w, m in narrow)
    whole = sum(2 * m * w * E for w, m in zip(c.windows, c.maps, strict=True) if w == c.length)
    return 2 * products * (c.length * E + E * sum(m for _, m in narrow)) + back + whole


def highway_flop(c: CNNHighwayConfig) -> int:
    """Operations of D's two highway layers and its output for one sequence."""
    features = sum(m for w, m in zip(c.windows, c.maps, strict=True) if w <= c.length)
    return 2 * 2 * features**2 + 2 * 2 * features


def rollout_flop(c: RNNConfig, batch: int, length: int, n: int) -> int:
    """Operations of all completions: a prefix of length t lacks T - t tokens, and is read once for all of its completions."""
    tokens = batch * n * length * (length - 1) // 2
    read = batch * n * (length - 1) * (length - 2) // 2 + batch * length
    return tokens * (token_flop(c) - cell_flop(c)) + read * cell_flop(c)


def reward_flop(G: RNNConfig, D: CNNHighwayConfig, batch: int, n: int) -> tuple[int, int]:
    """Operations of rollouts and rewards without convolutions, and those of the convolutions.

    Windows that lie in a common prefix are multiplied once for all of its completions. A convolution of tokens need not be a
    product at all: what a token answers to a row of a filter can be looked up.
    """
    sequences = batch * (n * (D.length - 1) + 1)
    windows = n * sum(convolution_flop(D, t) for t in range(1, D.length)) + convolution_flop(D)
    return rollout_flop(G, batch, D.length, n) + sequences * highway_flop(D), batch * windows


def reward_floor(s: Setting, made: SeqGAN, tokens: int = 0) -> tuple[float, str]:
    """The floor of rewards, and of so many more tokens: without convolutions, and told with them."""
    z = sizes(s)
    least, windows = reward_flop(made.G.config, made.D.config, z.batch, z.rollouts)
    least += tokens * token_flop(made.G.config)
    return s.operations(least, f"cells, scores, highway; convolutions as products would be {short(windows)}FLOP more")


def oracle_experiment(s: Setting) -> SeqGAN:
    """SeqGAN on random sequences, its generator with weights of N(0, 0.5), so that it prefers some tokens to others."""
    z, workers = sizes(s), Workers(device=s.device)
    workers.seed(0, 0)
    config = SeqGANConfig(batch=z.batch, rollouts=z.rollouts, d_samples=z.sequences)
    made = SeqGAN(config, sequences(s), workers, length=z.length, seed=0)
    with torch.no_grad():
        for parameter in made.G.parameters():
            parameter.normal_(0, 0.5)
    made.D.eval()
    return made


@torch.no_grad()
def draws_agree(G: RNNGenerator, length: int, n: int = 512) -> str:
    """The same numbers draw the same tokens, and numbers of their own draw sentences that are as likely."""
    nothing = torch.zeros(n, length, dtype=torch.long, device=G.out.weight.device)
    u = torch.rand(n, length, device=nothing.device)
    told = same("tokens of the same draws", G.sample(n, length, u), plain_sample(G, nothing, 0, length, by_numbers(u)), 0, 0.95)
    free = [G.log_prob(x).sum(1) for x in (G.sample(n, length), plain_sample(G, nothing, 0, length))]
    return f"{told}; {alike('likelihood of free draws', *free)}"


@torch.no_grad()
def rollouts(s: Setting) -> Iterator[Row]:
    """Completions alone."""
    made, z = oracle_experiment(s), sizes(s)
    G, x = made.G, made.G.sample(z.batch, z.length)

    def numbers(rows: int = z.batch, n: int = z.rollouts) -> Tensor:
        return torch.rand(rows, z.length - 1, n, z.length, device=s.device)

    few, u = x[:4], numbers(4, 2)
    told = same("tokens of the same draws", G.complete(few, 2, u), plain_rollouts(G, few, 2, u), 0, 0.95)
    yield s.row(
        "rollouts", f"{z}: every prefix finished N times",
        lambda: G.complete(x, z.rollouts, numbers()), lambda: plain_rollouts(G, x, z.rollouts),
        f"{told}; {draws_agree(G, z.length)}",
        amount=z.batch * (z.length - 1) * z.rollouts, unit="rollouts",
        floor=s.operations(rollout_flop(G.config, z.batch, z.length, z.rollouts), "cell and scores of every token drawn"),
    )  # fmt: skip


def rewards_agree(made: SeqGAN, plain: PlainDiscriminator, x: Tensor, n: int) -> str:
    """The same draws give the same rewards; D answers many sequences at once, as tables do, as it answers few."""
    few, (batch, length) = x[:4], x.shape
    u = torch.rand(batch, length - 1, n, length, device=x.device)
    ours = rollout_reward(made.G, made.D.probability, few, u[:4, :, :2], n=2)
    told = same("rewards of the same draws", ours, plain_rewards(made.G, plain, few, 2, u[:4, :, :2]), 1e-3, 0.95)
    many = made.G.complete(x, n, u).reshape(-1, length)
    return f"{told}; {same('D', made.D.probability(many)[:512], plain.probability(many[:512]))}"


@torch.no_grad()
def rewards(s: Setting) -> Iterator[Row]:
    """Completions and what the discriminator says of them."""
    made, z = oracle_experiment(s), sizes(s)
    x, plain = made.G.sample(z.batch, z.length), PlainDiscriminator(made.D).eval()
    yield s.row(
        "rewards", f"{z}: rollouts and their discriminator",
        lambda: made.action_value(x), lambda: plain_rewards(made.G, plain, x, z.rollouts),
        rewards_agree(made, plain, x, z.rollouts),
        amount=z.batch * ((z.length - 1) * z.rollouts + 1), unit="sequences",
        floor=reward_floor(s, made),
    )  # fmt: skip


def generator_step(s: Setting) -> Iterator[Row]:
    """A whole step of SeqGAN's generator: sample, rewards, policy gradient, Adam."""
    made, z = oracle_experiment(s), sizes(s)
    G, plain = copy.deepcopy(made.G), PlainDiscriminator(made.D).eval()
    optimizer = torch.optim.Adam(G.parameters(), made.config.g_lr)
    nothing = torch.zeros(z.batch, z.length, dtype=torch.long, device=s.device)

    def plain_step() -> None:
        with torch.no_grad():
            x = plain_sample(G, nothing, 0, z.length)
            q = plain_rewards(G, plain, x, z.rollouts)
        descend(G, optimizer, -(plain_log_prob(G, x) * q).sum() / z.batch)

    with torch.no_grad():
        x = made.G.sample(z.batch, z.length)
        told = rewards_agree(made, plain, x, z.rollouts)
    q, weights = torch.rand(z.batch, z.length, device=s.device), list(made.G.parameters())
    ours = torch.autograd.grad(policy_gradient(made.G.log_prob(x), q, made.G.mask(x)), weights)
    theirs = torch.autograd.grad(-(plain_log_prob(made.G, x) * q).sum() / z.batch, weights)
    yield s.row(
        "generator-step", f"{z}: sample, rewards, policy gradient, Adam", lambda: made.g_step(0), plain_step,
        f"{told}; {same('gradient', ours, theirs)}", amount=1, unit="steps",
        floor=reward_floor(s, made, 4 * z.batch * z.length),  # sampled, then scored forwards and backwards
    )  # fmt: skip


@torch.no_grad()
def sampling(s: Setting) -> Iterator[Row]:
    """Whole sentences."""
    made, z = oracle_experiment(s), sizes(s)
    G, parts = made.G, torch.zeros(z.sequences, z.length, dtype=torch.long, device=s.device).split(z.batch)
    yield s.row(
        "sampling", f"{z.sequences:,} sentences, T {z.length}, V {z.vocab}; plain: {z.batch} at a time",
        lambda: G.sample(z.sequences, z.length), lambda: [plain_sample(G, part, 0, z.length) for part in parts],
        draws_agree(G, z.length), amount=z.sequences, unit="sentences",
        floor=s.operations(z.sequences * z.length * token_flop(G.config), "cell and scores of every token"),
    )  # fmt: skip


def mle_epoch(s: Setting) -> Iterator[Row]:
    """An epoch of maximum likelihood, from some steps of it."""
    made, z = oracle_experiment(s), sizes(s)
    steps, G = 2 if s.quick else 20, copy.deepcopy(made.G)
    optimizer = torch.optim.Adam(G.parameters(), made.config.lr)

    def plain_steps() -> None:
        for i in range(steps):
            descend(G, optimizer, -plain_log_prob(G, made.data[i]).mean())

    x, weights = made.data[0], list(made.G.parameters())
    ours = torch.autograd.grad(nll(made.G.log_prob(x), made.G.mask(x)), weights)
    told = same("gradient", ours, torch.autograd.grad(-plain_log_prob(made.G, x).mean(), weights))
    yield s.row(
        "mle-epoch", f"{z.sequences:,} sentences, B {z.batch}, T {z.length}, V {z.vocab}; {steps} of {made.data.per_epoch} steps",
        lambda: [made.pretrain_g_step(i) for i in range(steps)], plain_steps, told, amount=z.sequences, unit="sentences",
        share=steps / made.data.per_epoch, plain_share=steps / made.data.per_epoch,
        floor=s.operations(3 * z.sequences * z.length * token_flop(made.G.config), "forwards once, backwards twice"),
    )  # fmt: skip


def discriminator_epoch(s: Setting) -> Iterator[Row]:
    """An epoch of SeqGAN's discriminator, from some steps of it; its negatives are drawn before."""
    made, z = oracle_experiment(s), sizes(s)
    steps, half, plain = 2 if s.quick else 48, z.batch // 2, PlainDiscriminator(made.D)
    optimizer = torch.optim.Adam(plain.parameters(), made.config.d_lr)
    labels = torch.tensor([1] * half + [0] * half, device=s.device)

    def plain_loss(real: Tensor, fake: Tensor) -> Tensor:
        l2 = (plain.out.weight.square().sum() + plain.out.bias.square().sum()) / 2
        return F.cross_entropy(plain(torch.cat([real, fake])), labels) + made.config.d_l2 * l2

    def plain_steps() -> None:
        for i in range(steps):
            descend(plain, optimizer, plain_loss(made.real[i], made.fake(i)), None)

    real, fake = made.real[0], made.fake(0)
    plain.eval()
    ours = torch.autograd.grad(d_logistic(made.D(real), made.D(fake)) + made.config.d_l2 * made.D.l2(), list(made.D.parameters()))
    theirs = dict(
        zip(
            (n for n, _ in plain.named_parameters()),
            torch.autograd.grad(plain_loss(real, fake), list(plain.parameters())),
            strict=True,
        )
    )
    told = same("gradient", ours, [theirs[name] for name, _ in made.D.named_parameters()])
    plain.train()
    c, both = made.D.config, 2 * z.sequences
    largest = sum(2 * m * w * c.embedding_dim for w, m in zip(c.windows, c.maps, strict=True) if w <= c.length)
    flop = both * (fourier_flop(c) + 3 * highway_flop(c) + 2 * largest)
    yield s.row(
        "discriminator-epoch", f"{both:,} sequences, B {2 * half}, T {z.length}, V {z.vocab}; {steps} of {made.d_epoch} steps",
        lambda: [made.d_step(i) for i in range(steps)], plain_steps, told, amount=both, unit="sequences",
        share=steps / made.d_epoch, plain_share=steps / made.d_epoch,
        floor=s.operations(flop, "convolutions by Fourier transforms; a maximum's gradient touches one window"),
    )  # fmt: skip
