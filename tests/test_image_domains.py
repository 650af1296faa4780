"""Images of several domains: drawn faces, the user's folders, OpenMoji, SVHN and MNIST; which of them show the same thing."""

import json
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from image_bridge.__main__ import main
from image_bridge.datasets import emoji, faces, fashion_mnist, svhn_mnist
from image_bridge.datasets.writing import Row, keep_attributes, write_rows
from image_bridge.images import ImageData, read_image
from textgan.errors import UserError

STYLES = ("adventurer", "personas", "lorelei")


def bridge(*words):
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


def quiet(done, total):
    pass


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_faces_of_domains_are_paired_where_they_are_held_out_and_only_there(tmp_path):
    pytest.importorskip("dicebear")
    said = []
    assert faces.build_domains(tmp_path, 20, 32, 0, 1, lambda *now: said.append(now), STYLES) == 60
    assert said[-1] == (60, 60)
    rows, data = rows_of(tmp_path), ImageData(tmp_path)
    shown = {name: [row for row in rows if row["attributes"]["domain"] == name] for name in STYLES}
    of_skin = {name: [row["attributes"]["skin colour"] for row in some] for name, some in shown.items()}
    assert [row.get("scene") for row in shown["personas"]] == [None] * 9 + [0] + [None] * 9 + [1]
    assert data.scene.tolist() == [row.get("scene", -1) for row in rows]
    assert data.held_out.tolist() == [row.get("scene") is not None for row in rows]
    first, *others = of_skin.values()
    assert all(skin[9::10] == first[9::10] for skin in others), "a scene has the same colours in every style"
    assert all(skin != first for skin in others), "what is trained on has not"
    for row in rows:
        picture = np.asarray(Image.open(tmp_path / row["file_name"])).astype(int)
        skins = {
            name: np.abs(picture - [int(code[k : k + 2], 16) for k in (1, 3, 5)]).sum(2) for name, code in faces.SKIN.items()
        }
        wanted = row["attributes"]["skin colour"]
        assert (skins[wanted] < 12).sum() > 3, "its skin is in the picture"
        assert row["attributes"].get("hair colour", "black") in faces.HAIR


def test_hair_that_is_not_seen_has_no_colour():
    pytest.importorskip("dicebear")
    style, definition = faces._style("personas")
    seen = {}
    for seed in map(str, range(40)):
        colours = {"hairColor": [faces.HAIR["green"]], "skinColor": [faces.SKIN["tan"]]}
        image, options = faces._draw(style, seed, 32, **colours)
        seen[options["hairVariant"]] = faces._hair_is_seen(image, style, seed, 32, colours)
    assert not any(seen[name] for name in ("bald", "beanie") if name in seen)
    assert all(seen[name] for name in ("long", "curly", "extraLong", "bobCut") if name in seen)
    assert len(set(seen.values())) == 2
    assert "hair" in definition["components"]


@pytest.mark.parametrize(
    ("domains", "said"),
    [("adventurer", "two or more"), ("lorelei,lorelei", "two or more"), ("lorelei,micah", "can be coloured; expected some"),
     ("lorelei,none", "is known to dicebear")],
)  # fmt: skip
def test_domains_that_cannot_be_drawn(domains, said, tmp_path, capsys):
    pytest.importorskip("dicebear")
    assert bridge("data", "faces", tmp_path / "out", "--domains", domains, "--images", 2) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("shapes", "--domains", "a,b"), "--domains is for faces"),
        (("shapes", "--pairs", "lineart"), "--pairs is for faces"),
        (("faces", "--domains", "a,b", "--pairs", "lineart"), "--domains and --pairs exclude each other"),
        (("faces", "--domains", "a,b", "--style", "lorelei"), "--domains and --style exclude each other"),
        (("faces", "--pairs", "lorelei,personas"), "takes lineart, one style, or both"),
        (("svhn-mnist",), "expected --source FOLDER"),
        (("emoji", "--source", "nowhere"), "is no folder"),
        (("emoji", "--source", ".", "--font", "a.ttf"), "exclude each other"),
        (("emoji", "--source", "."), "holds no emoji in color/72x72"),
        (("svhn-mnist", "--source", "."), "has no train_32x32.mat"),
        (("shapes", "--images", "3", "--attributes", "colour,hue"), "no image has the attribute 'hue'; expected some of: colour"),
    ],
)
def test_mistakes_are_one_line(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bridge("data", words[0], "out", *words[1:]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("image-bridge:")]
    assert len(told) == 1
    assert said in told[0]
    assert not any(tmp_path.iterdir())


def test_line_drawings_and_chosen_attributes(tmp_path):
    pytest.importorskip("dicebear")
    out = tmp_path / "out"
    words = ("--images", 4, "--size", 32, "--processes", 1, "--pairs", "lineart", "--attributes", "hair colour, skin colour")
    assert bridge("data", "faces", out, *words) == 0
    for row in rows_of(out):
        assert list(row["attributes"]) == ["hair colour", "skin colour"]
        assert "pair_file_name" not in row
        line, whole = (np.asarray(Image.open(out / row[key])).astype(int) for key in ("line_file_name", "file_name"))
        assert np.abs(line - line.mean(2, keepdims=True)).mean() < 2 < np.abs(whole - whole.mean(2, keepdims=True)).mean()


def test_attributes_that_are_not_asked_for_are_left_out_but_the_domain(tmp_path):
    write_rows(tmp_path, [Row("a", ["x"], {"domain": "A", "hair": "red", "skin": "tan"}), Row("b", ["y"], scene=3)], "x")
    keep_attributes(tmp_path, ["skin"])
    first, second = rows_of(tmp_path)
    assert first["attributes"] == {"domain": "A", "skin": "tan"}
    assert second == {"file_name": "b", "captions": ["y"], "scene": 3}


def coloured(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), colour).save(path)


def test_unpaired_folders(tmp_path, capsys):
    source = tmp_path / "in"
    for name in ("trainA/1.png", "trainA/2.png", "trainB/1.jpg", "testA/7.png", "testA/8_A.png", "testA/9.png", "testB/7.jpg",
                 "testB/8_B.png", "testB/10.png"):  # fmt: skip
        coloured(source / name)
    assert bridge("data", "imagefolder", tmp_path / "out", "--source", source) == 0
    assert "a true translation of the other: 2" in capsys.readouterr().out
    data = ImageData(tmp_path / "out")
    numbers, words = data.attributes["domain"]
    found = {str(f.relative_to(tmp_path / "out/images")): (words[k], bool(held), int(scene))
             for f, k, held, scene in zip(data.files, numbers, data.held_out, data.scene, strict=True)}  # fmt: skip
    assert found == {
        "trainA/1.png": ("A", False, -1), "trainA/2.png": ("A", False, -1), "trainB/1.jpg": ("B", False, -1),
        "testA/7.png": ("A", True, 0), "testA/8_A.png": ("A", True, 1), "testA/9.png": ("A", True, -1),
        "testB/7.jpg": ("B", True, 0), "testB/8_B.png": ("B", True, 1), "testB/10.png": ("B", True, -1),
    }  # fmt: skip
    assert bridge("data", "imagefolder", tmp_path / "one", "--source", source, "--images", 1) == 0
    assert [str(f.relative_to(tmp_path / "one/images")) for f in ImageData(tmp_path / "one").files] == [
        "testA/7.png", "testB/10.png", "trainA/1.png", "trainB/1.jpg",
    ]  # fmt: skip
    coloured(source / "testC/1.png")
    assert bridge("data", "imagefolder", tmp_path / "c", "--source", source) == 2
    assert "has testC and no trainC" in capsys.readouterr().err
    coloured(source / "other/1.png")
    assert bridge("data", "imagefolder", tmp_path / "d", "--source", source) == 2
    assert "other/1.png lies in no domain" in capsys.readouterr().err


def test_unpaired_folders_without_test_folders_and_folders_of_classes(tmp_path):
    for name in ("trainX/1.png", "train_Y/1.png"):
        coloured(tmp_path / "domains" / name)
    for name in ("train/1.png", "test/1.png", "trainee/2.png"):
        coloured(tmp_path / "classes" / name)
    assert bridge("data", "imagefolder", tmp_path / "a", "--source", tmp_path / "domains") == 0
    assert ImageData(tmp_path / "a").attributes["domain"][1] == ["X", "Y"]
    assert not any("split" in row for row in rows_of(tmp_path / "a")), "a tenth is held out, by the names"
    assert bridge("data", "imagefolder", tmp_path / "b", "--source", tmp_path / "classes") == 0
    assert ImageData(tmp_path / "b").attributes["class"][1] == ["test", "train", "trainee"]


@pytest.mark.parametrize("scene", ["-1", '"3"', "2.5", "true", "1e30"])
def test_wrong_scenes(tmp_path, scene):
    coloured(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(f'{{"file_name": "a.png", "scene": {scene}}}\n')
    with pytest.raises(UserError, match="expected a whole number"):
        ImageData(tmp_path)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "scene": 3}\n')
    assert ImageData(tmp_path).scene.tolist() == [3]


def test_openmoji(tmp_path):
    pytest.importorskip("emoji")
    source, out = tmp_path / "in", tmp_path / "out"
    out.mkdir()
    for name in ("1F436", "2639", "1F3F4-200D-2620-FE0F", "1F1E6-1F1E8", "E000", "1F600"):  # two: flags; one: has no name
        for kind, colour in (("color", "orange"), ("black", "black")):
            if (name, kind) != ("1F600", "black"):
                coloured(source / kind / "72x72" / f"{name}.png", colour)
    assert emoji.openmoji(out, 16, source, quiet) == 2
    dog, frown = rows_of(out)
    assert dog["captions"][0] == "dog face"
    assert frown["captions"][0] == "frowning face"
    assert read_image(out / dog["line_file_name"]).getpixel((8, 8)) == (0, 0, 0)
    assert read_image(out / dog["file_name"]).getpixel((8, 8)) == (255, 165, 0)
    assert read_image(out / dog["file_name"]).size == (16, 16)


def idx(path, array):
    path.write_bytes(b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def test_svhn_and_mnist(tmp_path, capsys, monkeypatch):
    scipy_io = pytest.importorskip("scipy.io")
    source, r = tmp_path / "in", np.random.default_rng(0)
    (source / "numbers").mkdir(parents=True)
    (source / "digits").mkdir()
    pictures = r.integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    for split, n in (("train", 4), ("test", 2)):
        labels = np.array([[1], [10], [9], [2]], np.uint8)[:n]
        scipy_io.savemat(source / "numbers" / f"{split}_32x32.mat", {"X": pictures[..., :n], "y": labels})
        prefix = {"train": "train", "test": "t10k"}[split]
        idx(source / "digits" / f"{prefix}-images-idx3-ubyte", r.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        idx(source / "digits" / f"{prefix}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8))
    assert bridge("data", "svhn-mnist", tmp_path / "out", "--source", source) == 0
    rows, data = rows_of(tmp_path / "out"), ImageData(tmp_path / "out")
    digits = [row["attributes"]["class"] for row in rows]
    assert digits == ["one", "zero", "nine", "two", "one", "zero", "zero", "one", "two", "three", "zero", "one"]
    assert [row["attributes"]["domain"] for row in rows] == ["svhn"] * 6 + ["mnist"] * 6
    assert data.held_out.tolist() == [False] * 4 + [True] * 2 + [False] * 4 + [True] * 2
    assert (data.scene == -1).all()
    assert np.array_equal(np.asarray(Image.open(data.files[2])), pictures[..., 2])
    assert bridge("data", "svhn-mnist", tmp_path / "few", "--source", source, "--images", 1) == 0
    assert len(ImageData(tmp_path / "few")) == 4
    (source / "numbers/test_32x32.mat").write_bytes(b"no mat file")
    assert bridge("data", "svhn-mnist", tmp_path / "bad", "--source", source) == 2
    assert "test_32x32.mat is not a file of SVHN" in capsys.readouterr().err
    scipy_io.savemat(source / "numbers/test_32x32.mat", {"X": pictures, "y": np.ones((3, 1))})
    with pytest.raises(UserError, match="is not a file of SVHN"):
        svhn_mnist.read_svhn(source / "numbers/test_32x32.mat")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UserError, match="read by scipy, which is not installed"):
        svhn_mnist.read_svhn(source / "numbers/test_32x32.mat")
    with pytest.raises(UserError, match="expected the four idx files of MNIST; name"):
        fashion_mnist.read_parts(source / "numbers", "MNIST")
