"""Images into images of another domain: the command, the class, and figures beside the truth, of translators that are known."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from image_bridge import blocks
from image_bridge.__main__ import main
from image_bridge.datasets.writing import Row, write_rows
from image_bridge.evaluate import judges as judging
from image_bridge.evaluate.attributes import attribute_classifier
from image_bridge.evaluate.extractors import own
from image_bridge.evaluate.translation import (
    chosen_images,
    cosine_distances,
    differences,
    domain_numbers,
    judge_translator,
    mean_of,
    translated,
    true_ones,
    with_error,
)
from image_bridge.evaluate.translation_table import table
from image_bridge.generators import (
    TRANSLATORS,
    CGANConfig,
    CGANGenerator,
    DomainTranslator,
    FeatureConfig,
    FeatureTranslator,
    LabelledConfig,
    LabelledTranslator,
    TranslatorConfig,
    XGANTranslator,
    XGANTranslatorConfig,
)
from image_bridge.images import ImageData, read_image
from image_bridge.translation import ImageToImage
from textgan.errors import UserError

CPU = torch.device("cpu")
SIZE = 16
COLOURS = {"red": (220, 20, 30), "green": (30, 200, 20), "blue": (10, 40, 230), "grey": (60, 60, 60)}


def bridge(*words):
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


def spot(r):
    """A picture with a spot on black, and its colour."""
    colour = str(r.choice(list(COLOURS)))
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    x, y = r.integers(0, SIZE - 7, 2)
    image[y : y + 7, x : x + 7] = COLOURS[colour]
    return image, colour


def write_world(path, train=150, test=40):
    """Spots, and the negatives of other spots; held-out negatives are those of held-out spots."""
    r, rows, held = np.random.default_rng(0), [], [spot(np.random.default_rng(1000 + k)) for k in range(test)]
    path.mkdir()
    for domain in ("plain", "negative"):
        for k in range(train + test):
            image, colour = spot(r) if k < train else held[k - train]
            name = f"{domain}{k}.png"
            Image.fromarray(255 - image if domain == "negative" else image).save(path / name)
            scene = None if k < train else k - train
            split = "train" if k < train else "test"
            rows.append(Row(name, [], {"domain": domain, "colour": colour}, split, scene=scene))
    write_rows(path, rows, "x")
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The data, packed, and a classifier of their attributes that was trained for some seconds."""
    data = ImageData(write_world(tmp_path_factory.mktemp("data") / "spots"))
    packed = data.pack(SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "SEEN", 8000)
        patch.setattr(blocks, "FEATURES", 32)
        judge = attribute_classifier(data, packed, CPU)
        yield data, packed, judge, own("ours", judge.features, CPU)


class Known(nn.Module):
    """A translator of which it is known what it does: the negative, or nothing."""

    needs_source = True

    def __init__(self, does, targets=("negative", "plain"), domains=("negative", "plain")):
        super().__init__()
        self.weight, self.does = nn.Parameter(torch.zeros(1)), does
        self.config = SimpleNamespace(domains=domains, targets=targets, label="domain", size=SIZE)

    def translate(self, x, source, target):
        return self.does(x)


def test_a_perfect_translator_reaches_the_truth_and_one_that_does_nothing_is_the_input(world):
    data, packed, judge, extractor = world
    perfect, picture = judge_translator(Known(torch.neg), data, packed, judge, extractor, 1000)
    idle, _ = judge_translator(Known(torch.clone), data, packed, judge, extractor, 1000)
    assert picture.width > 3 * SIZE
    assert list(perfect["ways"]) == ["negative > plain", "plain > negative"]
    assert perfect["unseen"] == []
    for name, found in perfect["ways"].items():
        here, other = found["figures"], idle["ways"][name]["figures"]
        assert found["images"] == found["scenes"] == 40
        assert here["translation"]["l1"] == here["translation"]["cycle"] == 0
        assert here["translation"]["features"] == pytest.approx(0, abs=1e-6)
        assert here["translation"]["kid"] < here["copy"]["kid"] / 10
        assert other["translation"]["cycle"] == 0
        for key in ("l1", "l1_error", "features", "kid"):
            assert other["translation"][key] == other["copy"][key] == here["copy"][key] > 0
        shown, unmoved = found["attributes"], idle["ways"][name]["attributes"]
        assert shown["domain"]["asked"] == 1 > shown["colour"]["asked"] == 0
        assert shown["domain"]["translation"] == 1 == shown["domain"]["real"]
        assert unmoved["domain"]["translation"] == 0 == shown["domain"]["copy"]
        assert shown["colour"]["translation"] == shown["colour"]["real"] > 0.9
        assert shown["domain"]["chance"] == 0.5
        assert shown["colour"]["nearest"] < 0.9
        assert shown["all"]["translation"] > 0.9 > unmoved["all"]["translation"] == 0


def test_baselines_are_those_of_plain_loops(world):
    data, packed, judge, extractor = world
    found, _ = judge_translator(Known(torch.neg), data, packed, judge, extractor, 1000)
    figures = found["ways"]["plain > negative"]["figures"]
    numbers, words = data.attributes["domain"]
    negative = [i for i in range(len(data)) if words[numbers[i]] == "negative"]
    inputs = [i for i in range(len(data)) if i not in negative and data.held_out[i]]
    learnt = [i for i in negative if not data.held_out[i]]
    x, truth = packed[inputs].astype(int), 255 - packed[inputs].astype(int)
    mean = packed[learnt].mean(0).round()
    near = [packed[min(learnt, key=lambda j: ((packed[j].astype(int) - one) ** 2).sum())].astype(int) for one in x]
    for side, made in (("copy", x), ("mean", mean[None]), ("nearest", np.stack(near))):
        each = np.abs(made - truth).mean((1, 2, 3)) / 255
        assert figures[side]["l1"] == pytest.approx(each.mean(), rel=1e-9)
        assert figures[side]["l1_error"] == pytest.approx(each.std(ddof=1) / 40**0.5, rel=1e-9)
    colours = [data.attributes["colour"][0][i] for i in inputs]
    chance = found["ways"]["plain > negative"]["attributes"]["colour"]["chance"]
    assert chance == max(colours.count(k) for k in range(4)) / 40


def test_a_way_that_leads_to_one_domain_only(world):
    data, packed, judge, extractor = world
    found, _ = judge_translator(Known(torch.neg, ("negative",)), data, packed, judge, extractor, 10)
    assert list(found["ways"]) == ["plain > negative"]
    assert found["ways"]["plain > negative"]["images"] == found["held_out"]["negative"] == 10
    assert found["ways"]["plain > negative"]["scenes"] == 10, "the same scenes are taken of both"
    assert "cycle" not in found["mean"]["figures"]["translation"]
    told = table(found)
    assert "No way there and back: it translates into negative only." in told
    assert "L1 there and back" not in told


def test_without_scenes_there_is_no_truth(world):
    data, packed, judge, extractor = world
    scenes, data.scene = data.scene, np.full(len(data), -1)
    try:
        found, _ = judge_translator(Known(torch.neg), data, packed, judge, extractor, 20)
    finally:
        data.scene = scenes
    assert found["mean"]["scenes"] == 0
    assert "l1" not in found["mean"]["figures"]["translation"]
    told = table(found)
    assert "No distance from the truth" in told
    assert "L1 from the truth" not in told


def test_numbers_that_are_none_are_refused(world):
    data, packed, judge, extractor = world
    with pytest.raises(UserError, match="draws what is no image"):
        judge_translator(Known(lambda x: x / 0), data, packed, judge, extractor, 4)
    with pytest.raises(UserError, match="no held-out image of domain old"):
        judge_translator(Known(torch.neg, domains=("plain", "old")), data, packed, judge, extractor, 4)


def test_domains_of_one_and_of_several_attributes(tmp_path):
    pairs = (("red", "yes"), ("red", "no"), ("blue", ""), ("blue", "yes"))
    shown = [{"hair": hair} | ({"glasses": glasses} if glasses else {}) for hair, glasses in pairs]
    for k in range(4):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{k}.png")
    write_rows(tmp_path, [Row(f"{k}.png", [], row) for k, row in enumerate(shown)], "x")
    data = ImageData(tmp_path)
    assert domain_numbers(data, "hair", ("red", "blue")).tolist() == [0, 0, 1, 1]
    assert domain_numbers(data, "hair", ("blue", "grey")).tolist() == [-1, -1, 0, 0]
    assert domain_numbers(data, "hair,glasses", ("red + no", "blue + yes")).tolist() == [-1, 0, -1, 1]
    with pytest.raises(UserError, match="has no attribute 'hat'"):
        domain_numbers(data, "hair,hat", ("red + no",))


def test_which_held_out_images_are_taken():
    scene = np.array([-1, -1, 0, 1, 2, 3, 4, 3, 0, 4, 1, 2, -1])
    data = SimpleNamespace(scene=scene, usable=lambda held_out: np.arange(2, 13))
    domain = np.array([0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    for seed in range(5):
        a, b = chosen_images(data, domain, 2, 3, seed)
        assert len(a) == len(b) == 3
        assert set(scene[a]) == set(scene[b])
    assert len({tuple(chosen_images(data, domain, 2, 3, seed)[0]) for seed in range(5)}) > 1
    assert chosen_images(data, domain, 2, 99, 0)[1].tolist() == [7, 8, 9, 10, 11, 12]
    mine, true = true_ones(data, np.array([2, 3, 5]), np.array([7, 8, 12]))
    assert (mine.tolist(), true.tolist()) == ([0, 2], [1, 0])
    assert [some.tolist() for some in true_ones(data, np.array([3]), np.array([12]))] == [[], []]


def test_distances_and_errors():
    black, grey = np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4, 3), 51, np.uint8)
    assert differences(black, grey).tolist() == [0.2, 0.2]
    assert differences(grey, black).tolist() == [0.2, 0.2], "bytes do not wrap"
    u, v = np.array([[1.0, 0], [2, 0], [1, 1]]), np.array([[5.0, 0], [0, 1], [1, 0]])
    assert cosine_distances(u, v) == pytest.approx([0, 1, 1 - 0.5**0.5])
    assert with_error("x", np.array([1.0, 3.0])) == {"x": 2.0, "x_error": 1.0}
    assert with_error("x", np.array([1.0])) == {"x": 1.0}
    assert with_error("x", np.array([])) == {}


def one_way(l1, judged):
    return {"images": 5, "scenes": 2, "figures": {"translation": {"l1": l1, "l1_error": 9.0}, "copy": {"kid": l1, "kid_sd": 3.0}},
            "attributes": {"colour": {"translation": l1, "judged": judged, "asked": 0.0, "chance": 0.5}}}  # fmt: skip


def test_the_mean_of_ways_and_a_line_each_of_many():
    mean = mean_of([one_way(1.0, 3), one_way(3.0, 4)])
    assert mean == {
        "images": 10, "scenes": 4, "figures": {"translation": {"l1": 2.0}, "copy": {"kid": 2.0}},
        "attributes": {"colour": {"translation": 2.0, "judged": 7, "asked": 0.0, "chance": 0.5}},
    }  # fmt: skip
    about = {"extractor": {"name": "ours", "resize": 16}, "size": 16, "held_out": {"A": 5}, "unseen": [], "targets": ["A"]}
    few, many = ({f"A > {k}": one_way(0.25, 3) for k in range(n)} for n in (3, 13))
    told = {n: table({**about, "ways": ways, "mean": mean_of(list(ways.values()))}) for n, ways in ((3, few), (13, many))}
    assert told[3].count("L1 from the truth") == 4
    assert told[13].count("L1 from the truth") == 2
    assert "mean of 13 ways" in told[13]
    assert re.search(r"^A > 12 +0\.250 ± 9\.000 +0\.250$", told[13], re.MULTILINE)
    assert not re.search(r"^A > 2 +0\.250", told[3], re.MULTILINE)


@pytest.fixture
def saved(tmp_path):
    """Translators as a run has them, with two and three domains, and a generator that is none."""
    torch.manual_seed(0)
    for n in (2, 3):
        sizes = TranslatorConfig(("negative", "plain", "striped")[:n], size=SIZE, width=2, blocks=2)
        DomainTranslator(sizes).save_pretrained(tmp_path / f"g{n}")
    CGANGenerator(CGANConfig(2, 16, noise=4, code=4, width=4)).save_pretrained(tmp_path / "cgan")
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(5):
        Image.effect_noise((20 + k, 24), 90).convert("RGB").save(folder / f"{k}.png")
    return tmp_path


def test_evaluate_of_a_translator(world, saved, capsys, monkeypatch):
    monkeypatch.setattr(blocks, "FEATURES", 32)
    data = world[0].path
    words = ("evaluate", saved / "g2", "--data", data, "--extractor", "own", "-n", 12)
    assert bridge(*words, "--out", saved / "eval", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((saved / "eval" / "images.json").read_text())
    assert found["held_out"] == {"negative": 12, "plain": 12}
    assert 0.1 < found["mean"]["figures"]["translation"]["l1"] < found["mean"]["figures"]["copy"]["l1"]
    assert Image.open(saved / "eval" / "translations.png").convert("RGB").width > 4 * 64
    assert bridge(*words) == 0
    told = capsys.readouterr().out
    assert "mean of 2 ways" in told
    assert "colour, kept" in told
    assert "domain, asked for" in told
    assert bridge("evaluate", saved / "g3", "--data", data, "--extractor", "own") == 2
    assert "no held-out image of domain striped" in capsys.readouterr().err
    assert bridge("evaluate", saved / "g2") == 2
    assert "does not say what it was trained on" in capsys.readouterr().err


def test_the_class_does_what_the_network_does(saved):
    pipe = ImageToImage.from_pretrained(saved / "g3")
    images = [read_image(saved / "in" / f"{k}.png") for k in range(5)]
    x = pipe.fitted(images)
    assert x.shape == (5, 3, SIZE, SIZE)
    want = pipe.G.translate(x, torch.full((5,), 1), torch.full((5,), 2))
    made = pipe(images, to="striped", source="plain", output_type="pt", batch_size=2).images
    assert torch.allclose(made, want / 2 + 0.5, atol=1e-5)
    assert not torch.allclose(made, pipe(images, to="striped", source="negative", output_type="pt").images, atol=1e-3)
    one = pipe(images[0], to="striped", source="plain").images
    assert len(one) == 1
    assert np.abs(np.asarray(one[0]) / 255 - made[0].permute(1, 2, 0).numpy()).max() < 0.6 / 255
    with pytest.raises(UserError, match="which domain the images are of is not said; expected one of negative, plain"):
        pipe(images, to="striped")
    with pytest.raises(UserError, match="nothing to translate"):
        pipe([], to="striped")
    two = ImageToImage.from_pretrained(saved / "g2")
    known, named = (two(images, to="plain", source=source, output_type="pt").images for source in (None, "negative"))
    assert torch.equal(known, named), "of two domains the images are of the other one"
    blind = ImageToImage(Known(torch.neg, domains=("negative", "plain", "striped")))
    blind.G.needs_source = False
    assert blind.check("plain") is None


def test_translate_a_folder_and_an_image(saved, capsys):
    pipe = ImageToImage.from_pretrained(saved / "g3")
    (saved / "in" / "bad.jpg").write_text("no image")
    words = ("translate", saved / "g3", saved / "in", "--to", "striped", "--from", "plain", "--batch", 2)
    assert bridge(*words, "--out", saved / "out", "--grid", saved / "grid.png") == 0
    told = capsys.readouterr()
    assert "skipped: 1; the first: bad.jpg: it cannot be read" in told.err
    assert told.out == f"{saved / 'out'}\n"
    assert sorted(p.name for p in (saved / "out").iterdir()) == [f"{k}.png" for k in range(5)]
    image = read_image(saved / "in" / "3.png")
    want = np.asarray(pipe(image, to="striped", source="plain").images[0]).astype(int)
    assert np.abs(np.asarray(read_image(saved / "out" / "3.png")) - want).max() <= 1
    assert np.abs(np.asarray(read_image(saved / "out" / "2.png")) - want).max() > 1
    assert read_image(saved / "grid.png").height > 5 * 64
    assert bridge("translate", saved / "g2", saved / "in/3.png", "--from", "plain", "--out", saved / "a.png", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": str(saved / "a.png"), "images": 1, "to": "negative", "from": "plain", "skipped": 0,
    }  # fmt: skip
    assert read_image(saved / "a.png").size == (SIZE, SIZE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("g3", "in", "--to", "stripd", "--out", "OUT"), "expected one of negative, plain, striped; did you mean"),
        (("g3", "in", "--to", "plain", "--from", "x", "--out", "OUT"), "the domain of the images is 'x'"),
        (("g3", "in", "--to", "plain", "--out", "OUT"), "name it with --from"),
        (("g3", "in", "--out", "OUT"), "--to is missing"),
        (("g3", "in", "--to", "plain"), "nothing was named to write to; expected --out FOLDER"),
        (("g2", "in", "--to", "plain", "--out", "OUT.png"), "has the ending .png; expected --out FOLDER"),
        (("g2", "nowhere", "--to", "plain", "--out", "OUT"), "no such file"),
        (("g2", "above", "--to", "plain", "--out", "OUT"), "its folder below does: name above/below"),
        (("g2", "same", "--to", "plain", "--out", "OUT"), "a.bmp and a.png; expected one image of a name"),
        (("g2", "bad", "--to", "plain", "--out", "OUT"), "no image of 1 can be used"),
        (("cgan", "in", "--to", "plain", "--out", "OUT"), "turns no images of one domain into another's"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(words, said, saved, capsys, monkeypatch):
    monkeypatch.chdir(saved)
    for name in ("above/below", "same", "bad"):
        (saved / name).mkdir(parents=True)
    for name in ("above/below/a.png", "same/a.png", "same/a.bmp"):
        Image.new("RGB", (9, 9)).save(saved / name)
    (saved / "bad" / "a.png").write_text("x")
    before = sorted(saved.iterdir())
    assert bridge("translate", *words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert sorted(saved.iterdir()) == before


def test_other_commands_say_what_a_translator_is_for(saved, capsys):
    for words in (("generate", saved / "g2", "-n", 2), ("interpolate", saved / "g2", "a", "b")):
        assert bridge(*words, "--out", saved / "a.png") == 2
        assert "`image-bridge translate` uses it" in capsys.readouterr().err


TINY = {
    "translator": DomainTranslator(TranslatorConfig(("a", "b", "c"), size=SIZE, width=2, blocks=2)),
    "labelled-translator": LabelledTranslator(LabelledConfig(("a", "b", "c"), size=SIZE, width=2, blocks=1)),
    "feature-translator": FeatureTranslator(FeatureConfig(("a", "b"), size=SIZE, features=4, f_width=2, width=2)),
    "xgan": XGANTranslator(XGANTranslatorConfig(("a", "b"), size=SIZE)),
}


def test_every_kind_of_translator_is_tried_below():
    assert set(TINY) == {kind.kind for kind in TRANSLATORS}


@pytest.mark.parametrize("kind", TINY)
def test_every_kind_translates(kind, tmp_path):
    TINY[kind].save_pretrained(tmp_path)
    pipe = ImageToImage.from_pretrained(tmp_path)
    images = [Image.effect_noise((SIZE, SIZE), 90) for _ in range(3)]
    assert len(pipe(images, to="b", source="a").images) == 3
    if len(pipe.domains) == 2 or not pipe.G.needs_source:
        assert len(pipe(images, to="b").images) == 3
    else:
        with pytest.raises(UserError, match="source="):
            pipe(images, to="b")
    x = np.stack([np.asarray(image.convert("RGB")) for image in images])
    there, again = translated(pipe.G, x, 0, 1, 2)
    assert there.shape == x.shape
    assert (again is None) == (pipe.targets == ("b",))
    if not pipe.G.needs_source:
        other, _ = translated(pipe.G, x, 1, 1, 2)
        assert np.array_equal(other, there), "it does not look at what the images are of"
