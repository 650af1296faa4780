"""StackGAN and StackGAN++ in training: what each step moves, by which losses, and what is learnt."""

import copy
import dataclasses
import json
import math
from contextlib import contextmanager

import pytest
import torch
from PIL import Image
from torch.nn.utils.parametrize import is_parametrized

from image_bridge.algorithms import find, stackgan
from image_bridge.captions import CaptionVectors, load_encoder
from image_bridge.datasets import shapes
from image_bridge.discriminators import MatchingDiscriminator
from image_bridge.images import ImageData
from image_bridge.objectives import colour_consistency, kl_to_standard_normal
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
