"""The networks and objectives of StackGAN and StackGAN++, and how generators of images are used and saved."""

import json
import math

import numpy as np
import pytest
import torch

from image_bridge.discriminators import MatchingDiscriminator
from image_bridge.generators import (
    CGANConfig,
    CGANGenerator,
    StackGANConfig,
    StackGANGenerator,
    TreeConfig,
    TreeGenerator,
    load_generator,
)
from image_bridge.objectives import colour_consistency, kl_to_standard_normal, matching_aware
from textgan.errors import UserError

GENERATORS = {
    "cgan": lambda: CGANGenerator(CGANConfig(text=7, size=16, noise=5, code=6, width=4)),
    "cgan, grey": lambda: CGANGenerator(CGANConfig(text=7, size=28, noise=5, code=0, width=4, channels=1)),
    "stackgan": lambda: StackGANGenerator(StackGANConfig(text=7, size=64, noise=5, code=6, width=8, residuals=1)),
    "tree": lambda: TreeGenerator(TreeConfig(text=7, size=32, first=8, noise=5, code=6, width=8, residuals=1)),
}
EVERY_GENERATOR = pytest.mark.parametrize("kind", list(GENERATORS))


def inputs(G, n=3, seed=0):
    r = torch.Generator().manual_seed(seed)
    return [torch.randn(n, k, generator=r) for k in (G.config.text, G.config.noise, G.eps)]


def test_kl_is_that_of_two_normal_distributions():
    mu, log_variance = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mu, (0.5 * log_variance).exp()), normal(0.0, 1.0)).mean()
    assert torch.allclose(kl_to_standard_normal(mu, log_variance), expected)
    assert kl_to_standard_normal(torch.zeros(2, 3), torch.zeros(2, 3)) == 0
    assert not torch.allclose(kl_to_standard_normal(mu, -log_variance), expected, rtol=1e-2)


def test_matching_aware_by_hand_with_a_masked_pair():
    real, wrong, fake = [0.3, -1.2, 2.0], [0.5, 7.0, -0.4], [1.5, -0.1, 0.2]
    mask = torch.tensor([1.0, 0.0, 1.0])

    def found(game, share=0.5, wrong=wrong):
        return float(matching_aware(*map(torch.tensor, (real, wrong, fake)), mask, mask.sum(), game, share))

    def probability(score):
        return 1 / (1 + math.exp(-score))

    right = sum(-math.log(probability(s)) for s in real) / 3
    other = (-math.log(1 - probability(0.5)) - math.log(1 - probability(-0.4))) / 2
    made = sum(-math.log(1 - probability(s)) for s in fake) / 3
    assert found("bce") == pytest.approx(right + (other + made) / 2, rel=1e-5)
    assert found("bce", 1) == pytest.approx(right + other + made, rel=1e-5)
    hinge = (0.7 + 2.2 + 0.0) / 3 + ((1.5 + 0.6) / 2 + (2.5 + 0.9 + 1.2) / 3) / 2
    assert found("hinge") == pytest.approx(hinge, rel=1e-5)
    assert found("bce", wrong=[0.5, -30.0, -0.4]) == found("bce")
    assert found("bce", wrong=[0.6, 7.0, -0.4]) != found("bce")
    nothing = matching_aware(*map(torch.tensor, (real, wrong, fake)), torch.zeros(3), torch.tensor(0.0), "bce")
    assert float(nothing) == pytest.approx(right + made / 2, rel=1e-5)


def test_colour_consistency_by_hand():
    r = np.random.default_rng(0)
    large, small = (r.uniform(-1, 1, (2, 3, s, s)) for s in (6, 3))

    def by_hand(mean, covariance):
        means, covariances = [], []
        for a, b in zip(large, small, strict=True):
            stats = [(x.reshape(3, -1).mean(1), np.cov(x.reshape(3, -1), bias=True)) for x in (a, b)]
            means.append(((stats[0][0] - stats[1][0]) ** 2).mean())
            covariances.append(((stats[0][1] - stats[1][1]) ** 2).mean())
        return mean * np.mean(means) + covariance * np.mean(covariances)

    a, b = torch.tensor(large, requires_grad=True), torch.tensor(small, requires_grad=True)
    assert colour_consistency(a, b).item() == pytest.approx(by_hand(1, 5), rel=1e-5)
    assert colour_consistency(a, b, 2.0, 3.0).item() == pytest.approx(by_hand(2, 3), rel=1e-5)
    colour_consistency(a, b).backward()
    assert b.grad is None
    assert a.grad.abs().sum() > 0
    enlarged = torch.nn.functional.interpolate(b.detach(), scale_factor=4.0)
    assert colour_consistency(enlarged, b).item() == pytest.approx(0, abs=1e-12)


@EVERY_GENERATOR
def test_generators_are_used_alike(kind):
    G = GENERATORS[kind]().eval()
    vectors, z, eps = inputs(G)
    first = G.images(vectors, z, eps)
    assert first.shape == (3, 3, G.config.size, G.config.size)
    assert first.abs().max() <= 1
    assert torch.equal(first, G.images(vectors, z, eps))
    assert not torch.equal(first, G.images(vectors, -z, eps))
    assert not torch.equal(first, G.images(-vectors, z, eps))
    plain = G.images(vectors, z)
    assert torch.equal(plain, G.images(vectors, z))
    assert torch.equal(plain, first) == (G.eps == 0), "eps varies the code where there are any"
    if G.eps:
        assert torch.allclose(plain, G.images(vectors, z, torch.zeros_like(eps)), atol=1e-6), "without eps the code is its mean"


@pytest.mark.parametrize("size", [28, 32])
def test_text_as_planes_is_seen_beside_every_pixel_and_as_a_code_beside_the_last_map(size):
    x, text = torch.randn(3, 1, size, size), torch.randn(3, 7)
    planes = MatchingDiscriminator(7, size, 0, 4, "none", False, channels=1, planes=True)
    code = MatchingDiscriminator(7, size, 6, 4, "none", True, channels=1)
    assert planes.body[0][0].weight.shape[1] == 1 + 7
    assert code.body[0][0].weight.shape[1] == 1
    by_hand = torch.cat([x, text[..., None, None] * torch.ones(size, size)], 1)
    torch.testing.assert_close(planes.matches(planes.features(x), text), planes.joint(planes.body(by_hand)).flatten())
    seen = code.features(x)
    assert seen.shape[2] == (7 if size == 28 else 4)
    assert code.is_real(seen).shape == code.matches(seen, text).shape == (3,)
    for D in (planes, code):
        with torch.no_grad():
            for parameter in D.parameters():
                parameter.mul_(10)  # so that what goes in is not lost beside what comes out
        assert not torch.allclose(D.matches(D.features(x), text), D.matches(D.features(x), -text))


@EVERY_GENERATOR
def test_sentence_vectors_are_standardised(kind):
    G = GENERATORS[kind]().eval()
    vectors, z, _ = inputs(G)
    before = G.images(vectors, z)
    G.standardise.mean.fill_(2)
    G.standardise.std.fill_(3)
    spread = before.std()  # an untrained network's images hardly differ from grey
    assert (G.images(3 * vectors + 2, z) - before).abs().max() < 1e-3 * spread
    assert (G.images(vectors, z) - before).abs().max() > 1e-2 * spread


@EVERY_GENERATOR
def test_saved_and_loaded(kind, tmp_path):
    G = GENERATORS[kind]().eval()
    vectors, z, eps = inputs(G)
    if kind == "stackgan":
        G.begun.fill_(2)
    G(z, vectors) if kind.startswith("cgan") else G.train()(z, vectors, eps)  # buffers differ from a new network's
    G.eval().save_pretrained(tmp_path)
    loaded = load_generator(tmp_path)
    assert type(loaded) is type(G)
    assert loaded.config == G.config
    assert torch.equal(loaded.images(vectors, z, eps), G.images(vectors, z, eps))
    assert not torch.equal(GENERATORS[kind]().eval().images(vectors, z, eps), G.images(vectors, z, eps))


def test_a_folder_without_a_generator_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no generator"):
        load_generator(tmp_path)
    GENERATORS["tree"]().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="another kind"):
        StackGANGenerator.from_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**saved, "model_type": "textgan-rnn"}))
    with pytest.raises(UserError, match="expected a generator of images"):
        load_generator(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json cannot be read"):
        load_generator(tmp_path)


@pytest.mark.parametrize("size", [32, 64])
def test_both_stages_have_their_sizes(size):
    G = StackGANGenerator(StackGANConfig(text=7, size=size, noise=5, code=6, width=4, residuals=2)).eval()
    low, high = G.pyramid(*inputs(G))
    assert low.shape == (3, 3, size // 4, size // 4)
    assert high.shape == (3, 3, size, size)
    enlarged = low.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(G.images(*inputs(G)), enlarged), "before stage II begins, images are stage I's"
    G.begun.fill_(2)
    assert torch.equal(G.images(*inputs(G)), high)
    assert not torch.equal(enlarged, high)


def test_each_stage_has_a_code_of_its_own():
    G = StackGANGenerator(StackGANConfig(text=7, size=32, noise=5, code=6, width=4, residuals=1)).eval()
    vectors, z, eps = inputs(G)
    low, high = G.pyramid(vectors, z, eps)
    other = eps.clone()
    other[:, 6:] += 1
    again, changed = G.pyramid(vectors, z, other)
    assert torch.equal(low, again)
    assert not torch.equal(high, changed)
    other[:, :6] += 1
    assert not torch.equal(low, G.pyramid(vectors, z, other)[0])


@pytest.mark.parametrize(("first", "size"), [(8, 32), (16, 32), (32, 64), (32, 32)])
def test_the_tree_has_an_image_at_each_size(first, size):
    G = TreeGenerator(TreeConfig(text=7, size=size, first=first, noise=5, code=6, width=4, residuals=1)).eval()
    images = G.pyramid(*inputs(G))
    wanted = [s for s in (8, 16, 32, 64) if first <= s <= size]
    assert [tuple(x.shape) for x in images] == [(3, 3, s, s) for s in wanted]
    assert G.config.sizes == wanted
    assert torch.equal(G.images(*inputs(G)), images[-1])
    vectors, z, eps = inputs(G)
    code, _, _ = G.encode(G.standardise(vectors), eps)
    with torch.no_grad():
        assert torch.equal(next(G.grow(z, code)), images[0]), "a size is made without the larger ones"
        kept = [stage.register_forward_pre_hook(lambda stage, inputs: (inputs[0], -inputs[1])) for stage in G.stages]
        again = list(G.grow(z, code))
    assert torch.equal(images[0], again[0])
    assert not kept or not torch.equal(images[-1], again[-1]), "every stage reads the code"


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_sizes_of_the_papers_networks():
    with torch.device("meta"):
        G1 = StackGANGenerator(StackGANConfig(text=1024))
        G2 = TreeGenerator(TreeConfig(text=1024))
        d1, d3 = (MatchingDiscriminator(1024, size, 128, 64, "batch", False, "stackgan") for size in (64, 256))
        t1, t3 = (MatchingDiscriminator(128, size, 128, 64, "batch", True, "stackgan_v2") for size in (64, 256))
    bottleneck = 1024 * 256 + 256 * 256 * 9 + 256 * 1024 * 9 + 2 * (256 + 256 + 1024)
    assert count(G1.stage1.first) == 228 * 1024 * 16 + 2 * 1024 + bottleneck
    assert count(G1.stage1.augmentation) == 1024 * 256 + 256
    second = 512 * 128 + 128 * 128 * 9 + 128 * 512 * 9 + 2 * (128 + 128 + 512)
    assert count(G1.stage1.grow[0]) == 1024 * 512 * 9 + 2 * 512 + second
    assert [count(g) for g in G1.stage1.grow[1:]] == [512 * 256 * 9 + 2 * 256, 256 * 128 * 9 + 2 * 128]
    assert count(G1.stage2.joint) == (512 + 128) * 512 * 9 + 2 * 512
    assert count(G1.stage2.residuals) == 4 * 2 * (512 * 512 * 9 + 2 * 512)
    widths = [(512, 256), (256, 128), (128, 64), (64, 32)]
    assert [count(g) for g in G1.stage2.grow] == [a * b * 9 + 2 * b for a, b in widths]
    assert count(G2.first[:4]) == 228 * 2048 * 16 + 2 * 2048
    grown = [(1024, 512), (512, 256), (256, 128), (128, 64)]
    assert [count(g) for g in G2.first[4:]] == [2 * a * b * 9 + 2 * 2 * b for a, b in grown]
    assert count(G2.stages[0].joint) == (64 + 128) * 128 * 9 + 2 * 128
    assert count(G2.stages[0].residuals) == 2 * (64 * 128 * 9 + 2 * 128 + 64 * 64 * 9 + 2 * 64)
    assert [rgb.in_channels for rgb in G2.rgb] == [64, 32, 16]
    assert count(d1.joint) == count(d3.joint) == (512 + 128) * 512 + 2 * 512 + 512 * 16 + 1
    assert count(t1.joint) == count(t3.joint) == (512 + 128) * 512 * 9 + 2 * 512 + 512 * 16 + 1
    assert count(t3.alone) == 512 * 16 + 1
    reduced = (2048 * 1024 + 2 * 1024, 1024 * 512 + 2 * 512)
    assert [count(layer) for layer in d3.body[-3:-1]] == list(reduced)
    assert count(d3.body[-1]) == 512 * 128 + 128 * 128 * 9 + 128 * 512 * 9 + 2 * (128 + 128 + 512)
    assert [count(layer) for layer in t3.body[-2:]] == [2048 * 1024 * 9 + 2 * 1024, 1024 * 512 * 9 + 2 * 512]
    assert len(t1.body) == 4
    assert count(t1.code) == 0, "the text comes as G's code"
