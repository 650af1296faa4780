"""GANs of images without text: their losses and networks against plainer forms, and the commands that use them."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from image_bridge.__main__ import main
from image_bridge.blocks import Trunk, start
from image_bridge.captions import ClassNames, load_encoder
from image_bridge.datasets import digits, shapes
from image_bridge.discriminators import Discriminator
from image_bridge.evaluate import judges as judging
from image_bridge.generators import PlainConfig, PlainGenerator
from image_bridge.images import ImageData
from image_bridge.objectives import d_loss, feature_nll, information_of_categorical, information_of_continuous
from image_bridge.pipeline import TextToImage, generator_folder, takes_sentences
from image_bridge.progressive import Equalised, larger, normalised, with_deviation
from textgan.errors import UserError
from textgan.objectives import gradient_penalty

from .image_conformance import build, weights

TINY = ["--size", "8", "--channels", "1", "--steps", "6", "--batch", "8", "--noise", "6", "--width", "4", "--d-width", "4",
        "--threads", "1", "--grids", "2", "--log-every", "4"]  # fmt: skip


def quiet(done, total):
    """Tell nothing."""


def here(*words):
    """The command in this process; gives its exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "shapes"
    path.mkdir()
    shapes.build(path, 40, 16, 0, 1, quiet)
    return path


@pytest.fixture(scope="module")
def numerals(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "digits"
    path.mkdir()
    digits.build(path, 200, quiet)
    return path


# losses


def test_label_smoothing_by_hand():
    real, fake = torch.tensor([1.5, -0.5]), torch.tensor([0.3])
    p, q = torch.sigmoid(real), torch.sigmoid(fake)
    plain = -p.log().mean() - (1 - q).log().mean()
    assert d_loss(real, fake, "bce") == pytest.approx(plain.item(), abs=1e-6)
    smooth = -(0.9 * p.log() + 0.1 * (1 - p).log()).mean() - (1 - q).log().mean()
    assert d_loss(real, fake, "bce", 0.9) == pytest.approx(smooth.item(), abs=1e-6)
    assert abs(smooth - plain) > 1e-2
    assert d_loss(real, fake, "hinge") == pytest.approx((0 + 1.5) / 2 + 1.3)


def test_gradient_penalty_of_a_linear_critic_of_images():
    w = torch.randn(3 * 4 * 4)
    real, fake = torch.randn(2, 5, 3, 4, 4)
    found = gradient_penalty(lambda x: x.flatten(1) @ w, real, fake, torch.rand(5))
    assert found == pytest.approx((w.norm().item() - 1) ** 2, rel=1e-5)
    assert gradient_penalty(lambda x: x.flatten(1) @ (w / w.norm()), real, fake, torch.rand(5)) == pytest.approx(0, abs=1e-10)


def test_the_bound_of_a_categorical_code_against_enumeration():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]])  # of x given c; the three c are as likely
    joint = p / 3
    posterior = joint / joint.sum(0)  # of c given x
    exact = (joint * (joint / (joint.sum(0) * joint.sum(1, keepdim=True))).log()).sum()
    codes, images = (torch.tensor(side) for side in zip(*itertools.product(range(3), range(3)), strict=True))

    def bound(q):  # every (c, x) as often as it comes, in ten thousandths
        times = (joint[codes, images] * 30_000).round().long()
        c, x = codes.repeat_interleave(times), images.repeat_interleave(times)
        return information_of_categorical(q[x].log(), c)

    assert bound(posterior.T) == pytest.approx(exact.item(), abs=1e-5)
    other = torch.full((3, 3), 1 / 3)
    assert bound(other) == pytest.approx(0, abs=1e-6)
    assert bound((posterior.T + other) / 2) < exact - 1e-3


def test_the_bound_of_continuous_codes_and_what_features_cost_by_hand():
    mean, value = torch.tensor([[0.5, 0.0], [0.0, -1.0]]), torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    normal = torch.distributions.Normal(mean, 1).log_prob(value).sum(1).mean()
    assert information_of_continuous(mean, value) == pytest.approx((normal + 2 * math.log(2)).item(), abs=1e-6)
    assert feature_nll(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]])) == pytest.approx(2.25)


# networks


def test_what_sizes_grow_from():
    assert [start(size) for size in (8, 28, 32, 64, 256)] == [(4, 1), (7, 2), (4, 3), (4, 4), (4, 6)]
    for size in (4, 7, 12, 30):
        with pytest.raises(ValueError, match="power of two, 8 or more, or 7 times one"):
            start(size)


def test_a_trunk_looks_at_the_nearest_power_of_two():
    trunks = [Trunk(size) for size in (4, 20, 28, 32, 64, 200)]
    assert [trunk.size for trunk in trunks] == [8, 16, 32, 32, 64, 64]
    x = torch.randn(3, 3, 28, 28)
    larger = F.interpolate(x, (32, 32), mode="bilinear")
    torch.testing.assert_close(trunks[2].eval()(x), trunks[2](larger))
    assert not torch.allclose(trunks[2](x), trunks[2](larger.flip(3)))


@pytest.mark.parametrize("body", ["dcgan", "resnet", "mlp", "sngan"])
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3)])
def test_bodies_have_every_size(body, size, channels):
    D = Discriminator(size, channels, 3, "none", body)
    x = torch.randn(2, channels, size, size)
    assert D(x).shape == (2,)
    assert D.features(x).shape == (2, D.width)
    if body != "sngan":
        assert PlainGenerator(PlainConfig(size, 5, 0, channels, 3, body))(torch.randn(2, 5)).shape == x.shape


def test_spectral_normalisation_against_the_singular_values():
    torch.manual_seed(0)
    D = Discriminator(16, 3, 6, "spectral", "sngan").train()
    for _ in range(60):  # of the power iteration
        D(torch.randn(2, 3, 16, 16))
    layers = [m for m in D.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 6
    for layer in layers:
        raw = layer.parametrizations.weight.original
        largest = torch.linalg.svdvals(raw.flatten(1))[0]
        torch.testing.assert_close(layer.weight, raw / largest, rtol=1e-2, atol=1e-3)
        assert abs(largest - 1) > 0.1  # it was another before


def test_the_noise_becomes_what_the_paper_draws():
    G = PlainGenerator(PlainConfig(8, 4 + 2 * 5 + 3, 0, 1, 3, prior="uniform", codes=2, values=5, continuous=3))
    z = torch.randn(20_000, 17, generator=torch.Generator().manual_seed(0))
    free, values, smooth = G.parts(z)
    assert free.shape == (20_000, 4)
    for some in (free, smooth):
        assert some.abs().max() <= 1
        torch.testing.assert_close(some.mean(0), torch.zeros(some.shape[1]), atol=0.02, rtol=0)
        torch.testing.assert_close(some.var(0), torch.full((some.shape[1],), 1 / 3), atol=0.02, rtol=0)
    for k in (0, 1):
        assert (torch.bincount(values[:, k], minlength=5) - 4000).abs().max() < 250
    assert (values[:, 0] != values[:, 1]).any()
    plain = PlainGenerator(PlainConfig(8, 4, 0, 1, 3))
    assert torch.equal(plain.parts(z[:, :4])[0], z[:, :4])


@pytest.mark.parametrize("condition", ["concatenate", "multiply"])
def test_how_a_class_enters(condition):
    G = PlainGenerator(PlainConfig(8, 6, 3, 1, 4, condition=condition)).eval()
    z, kinds = torch.randn(3, 6), torch.eye(3)
    h = torch.cat([z, kinds], 1) if condition == "concatenate" else z * G.embedding.weight.T
    torch.testing.assert_close(G(z, kinds), torch.tanh(G.layers(h)))
    same = G(z[:1].expand(3, -1), kinds)
    assert (same[0] - same[1]).abs().max() > 1e-7
    x = G.images(kinds, z)
    assert x.shape == (3, 3, 8, 8)
    assert torch.equal(x[:, 0], x[:, 2])


# training


def test_weights_of_the_critic_are_cut(folder):
    made, images = build("wgan", folder, limit=0.003)
    assert max(w.abs().max() for w in made.d.parameters) > 0.01
    images.workers.seed(0, 0)
    made.stages()[0].step(0)
    assert max(w.abs().max().item() for w in made.d.parameters) == pytest.approx(0.003)


def test_the_losses_of_vaegan_reach_their_own_player(folder):
    def after(step, **changes):
        made, images = build("vaegan", folder, **changes)
        images.workers.seed(0, 0)
        made.stages()[0].step(step)
        moved = {name for name, player in made.players.items() if any(w.grad is not None for w in player.parameters)}
        return moved, weights(made)

    def alike(a, b):
        return all(torch.equal(a[key], b[key]) for key in a)

    assert [after(step)[0] for step in range(3)] == [{"encoder"}, {"generator_now"}, {"discriminator"}]
    d, e, g = (after(step, gamma=0.0, kl=1.0)[1] for step in (2, 0, 1))
    assert alike(after(2, gamma=9.0, kl=9.0)[1], d)  # D learns neither from L_llike nor from L_prior
    assert alike(after(0, gamma=9.0)[1], e)
    assert not alike(after(0, kl=9.0)[1], e)  # L_prior is the encoder's
    assert alike(after(1, gamma=0.0, kl=9.0)[1], g)
    assert not alike(after(1, gamma=9.0)[1], g)


# progressive growing


def test_equalised_rates_against_their_definition():
    layer, x = Equalised(3, 5, 3), torch.randn(2, 3, 4, 4)
    expected = F.conv2d(x, layer.weight * (2 / 27) ** 0.5, padding=1)
    torch.testing.assert_close(layer(x), expected)
    assert (F.conv2d(x, layer.weight, padding=1) - expected).abs().max() > 0.1
    narrow, wide = (Equalised(n, 2, 0, gain=1) for n in (4, 400))
    for dense in (narrow, wide):  # Adam's first step is as long for every weight; what is used moves by 1 / sqrt(fan in)
        before = dense.weight.detach().clone()
        optimizer = torch.optim.Adam(dense.parameters(), 0.1)
        dense(torch.ones(1, dense.weight.shape[1])).sum().backward()
        optimizer.step()
        used = (dense.weight.detach() - before) * dense.scale
        torch.testing.assert_close(used, torch.full_like(used, -0.1 / dense.weight.shape[1] ** 0.5), rtol=1e-3, atol=1e-6)


def test_features_are_brought_to_length_one():
    h = 7 * torch.randn(2, 5, 3, 3)
    torch.testing.assert_close(normalised(h).square().mean(1), torch.ones(2, 3, 3))
    assert (h.square().mean(1) - 1).abs().max() > 1


def test_the_deviation_of_a_minibatch_by_hand():
    h = torch.randn(8, 2, 3, 3)
    found = with_deviation(h)
    assert found.shape == (8, 3, 3, 3)
    assert torch.equal(found[:, :2], h)
    for group in (slice(0, 4), slice(4, 8)):
        value = np.asarray(h[group].double()).std(0).mean()
        torch.testing.assert_close(found[group, 2], torch.full((4, 3, 3), float(value)))
    assert found[0, 2, 0, 0] != found[4, 2, 0, 0]
    alike = with_deviation(h[:1].expand(4, -1, -1, -1))
    torch.testing.assert_close(alike[:, 2], torch.full((4, 3, 3), 1e-4))
    assert with_deviation(h[:6]).shape == (6, 3, 3, 3)


def test_a_size_begins_as_the_one_before(folder):
    made, _ = build("pggan", folder)
    z, x = torch.randn(4, 6), torch.randn(4, 1, 16, 16)
    for level in (1, 2):
        old = larger(made.G(z, level - 1, 1.0))
        torch.testing.assert_close(made.G(z, level, 0.0), old)
        assert (made.G(z, level, 0.5) - old).abs().max() > 1e-2
        some = F.avg_pool2d(x, 16 >> level + 2) if level < 2 else x
        score = made.D(F.avg_pool2d(some, 2), level - 1, 1.0)
        torch.testing.assert_close(made.D(some, level, 0.0), score)
        assert (made.D(some, level, 0.5) - score).abs().max() > 1e-3
        whole = made.real(0, level, 1.0)
        assert whole.shape == (8, 1, 4 << level, 4 << level)
        torch.testing.assert_close(made.real(0, level, 0.0), larger(F.avg_pool2d(whole, 2)))
        assert (made.real(0, level, 0.5) - made.real(0, level, 0.0)).abs().max() > 1e-2


def test_growth_gives_the_optimizers_a_new_beginning_and_shows_the_size(folder):
    made, images = build("pggan", folder)
    names = [stage.name for stage in made.stages()]
    assert names == ["4", "fade 8", "8", "fade 16", "16"]
    four, fade, eight = made.stages()[:3]
    drawn = made.average.copy
    for stage, count in ((four, 4), (fade, 4), (eight, 4)):
        for i in range(count):
            images.workers.seed(0, i)
            stage.step(i)
            steps = {int(state["step"]) for state in made.d.optimizer.state.values()}
            if stage is four:
                assert steps == {i // 2 + 1}
            if stage is fade and not i:
                assert steps == {1}
                assert not made.g.optimizer.state
        x = drawn.images(torch.empty(2, 0), torch.randn(2, 6))
        assert x.shape == (2, 3, 16, 16)
        assert torch.equal(F.interpolate(x[..., ::4, ::4], (16, 16)), x) == (stage is four)  # 4 x 4, enlarged
    assert float(drawn.grown) == 1


# data and commands


def test_digits(numerals):
    data = ImageData(numerals)
    numbers, words = data.classes("class")
    assert len(words) == 10
    assert data.captions[0] == ["a handwritten zero", "the digit zero"]
    packed = data.pack(8)
    assert packed.shape == (200, 8, 8, 3)
    assert words[numbers[3]] == "three"
    assert packed.max() == 255
    assert 0 < data.held_out.sum() < 60


def test_a_run_without_text(numerals, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    assert here("train", "dcgan", "--data", numerals, "--run", run, *TINY, "--until", 5) == 0
    assert "classes" not in capsys.readouterr().err
    assert here("resume", run) == 0
    said = capsys.readouterr().err
    assert "12 of 12 steps done" in said
    assert f"`image-bridge generate {run} --out a.png` draws" in said
    assert len(list((run / "samples").iterdir())) == 2
    assert here("generate", run, "-n", 5, "--columns", 5, "--seed", 3, "--out", tmp_path / "grid.png") == 0
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (5 * 68 + 4, 72)
    assert here("generate", run, "-n", 3, "--seed", 3, "--out", tmp_path / "files") == 0
    rows = [json.loads(line) for line in (tmp_path / "files/metadata.jsonl").read_text().splitlines()]
    assert rows[0] == {"file_name": "000000.png", "seed": 3}
    assert ImageData(tmp_path / "files").captions == [[], [], []]
    assert not takes_sentences(generator_folder(run))
    pipe = TextToImage.from_pretrained(run)
    once, again = (pipe("", 2, torch.Generator().manual_seed(seed), "pt").images for seed in (3, 4))
    assert once.shape == (2, 3, 8, 8)
    assert not torch.equal(once, again)
    assert here("interpolate", run, "--steps", 3, "--out", tmp_path / "walk.png") == 0
    assert here("interpolate", run, "--steps", 3, "--last-seed", 1, "--out", tmp_path / "same.png") == 0
    assert (tmp_path / "walk.png").read_bytes() == (tmp_path / "same.png").read_bytes()
    assert here("interpolate", run, "--steps", 3, "--last-seed", 2, "--out", tmp_path / "other.png") == 0
    assert (tmp_path / "walk.png").read_bytes() != (tmp_path / "other.png").read_bytes()
    assert here("report", run) == 0
    monkeypatch.setattr(judging, "SEEN", 640)
    capsys.readouterr()
    assert here("evaluate", run, "-n", 24, "--extractor", "own") == 0
    told = capsys.readouterr().out
    for words in (
        "MS-SSIM between images drawn at random",
        "the generator is told none",
        "KID x 1000",
        "classifier score of class",
    ):
        assert words in told
    assert "R-precision," not in told
    for words, said in (
        (["generate", run, "a zero", "--out", "x.png"], "takes no sentences, it is told nothing"),
        (["generate", run, "--class", "zero", "--out", "x.png"], "is told nothing; leave it out"),
        (["interpolate", run, "a", "b", "--out", "x.png"], "its noise alone can change"),
        (["train", "dcgan", "--data", numerals, "--run", tmp_path / "n", "--text", "bow"], "--text"),
        (["train", "dcgan", "--data", numerals, "--run", tmp_path / "n", "--size", 12], "--size must be a power of two"),
        (["train", "dcgan", "--data", numerals, "--run", tmp_path / "n", "--ema", 1], "--ema must lie in [0, 1)"),
        (["train", "gan", "--data", numerals, "--run", tmp_path / "n", "--smooth", 0], "--smooth must lie in (0, 1]"),
        (["train", "infogan", "--data", numerals, "--run", tmp_path / "n", "--codes", 0, "--continuous", 0], "nothing to read"),
        (["train", "wgan_gp", "--data", numerals, "--run", tmp_path / "n", "--size", 8, "--compile"], "differentiate twice"),
        (["train", "dcgan", "--data", numerals, "--run", tmp_path / "n", *TINY, "--r1", 1, "--compile"], "differentiate twice"),
        (["train", "dcgan", "--data", numerals, "--run", tmp_path / "n", "--flip", 0.5], "--flip must lie in [0, 0.5)"),
        (["train", "dcgan", "--data", numerals, "--run", tmp_path / "n", "--d-lr", 0], "--d-lr must be a finite number above 0"),
        (["train", "acgan", "--data", numerals, "--run", tmp_path / "n", "--label", "colour"], "names no attribute of"),
    ):
        assert here(*words) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert said in error
        assert not (tmp_path / "n").exists()


def test_a_run_that_is_told_a_class(numerals, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setattr(judging, "SEEN", 640)
    assert here("train", "acgan", "--data", numerals, "--run", run, *TINY, "--figures") == 0
    assert "classes: 10" in capsys.readouterr().err
    assert {"kid", "accuracy_class"} <= json.loads(sorted((run / "eval").iterdir())[0].read_text()).keys()
    encoder = load_encoder(str(sorted((run / "checkpoints").iterdir())[-1] / "generator/text"))
    assert encoder == ClassNames("class", ImageData(numerals).classes("class")[1])
    assert here("generate", run, "-n", 2, "--out", tmp_path / "all.png") == 0
    assert here("generate", run, "--class", "nine", "two", "-n", 2, "--out", tmp_path / "files") == 0
    rows = [json.loads(line) for line in (tmp_path / "files/metadata.jsonl").read_text().splitlines()]
    assert [(row["text"], row["seed"]) for row in rows] == [("nine", 0), ("nine", 1), ("two", 0), ("two", 1)]
    assert here("interpolate", run, "nine", "two", "--steps", 3, "--out", tmp_path / "walk.gif") == 0
    capsys.readouterr()
    assert here("evaluate", run, "-n", 24, "--extractor", "own", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["attributes"]["class"]["judged"] == 24
    assert found["told"] == "class"
    assert "r_precision" not in found["model"]
    for words, said in (
        (["generate", run, "a zero", "--out", "x.png"], "it is told a class: give --class NAME"),
        (["generate", run, "--class", "ten", "--out", "x.png"], "there is no class 'ten'; expected one of eight, five"),
        (["interpolate", run, "two", "--out", "x.png"], "TO is missing"),
        (["interpolate", run, "two", "ten", "--out", "x.png"], "there is no class 'ten'"),
    ):
        assert here(*words) == 2
        assert said in capsys.readouterr().err


def test_images_without_captions(tmp_path, capsys):
    for k in range(12):
        place = tmp_path / "photos" / ("left" if k % 2 else "right") / f"{k}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(place)
    data = tmp_path / "data"
    assert here("data", "imagefolder", data, "--source", tmp_path / "photos") == 0
    assert "captions: 0" in capsys.readouterr().out
    assert ImageData(data).classes("class")[1] == ("left", "right")
    assert here("train", "dcgan", "--data", data, "--run", tmp_path / "a", *TINY) == 0
    for name in ("cgan", "joint"):
        assert here("train", name, "--data", data, "--run", tmp_path / "b", "--size", 8) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert "has an image without a caption (images/left/1.png); expected one or more" in said
        assert not (tmp_path / "b").exists()
    lines = [json.loads(line) for line in (data / "metadata.jsonl").read_text().splitlines()]
    (data / "metadata.jsonl").write_text("".join(json.dumps({"file_name": row["file_name"]}) + "\n" for row in lines))
    assert here("train", "dcgan", "--data", data, "--run", tmp_path / "b", *TINY, "--figures") == 2
    assert "neither attributes nor captions" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
    assert here("evaluate", tmp_path / "a", "-n", 4, "--extractor", "own") == 2
    assert "for --extractor efficientnet-lite0" in capsys.readouterr().err
    for name in ("class", "colour"):
        bare = [{"file_name": f"images/left/{k}.png", "attributes": {"class": "left"}} for k in (1, 3, 5)]
        bare[0]["attributes"] |= {"colour": "red"}
        (data / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bare))
        with pytest.raises(UserError, match={"class": "all images of", "colour": r"3\.png has no colour"}[name]):
            ImageData(data).classes(name)
