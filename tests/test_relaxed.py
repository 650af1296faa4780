"""Samples that gradients flow through, the networks that draw and read them, and the losses of the games they play."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from textgan.algorithms.gumbel import OBJECTIVES
from textgan.discriminators import CNNHighway, CNNHighwayConfig, RelGANDiscriminator, RelGANDiscriminatorConfig
from textgan.estimators import anneal, gumbel, gumbel_softmax, straight_through
from textgan.generators import RelationalMemory, RMCConfig, RMCGenerator, RNNConfig, RNNGenerator, load_generator
from textgan.objectives import d_hinge, d_logistic, g_minimax, g_nonsaturating, gradient_penalty, relativistic, wasserstein

from .test_cli import textgan
from .test_estimators import slow_complete


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return gumbel(torch.rand(*shape, generator=seeded(seed), dtype=torch.double))


def generator(kind, eos=2, vocab=6):
    torch.manual_seed(0)
    if kind == "rmc":
        model = RMCGenerator(RMCConfig(vocab, 3, slots=2, heads=2, head_size=4, bos=1, eos=eos, banned=(0, 1)))
    else:
        model = RNNGenerator(RNNConfig(vocab, 3, 5, bos=1, eos=eos, banned=(0, 1)))
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
    return model.double()


def test_gumbel_noise():
    g = noise(200_000)
    assert g.mean().item() == pytest.approx(0.5772, abs=0.01)  # Euler's constant
    assert g.var().item() == pytest.approx(math.pi**2 / 6, abs=0.02)
    assert gumbel(torch.tensor([0.0, 1 - 2**-24])).isfinite().all()


def test_cold_is_the_gumbel_max_sample_and_hot_is_uniform():
    logits, g = torch.randn(50, 7, generator=seeded(), dtype=torch.double), noise(50, 7)
    best = F.one_hot((logits + g).argmax(-1), 7)
    torch.testing.assert_close(gumbel_softmax(logits, g, 1e-4), best.double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(gumbel_softmax(logits, g, 1e6), torch.full((50, 7), 1 / 7, dtype=torch.double), atol=1e-5, rtol=0)
    assert (gumbel_softmax(logits, g, 1.0) - best).abs().max() > 0.1
    assert not torch.equal(best, F.one_hot((logits + noise(50, 7, seed=1)).argmax(-1), 7))


def test_hard_samples_have_the_softmax_s_frequencies():
    logits, n = torch.tensor([0.0, 1.0, -1.0, 2.0], dtype=torch.double), 400_000
    p = logits.softmax(0)
    for temperature in (0.3, 3.0):
        found = straight_through(gumbel_softmax(logits.expand(n, 4), noise(n, 4), temperature)).sum(0)
        assert ((found - n * p).abs() < 4.5 * (n * p * (1 - p)).sqrt()).all()
    relaxed = gumbel_softmax(logits.expand(n, 4), noise(n, 4), 3.0).mean(0)  # the relaxed ones do not
    assert (relaxed - p).abs().max() > 0.05


def test_straight_through_is_one_hot_with_the_relaxed_gradient():
    weights, g = torch.randn(9, 5, generator=seeded(), dtype=torch.double), noise(9, 5)
    gradients = []
    for hard in (True, False):
        logits = torch.linspace(-1, 1, 45, dtype=torch.double).view(9, 5).requires_grad_()
        vectors = gumbel_softmax(logits, g, 0.7)
        vectors = straight_through(vectors) if hard else vectors
        assert bool(((vectors == 0) | (vectors == 1)).all()) == hard
        gradients.append(torch.autograd.grad((vectors * weights).sum(), logits)[0])
    assert torch.equal(*gradients)
    assert gradients[0].abs().max() > 0.01


def test_temperatures():
    for kind in ("exponential", "linear", "inverse-linear"):
        assert [anneal(kind, 2.0, 0.5, s) for s in (0, 1)] == pytest.approx([2, 0.5])
    middle = [anneal(kind, 2.0, 0.5, 0.5) for kind in ("exponential", "linear", "inverse-linear", "constant")]
    assert middle == pytest.approx([1, 1.25, 0.8, 2])
    assert 1 / anneal("exponential", 1, 1 / 100, 0.3) == pytest.approx(100**0.3)  # RelGAN's beta


@pytest.mark.parametrize("kind", ["rnn", "rmc"])
@pytest.mark.parametrize("hard", [True, False])
def test_what_is_relaxed_is_what_is_sampled(kind, hard):
    """With the noise held, token t is the largest of log p(. | tokens before) and noise, in every way that reads tokens."""
    G, g = generator(kind), noise(40, 7, 6)
    vectors, tokens = G.relax(g, 0.8, hard=hard, feed_back=hard)
    mask = G.mask(tokens)
    expected = (G.logits(tokens).log_softmax(-1) + g).argmax(-1)
    assert torch.equal(tokens[mask], expected[mask])
    assert (tokens[~mask] == 0).all()
    assert (~mask).any()
    assert not (tokens == 1).any()  # banned
    assert torch.equal(vectors.argmax(-1), tokens)
    torch.testing.assert_close(vectors.sum(-1), torch.ones(40, 7, dtype=torch.double))
    assert (vectors[~mask] == F.one_hot(torch.tensor(0), 6)).all()
    assert not torch.equal(G.relax(noise(40, 7, 6, seed=1), 0.8)[1], tokens)


@pytest.mark.parametrize("hard", [True, False])
def test_gradients_flow_through_what_g_reads_only_when_it_reads_vectors(hard):
    G = generator("rnn", eos=None)
    for feed_back in (True, False):
        g = noise(8, 4, 6).requires_grad_()
        vectors, _ = G.relax(g, 1.0, hard=hard, feed_back=feed_back)
        (gradient,) = torch.autograd.grad((vectors[:, -1] * torch.arange(6)).sum(), g)
        assert gradient[:, -1].abs().sum() > 0
        assert (gradient[:, 0].abs().sum() > 1e-6) == feed_back


def test_relaxed_gradient_by_finite_differences():
    G, g = generator("rmc", eos=None), noise(4, 3, 6)
    weights = torch.randn(4, 3, 6, generator=seeded(), dtype=torch.double)

    def value():
        return (G.relax(g, 0.9)[0] * weights).sum()

    exact = torch.autograd.grad(value(), G.out.weight)[0]
    with torch.no_grad():
        for place in ((2, 1), (5, 7)):
            old, step = G.out.weight[place].item(), 1e-6
            G.out.weight[place] = old + step
            up = value()
            G.out.weight[place] = old - step
            down = value()
            G.out.weight[place] = old
            assert exact[place].item() == pytest.approx(((up - down) / (2 * step)).item(), rel=1e-5, abs=1e-8)


def test_relational_memory_is_the_paper_s():
    """One step by hand, with a loop over slots and heads."""
    torch.manual_seed(0)
    core = RelationalMemory(3, slots=2, heads=2, head_size=4).double()
    x, memory = torch.randn(5, 3).double(), torch.randn(5, 2, 8).double()
    found = core(x, memory)
    put = core.project(x)
    for b in range(5):
        rows = [memory[b, 0], memory[b, 1], put[b]]
        qkv = [core.norm_qkv(core.qkv(row)) for row in rows]
        for s in range(2):
            heads = []
            for h in range(2):
                q, k, v = ([part[8 * i + 4 * h : 8 * i + 4 * h + 4] for part in qkv] for i in range(3))
                weights = torch.stack([(q[s] * other).sum() / 2 for other in k]).softmax(0)  # 2 is sqrt(head size)
                heads.append(sum(w * value for w, value in zip(weights, v, strict=True)))
            new = core.norm_attended(rows[s] + torch.cat(heads))
            new = core.norm_out(new + core.mlp(new))
            gates = core.gate_input(put[b]) + core.gate_memory(memory[b, s].tanh())
            expected = gates[:8].sigmoid() * new.tanh() + (gates[8:] + 1).sigmoid() * memory[b, s]
            torch.testing.assert_close(found[b, s], expected)


def test_a_relational_generator_scores_samples_and_completes(tmp_path):
    G = generator("rmc")
    every = torch.tensor(list(itertools.product(range(6), repeat=3)))
    every = torch.unique(every * G.mask(every), dim=0)
    assert G.log_prob(every).sum(1).exp().sum().item() == pytest.approx(1)
    x = G.sample(3, 5, torch.rand(3, 5, generator=seeded()))
    u = torch.rand(3, 4, 2, 5, generator=seeded(1))
    assert torch.equal(G.complete(x, 2, u), slow_complete(G, x, 2, u))
    start = G._start(2)[0].view(2, 2, 8)
    assert torch.equal(start[0], torch.eye(2, 8).double())
    G.float().save_pretrained(tmp_path)
    loaded = load_generator(tmp_path)
    assert isinstance(loaded, RMCGenerator)
    assert torch.equal(loaded.log_prob(x), G.log_prob(x))


@pytest.mark.parametrize(
    "D",
    [
        CNNHighway(CNNHighwayConfig(9, 6, 4, dropout=0)),
        RelGANDiscriminator(RelGANDiscriminatorConfig(9, 6, 4, 8, maps=(5, 5, 5, 5), dropout=0)),
    ],
    ids=["cnn-highway", "representations"],
)
def test_discriminators_read_tokens_and_vectors_alike(D):
    x = torch.randint(0, 9, (7, 6), generator=seeded())
    vectors = F.one_hot(x, 9).float().requires_grad_()
    torch.testing.assert_close(D(vectors), D(x))
    assert not torch.allclose(D(vectors), D(x.flip(0)))
    (gradient,) = torch.autograd.grad(D(vectors).sum(), vectors)
    assert gradient.abs().sum() > 0


def test_relgan_s_discriminator_is_a_convolution_of_each_representation():
    torch.manual_seed(0)
    D = RelGANDiscriminator(RelGANDiscriminatorConfig(9, 6, 4, 8, maps=(5, 4, 3, 2), dropout=0)).double()
    x = torch.randint(0, 9, (7, 6), generator=seeded())
    e = D.embedding(x)  # (7, 6, 8)
    logits = []
    for s in range(4):
        part = e[:, :, 2 * s : 2 * s + 2].unsqueeze(1)  # (7, 1, 6, 2)
        pooled = [
            F.conv2d(part, layer.weight.view(-1, 1, w, 2), layer.bias).relu().amax((2, 3))
            for w, layer in zip((2, 3, 4, 5), D.convolutions, strict=True)
        ]
        f = torch.cat(pooled, 1)
        t = D.gate(f).sigmoid()
        logits.append(D.out(D.hidden(t * D.candidate(f).relu() + (1 - t) * f))[:, 0])
    plain = torch.stack(logits, 1)
    torch.testing.assert_close(D(x).double(), plain, atol=1e-6, rtol=1e-5)
    ours = torch.autograd.grad(D(x).sum(), [D.embedding.weight, D.convolutions[2].weight])
    theirs = torch.autograd.grad(plain.sum(), [D.embedding.weight, D.convolutions[2].weight])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_objectives_at_chosen_scores():
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.0])
    log_s = lambda v: -math.log1p(math.exp(-v))  # noqa: E731
    assert d_logistic(real, fake).item() == pytest.approx(-(log_s(2) + log_s(-1) + log_s(-0.5) + log_s(0)) / 4)
    assert g_nonsaturating(fake).item() == pytest.approx(-(log_s(0.5) + log_s(0)) / 2)
    assert g_minimax(fake).item() == pytest.approx((log_s(-0.5) + log_s(0)) / 2)
    assert relativistic(real, fake).item() == pytest.approx(-(log_s(1.5) + log_s(-1)) / 2)
    assert relativistic(fake, real).item() == pytest.approx(-(log_s(-1.5) + log_s(1)) / 2)
    assert d_hinge(real, fake).item() == pytest.approx((0 + 2) / 2 + (1.5 + 1) / 2)
    assert wasserstein(real, fake).item() == pytest.approx(0.25 - 0.5)
    big = torch.tensor([1e4])
    assert all(f(-big, big).isfinite() for pair in OBJECTIVES.values() for f in pair)
    for d_loss, g_loss in OBJECTIVES.values():  # D wants real up and fake down, G wants fake up
        r, f = real.clone().requires_grad_(), fake.clone().requires_grad_()
        of_real, of_fake = torch.autograd.grad(d_loss(r, f), (r, f))
        assert (of_real <= 0).all()
        assert of_real.sum() < 0
        assert (of_fake > 0).all()
        assert (torch.autograd.grad(g_loss(r, f), f)[0] < 0).all()


def test_gradient_penalty_of_a_linear_critic():
    w = torch.tensor([3.0, 4.0])
    real, fake, u = torch.randn(6, 2), torch.randn(6, 2), torch.rand(6)
    assert gradient_penalty(lambda x: x @ w, real, fake, u).item() == pytest.approx((5 - 1) ** 2)
    assert gradient_penalty(lambda x: x @ w / 5, real, fake, u).item() == pytest.approx(0, abs=1e-9)
    square = lambda x: x.square().sum(1) / 2  # gradient x: the point between matters  # noqa: E731
    point = u[:, None] * real + (1 - u[:, None]) * fake
    assert gradient_penalty(square, real, fake, u).item() == pytest.approx((point.norm(dim=1) - 1).square().mean().item())


def test_options_out_of_range_are_named(text, tmp_path):
    for method, wrong, told in (
        ("gumbel", ["--temperature", "0"], "--temperature must be a finite number above 0"),
        ("gumbel", ["--last-temperature", "-1"], "--last-temperature"),
        ("gumbel", ["--objective", "best"], "--objective expects one of"),
        ("relgan", ["--beta-max", "0"], "--beta-max"),
        ("relgan", ["--d-embedding-dim", "10"], "--d-embedding-dim must be a multiple of --representations"),
    ):
        done = textgan("train", method, "--data", text, "--run", tmp_path / "r", *wrong)
        assert done.returncode == 2, (wrong, done.stderr)
        assert told in done.stderr
        assert "Traceback" not in done.stderr
