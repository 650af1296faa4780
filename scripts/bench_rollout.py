"""Time SeqGAN's rollouts and a whole generator step against the plain form, in one process.

The plain form is how the papers' scripts do it: a loop over prefixes and repetitions, each replaying its prefix, tokens drawn
with torch.multinomial from a full softmax, the discriminator as twelve Conv2d. Ours finishes all prefixes and repetitions at
once. Both use the same networks; the first lines check that both discriminators agree and that both forms estimate the same
rewards (the drawn tokens differ, so the means agree within their noise only).

    python scripts/bench_rollout.py                     the paper's sizes on one thread
    python scripts/bench_rollout.py --device cuda

"Rollouts" are the completions alone; "rewards" adds the discriminator; "generator step" adds sampling, gradient and Adam.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.discriminators import CNNHighway, CNNHighwayConfig
from textgan.estimators import policy_gradient, rollout_reward
from textgan.generators import RNNConfig, RNNGenerator


class PlainDiscriminator(nn.Module):
    """The weights of a CNNHighway, run as one Conv2d a window."""

    def __init__(self, model: CNNHighway) -> None:
        super().__init__()
        self.model = model
        width = model.config.embedding_dim
        self.convolutions = nn.ModuleList()
        for layer in model.convolutions:
            convolution = nn.Conv2d(1, layer.out_features, (layer.in_features // width, width))
            convolution.weight.data.copy_(layer.weight.view_as(convolution.weight))
            convolution.bias.data.copy_(layer.bias)
            self.convolutions.append(convolution.to(layer.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        m = self.model
        e = m.embedding(x).unsqueeze(1)  # (B, 1, T, E)
        maps = [convolution(e).relu().squeeze(3) for convolution in self.convolutions]
        f = torch.cat([F.max_pool1d(part, part.shape[2]).squeeze(2) for part in maps], 1)
        t = m.gate(f).sigmoid()
        f = t * m.candidate(f).relu() + (1 - t) * f
        return m.out(m.dropout(f)).softmax(-1)[:, 1]


def plain_sample(G: RNNGenerator, x: Tensor, given: int, length: int) -> Tensor:
    """Finish x from its first ``given`` tokens, with nn.LSTM one step at a time."""
    batch = len(x)
    token = torch.full((batch, 1), G.config.bos, device=x.device)
    state, out = None, []
    for t in range(length):
        h, state = G.rnn(G.embedding(token), state)
        if t < given:
            token = x[:, t : t + 1]
        else:
            token = torch.multinomial(G.out(h[:, -1]).softmax(-1), 1)
        out.append(token)
    return torch.cat(out, 1)


def plain_rollouts(G: RNNGenerator, x: Tensor, n: int) -> Tensor:
    length = x.shape[1]
    every = [torch.stack([plain_sample(G, x, t, length) for _ in range(n)], 1) for t in range(1, length)]
    return torch.stack(every, 1)


def plain_rewards(G: RNNGenerator, D: nn.Module, x: Tensor, n: int) -> Tensor:
    length, rewards = x.shape[1], []
    for t in range(1, length):
        rewards.append(torch.stack([D(plain_sample(G, x, t, length)) for _ in range(n)]).mean(0))
    return torch.stack([*rewards, D(x)], 1)


def timed(forms: dict[str, Callable[[], object]], repeat: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each form, taken in turns so that noise falls on both."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(repeat + 1):
        for name, form in forms.items():
            if device.type == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            form()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """Print the times and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("batch", 64), ("length", 20), ("rollouts", 16), ("vocab", 5000), ("threads", 1), ("repeat", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    device = torch.device(a.device)
    G = RNNGenerator(RNNConfig(a.vocab, eos=None)).to(device)
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.normal_(0, 0.5)
    D = CNNHighway(CNNHighwayConfig(a.vocab, a.length)).to(device).eval()
    plain = PlainDiscriminator(D).eval()
    optimizer = torch.optim.Adam(G.parameters(), 1e-2)
    x = G.sample(a.batch, a.length)

    with torch.no_grad():
        gap = (plain(x) - D.probability(x)).abs().max().item()
        assert gap < 1e-4, f"the two discriminators differ by {gap}"

    def noise() -> Tensor:
        return torch.rand(a.batch, a.length - 1, a.rollouts, a.length, device=device)

    def ours_rewards(batch: Tensor) -> Tensor:
        return rollout_reward(G, D.probability, batch, noise(), n=a.rollouts)

    def step(sample: Callable[[], Tensor], rewards: Callable[[Tensor], Tensor]) -> None:
        with torch.no_grad():
            batch = sample()
            q = rewards(batch)
        loss = policy_gradient(G.log_prob(batch), q, G.mask(batch))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(G.parameters(), 5.0)
        optimizer.step()

    with torch.no_grad():
        ours, theirs = ours_rewards(x), plain_rewards(G, plain, x, a.rollouts)
        print(f"mean reward: plain {theirs.mean():.4f}, ours {ours.mean():.4f}; the discriminators agree to {gap:.1e}")
        rows = {
            "rollouts": {"plain": lambda: plain_rollouts(G, x, a.rollouts), "ours": lambda: G.complete(x, a.rollouts, noise())},
            "rewards": {"plain": lambda: plain_rewards(G, plain, x, a.rollouts), "ours": lambda: ours_rewards(x)},
        }
        found = {name: timed(forms, a.repeat, device) for name, forms in rows.items()}
    found["generator step"] = timed(
        {
            "plain": lambda: step(
                lambda: plain_sample(G, x, 0, a.length), lambda batch: plain_rewards(G, plain, batch, a.rollouts)
            ),
            "ours": lambda: step(lambda: G.sample(a.batch, a.length), ours_rewards),
        },
        a.repeat,
        device,
    )
    print(f"batch {a.batch}, T {a.length}, N {a.rollouts}, V {a.vocab}, {a.threads} thread(s), {a.device}; median of {a.repeat}")
    for name, seconds in found.items():
        plain_s, ours_s = seconds["plain"], seconds["ours"]
        print(f"{name:15} plain {plain_s:8.3f} s   ours {ours_s:8.3f} s   {plain_s / ours_s:6.1f} times faster")


if __name__ == "__main__":
    main()
