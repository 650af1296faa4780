"""Estimators against enumeration, and the batched rollouts against the loop over prefixes."""

import itertools

import pytest
import torch

from textgan.estimators import policy_gradient, rollout_reward
from textgan.generators import RNNConfig, RNNGenerator


def generator(eos=None, vocab=3, layers=1, cell="lstm", seed=0):
    torch.manual_seed(seed)
    config = RNNConfig(vocab, 4, 5, layers, cell, bos=0, eos=eos, pad=0)
    model = RNNGenerator(config).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 1)
    return model


def slow_complete(G, x, n, u):
    """The loop of the papers: one prefix and one repetition at a time, replaying the prefix."""
    B, T = x.shape
    out = torch.zeros(B, T - 1, n, T, dtype=torch.long)
    for t, i in itertools.product(range(T - 1), range(n)):
        for b in range(B):
            out[b, t, i] = G.sample(1, T, u[b, t, i][None], prompt=x[b, : t + 1])[0]
    return out


@pytest.mark.parametrize(("eos", "layers", "cell"), [(None, 1, "lstm"), (2, 1, "gru"), (2, 2, "lstm")])
def test_rollouts_equal_the_loop_over_prefixes(eos, layers, cell):
    G = generator(eos, 7, layers, cell)
    x, u = G.sample(3, 6, torch.rand(3, 6)), torch.rand(3, 5, 4, 6)
    fast = G.complete(x, 4, u)
    assert torch.equal(fast, slow_complete(G, x, 4, u))
    assert not torch.equal(fast, G.complete(x, 4, u.flip(0)))  # other noise, other completions
    for t in range(5):
        assert (fast[:, t, :, : t + 1] == x[:, None, : t + 1]).all()


def test_reward_equals_the_loop_and_is_not_scrambled():
    G = generator(None, 7)
    x, u = G.sample(3, 6, torch.rand(3, 6)), torch.rand(3, 5, 4, 6)
    score = lambda y: ((y * torch.arange(1, 7)).sum(1) / 100).double()  # noqa: E731
    q = rollout_reward(G, score, x, u, n=4)
    expected = torch.stack([score(y.reshape(-1, 6)).view(3, 4).mean(1) for y in slow_complete(G, x, 4, u).unbind(1)], 1)
    assert torch.allclose(q, torch.cat([expected, score(x)[:, None]], 1))
    assert not torch.allclose(q, q.flip(1))


def test_rewards_with_eos_discount_and_no_rollouts():
    G = generator(2, 5)
    x = torch.tensor([[1, 2, 0, 0], [3, 1, 4, 3]])
    one = lambda y: torch.ones(len(y), dtype=torch.double)  # noqa: E731
    q = rollout_reward(G, one, x, torch.rand(2, 3, 0, 4), n=0, discount=0.5)
    assert q.tolist() == [[0.5, 1, 0, 0], [0.125, 0.25, 0.5, 1]]
    q = rollout_reward(G, one, x, torch.rand(2, 3, 8, 4), n=8)
    assert q.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("eos", [None, 2])
def test_policy_gradient_is_the_gradient_of_the_expected_reward(eos):
    """Sum over all sentences of a three-word language, each weighted by its probability."""
    G, T = generator(eos), 3
    every = torch.tensor(list(itertools.product(range(3), repeat=T)))
    keep = G.mask(every)
    every = torch.unique(every * keep, dim=0)  # padding is 0
    mask = G.mask(every)
    score = torch.sin(torch.arange(len(every)).double() * 3) + 1
    p = G.log_prob(every).sum(1).exp()
    assert p.sum().item() == pytest.approx(1)
    exact = torch.autograd.grad((p * score).sum(), list(G.parameters()))
    # exact action values: the mean score of all sentences that share the prefix
    q = torch.zeros(len(every), T, dtype=torch.double)
    for i, t in itertools.product(range(len(every)), range(T)):
        same = (every[:, : t + 1] == every[i, : t + 1]).all(1)
        q[i, t] = (p[same] * score[same]).sum() / p[same].sum()
    weighted = q * p.detach()[:, None] * len(every)
    estimate = torch.autograd.grad(-policy_gradient(G.log_prob(every), weighted, mask), list(G.parameters()))
    wrong = torch.autograd.grad(-policy_gradient(G.log_prob(every), weighted.flip(0), mask), list(G.parameters()))
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(exact, estimate, strict=True))
    assert not all(torch.allclose(a, b, atol=1e-4) for a, b in zip(exact, wrong, strict=True))


def test_log_prob_equals_the_sampling_steps_and_stops_at_eos():
    for cell, layers in (("lstm", 2), ("gru", 1)):
        G = generator(2, 5, layers, cell)
        x = G.sample(50, 6, torch.rand(50, 6))
        state, token, total = G._start(50), torch.zeros(50, dtype=torch.long), []
        for t in range(6):
            state = G._step(G.embedding(token), state)
            total.append(G.out(state[0][-1]).log_softmax(-1).gather(1, x[:, t : t + 1])[:, 0])
            token = x[:, t]
        expected = torch.stack(total, 1) * G.mask(x)
        assert torch.allclose(G.log_prob(x), expected)
        assert (~G.mask(x)).any()
        assert (G.log_prob(x)[~G.mask(x)] == 0).all()


def test_controls_know_nothing_of_the_sequence(corpus):
    from textgan.algorithms.seqgan import SeqGAN, SeqGANConfig
    from textgan.runtime import Workers

    values, trains_d = {}, {}
    for kind in ("discriminator", "shuffled", "random", "constant"):
        config = SeqGANConfig(batch=4, rollouts=2, d_samples=8, rounds=2, reward=kind)
        workers = Workers()
        workers.seed(0, 0)
        made = SeqGAN(config, corpus, workers, length=8, seed=0)
        x = torch.tensor([[4, 5, 2, 0, 0, 0, 0, 0], [4, 5, 6, 7, 8, 9, 4, 2]])
        workers.seed(0, 1)
        values[kind] = made.action_value(x)
        trains_d[kind] = made.stages()[1].steps > 0 and made.stages()[2].unit > 1
        assert (values[kind][~made.G.mask(x)] == 0).all()
        assert "g/reward" in made.stages()[2].step(0)
    assert torch.equal(values["shuffled"][0, :3], values["discriminator"][1, :3])
    assert not torch.equal(values["shuffled"][0, :3], values["discriminator"][0, :3])
    assert (values["constant"][1] == 0.5).all()
    assert values["random"][1].std() > 0.1
    assert trains_d == {"discriminator": True, "shuffled": True, "random": False, "constant": False}
