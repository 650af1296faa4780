"""StackGAN and StackGAN++: their networks, their losses, and what each step moves."""

import copy
import dataclasses
import json
import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.utils.parametrize import is_parametrized

from image_bridge.algorithms import find, stackgan
from image_bridge.captions import CaptionVectors, load_encoder
from image_bridge.datasets import shapes
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
from image_bridge.images import ImageData
from image_bridge.objectives import colour_consistency, kl_to_standard_normal, matching_aware
from image_bridge.pairs import PairData
from textgan.errors import UserError
from textgan.runtime import Workers

TINY = {
    "stackgan": {"size": 64, "stage1_steps": 2, "stage2_steps": 2, "width": 8, "d_width": 4, "residuals": 1},
    "stackgan_v2": {"size": 32, "first": 16, "steps": 2, "width": 4, "d_width": 4, "residuals": 1},
}
SHARED = {"code": 6, "noise": 5, "batch": 8, "wrong": "roll"}
EVERY = pytest.mark.parametrize("name", list(TINY))
RECIPES = pytest.mark.parametrize("recipe", ["paper", "modern"])
GENERATORS = {
    "cgan": lambda: CGANGenerator(CGANConfig(text=7, size=16, noise=5, code=6, width=4)),
    "stackgan": lambda: StackGANGenerator(StackGANConfig(text=7, size=64, noise=5, code=6, width=8, residuals=1)),
    "tree": lambda: TreeGenerator(TreeConfig(text=7, size=32, first=8, noise=5, code=6, width=8, residuals=1)),
}
EVERY_GENERATOR = pytest.mark.parametrize("kind", list(GENERATORS))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    shapes.build(folder, 40, 32, 0, 1, lambda done, total: None)
    found = ImageData(folder)
    return found, CaptionVectors(found, load_encoder("bow", found))


def build(name, data, seed=0, **changes):
    algorithm, workers = find(name), Workers()
    config = algorithm.Config(**{**SHARED, **TINY[name], **changes})
    packed = {size: data[0].pack(size) for size in algorithm.sizes(config)}
    workers.seed(seed, 0)
    return algorithm(config, PairData(data[0], data[1], packed, workers, wrong=config.wrong), workers)


def turn(stage):
    """The steps in which every player of a stage moves once."""
    return range(stage.turn)


def state(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def inputs(G, n=3, seed=0):
    r = torch.Generator().manual_seed(seed)
    return [torch.randn(n, k, generator=r) for k in (G.config.text, G.config.noise, G.eps)]


# objectives


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


# generators


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
    G(z, vectors) if kind == "cgan" else G.train()(z, vectors, eps)  # buffers differ from a new network's
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


# training


def with_gradient(made):
    named = ((n, k, q) for n, p in made.players.items() for k, q in p.module.named_parameters())
    return {(n, k) for n, k, q in named if q.grad is not None and q.grad.any()}


def parameters(made):
    return {(n, k) for n, p in made.players.items() for k, _ in p.module.named_parameters()}


def past_the_hinge(made):
    """Within the hinge the gradients of real and generated samples cancel in the last bias."""
    with torch.no_grad():
        for D in made.D:
            for head in filter(None, (D.joint if hasattr(D, "joint") else None, D.alone)):
                head[-1].bias.fill_(1.5)


@EVERY
@RECIPES
def test_each_step_moves_its_own_player_and_every_parameter_gets_a_gradient(name, recipe, data):
    made = build(name, data, recipe=recipe)
    past_the_hinge(made)
    moved, reached = [], set()
    for stage in made.stages():
        for i in turn(stage):
            before = {n: state(p.module) for n, p in made.players.items()}
            made.workers.seed(0, i)
            metrics = stage.step(i)
            assert all(torch.isfinite(value) for value in metrics.values())
            moved.append([n for n, p in made.players.items() if not same(before[n], state(p.module))])
            reached |= with_gradient(made)
    expected = {
        "stackgan": [["stage1_discriminator"], ["stage1_now"], ["discriminator"], ["generator_now"]],
        "stackgan_v2": [["discriminator16"], ["discriminator32"], ["generator_now"]],
    }
    assert moved == expected[name]
    assert reached == parameters(made)


def test_stage_one_rests_while_stage_two_trains(data, monkeypatch):
    made = build("stackgan", data, recipe="paper", stage1_steps=3, stage2_steps=3)
    first, second = made.stages()

    def stage1():
        return {**state(made.G.stage1), **{f"average.{k}": v for k, v in state(made.average.stage1).items()}}

    def run(stage):
        before = stage1()
        for i in range(stage.steps):
            made.workers.seed(1, i)
            stage.step(i)
        return {k for k, v in stage1().items() if not torch.equal(v, before[k])}

    assert int(made.average.begun) == 1
    assert run(first) == set(stage1()), "all of it moves in its own stage, buffers and average included"
    assert int(made.average.begun) == 1
    assert run(second) == set()
    assert int(made.average.begun) == 2

    @contextmanager
    def training(module):
        module.train()
        yield

    monkeypatch.setattr(stackgan, "frozen", training)
    assert any("running_mean" in k for k in run(second)), "in training mode its buffers would move"


def test_stage_two_learns_to_redraw_the_average_of_stage_one(data):
    made = build("stackgan", data)
    stage = made.stages()[1]
    with torch.no_grad():
        for p in made.G.stage1.parameters():
            p.fill_(math.nan)
    assert torch.isfinite(stage.step(1)["g/loss"])
    with torch.no_grad():
        for p in made.average.stage1.parameters():
            p.fill_(math.nan)
    assert not torch.isfinite(stage.step(3)["g/loss"])


def test_stage_two_sees_stage_one_as_it_will_be_sampled(data, monkeypatch):
    made, seen = build("stackgan", data), []
    made.stages()[0].step(1)  # running statistics are no longer those of a new network
    honest = made.G.stage2.forward
    monkeypatch.setattr(made.G.stage2, "forward", lambda low, *rest: seen.append(low) or honest(low, *rest))
    text = made.data[1][0].text
    for i in (0, 1):
        made.workers.seed(3, i)
        made.step(1, i)
        made.workers.seed(3, i)
        with torch.no_grad():
            z, eps = made.normal(5), made.normal(6)
            assert torch.equal(seen[i], made.average.stage1(z, text, eps)[0])
            assert not torch.equal(seen[i], made.G.stage1.train()(z, text, eps)[0])


@EVERY
@RECIPES
def test_a_wrong_text_that_is_true_as_well_does_not_count(name, recipe, data):
    def trained(mismatched, wrong):
        made = build(name, data, recipe=recipe)
        (stage, *_), p = made.stages(), dataclasses.replace(made.data[0][0], mismatched=torch.full((8,), mismatched))
        made.data[0] = [dataclasses.replace(p, wrong=p.wrong + wrong)]
        made.workers.seed(0, 0)
        stage.step(0)
        return dict(made.D[0].named_parameters())

    assert same(trained(0.0, 0), trained(0.0, 3))
    assert not same(trained(1.0, 0), trained(1.0, 3))


@EVERY
def test_spectral_normalisation_is_active_in_the_modern_recipe(name, data):
    made = build(name, data, recipe="modern")
    D, p = made.D[1], made.data[1][0]
    text = p.text if name == "stackgan" else made.G.encode(p.text)[1].detach()
    convolutions = [layer for layer in D.modules() if isinstance(layer, torch.nn.Conv2d)]
    with torch.no_grad():
        D.eval()
        for layer in convolutions:
            assert 0.95 < torch.linalg.svdvals(layer.weight.flatten(1))[0] < 1.2, "nearly so from the first step on"
        for layer in convolutions:
            layer.parametrizations.weight.original.mul_(50)
        D.train()
        for _ in range(60):
            D.matches(D.features(p.real), text), D.is_real(D.features(p.real))
        D.eval()
        for layer in convolutions:
            assert torch.linalg.svdvals(layer.weight.flatten(1))[0] == pytest.approx(1, abs=0.02)
            assert abs(torch.linalg.svdvals(layer.parametrizations.weight.original.flatten(1))[0] - 1) > 0.05
    assert len(convolutions) > 5
    assert not any(is_parametrized(layer) for layer in build(name, data, recipe="paper").D.modules())


@EVERY
def test_the_average_follows_parameters_and_buffers(name, data):
    made = build(name, data)
    stage = made.stages()[0]
    G, average = (made.G.stage1, made.average.stage1) if name == "stackgan" else (made.G, made.average.copy)
    before = state(average)
    assert same(before, state(G))
    stage.step(stage.turn - 1)  # G's
    now, kept = state(G), state(average)
    for k, old in before.items():
        if old.is_floating_point():  # the first update has decay 0.1
            assert torch.allclose(kept[k], 0.1 * old + 0.9 * now[k], atol=1e-6)
        else:
            assert torch.equal(kept[k], now[k])
    buffers = [k for k in before if k.endswith("running_mean")]
    assert buffers
    assert all(not torch.equal(kept[k], before[k]) and not torch.equal(kept[k], now[k]) for k in buffers)
    assert made.kept["generator"].eps == made.G.eps
    assert not any(p.requires_grad for p in made.kept["generator"].parameters())


@EVERY
def test_kl_is_a_part_of_the_generators_loss(name, data):
    def gradients(weight):
        made = build(name, data, kl=weight)
        G = made.G.stage1 if name == "stackgan" else made.G
        before = {k: p.detach().clone() for k, p in G.augmentation.named_parameters()}
        stage, text = made.stages()[0], made.data[0][0].text
        stage.step(stage.turn - 1)
        found = {k: p.grad.clone() for k, p in G.augmentation.named_parameters()}
        G.augmentation.load_state_dict(before)
        _, mu, log_variance = G.augmentation(text)
        return found, torch.autograd.grad(kl_to_standard_normal(mu, log_variance), list(G.augmentation.parameters()))

    (without, _), (found, alone) = gradients(0.0), gradients(3.0)
    for k, of_kl in zip(found, alone, strict=True):
        assert torch.allclose(found[k] - without[k], 3 * of_kl, atol=1e-5)
        assert not torch.allclose(found[k] - without[k], 2 * of_kl, atol=1e-5)


def test_the_discriminators_of_the_tree_read_mu_without_a_gradient(data, monkeypatch):
    made, told = build("stackgan_v2", data), []
    honest = MatchingDiscriminator.matches
    monkeypatch.setattr(MatchingDiscriminator, "matches", lambda D, f, t: told.append((f, t)) or honest(D, f, t))
    made.g_step(0)
    assert len(told) == 2
    assert all(features.requires_grad and not text.requires_grad for features, text in told)
    with torch.no_grad():
        assert torch.equal(told[0][1], told[1][1])


@EVERY
def test_each_discriminator_sees_images_of_its_size(name, data, monkeypatch):
    made, told = build(name, data), []
    honest = MatchingDiscriminator.features
    monkeypatch.setattr(MatchingDiscriminator, "features", lambda D, x: told.append((D, x.shape[2])) or honest(D, x))
    for stage in made.stages():
        for i in turn(stage):
            stage.step(i)
    sizes = made.sizes(made.config)
    assert {(D, size) for D, size in told} == set(zip(made.D, sizes, strict=True))
    assert len(told) == 3 * len(sizes), "real and generated ones, and those that G is trained by"


def test_the_wrong_pairs_image_is_real_for_the_head_that_sees_it_alone(data):
    found = []
    for wrong_is_real in (True, False):
        made = build("stackgan_v2", data, wrong_is_real=wrong_is_real)
        made.workers.seed(0, 0)
        found.append(made.d_step(0, 0))
    alone = found[0]["d16/alone_real"]
    assert alone < 1
    assert float(found[0]["d16/loss"] - found[1]["d16/loss"]) == pytest.approx(float(1 - alone), rel=1e-4)


def test_the_three_kinds_of_pairs_weigh_the_same_in_the_tree(data):
    made = build("stackgan_v2", data, unconditional=0.0)
    made.data[0] = [dataclasses.replace(made.data[0][0], mismatched=torch.ones(8))]
    told = made.d_step(0, 0)
    real, wrong, fake = (float(told[f"d16/{key}"]) for key in ("real", "wrong", "fake"))
    assert max(map(abs, (real, wrong, fake))) < 1, "within the hinge, where the loss is linear"
    assert float(told["d16/loss"]) == pytest.approx((1 - real) + (1 + wrong) + (1 + fake), rel=1e-5)
    assert made.D[0].alone is None


def test_without_text(data):
    assert build("stackgan_v2", data).colour == 0
    assert build("stackgan_v2", data, colour=3.0).colour == 3
    made = build("stackgan_v2", data, code=0)
    assert made.colour == 50
    assert made.G.eps == 0
    past_the_hinge(made)
    reached, (stage,) = set(), made.stages()
    for i in turn(stage):
        metrics = stage.step(i)
        reached |= with_gradient(made)
    assert reached == parameters(made)
    assert metrics["g/colour"] > 0
    vectors, z, eps = inputs(made.average.copy)
    assert torch.equal(made.average.copy.images(vectors, z, eps), made.average.copy.images(-vectors, z))
    with pytest.raises(UserError, match="--unconditional above 0"):
        build("stackgan_v2", data, code=0, unconditional=0.0)


def test_colour_consistency_is_a_part_of_the_generators_loss(data):
    def gradients(weight):
        made = build("stackgan_v2", data, first=8, colour=weight, colour_mean=2.0, colour_covariance=3.0)
        before = copy.deepcopy(made.G)
        made.workers.seed(0, 0)
        told = made.g_step(0)
        made.workers.seed(0, 0)
        code, _, _ = before.encode(made.data[0][0].text, made.normal(6))
        small, middle, large = before.train().grow(made.normal(5), code)
        expected = colour_consistency(middle, small, 2.0, 3.0) + colour_consistency(large, middle, 2.0, 3.0)
        expected.backward()
        assert "g/colour" not in told or float(told["g/colour"]) == pytest.approx(expected.item(), rel=1e-5)
        return {k: p.grad for k, p in made.G.named_parameters()}, {k: p.grad for k, p in before.named_parameters()}

    (without, _), (found, alone) = gradients(0.0), gradients(700.0)
    for k, of_colours in alone.items():
        if of_colours is None:  # the smallest image's last layer, and the log-variance's
            assert torch.equal(found[k], without[k])
        else:
            assert torch.allclose(found[k] - without[k], 700 * of_colours, rtol=1e-3, atol=1e-3 * float(found[k].abs().max()))
    assert alone["rgb.0.weight"] is None
    assert alone["rgb.1.weight"].any()
    assert not torch.allclose(found["rgb.1.weight"], without["rgb.1.weight"], rtol=0.1)


def test_the_rate_is_halved(data):
    made = build("stackgan", data, halve_every=2)
    rates = []
    for i in (0, 3, 4, 9):
        made.step(1, i)
        rates.append([p.optimizer.param_groups[0]["lr"] for p in (made.d[1], made.g[1], made.d[0])])
    assert rates == [[lr, lr, 2e-4] for lr in (2e-4, 2e-4, 1e-4, 5e-5)]


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("stackgan", {"size": 48}, "received 48"),
        ("stackgan", {"size": 16}, "32 or more"),
        ("stackgan_v2", {"size": 48}, "received 16 and 48"),
        ("stackgan_v2", {"first": 64}, "received 64 and 32"),
        ("stackgan_v2", {"first": 4}, "8 <= first"),
        ("stackgan", {"ema": 1.0}, "--ema"),
        ("stackgan_v2", {"ema": -0.1}, "--ema"),
    ],
)
def test_settings_that_cannot_be(name, changes, told, data):
    with pytest.raises(UserError, match=told):
        build(name, data, **changes)


def test_sizes_of_the_images():
    assert find("stackgan").sizes(find("stackgan").Config()) == [64, 256]
    assert find("stackgan_v2").sizes(find("stackgan_v2").Config()) == [64, 128, 256]


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Plain red and plain blue images that say so."""
    folder, rows = tmp_path_factory.mktemp("colours"), []
    for k in range(32):
        word, colour = (("red", (230, 20, 20)), ("blue", (20, 20, 230)))[k % 2]
        Image.new("RGB", (32, 32), colour).save(folder / f"{k}.png")
        rows.append({"file_name": f"{k}.png", "captions": [word], "split": "train"})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    found = ImageData(folder)
    return found, CaptionVectors(found, load_encoder("bow", found))


@pytest.mark.slow
@EVERY
@RECIPES
def test_it_learns_what_the_words_mean(name, recipe, colours):
    sizes = {
        "stackgan": {"size": 32, "stage1_steps": 300, "stage2_steps": 300, "width": 32, "lr": 5e-4},
        "stackgan_v2": {"size": 16, "first": 8, "steps": 250, "width": 16, "lr": 1e-3},
    }
    made, step = build(name, colours, recipe=recipe, batch=16, ema=0.9, d_width=16, **sizes[name]), 0
    for stage in made.stages():
        for i in range(stage.steps):
            made.workers.seed(0, step)
            stage.step(i)
            step += 1
    G = made.kept["generator"]
    vectors = torch.from_numpy(load_encoder("bow", colours[0]).encode(["red", "blue"])).repeat_interleave(32, 0)
    _, z, eps = inputs(G, 64)
    for x in G.pyramid(vectors, z, eps):
        red = (x[:, 0] - x[:, 2]).mean((1, 2))  # (64,)
        assert red[:32].mean() > red[32:].mean() + 0.5


@pytest.mark.slow
@EVERY
@RECIPES
def test_a_step_at_the_papers_size(name, recipe, data):
    algorithm, workers = find(name), Workers()
    config = algorithm.Config(recipe=recipe, batch=2)
    packed = {size: data[0].pack(size) for size in algorithm.sizes(config)}
    made = algorithm(config, PairData(data[0], data[1], packed, workers), workers)
    for stage in made.stages():
        for i in turn(stage):
            assert all(torch.isfinite(value) for value in stage.step(i).values())
    G = made.kept["generator"]
    assert G.images(*inputs(G, 2)).shape == (2, 3, 256, 256)
