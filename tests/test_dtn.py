"""DTN: its losses against plainer forms, its two stages, and the command."""

import json

import pytest
import torch

from image_bridge.__main__ import main
from image_bridge.algorithms import dtn
from image_bridge.datasets import shapes
from image_bridge.generators import FeatureConfig, FeatureTranslator, load_translator
from image_bridge.objectives import total_variation

from .image_conformance import build, same, weights

TINY = ["--label", "size", "--size", "8", "--f-steps", "2", "--steps", "2", "--batch", "4", "--width", "4", "--f-width", "4",
        "--d-width", "4", "--features", "6", "--threads", "1", "--grids", "2"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("dtn")
    shapes.build(path, 40, 16, 0, 1, lambda done, total: None)
    return path


# losses


def test_total_variation_by_hand():
    x = torch.tensor([[[[0.0, 3.0, 9.0], [4.0, 0.0, 9.0], [9.0, 9.0, 9.0]]]])
    # right and below: (3, 4), (6, -3), (-4, 5), (9, 9)
    exact = 5 + 45**0.5 + 41**0.5 + 162**0.5
    assert total_variation(x) == pytest.approx(exact, abs=1e-5)
    other = torch.cat([x, 2 * x], 1)
    assert total_variation(torch.cat([other, 0 * other])) == pytest.approx(
        exact * 3 / 4, abs=1e-5
    )  # the mean of channels, images
    assert abs((x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum()) - exact) > 1


def test_total_variation_of_a_plain_image_has_a_gradient():
    x = torch.zeros(1, 1, 3, 3, requires_grad=True)
    total_variation(x).backward()
    assert not x.grad.any()
    steps = torch.stack([x[..., :-1, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, :-1]])
    (gradient,) = torch.autograd.grad(steps.square().sum(0).sqrt().sum(), x)
    assert gradient.isnan().any()  # the plain form


def parts(made, i):
    """The losses of a step by their equations, one image after the other."""
    s, t = (batches[i] for batches in made.data)
    G, n = made.G, len(s)
    both = G(torch.cat([s, t]))
    p = made.D.numbers(torch.cat([both, t])).softmax(1)
    d = sum(-(p[k, 0].log() + p[n + k, 1].log() + p[2 * n + k, 2].log()) for k in range(n)) / n
    gang = sum(-(p[k, 2].log() + p[n + k, 2].log()) for k in range(n)) / n
    const = sum((G.f(both[k : k + 1]) - G.f(s[k : k + 1])).square().mean() for k in range(n)) / n
    tid = sum((both[n + k] - t[k]).square().mean() for k in range(n)) / n
    tid_of_source = sum((both[k] - t[k]).square().mean() for k in range(n)) / n
    return {"d": d, "gang": gang, "const": const, "tid": tid, "other": tid_of_source}


def test_the_three_way_losses_by_hand(folder):
    made, _ = build("dtn", folder, const=2.0, tid=3.0, tv=0.5)
    made.G.train(), made.D.train()
    for weight in (w for network in (made.G, made.D) for w in network.parameters() if w.dim() > 1):
        torch.nn.init.normal_(weight, 0, 0.3)  # so that nothing is near 0
    with torch.no_grad():
        expected = {key: float(value) for key, value in parts(made, 0).items()}
    told = made.d_step(0)
    assert told["d/loss"].item() == pytest.approx(expected["d"], abs=1e-4)
    assert abs(expected["d"] - expected["gang"]) > 1e-2
    with torch.no_grad():
        expected = {key: float(value) for key, value in parts(made, 0).items()}
    told = {key.removeprefix("g/"): float(value) for key, value in made.g_step(0).items()}
    for key in ("gang", "const", "tid"):
        assert told[key] == pytest.approx(expected[key], abs=1e-4)
    assert expected["const"] > 1e-2
    assert abs(expected["other"] - expected["tid"]) > 1e-3  # it is the target that stays
    whole = told["gang"] + 2 * told["const"] + 3 * told["tid"] + 0.5 * told["tv"]
    assert told["loss"] == pytest.approx(whole, abs=1e-4)


# stages


def test_f_learns_first_and_then_stays(folder):
    made, _ = build("dtn", folder)
    features, game = made.stages()
    assert (features.name, game.name) == ("features", "adversarial")
    before = [weights(made)]
    for stage in (features, game):
        for i in range(stage.steps):
            made.workers.seed(0, i)
            stage.step(i)
        before.append(weights(made))
    first, second, third = ({k: v for k, v in w.items() if k.startswith("features_now.")} for w in before)
    assert not same(first, second)
    assert same(second, third)
    g = [{k: v for k, v in w.items() if k.startswith("generator_now.")} for w in before]
    assert same(g[0], g[1])
    assert not same(g[1], g[2])


def test_f_is_shown_the_classes_of_the_source_alone(folder):
    made, images = build("dtn", folder, domains="small,large", classes="kind")
    data = images.data
    sizes, kinds = data.attributes["size"], data.attributes["kind"]
    chosen = made.labelled.chosen
    assert {sizes[1][k] for k in sizes[0][chosen]} == {"small"}
    assert len(chosen) == sum(sizes[1][sizes[0][i]] == "small" for i in images.chosen)
    pairs = set(zip(made.labelled.kinds[chosen].tolist(), kinds[0][chosen].tolist(), strict=True))
    assert len(pairs) == len(set(kinds[0][chosen])) == made.f.module["classes"].out_features  # one number for each
    assert made.G.config.targets == ("large",)


def test_f_may_be_shown_combinations_of_classes(folder):
    made, images = build("dtn", folder, domains="small,large", classes="kind, colour")
    kinds, colours = (images.data.attributes[name][0] for name in ("kind", "colour"))
    both = {(kinds[i], colours[i]) for i in made.labelled.chosen}
    assert made.f.module["classes"].out_features == len(both) > len(set(kinds))


def test_networks_of_the_digits_and_of_larger_images():
    G = FeatureTranslator(FeatureConfig(("a", "b")))
    convolutions = [part.out_channels for part in G.f if isinstance(part, torch.nn.Conv2d)]
    assert convolutions == [64, 128, 256, 128]
    assert G.f(torch.zeros(2, 3, 32, 32)).shape == (2, 128)
    assert G.g[0][0].out_features == 512 * 16
    grow = [part for part in G.g.modules() if isinstance(part, torch.nn.ConvTranspose2d)]
    assert [part.out_channels for part in grow] == [256, 128, 3]
    larger = FeatureTranslator(FeatureConfig(("a", "b"), size=64, f_width=4, width=4))
    assert larger(torch.zeros(2, 3, 64, 64)).shape == (2, 3, 64, 64)
    assert len([part for part in larger.f if isinstance(part, torch.nn.Conv2d)]) == 5
    with pytest.raises(ValueError, match="power of two"):
        dtn.DTN.sizes(dtn.DTNConfig(size=28))


# the command


def here(*words):
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


def test_the_command_trains_and_says_what_is_wrong(folder, tmp_path, capsys):
    train = ["train", "dtn", "--data", folder, *TINY]
    assert here(*train, "--run", tmp_path / "r", "--classes", "colour", "--domains", "small,large") == 0
    rows = [json.loads(line) for line in (tmp_path / "r/metrics.jsonl").read_text().splitlines()]
    assert {row["stage"] for row in rows} == {"features", "adversarial"}
    assert load_translator(sorted((tmp_path / "r/checkpoints").iterdir())[-1] / "generator").config.targets == ("large",)
    capsys.readouterr()
    for words, told in (
        (["--classes", "hue"], "--classes hue names no attribute"),
        (["--classes", "size"], "have 1 size; expected two or more"),
        (["--classes", "colour", "--label", "kind"], "expected --domains A,B"),
        (["--classes", "colour", "--size", "28"], "power of two"),
    ):
        assert here(*train, "--run", tmp_path / "bad", *words) == 2
        error = capsys.readouterr().err
        assert told in error
        assert "Traceback" not in error
        assert not (tmp_path / "bad").exists()
