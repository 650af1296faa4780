"""ColorGAN: its transforms against loops, the U-net, drawn lines, and the commands that colour, restore and judge."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from image_bridge.__main__ import main
from image_bridge.coloring import Colorizer
from image_bridge.datasets import shapes
from image_bridge.evaluate import judges as judging
from image_bridge.evaluate.coloring import figures, pixel_figures
from image_bridge.generators import DomainTranslator, TranslatorConfig, UNetConfig, UNetGenerator, load_generator
from image_bridge.images import ImageData
from image_bridge.lines import pack_lines, sources
from image_bridge.pipeline import generator_folder
from image_bridge.transforms import (
    HINT,
    adaptive_threshold,
    blank_squares,
    box_blur,
    grey,
    hints,
    mosaic,
    soft_hints,
)  # fmt: skip
from textgan.errors import UserError

from .image_conformance import build, weights

TINY = ["--size", "16", "--steps", "4", "--batch", "8", "--width", "4", "--d-width", "4", "--threads", "1", "--grids", "2",
        "--log-every", "2"]  # fmt: skip


def quiet(done, total):
    """Tell nothing."""


def here(*words):
    """The command in this process; gives its exit code."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


def some(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def random_images(n=2, channels=3, size=12, seed=0):
    return 2 * some(n, channels, size, size, seed=seed) - 1


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("color") / "plain"
    path.mkdir()
    shapes.build(path, 40, 32, 0, 1, quiet)
    return path


@pytest.fixture(scope="module")
def folder(plain, tmp_path_factory):
    """The same images with a drawing of each, which is the negative of its grey."""
    path = tmp_path_factory.mktemp("color") / "drawn"
    path.mkdir()
    shapes.build(path, 40, 32, 0, 1, quiet)
    (path / "line").mkdir()
    rows = [json.loads(line) for line in (path / "metadata.jsonl").read_text().splitlines()]
    for k, row in enumerate(rows):
        row["line_file_name"] = f"line/{k}.png"
        image = np.asarray(Image.open(path / row["file_name"]).convert("L"))
        Image.fromarray(255 - image).save(path / row["line_file_name"])
    (path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("color") / "run"
    assert here("train", "colorgan", "--data", folder, "--run", path, *TINY) == 0
    return path


def reflected(k, size):
    return -k if k < 0 else 2 * (size - 1) - k if k >= size else k


def clamped(k, size):
    return min(max(k, 0), size - 1)


@pytest.mark.parametrize(("border", "outside"), [("reflect", reflected), ("replicate", clamped)])
@pytest.mark.parametrize("width", [1, 4, 5])
def test_box_blur_is_the_mean_of_the_box(width, border, outside):
    x = random_images()
    before, n = width // 2, x.shape[-1]
    wanted = torch.zeros_like(x)
    for i in range(n):
        for j in range(n):
            box = [x[:, :, outside(i + a - before, n), outside(j + b - before, n)] for a in range(width) for b in range(width)]
            wanted[:, :, i, j] = torch.stack(box).mean(0)
    found = box_blur(x, width, border)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    assert (found - box_blur(x, width + 1, border)).abs().max() > 0.1
    if width > 1:
        other = box_blur(x, width, "reflect" if border == "replicate" else "replicate")
        assert (found - other).abs().max() > 0.01
        assert torch.equal(found[..., 4:-4, 4:-4], other[..., 4:-4, 4:-4])  # borders alone differ


def test_adaptive_threshold_is_that_of_a_loop():
    x = random_images(channels=1, size=14)
    wanted = torch.ones_like(x)
    n, wide = 14, 5
    for b in range(len(x)):
        for i in range(n):
            for j in range(n):
                box = [x[b, 0, clamped(i + p, n), clamped(j + q, n)] for p in range(-2, 3) for q in range(-2, 3)]
                if 127.5 * (x[b, 0, i, j] - sum(box) / wide**2) <= -20:
                    wanted[b, 0, i, j] = -1
    found = adaptive_threshold(x, wide, 20)
    assert torch.equal(found, wanted)
    assert set(found.unique().tolist()) == {-1, 1}
    assert not torch.equal(found, adaptive_threshold(x, wide, 2))
    assert not torch.equal(found, adaptive_threshold(x, 9, 20))
    assert (adaptive_threshold(torch.full((1, 1, 14, 14), 0.3)) == 1).all()  # nothing is darker than its surroundings


def test_grey_is_the_luma():
    x = torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 2, 2)
    assert grey(x)[:, 0, 0, 0].tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert (grey(x) - x.mean(1, keepdim=True)).abs().max() > 0.1


def test_squares_are_blanked_where_the_numbers_say():
    x, u = random_images(2, size=10) * 0.5, torch.tensor([[[0.0, 0.999], [0.5, 0.5]], [[0.3, 0.1], [0.3, 0.1]]])
    wanted = x.clone()
    for b in range(2):
        for k in range(2):
            row, column = (int(v * 8) for v in u[b, k].tolist())  # 10 - 3 + 1 places
            wanted[b, :, row : row + 3, column : column + 3] = 1
    found = blank_squares(x, u, 3)
    assert torch.equal(found, wanted)
    assert ((found == 1).all(1).sum((1, 2))).tolist() == [18, 9]  # two squares, and one twice
    assert not torch.equal(found, blank_squares(x, u, 4))


def test_hints_are_squares_then_a_blur_and_some_images_get_none():
    x, u = random_images(4, size=64), some(4, HINT)
    squares = blank_squares(x, u[:, 1:].view(4, 30, 2), 12)  # 50 and 100 of 256 pixels
    assert torch.equal(hints(x, u), box_blur(squares, 25))
    assert (hints(x, u) - hints(x, some(4, HINT, seed=1))).abs().max() > 0.01
    limit = float(u[:, 0].sort().values[2])
    left = hints(x, u, limit)
    without = u[:, 0] < limit
    assert without.sum() == 2
    assert (left[without] == 1).all()
    assert torch.equal(left[~without], hints(x, u)[~without])
    red = torch.tensor([1.0, -1, -1]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    assert soft_hints(red)[0, :, 9, 9].tolist() == pytest.approx([1, 0.4, 0.4])  # 0.3 of it and 0.7 of white


def test_a_mosaic_has_the_mean_of_each_square():
    x = random_images(size=12)
    found = mosaic(x, 4)
    for i in range(3):
        for j in range(3):
            here_ = (slice(None), slice(None), slice(4 * i, 4 * i + 4), slice(4 * j, 4 * j + 4))
            torch.testing.assert_close(found[here_], x[here_].mean((2, 3), keepdim=True).expand(-1, -1, 4, 4))
    torch.testing.assert_close(mosaic(found, 4), found)
    assert (mosaic(found, 3) - found).abs().max() > 0.1


@pytest.mark.parametrize(("size", "halvings"), [(8, 2), (16, 3), (64, 5), (256, 5)])
def test_the_u_net_halves_five_times_at_most_and_comes_back(size, halvings):
    G = UNetGenerator(UNetConfig(size, 2)).eval()
    assert len(G.down) == halvings
    shapes_, x = [], torch.randn(2, 4, size, size)
    for layer in [*G.down, *G.up]:
        layer.register_forward_hook(lambda module, given, found: shapes_.append(tuple(found.shape[1:])))
    assert G(x).shape == (2, 3, size, size)
    widths = [2 * min(8, 2**k) for k in range(halvings)]
    down = [(w, size >> k + 1, size >> k + 1) for k, w in enumerate(widths)]
    assert shapes_ == [*down, *reversed(down[:-1])]
    assert G(x).abs().max() <= 1
    assert (G(x) - G(torch.randn(2, 4, size, size))).abs().max() > 0
    full = UNetGenerator(UNetConfig())
    assert [layer[0].out_channels for layer in full.down] == [64, 128, 256, 512, 512]
    with pytest.raises(ValueError, match="power of two"):
        UNetGenerator(UNetConfig(28))


def test_every_skip_is_used():
    torch.manual_seed(0)
    G, x = UNetGenerator(UNetConfig(32, 4)).train(), torch.randn(4, 4, 32, 32)
    with torch.no_grad():
        whole = G(x)
        for k in range(len(G.up)):
            layer = G.up[k + 1][0] if k + 1 < len(G.up) else G.rgb  # what reads the k-th skip
            weight, half = layer.weight.clone(), layer.weight.shape[0] // 2
            layer.weight[half:] = 0
            assert (G(x) - whole).abs().max() > 1e-4, k
            layer.weight.copy_(weight)
        assert torch.equal(G(x), whole)


def test_what_is_given_depends_on_the_step_alone(plain):
    made, images = build("colorgan", plain)
    images.workers.seed(0, 5)
    x, given = made.batch(2)
    made.batch(3)
    images.workers.seed(0, 5)
    assert torch.equal(made.batch(2)[1], given)
    images.workers.seed(0, 6)
    other = made.batch(2)[1]
    assert torch.equal(other[:, :1], given[:, :1])  # the lines
    assert not torch.equal(other[:, 1:], given[:, 1:])  # the hints
    assert torch.equal(given[:, :1], adaptive_threshold(grey(x)))
    restored, images = build("colorgan", plain, task="mosaic")
    x, given = restored.batch(2)
    assert torch.equal(given, mosaic(x, 4))


def test_drawn_lines_are_taken_where_there_are_any(folder, plain):
    drawn, without = ImageData(folder), ImageData(plain)
    packed = pack_lines(drawn, "auto", [16])
    assert list(packed) == [16]
    assert pack_lines(drawn, "threshold", [16]) == pack_lines(without, "auto", [16]) == {}
    x = torch.from_numpy(drawn.pack(16)[:4].copy()).permute(0, 3, 1, 2) / 127.5 - 1
    lines = torch.from_numpy(packed[16][:4].copy()).permute(0, 3, 1, 2) / 127.5 - 1
    found = sources(UNetConfig(16), x, lines)
    assert (found + grey(x)).abs().max() < 0.05  # the negative
    assert (found - adaptive_threshold(grey(x))).abs().max() > 0.5
    made, images = build("colorgan", folder)
    assert made.G.config.source == "drawn"
    numbers = made.data.numbers(1)
    given = made.batch(1)[1][:, 0]
    assert torch.equal(given, grey(images.lines[16](numbers))[:, 0])
    assert build("colorgan", folder, lines="threshold")[0].G.config.source == "threshold"
    with pytest.raises(UserError, match="no drawn lines for every image; expected line_file_name"):
        build("colorgan", plain, lines="drawn")


def test_images_whose_drawing_is_damaged_or_missing(folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("cache"))
    (copy / "line/3.png").write_bytes(b"no image")
    data = ImageData(copy)
    before = len(data.usable(held_out=False))
    data.pack(16)
    assert len(data.usable(held_out=False)) == before
    pack_lines(data, "auto", [16])
    assert list(data.damaged) == [3]
    assert "line/3.png: it cannot be read" in data.damaged[3]
    with pytest.raises(UserError, match=r"line/3\.png: it cannot be read"):
        pack_lines(data, "auto", [16], strict=True)
    data.pack(16)
    pack_lines(data, "auto", [16])
    assert sorted(f.name.rsplit("-", 1)[0] for f in (copy / "cache").glob("*.npy")) == [
        "16",
        "line-16",
    ]  # neither removes the other
    (copy / "line/5.png").unlink()
    with pytest.raises(UserError, match=r"names line/5\.png as line_file_name, which is not there"):
        pack_lines(ImageData(copy), "auto", [16])


def test_hints_change_what_is_made_after_some_training(folder):
    """It learns: L1 falls below that of an untrained one, and colours follow the hint."""
    made, images = build("colorgan", folder, steps=60, lr=2e-3, width=8, ema=0.5)
    G = made.kept["generator"]
    before = figures_of(G, images)
    for stage in made.stages():
        for i in range(stage.steps):
            images.workers.seed(0, i)
            stage.step(i)
    assert figures_of(G, images) < 0.5 * before
    _, given = made.batch(0)
    bright, dark = (G.images(torch.cat([given[:, :1], torch.full_like(given[:, 1:], v)], 1)) for v in (1.0, 0.0))
    assert (bright - dark).abs().mean() > 0.01


def figures_of(G, images):
    packed = images.pixels[16].packed[:8]
    x = images.pixels[16](np.arange(8))
    given = torch.cat([sources(G.config, x, images.drawn(16, np.arange(8))), hints(x, some(8, HINT))], 1)
    made = ((G.images(given) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return pixel_figures(made, packed)["l1"]


def test_pixel_figures():
    a, b = np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8)
    b[0], b[1, :2] = 51, 255
    found = pixel_figures(a, b)
    assert found["l1"] == pytest.approx((0.2 + 0.5) / 2)
    assert found["psnr"] == pytest.approx((-20 * np.log10(0.2) - 10 * np.log10(0.5)) / 2)
    assert pixel_figures(a, a) == {"l1": 0, "psnr": np.inf}


def test_color_makes_what_the_generator_makes(run, folder, tmp_path, capsys):
    line, hint = folder / "line/9.png", tmp_path / "hint.png"
    Image.new("RGB", (40, 40), "red").save(hint)
    assert here("color", run, line, "--out", tmp_path / "a.png") == 0
    assert here("color", run, line, "--hint", hint, "--out", tmp_path / "b.png", "--grid", tmp_path / "grid.png") == 0
    a, b = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "ab")
    assert a.shape == b.shape == (16, 16, 3)
    pipe = Colorizer.from_pretrained(run)
    source = pipe.sources([Image.open(line).convert("RGB")])
    red = pipe.hints([Image.open(hint)])
    for found, given in ((a, torch.ones_like(red)), (b, red)):
        made = pipe.G.images(torch.cat([source, given], 1))[0].permute(1, 2, 0).numpy()
        assert np.abs(found / 127.5 - 1 - made).max() < 0.01
    assert not (a == b).all()
    assert np.asarray(Image.open(tmp_path / "grid.png")).shape[1] > 3 * 64
    (tmp_path / "some").mkdir()
    for k in (1, 9):
        Image.open(folder / f"line/{k}.png").save(tmp_path / f"some/{k}.png")
    assert here("color", run, tmp_path / "some", "--out", tmp_path / "out", "--json") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == {"folder": str(tmp_path / "out"), "images": 2}
    assert np.abs(np.asarray(Image.open(tmp_path / "out/9.png")).astype(int) - a).max() <= 1
    photo = folder / "images/0000/0000009.png"
    words = ["color", run, photo, "--photo", "--own-hint", "--out"]
    for name, seed in (("c", 0), ("d", 0), ("e", 1)):
        assert here(*words, tmp_path / f"{name}.png", "--seed", seed) == 0
    c, d, e = ((tmp_path / f"{name}.png").read_bytes() for name in "cde")
    assert c == d != e


def test_a_mosaic_run_restores(plain, tmp_path):
    path = tmp_path / "m"
    assert here("train", "colorgan", "--data", plain, "--run", path, "--task", "mosaic", *TINY) == 0
    photo = plain / "images/0000/0000009.png"
    assert here("color", path, photo, "--out", tmp_path / "a.png", "--grid", tmp_path / "g.png") == 0
    pipe = Colorizer.from_pretrained(path)
    x = pipe.fitted([Image.open(photo).convert("RGB")])
    made = pipe.G.images(mosaic(x, 4))[0].permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(Image.open(tmp_path / "a.png")) / 127.5 - 1 - made).max() < 0.01
    assert here("color", path, photo, "--photo", "--own-hint", "--out", tmp_path / "b.png") == 2


def test_mistakes_are_told_in_one_line(run, folder, plain, tmp_path, capsys):
    line, out = folder / "line/9.png", tmp_path / "x.png"
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "hints").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "hints/other.png")
    train = ["train", "colorgan", "--data", plain, "--run", tmp_path / "t", *TINY]
    cases = [
        (["color", run, line], "nothing was named to write to"),
        (["color", run, tmp_path / "none.png", "--out", out], "no such file; expected an image"),
        (["color", run, tmp_path / "empty", "--out", tmp_path / "o"], "holds no image"),
        (["color", run, tmp_path / "bad.png", "--out", out], "it cannot be read"),
        (["color", run, line, "--hint", tmp_path / "none.png", "--out", out], "--hint"),
        (["color", run, line, "--hint", tmp_path / "hints", "--out", out], "is a folder; expected an image"),
        (["color", run, folder / "line", "--hint", tmp_path / "hints", "--out", tmp_path / "o"], "has no image for 0.png"),
        (["color", run, line, "--own-hint", "--out", out], "give it with --photo"),
        (["color", run, folder / "line", "--out", out], "expected --out"),
        (["generate", run, "--out", out], "image-bridge color"),
        (["interpolate", run, "--out", out], "image-bridge color"),
        ([*train, "--lines", "drawn"], "no drawn lines for every image"),
        ([*train, "--task", "mosaic", "--tile", "3"], "--tile must be 2 or more and divide --size 16; received 3"),
        ([*train, "--unhinted", "1"], "--unhinted must lie in [0, 1); received 1.0"),
        ([*train, "--size", "28"], "--size must be a power of two"),
    ]
    capsys.readouterr()
    for words, wanted in cases:
        assert here(*words) == 2, words
        told = capsys.readouterr().err.strip().splitlines()[-1]
        assert wanted in told, told
    assert not out.exists()
    assert not (tmp_path / "o").exists()
    assert not (tmp_path / "t").exists()
    with pytest.raises(UserError, match="image-bridge color"):
        load_generator(generator_folder(run))


def test_a_run_that_draws_colours_nothing(plain, tmp_path, capsys):
    tiny = ["--size", "8", "--steps", "2", "--batch", "8", "--noise", "6", "--width", "4", "--d-width", "4", "--threads", "1"]
    assert here("train", "dcgan", "--data", plain, "--run", tmp_path / "d", *tiny) == 0
    assert here("color", tmp_path / "d", plain / "images/0000/0000009.png", "--out", tmp_path / "a.png") == 2
    assert "takes no images, it draws of itself" in capsys.readouterr().err
    DomainTranslator(TranslatorConfig(("a", "b"), size=16, width=4, blocks=1)).save_pretrained(tmp_path / "t/generator")
    assert here("color", tmp_path / "t", plain / "images/0000/0000009.png", "--out", tmp_path / "a.png") == 2
    assert "use `image-bridge translate`" in capsys.readouterr().err


def test_resume_gives_the_same_run(folder, tmp_path):
    for name, first in (("whole", []), ("parts", ["--until", "3"])):
        assert here("train", "colorgan", "--data", folder, "--run", tmp_path / name, *TINY, *first) == 0
    assert here("resume", tmp_path / "parts") == 0
    whole, parts = (tmp_path / n / "checkpoints/00000008/generator/model.safetensors" for n in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()
    early = tmp_path / "parts/checkpoints/00000003/generator/model.safetensors"
    assert early.read_bytes() != whole.read_bytes()


def test_evaluate_says_how_near_it_comes_and_what_needs_no_training(run, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(judging, "SEEN", 400)
    capsys.readouterr()
    assert here("evaluate", run, "--extractor", "own", "--json") == 0
    judged = json.loads(capsys.readouterr().out)
    methods = judged["methods"]
    assert list(methods) == ["hinted", "unhinted", "source", "hint", "mean", "nearest", "real"]
    data = ImageData(folder)
    held, learnt = data.usable(held_out=True), data.usable(held_out=False)
    images, lines = (data.pack(16, beside=name).astype(float) / 255 for name in ("", "line"))
    luma = lines @ [0.299, 0.587, 0.114]
    assert methods["source"]["l1"] == pytest.approx(np.abs(luma[held][..., None] - images[held]).mean(), abs=2e-3)
    assert methods["mean"]["l1"] == pytest.approx(np.abs(images[learnt].mean(0) - images[held]).mean(), abs=2e-3)
    near = [learnt[np.square(luma[learnt] - luma[i]).mean((1, 2)).argmin()] for i in held]
    assert methods["nearest"]["l1"] == pytest.approx(np.abs(images[near] - images[held]).mean(), abs=2e-3)
    assert methods["hinted"]["l1"] != methods["unhinted"]["l1"]
    assert {"colour", "kind"} <= judged["attributes"].keys()
    assert {"hinted", "source", "real", "commonest", "one_of"} <= judged["attributes"]["colour"].keys()
    assert (run / "eval/coloring.png").is_file()
    saved = json.loads((run / "eval/coloring.json").read_text())
    assert saved["methods"]["hinted"] == methods["hinted"]
    assert here("evaluate", run, "--extractor", "own", "--data", folder, "--out", tmp_path / "e") == 0
    told = capsys.readouterr().out
    assert "coloured, with hints" in told
    assert "training image of the nearest input" in told
    made, built = build("colorgan", folder)
    state = weights(made)
    quick = figures(made.kept["generator"], built, 20)
    assert {"l1", "psnr", "accuracy", "kid"} >= quick.keys() >= {"l1", "psnr", "kid"}
    assert all(torch.equal(v, state[k]) for k, v in weights(made).items())


def test_figures_while_training(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "SEEN", 64)
    assert here("train", "colorgan", "--data", plain, "--run", tmp_path / "f", "--figures", *TINY) == 0
    rows = [json.loads(file.read_text()) for file in sorted((tmp_path / "f/eval").glob("*.json"))]
    assert len(rows) == 2
    assert all({"l1", "psnr", "kid"} <= row.keys() for row in rows)
    assert rows[0]["l1"] != rows[1]["l1"]
