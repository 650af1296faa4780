"""Image data: builders, the packed cache, damaged and strange images, and what the command says of them."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_bridge.__main__ import main
from image_bridge.datasets import emoji, faces, fashion_mnist, shapes
from image_bridge.datasets.writing import Row, new_folder, write_rows
from image_bridge.images import ImageData, fitted, read_image
from textgan.errors import UserError


def bridge(*words):
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


def quiet(done, total):
    pass


def test_shapes_are_what_their_attributes_say():
    for seed in range(40):
        drawn, captions, attributes, ground = shapes.scene(seed)
        image = np.asarray(shapes.draw(drawn, 64, ground)).astype(int)
        assert all(attributes[k] in caption for caption in captions for k in ("colour", "kind", "size"))
        for shape in drawn:
            near = np.abs(image - shapes.COLOURS[shape.colour]).sum(2) < 30
            y, x = np.argwhere(near).mean(0) / 64
            assert abs(x - shape.x) < 0.06
            assert abs(y - shape.y) < 0.06
        if len(drawn) == 2:
            first = next(s for s in drawn if (s.colour, s.kind) == (attributes["colour"], attributes["kind"]))
            other = next(s for s in drawn if s is not first)
            assert (first.y < other.y - 0.2) if attributes["relation"] == "above" else (first.x < other.x - 0.2)
    assert shapes.scene(3)[1] == shapes.scene(3)[1]
    assert shapes.scene(3)[1] != shapes.scene(4)[1]


def test_shapes_build_and_pack(tmp_path):
    said = []
    assert shapes.build(tmp_path, 25, 32, 0, 1, lambda done, total: said.append((done, total))) == 25
    assert said == [(25, 25)]
    data = ImageData(tmp_path)
    x = data.pack(16)
    assert x.shape == (25, 16, 16, 3)
    assert x.dtype == np.uint8
    assert isinstance(x, np.memmap)
    assert np.array_equal(x[7], fitted(read_image(data.files[7]), 16))
    assert not np.array_equal(x[7], x[8])
    assert len(data.usable(True)) == 2
    assert set(data.usable(False)) | set(data.usable(True)) == set(range(25))
    before = sorted((tmp_path / "cache").iterdir())
    assert np.array_equal(ImageData(tmp_path).pack(16), x)
    assert sorted((tmp_path / "cache").iterdir()) == before
    Image.new("RGB", (32, 32), "red").save(data.files[3])
    assert tuple(ImageData(tmp_path).pack(16)[3, 8, 8]) == (255, 0, 0), "a changed image is packed again"
    numbers, words = data.attributes["colour"]
    row = json.loads((tmp_path / "metadata.jsonl").read_text().splitlines()[4])
    assert words[numbers[4]] == row["attributes"]["colour"]


def test_packing_on_two_processes_is_the_same(tmp_path):
    shapes.build(tmp_path, 300, 16, 1, 1, quiet)
    data = ImageData(tmp_path)
    alone = np.array(data.pack(8, 1))
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    assert np.array_equal(data.pack(8, 2), alone)


def test_the_datasets_library_reads_our_folders(tmp_path):
    shapes.build(tmp_path, 12, 16, 0, 1, quiet)
    import datasets

    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path), cache_dir=str(tmp_path / "hub"), split="train")
    assert len(loaded) == 12
    assert loaded[0]["captions"] == ImageData(tmp_path).captions[0]
    assert loaded[0]["image"].size == (16, 16)


def test_faces(tmp_path):
    pytest.importorskip("dicebear")
    faces.build(tmp_path, 12, 32, 0, 1, quiet, line=True, pair="lorelei")
    rows = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    for row in rows:
        found = row["attributes"]
        assert found["hair length"] in ("long", "short")
        assert all(found["hair colour"] in caption for caption in row["captions"])
        assert ("glasses" in row["captions"][0]) == (found["glasses"] == "yes")
        line, pair, whole = (
            np.asarray(read_image(tmp_path / row[f"{key}file_name"])).astype(int) for key in ("line_", "pair_", "")
        )
        assert line.shape == pair.shape == whole.shape
        assert np.abs(line - line.mean(2, keepdims=True)).mean() < 2 < np.abs(whole - whole.mean(2, keepdims=True)).mean()
        skin = next(code for code, name in list(faces.NAMED.items())[-4:] if name == found["skin colour"])
        colour = [int(skin[k : k + 2], 16) for k in (1, 3, 5)]
        assert (np.abs(whole - colour).sum(2) < 12).sum() > 20, "its skin is in the picture"
    assert "CC BY 4.0" in (tmp_path / "ATTRIBUTION.md").read_text()


def test_colour_names():
    named = {"#ff0000": "red", "#000000": "black", "#fefefe": "white", "#808080": "grey", "#0000ff": "blue", "#00cc00": "green"}
    assert {code: faces.colour_name(code) for code in named} == named


def test_names_of_emoji():
    pytest.importorskip("emoji")
    assert emoji.names()["\N{DOG FACE}"] == ["dog face", "dog"]


def idx(path, array):
    path.write_bytes(b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def test_fashion_mnist(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    r = np.random.default_rng(0)
    for prefix, n in (("train", 6), ("t10k", 3)):
        idx(source / f"{prefix}-images-idx3-ubyte", r.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        idx(
            source / f"{prefix}-labels-idx1-ubyte",
            np.arange(10 - n, 10, dtype=np.uint8) if n == 3 else np.arange(n, dtype=np.uint8),
        )
    assert fashion_mnist.build(out, str(source), 4, quiet) == 7
    data = ImageData(out)
    assert data.held_out.tolist() == [False] * 4 + [True] * 3
    assert data.captions[3][0] == "a dress"
    assert data.captions[6][:2] == ["an ankle boot", "a picture of an ankle boot"]
    (source / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\1\0\0\0\7abc")
    with pytest.raises(UserError, match="cut short"):
        fashion_mnist.build(out, str(source), 0, quiet)


@pytest.mark.skipif(
    not Path(fashion_mnist.PLACE, "train-images-idx3-ubyte.gz").is_file(),
    reason="no Fashion-MNIST here: apt-get install dataset-fashion-mnist",
)
def test_the_real_fashion_mnist_is_trained_on_at_its_own_size(tmp_path):
    out, run = tmp_path / "fashion", tmp_path / "run"
    assert bridge("data", "fashion-mnist", out, "--images", 50) == 0
    data = ImageData(out)
    assert (len(data), data.held_out.sum()) == (100, 50)
    assert data.captions[0][0] == "an ankle boot", "the first of the published training images"
    packed = data.pack(28)
    assert packed.shape == (100, 28, 28, 3)
    assert (packed == packed[..., :1]).all()
    assert (packed[0] == fashion_mnist.read_idx(Path(fashion_mnist.PLACE, "train-images-idx3-ubyte.gz"))[0, :, :, None]).all()
    words = [
        "--size",
        28,
        "--channels",
        1,
        "--width",
        4,
        "--d-width",
        4,
        "--batch",
        8,
        "--steps",
        1,
        "--grids",
        1,
        "--threads",
        1,
    ]
    assert bridge("train", "dcgan", "--data", out, "--run", run, *words) == 0
    with Image.open(next((run / "samples").iterdir())) as picture:
        assert picture.width >= 8 * 28


def strange(folder):
    """Images of every kind that people have; by name, and what of them is right."""
    grey = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    made = {
        "rgb.png": Image.new("RGB", (16, 16), (10, 20, 30)),
        "cmyk.jpg": Image.new("CMYK", (16, 16), (0, 255, 255, 0)),
        "palette.png": Image.new("RGB", (16, 16), (200, 0, 0)).convert("P"),
        "alpha.png": Image.new("RGBA", (16, 16), (0, 0, 0, 0)),
        "grey16.png": Image.fromarray(grey),
        "bit.png": Image.new("1", (16, 16), 1),
    }
    for name, image in made.items():
        image.save(folder / name)
    turned = Image.new("RGB", (16, 8), "blue")
    turned.paste("red", (0, 0, 8, 8))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif, quality=95)
    return sorted(p.name for p in folder.iterdir())


def bomb(path):
    """A PNG whose header promises 100 million pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


def damaged(folder):
    """Images that cannot be used, and what is said of each."""
    Image.effect_noise((64, 64), 50).convert("RGB").save(folder / "cut.jpg")
    whole = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (1, 1)).save(folder / "pixel.png")
    (folder / "text.png").write_text("this is no image")
    bomb(folder / "bomb.png")
    return {"cut.jpg": "truncated", "pixel.png": "1 x 1 pixels", "text.png": "cannot be read", "bomb.png": "50 million at most"}


def test_strange_images_are_read(tmp_path):
    names = strange(tmp_path)
    assert len(names) == 7
    x = {name: fitted(read_image(tmp_path / name), 16).astype(int) for name in names}
    assert tuple(x["rgb.png"][3, 3]) == (10, 20, 30)
    assert x["cmyk.jpg"][3, 3, 0] > 200 > 60 > x["cmyk.jpg"][3, 3, 1]
    assert x["palette.png"][3, 3, 0] > 150 > 60 > x["palette.png"][3, 3, 1]
    assert tuple(x["alpha.png"][3, 3]) == (255, 255, 255)
    assert x["grey16.png"][0, 0, 0] == 0
    assert x["grey16.png"][-1, -1, 0] == 255
    assert 120 < x["grey16.png"][8, 0, 0] < 136
    assert tuple(x["bit.png"][3, 3]) == (255, 255, 255)
    upright = read_image(tmp_path / "turned.jpg")
    assert upright.size == (8, 16)
    assert upright.getpixel((4, 2))[0] > 150


def test_damaged_images_are_skipped_and_counted_or_refused(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    names = strange(source)
    expected = damaged(source)
    for name in [*names, *expected]:
        (source / name).with_suffix(".txt").write_text(f"a picture called {name}\nanother caption\n")
    with pytest.raises(ValueError, match="50 million"):
        read_image(source / "bomb.png")
    assert bridge("data", "imagefolder", out, "--source", source, "--strict") == 2
    said = capsys.readouterr().err
    assert "4 of 11 images cannot be used" in said
    assert "without --strict they are skipped" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"], "nothing half-written remains"
    assert bridge("data", "imagefolder", out, "--source", source) == 0
    assert "cannot be used and are skipped: 4" in capsys.readouterr().err
    data = ImageData(out)
    data.pack(8)
    assert {data.files[i].name for i in data.damaged} == set(expected)
    for i, why in data.damaged.items():
        assert expected[data.files[i].name] in why
    assert len(data.usable(True)) + len(data.usable(False)) == 7
    (source / "rgb.txt").unlink()
    assert bridge("data", "imagefolder", tmp_path / "out2", "--source", source) == 2
    assert "rgb.png has no caption" in capsys.readouterr().err
    assert not (tmp_path / "out2").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "line 1 is not JSON"),
        ('{"captions": ["a"]}', "names no image"),
        ('{"file_name": "a.png", "captions": 3}', "has no captions"),
        ('{"file_name": "a.png", "captions": [" "]}', "has empty captions"),
        ('{"file_name": "b.png", "captions": ["b"]}', "names b.png, which is not there"),
        ("", "is empty"),
    ],
)
def test_wrong_metadata(tmp_path, line, said):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(line and line + "\n")
    with pytest.raises(UserError, match=said):
        ImageData(tmp_path)


def test_metadata_as_diffusers_has_it(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "a black square"}\n')
    assert ImageData(tmp_path).captions == [["a black square"]]


def test_cub_and_coco(tmp_path):
    cub, coco = tmp_path / "cub", tmp_path / "coco"
    for label in ("001.Albatross", "002.Wren"):
        (cub / "text_c10" / label).mkdir(parents=True)
        (cub / "images" / label).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(cub / "images" / label / f"{label}_1.jpg")
        (cub / "text_c10" / label / f"{label}_1.txt").write_text("a bird\nthis bird sings\n")
    (cub / "testclasses.txt").write_text("002.Wren\n")
    assert bridge("data", "cub", tmp_path / "a", "--source", cub) == 0
    data = ImageData(tmp_path / "a")
    assert data.held_out.tolist() == [False, True]
    assert data.attributes["class"][1] == ["001.Albatross", "002.Wren"]
    coco.mkdir()
    Image.new("RGB", (9, 9)).save(coco / "7.jpg")
    (coco / "captions_train2017.json").write_text(
        json.dumps({"images": [{"id": 7, "file_name": "7.jpg"}], "annotations": [{"image_id": 7, "caption": "a  cat "}]})
    )
    assert bridge("data", "coco", tmp_path / "b", "--source", coco) == 0
    assert ImageData(tmp_path / "b").captions == [["a cat"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data", "shaps", "OUT"], "there is no data set 'shaps'"),
        (["data", "imagefolder", "OUT"], "expected --source FOLDER"),
        (["data", "coco", "OUT", "--source", "nowhere"], "expected --source FOLDER"),
        (["data", "shapes", "OUT", "--images", "-1"], "must be 0 or more"),
        (["data", "shapes", "OUT", "--size", "0"], "--size must be 1 or more"),
        (["data", "emoji", "OUT", "--font", "nowhere.ttf"], "no colour emoji font was found"),
        (["data", "fashion-mnist", "OUT", "--source", "."], "has no train-images-idx3-ubyte"),
        (["data", "shapes"], "OUT is missing"),
        (["data", "faces", "OUT", "--style", "none"], "dicebear has no style 'none'"),
        (["dat"], "did you mean `image-bridge data`?"),
    ],
)
def test_mistakes_are_one_line(words, said, tmp_path, capsys):
    assert bridge(*[tmp_path / "out" if word == "OUT" else word for word in words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_folder_is_whole_or_absent(tmp_path):
    def interrupted():
        with new_folder(tmp_path / "a") as folder:
            write_rows(folder, [Row("x.png", ["x"])], "x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert not any(tmp_path.iterdir())
    with new_folder(tmp_path / "a") as folder:
        write_rows(folder, [Row("x.png", ["x"])], "x")
    with pytest.raises(UserError, match="exists already"), new_folder(tmp_path / "a"):
        pass
