"""image-bridge compare: modes against counting, ways through the noise against plain forms, the page, mistakes."""

import json
import math
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from image_bridge.__main__ import main
from image_bridge.cli.comparison import entrant_of, parameters
from image_bridge.cli.judging import resized
from image_bridge.datasets import shapes
from image_bridge.discriminators import Discriminator
from image_bridge.encoders import ImageEncoder, ImageEncoderConfig
from image_bridge.evaluate import judges as judging
from image_bridge.evaluate.attributes import AttributeClassifier, by_value
from image_bridge.evaluate.drawing import as_bytes
from image_bridge.evaluate.extractors import Extractor
from image_bridge.evaluate.modes import in_all, mode_table, modes
from image_bridge.generators import PlainConfig, PlainGenerator
from image_bridge.images import ImageData
from image_bridge.traversals import codes, directions, encoded, noise, of_vector, reconstructions, walk

from .image_conformance import CASES, build, networks

CPU = torch.device("cpu")
TINY = ["--width", "4", "--noise", "6", "--batch", "8", "--threads", "1", "--grids", "1", "--log-every", "2"]
SMALL = ["--size", "8", "--channels", "1", "--steps", "5", "--d-width", "4"]


def quiet(*told):
    """Tell nothing."""


def here(*words):
    """The command in this process; gives its exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


# modes


def test_modes_by_hand():
    assert modes(np.array([5, 5, 0, 0]), np.array([4, 4, 1, 1])) == (2, pytest.approx(math.log(14 / 10)))
    assert modes(np.array([1, 1]), np.array([999_999, 999_999])) == (2, pytest.approx(0, abs=1e-12))
    everything, one = modes(np.array([0, 7]), np.array([1, 1])), modes(np.array([3, 4]), np.array([1, 1]))
    assert everything == (1, pytest.approx(math.log(2)))
    assert 0 < one[1] < everything[1]
    real = np.array([100, 100])
    assert [modes(np.array([1000 - k, k]), real)[0] for k in (50, 49)] == [2, 1], "a tenth of the share is enough, less is not"
    strange, known = modes(np.array([5, 5]), np.array([8, 0])), modes(np.array([10, 0]), np.array([8, 0]))
    assert strange[0] == known[0] == 1, "what no real image shows is no mode"
    assert math.isfinite(strange[1]) > 0
    assert strange[1] > known[1]


def scores_of(judge, rows):
    """Scores that say these values for sure."""
    out = np.zeros((len(rows), sum(map(len, judge.values.values()))), np.float32)
    for line, row in zip(out, rows, strict=True):
        first = 0
        for name, words in judge.values.items():
            line[first + words.index(row[name])] = 9.0
            first += len(words)
    return out


def test_the_table_of_modes_and_what_the_classifier_does_not_see():
    judge = AttributeClassifier(8, {"colour": ["blue", "red"], "hat": ["no", "yes"]})
    shows = [{"colour": c, "hat": h} for c in ("blue", "red") for h in ("no", "yes")] * 5
    held = scores_of(judge, [{**row, "hat": "yes"} for row in shows])  # it takes everything for a hat
    fake = scores_of(judge, [{"colour": "red", "hat": "yes"}] * 9)
    found = mode_table(judge, fake, held, held, shows)
    assert {k: found["colour"][k] for k in ("values", "model", "real", "accuracy", "seen")} == {
        "values": 2, "model": 1, "real": 2, "accuracy": 1.0, "seen": True,
    }  # fmt: skip
    assert found["colour"]["model_kl"] == pytest.approx(math.log(2))
    assert found["colour"]["real_kl"] == 0
    assert (found["hat"]["seen"], found["hat"]["accuracy"]) == (False, 0.5)
    assert in_all(found, "model") == {"covered": 1, "of": 2, "kl": pytest.approx(math.log(2))}
    assert in_all(found, "real") == {"covered": 2, "of": 2, "kl": 0}
    assert in_all({"hat": found["hat"]}, "real") == {}


def test_accuracy_of_each_value_counted_by_hand():
    judge = AttributeClassifier(8, {"colour": ["blue", "red", "white"], "size": ["large", "small"]})
    seen = scores_of(judge, [{"colour": c, "size": "large"} for c in ("blue", "red", "red", "blue")])
    wanted = [{"colour": "blue"}, {"colour": "red"}, {"colour": "blue"}, {}]
    assert by_value(judge, wanted, seen) == {"colour": {"blue": 0.5, "red": 1.0}}


def test_an_extractor_looks_once_at_numbered_images():
    class Mean(nn.Module):
        seen = 0

        def forward(self, x):
            Mean.seen += len(x)
            return x.mean((2, 3))

    extractor = Extractor("mean", Mean(), 0, CPU)
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
    first = extractor(images, np.array([1, 2, 3]))
    assert np.array_equal(extractor(images, np.array([1, 2, 3])), first)
    assert Mean.seen == 3
    assert not np.array_equal(extractor(images, np.array([1, 2, 4])), first)
    assert not np.array_equal(extractor(images[::-1].copy(), np.array([1, 2, 3])), first)
    assert np.array_equal(extractor(images)[1:4], first)
    assert Mean.seen == 3 + 3 + 3 + 9


# ways through the noise


def info():
    torch.manual_seed(0)
    return PlainGenerator(PlainConfig(8, 4 + 2 * 5 + 3, 0, 1, 8, prior="uniform", codes=2, values=5, continuous=3)).eval()


def test_codes_are_set_as_the_generator_reads_them():
    G = info()
    z = noise(G, 6, 0)
    free, values, smooth = G.parts(z)
    for code, value in ((0, 3), (1, 0)):
        found = G.parts(G.with_value(z, code, value))
        assert found[1][:, code].tolist() == [value] * 6
        assert torch.equal(found[1][:, 1 - code], values[:, 1 - code])
        assert torch.equal(found[0], free)
        assert torch.equal(found[2], smooth)
    assert set(values[:, 0].tolist()) != {3}
    for value in (-1.0, -0.25, 1.0):
        found = G.parts(G.with_number(z, 1, value))
        torch.testing.assert_close(found[2][:, 1], torch.full((6,), value), atol=2e-4, rtol=0)
        assert torch.equal(found[2][:, [0, 2]], smooth[:, [0, 2]])
        assert torch.equal(found[1], values)
        assert G.with_number(z, 1, value).isfinite().all()


def test_a_traversal_of_codes_against_the_layers():
    G = info()
    z = noise(G, 2, 1)
    sheets = codes(G, z)
    titles = [f"categorical code {k}" for k in (1, 2)] + [f"continuous code {k}" for k in (1, 2, 3)]
    assert [s.title for s in sheets] == titles
    assert [len(s.rows[0]) for s in sheets] == [5, 5, 9, 9, 9]
    assert sheets[2].headings[0] == "-1"
    assert sheets[2].headings[-1] == "1"
    free, values, smooth = G.parts(z)
    for column in range(5):
        told = F.one_hot(torch.stack([values[:, 0], torch.full((2,), column)], 1), 5).flatten(1).float()
        with torch.inference_mode():
            plain = as_bytes(torch.tanh(G.layers(torch.cat([free, told, smooth], 1))).expand(-1, 3, -1, -1))
        for row in (0, 1):
            assert np.abs(sheets[1].rows[row][column].astype(int) - plain[row]).max() <= 1
    assert not np.array_equal(sheets[1].rows[0][0], sheets[1].rows[0][1])


def test_noise_is_shared_and_a_walk_ends_where_it_should():
    G, other = (PlainGenerator(PlainConfig(8, 6, 0, 3, width)).eval() for width in (4, 8))
    z = noise(G, 3, 5)
    assert torch.equal(noise(other, 3, 5), z)
    assert not torch.equal(noise(G, 3, 6), z)
    way, ends = walk(G, np.empty(0), z[:2], 5), of_vector(G, np.empty(0), z)
    assert way.shape == (5, 8, 8, 3)
    assert np.abs(way[[0, -1]].astype(int) - ends[:2]).max() <= 1
    assert not np.array_equal(way[2], way[0])


class Painter(nn.Module):
    """Draws the numbers of its noise as the first pixels, white for 2, black for -2."""

    config, eps = SimpleNamespace(noise=6, size=8), 0

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def images(self, vectors, z, eps=None):
        x = torch.zeros(len(z), 3, 8, 8)
        x[:, :, 0, :6] = (z / 2)[:, None]
        return x


def test_directions_are_those_that_vary_and_move_alone():
    z = torch.zeros(20, 6)
    z[:, 4], z[:, 1] = torch.linspace(-1, 1, 20), torch.linspace(0.5, -0.5, 20)
    sheet = directions(Painter(), z, 2)
    variance = z.var(0, correction=0)
    assert sheet.captions == [f"number {k} of the code, variance {variance[k]:.2f}" for k in (4, 1)]
    moved, still = (row[:, 0, :6, 0].astype(int) for row in sheet.rows)
    assert moved[[0, 4, 8], 4].tolist() == [0, 128, 255]
    assert len(set(moved[:, 1])) == 1
    assert len(set(still[:, 4])) == 1
    assert still[[0, 8], 1].tolist() == [0, 255]
    back = reconstructions(Painter(), z[:3], np.zeros((3, 8, 8, 3), np.uint8))
    assert back.rows[1][0, 0, 4, 0] == 64
    assert back.rows[0].max() == 0


def test_an_encoder_is_saved_as_it_was_and_has_the_names_of_before(tmp_path):
    torch.manual_seed(0)
    E = ImageEncoder(ImageEncoderConfig(8, 5, 1, 4)).eval()
    assert set(E.state_dict()) == set(Discriminator(8, 1, 4, "batch", outputs=10).state_dict()), "older runs go on"
    E.save_pretrained(tmp_path / "e")
    again = ImageEncoder.from_pretrained(tmp_path / "e")
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    found = encoded(again, images, 3)
    grey = judging.pixels(images).mean(1, keepdim=True)
    torch.testing.assert_close(found, E.numbers(grey)[:, :5].detach(), atol=1e-5, rtol=1e-4)
    assert (found - encoded(ImageEncoder(ImageEncoderConfig(8, 5, 1, 4)).eval(), images)).abs().max() > 1e-3


# the command


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Shapes, and runs of several kinds on them."""
    path = tmp_path_factory.mktemp("compare")
    (path / "data").mkdir()
    shapes.build(path / "data", 150, 16, 0, 1, quiet)
    kinds = {
        "dcgan": SMALL, "acgan": [*SMALL, "--label", "colour"], "vaegan": [*SMALL, "--e-width", "4"],
        "infogan": [*SMALL, "--values", "3", "--hidden", "8", "--q-hidden", "6"],
        "cgan": ["--size", "16", "--steps", "3", "--code", "5", "--d-width", "4", "--recipe", "paper"],
    }  # fmt: skip
    for name, words in kinds.items():
        assert here("train", name, "--data", path / "data", "--run", path / name, *TINY, *words) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "SEEN", 1280)
        yield path


def test_parameters_are_counted_without_buffers(world):
    for name, changes in CASES:
        made, _ = build(name, world / "data", **changes)
        others = [n for place, n in networks(made).items() if place != "generator" and not place.endswith("_now")]
        assert others
        for network in others:
            count = sum(p.numel() for p in network.parameters())
            assert parameters(network.state_dict()) == count
            whole = sum(v.numel() for v in network.state_dict().values())
            assert (whole > count) == (len(network.state_dict()) > len(list(network.parameters())))


def test_the_page_and_the_figures_are_those_of_evaluate(world, tmp_path, capsys):
    names = ["dcgan", "acgan", "infogan", "vaegan", "cgan"]
    runs, out = [world / name for name in names], tmp_path / "new/page.html"
    words = ["--extractor", "own", "-n", "20", "--seed", "3"]
    assert here("compare", *runs, *words, "--out", out, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads(out.with_suffix(".json").read_text())
    by_name = dict(zip(names, record["runs"], strict=True))
    for name in ("dcgan", "acgan"):
        assert here("evaluate", world / name, *words, "--json", "--out", tmp_path / "e") == 0
        alone = json.loads(capsys.readouterr().out)
        figures = by_name[name]["figures"]
        assert figures["modes"] == alone["modes"]
        assert figures["attributes"] == alone["attributes"]
        assert all(value == alone["model"][key] for key, value in figures["model"].items())
        assert {"kid", "frechet", "ms_ssim"} <= set(figures["model"]) < set(alone["model"]), "copies are for evaluate"
    assert here("evaluate", world / "dcgan", *words[:-1], "4", "--json", "--out", tmp_path / "e") == 0
    assert json.loads(capsys.readouterr().out)["model"]["kid"] != by_name["dcgan"]["figures"]["model"]["kid"]
    assert {run["figures"]["real"]["kid"] for run in record["runs"]} == {by_name["cgan"]["figures"]["real"]["kid"]}
    assert (record["size"], by_name["cgan"]["figures"]["size"]) == (8, 8)
    assert any("cgan (16) were reduced to it" in note for note in record["notes"])
    cost = by_name["vaegan"]["cost"]
    assert (cost["steps"], cost["images"]) == (15, 15 * 8)
    assert list(cost["others"]) == ["encoder", "discriminator"]
    assert cost["seconds"] > 0
    page = out.read_text()
    assert all(f"<h3>{world / name}</h3>" in page for name in names)
    assert set(re.findall(r'(?:src|href)="([^"]{10})', page)) <= {"data:image", *re.findall(r'href="(#[^"]{9})', page)}
    for shown in ("continuous code 2", "categorical code 1", "number ", "reconstructed", "prefers-color-scheme:dark",
                  "values shown", "Cost of training", "losses of"):  # fmt: skip
        assert shown in page
    assert re.search(r"<p>\w+: seen in \d+ % of samples, \d+ % of real images</p>", page), "a row a class with its accuracy"
    captions = {c for some in ImageData(world / "data").captions for c in some}
    assert sum(f"<p>{caption}</p>" in page for caption in captions) >= 8


def test_labels_of_one_attribute_are_classes_and_other_data_are_told(world, tmp_path, capsys):
    rows = [json.loads(line) for line in (world / "data/metadata.jsonl").read_text().splitlines()]
    shutil.copytree(world / "data", tmp_path / "data", ignore=shutil.ignore_patterns("cache"))
    for row in rows:
        row["attributes"] = {"colour": row["attributes"]["colour"]}
    (tmp_path / "data/metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = tmp_path / "labels"
    words = ["--size", "16", "--steps", "2", "--code", "5", "--d-width", "4", "--text", "labels"]
    assert here("train", "cgan", "--data", tmp_path / "data", "--run", run, *TINY, *words) == 0
    assert here("compare", run, world / "dcgan", "--extractor", "own", "-n", "16", "--out", tmp_path / "a.html") == 0
    told = capsys.readouterr().out
    assert f"{world / 'dcgan'} was trained on other images" in told
    assert f"{run} was trained" not in told
    assert "real images (for runs told nothing)" in told
    assert re.search(r"<p>\w+: seen in \d+ % of samples", (tmp_path / "a.html").read_text())


def test_the_newest_whole_checkpoint_is_compared(world, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(world / "dcgan", run)
    (newest,) = (run / "checkpoints").iterdir()
    rows = (run / "metrics.jsonl").read_text().splitlines()
    with open(run / "metrics.jsonl", "a") as file:  # logged after the checkpoint, by a process that was killed
        file.write(json.dumps({**json.loads(rows[-1]), "step": 999, "samples_seen": 7992}) + "\n")
    one = entrant_of(str(run))
    assert (one.cost.steps, one.cost.images) == (10, 80)
    assert set(one.curves) == {"d/loss", "g/loss"}
    assert one.cost.generator == parameters(torch.load(newest / "state.pt", weights_only=True)["networks"]["generator"])
    assert entrant_of(str(newest)).one.checkpoint == newest.name


def test_images_are_made_smaller_as_real_ones_are():
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    assert resized(images, 16) is images
    flat = np.full((2, 16, 16, 3), 77, np.uint8)
    assert np.array_equal(resized(flat, 8), np.full((2, 8, 8, 3), 77))
    assert resized(images, 8).shape == (2, 8, 8, 3)


def test_mistakes_end_in_one_line_and_leave_nothing(world, tmp_path, capsys):
    run, out = world / "dcgan", tmp_path / "out/page.html"
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    shutil.rmtree(next((bare / "checkpoints").iterdir()))
    torn = tmp_path / "torn"
    shutil.copytree(run, torn)
    next(torn.glob("checkpoints/*/state.pt")).write_bytes(b"torn")
    alone = tmp_path / "alone"
    shutil.copytree(next(run.glob("checkpoints/*/generator")), alone)
    joint, other = tmp_path / "joint", tmp_path / "text"
    for folder, algorithm in ((joint, "joint"), (other, "seqgan")):
        (folder / "checkpoints/00000001/generator").mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"algorithm": algorithm}))
        (folder / "checkpoints/00000001/manifest.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    acgan = world / "acgan"
    shutil.copytree(world / "data", tmp_path / "grey", ignore=shutil.ignore_patterns("cache"))
    rows = [json.loads(line) for line in (world / "data/metadata.jsonl").read_text().splitlines()]
    grey = "".join(json.dumps({**row, "attributes": {}}) + "\n" for row in rows)
    (tmp_path / "grey/metadata.jsonl").write_text(grey)
    ImageData(tmp_path / "grey").pack(8)  # so that no bar comes first
    wild, bad = tmp_path / "wild", tmp_path / "bad"
    for copy in (wild, bad):
        shutil.copytree(run, copy)
    (bad / "config.json").write_text('{"algorithm": "dcgan", "data": 3}')
    G = PlainGenerator.from_pretrained(next(wild.glob("checkpoints/*/generator")))
    with torch.no_grad():
        next(G.parameters()).fill_(math.nan)
    G.save_pretrained(next(wild.glob("checkpoints/*/generator")))
    capsys.readouterr()
    for words, told in (
        ([], "no run was named"),
        ([run, tmp_path / "none"], "holds no generator"),
        ([run, bare], "has no whole checkpoint yet"),
        ([run, joint], "is an encoder of sentences; expected runs that draw images"),
        ([run, other], "holds no generator"),
        ([run, alone], "lies in no run"),
        ([run, "-n", 0], "--number must be 1 or more"),
        ([run, "--seed", -1], "--seed must be 0 or more"),
        ([run, "--data", tmp_path / "empty"], "has no metadata.jsonl"),
        ([acgan, "--data", tmp_path / "grey"], f"{acgan}: --label colour names no attribute"),
        ([run, bad], "config.json is damaged"),
        ([run, "--device", "tpu"], "--device: unknown device"),
        ([run, "--out", tmp_path], "cannot be the page"),
        ([run, "--out", run / "config.json"], "cannot be the page"),
        ([run, "--out", run / "config.json/a.html"], "config.json: it is a file"),
        ([run, "--extracter", "own"], "did you mean --extractor?"),
    ):
        assert here("compare", *words, *([] if "--out" in words else ["--out", out])) == 2
        said = capsys.readouterr().err
        assert told in said
        assert said.count("\n") == 1, said
        assert not out.parent.exists()
    assert here("compare", next(torn.glob("checkpoints/*")), "--out", out) == 2
    assert "state.pt is missing or damaged" in capsys.readouterr().err
    wild = next(wild.glob("checkpoints/*"))
    assert here("compare", run, wild, "-n", 8, "--extractor", "own", "--out", out) == 2
    assert f"{wild}: the generator draws what is no image" in capsys.readouterr().err
    assert not out.parent.exists()
