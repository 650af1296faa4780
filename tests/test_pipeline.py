"""From sentences to images: the pipeline, the grids, and the commands generate and interpolate."""

import dataclasses
import io
import itertools
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from image_bridge.__main__ import main
from image_bridge.captions import AttributeWords, BagOfWords, GivenVectors, WordMean
from image_bridge.generators import CGANConfig, CGANGenerator, StackGANConfig, StackGANGenerator
from image_bridge.grids import GAP, NARROWEST, Text, grid, picture, plain, strip, walk
from image_bridge.images import ImageData
from image_bridge.pipeline import TextToImage, generator_folder, spherical, truncated
from textgan.errors import UserError

WORDS = tuple("a red blue circle square star the is above".split())
SIZE = 16
RED, BLUE = "a red circle", "a blue square"


def random_network(kind, config, seed=0):
    """Of weights so large that its images differ from each other."""
    torch.manual_seed(seed)
    G = kind(config)
    with torch.no_grad():
        for name, p in G.named_parameters():
            if p.ndim > 1:
                p.mul_(50 if "code" in name or "augmentation" in name else 8)
    return G.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("g") / "generator"
    random_network(CGANGenerator, CGANConfig(len(WORDS), SIZE, noise=12, code=8, width=8)).save_pretrained(out)
    BagOfWords(WORDS).save(out / "text")
    return out


@pytest.fixture(scope="module")
def pipe(folder):
    return TextToImage.from_pretrained(folder)


@pytest.fixture(scope="module")
def stack():
    G = random_network(StackGANGenerator, StackGANConfig(len(WORDS), 32, noise=6, code=4, width=4))
    return TextToImage(G, BagOfWords(WORDS))


def seeded(*seeds):
    found = [torch.Generator().manual_seed(seed) for seed in seeds]
    return found if len(found) > 1 else found[0]


def draw(pipe, prompt, n=1, generator=None, **options):
    return pipe(prompt, n, generator, "pt", **options).images


def far(a, b):
    return float((a - b).abs().max())


def near(a, b):
    return far(a, b) < 1e-5


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def bridge(*words):
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


def test_a_seed_decides_the_image(pipe):
    first = draw(pipe, RED, 1, seeded(3))
    assert first.shape == (1, 3, SIZE, SIZE)
    assert torch.equal(draw(pipe, RED, 1, seeded(3)), first)
    assert far(draw(pipe, RED, 1, seeded(4)), first) > 0.1
    assert far(draw(pipe, BLUE, 1, seeded(3)), first) > 0.1
    torch.manual_seed(3)
    assert torch.equal(draw(pipe, RED), first), "torch's own generator is used when there is none"
    g = seeded(3)
    once, twice = draw(pipe, RED, 1, g), draw(pipe, RED, 1, g)
    assert far(once, twice) > 0.1, "a generator goes on, as it does in diffusers"


def test_images_depend_on_neither_batch_nor_neighbours(pipe):
    prompts = [BLUE, RED, "the star is red"]
    whole = draw(pipe, prompts, 5, seeded(3))
    assert whole.shape[0] == 15
    for size in (1, 2, 7):
        assert near(draw(pipe, prompts, 5, seeded(3), batch_size=size), whole)
    assert near(draw(pipe, RED, 2, seeded(3)), whole[5:7]), "in the order of the prompts; fewer images are the first of more"
    assert near(draw(pipe, RED, 2, seeded(3, 9)), torch.cat([whole[5:6], draw(pipe, RED, 1, seeded(9))]))
    parts = [whole[:5], whole[5:10], whole[10:], whole[5:6], whole[6:7]]
    assert min(far(a[0], b[0]) for k, a in enumerate(parts) for b in parts[:k] if a[0] is not b[0] and not near(a[0], b[0])) > 0.1
    assert len({tuple((image * 255).round().flatten().int().tolist()) for image in whole}) == 15


def test_types_of_output_agree(pipe):
    x = draw(pipe, [RED, BLUE], 2, seeded(1))
    array = pipe([RED, BLUE], 2, seeded(1), "np").images
    images = pipe([RED, BLUE], 2, seeded(1)).images
    assert array.shape == (4, SIZE, SIZE, 3)
    assert np.array_equal(array, x.permute(0, 2, 3, 1).numpy())
    assert 0 <= array.min() < 0.3 < 0.7 < array.max() <= 1
    assert [image.size for image in images] == [(SIZE, SIZE)] * 4
    assert all(isinstance(image, Image.Image) and image.mode == "RGB" for image in images)
    assert np.array_equal(np.stack([np.asarray(i) for i in images]), np.rint(array * 255).astype(np.uint8))
    z, _ = pipe.noise(seeded(1))
    raw = pipe.G.images(torch.from_numpy(pipe.encoder.encode([RED])), z[None])
    assert near(raw / 2 + 0.5, x[:1]), "they are the generator's, from [-1, 1] to [0, 1]"
    with pytest.raises(UserError, match='expected|must be "pil"'):
        pipe(RED, output_type="jpg")


def test_truncation_shrinks_the_noise(pipe, stack):
    def spread(limit):
        z = torch.cat([pipe.noise(seeded(seed), limit)[0] for seed in range(400)])
        return float(z.std()), float(z.abs().max())

    whole, some, little = spread(None), spread(1.0), spread(0.3)
    assert abs(whole[0] - 1) < 0.05
    assert whole[1] > 3
    assert some[1] <= 1
    assert abs(some[0] - 0.5396) < 0.02, "the standard deviation of a normal distribution cut at -1 and 1"
    assert abs(little[0] - 0.3 / 3**0.5) < 0.01
    z = torch.randn(1000, generator=seeded(0))
    assert torch.equal(truncated(z, 0.5).argsort(), z.argsort())
    assert torch.allclose(truncated(z, 20.0), z, atol=1e-5)
    eps = torch.cat([stack.noise(seeded(seed), 1.0)[1] for seed in range(100)])
    assert 0.9 < eps.abs().max() <= 1, "the noise of the text's code as well"
    images = [draw(pipe, RED, 16, seeded(0), truncation=limit) for limit in (None, 0.3)]
    assert images[1].std(0).mean() < 0.6 * images[0].std(0).mean()
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UserError, match="truncation must be"):
            draw(pipe, RED, truncation=wrong)


def test_conditioning_augmentation_is_drawn_unless_deterministic(stack, pipe):
    stack.G.begun.fill_(2)
    z, eps = stack.noise(seeded(3))
    assert (len(z), len(eps)) == (6, 8)
    assert torch.equal(stack.noise(seeded(3), deterministic=True)[0], z), "z is the same"
    drawn, mean = draw(stack, RED, 4, seeded(3)), draw(stack, RED, 4, seeded(3), deterministic=True)
    assert far(drawn, mean) > 0.05
    vectors = torch.from_numpy(stack.encoder.encode([RED]))
    assert near(stack.G.images(vectors, z[None]) / 2 + 0.5, mean[:1])
    assert near(stack.G.images(vectors, z[None], eps[None]) / 2 + 0.5, drawn[:1])
    assert near(draw(stack, [BLUE, RED], 4, seeded(3), batch_size=3)[4:], drawn)
    assert torch.equal(draw(pipe, RED, 2, seeded(3), deterministic=True), draw(pipe, RED, 2, seeded(3)))


def test_interpolation_leads_from_one_sentence_to_the_other(pipe, stack):
    way = pipe.interpolate(RED, BLUE, 5, seeded(3), output_type="pt").images
    assert len(way) == 5
    ends = draw(pipe, [RED, BLUE], 1, seeded(3))
    assert near(way[0], ends[0])
    assert near(way[-1], ends[1])
    half = pipe.encode([RED, BLUE]).mean(0, keepdim=True)
    assert near(way[2], next(pipe.draw(half, [pipe.noise(seeded(3))]))[0])
    steps = [float((a - b).abs().mean()) for a, b in itertools.pairwise(way)]
    assert max(steps) < float((way[0] - way[-1]).abs().mean()), "no step is as large as the whole way"
    for one in (pipe, stack):
        moving = one.interpolate(RED, RED, 4, seeded(3), seeded(7), "pt").images
        assert near(moving[0], draw(one, RED, 1, seeded(3))[0])
        assert near(moving[-1], draw(one, RED, 1, seeded(7))[0])
        assert far(moving[0], moving[-1]) > 0.1
    with pytest.raises(UserError, match="steps must be 2 or more"):
        pipe.interpolate(RED, BLUE, 1)


def test_spherical_interpolation_keeps_the_length():
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    assert torch.allclose(spherical(a, b, 1 / 3), 3 * torch.tensor([math.cos(math.pi / 6), math.sin(math.pi / 6)]))
    assert torch.equal(spherical(a, b, 0.0), a)
    assert torch.allclose(spherical(a, b, 1.0), b)
    assert torch.allclose(spherical(a, a, 0.3), a)
    assert torch.isfinite(spherical(a, -a, 0.5)).all()


def test_a_run_a_checkpoint_and_a_folder_give_the_same(folder, pipe, tmp_path):
    from textgan.runtime import Run

    run = Run.create(tmp_path / "run", {}, {})
    (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(UserError, match="has no whole checkpoint yet"):
        generator_folder(tmp_path / "run")
    other = random_network(CGANGenerator, dataclasses.replace(pipe.G.config, width=4), seed=9)
    run.save(5, {}, {"generator": other}, lambda at: pipe.encoder.save(at / "generator" / "text"))
    saved = run.save(7, {}, {"generator": pipe.G}, lambda at: pipe.encoder.save(at / "generator" / "text"))
    for place in (tmp_path / "run", saved, saved / "generator", str(folder)):
        assert torch.equal(draw(TextToImage.from_pretrained(place), RED, 1, seeded(3)), draw(pipe, RED, 1, seeded(3)))
    (saved / "generator" / "model.safetensors").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="is damaged"):
        assert far(draw(TextToImage.from_pretrained(tmp_path / "run"), RED, 1, seeded(3)), draw(pipe, RED, 1, seeded(3))) > 0.1


def test_prompts_that_cannot_be_drawn(pipe):
    for prompt, said in (
        ("", "the prompt is empty"), ([RED, " \n"], "prompt 2 is empty"), ([RED, 7], "prompt 2 is no text"),
        ([], "nothing to draw"), ("red " * 2500, "2,000 characters at most; received 10,000"),
        ("bad \udcff", "not text in UTF-8"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=said):
            draw(pipe, prompt)
    with pytest.raises(UserError, match="nothing to draw"):
        draw(pipe, RED, 0)
    with pytest.raises(UserError, match="a generator for each of the 3 images; received 2"):
        draw(pipe, RED, 3, seeded(1, 2))
    with pytest.raises(UserError, match="batch_size"):
        draw(pipe, RED, batch_size=0)
    with pytest.warns(UserWarning, match="knows no word of 'zebra zoo'"):
        nothing = draw(pipe, "zebra zoo", 1, seeded(3))
    with pytest.warns(UserWarning, match="does not know these words, which change nothing: zebra$"):
        assert near(draw(pipe, "a red zebra circle", 1, seeded(3)), draw(pipe, RED, 1, seeded(3)))
    assert far(nothing, draw(pipe, RED, 1, seeded(3))) > 0.1


def test_labels_are_prompts(folder, pipe):
    values = AttributeWords({"colour": ("red", "blue"), "kind": ("circle", "square", "star", "ring", "cross", "moon", "dot")})
    labelled = TextToImage(pipe.G, values)
    first, second = draw(labelled, ["colour: red; kind: star", "kind: star; colour: red"], 1, seeded(3))
    assert near(first, second)
    assert far(first, draw(labelled, "colour: blue; kind: star", 1, seeded(3))[0]) > 0.1
    with pytest.raises(UserError, match="colour: red\\|blue; kind: circle"):
        draw(labelled, RED)


def test_word_vectors_travel_with_the_generator(pipe, tmp_path):
    from gensim.models import KeyedVectors

    vectors = KeyedVectors(len(WORDS))
    vectors.add_vectors(list(WORDS), np.eye(len(WORDS), dtype=np.float32))
    pipe.G.save_pretrained(tmp_path)
    WordMean(vectors, tmp_path).save(tmp_path / "text")
    loaded = TextToImage.from_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="change nothing: zebra$"):
        found = draw(loaded, "a red zebra", 1, seeded(3))
    assert near(found, draw(loaded, "A RED", 1, seeded(3)))
    assert far(found, draw(loaded, "a blue", 1, seeded(3))) > 0.1


def test_folders_that_hold_no_pipeline(tmp_path, pipe):
    def refused(said):
        with pytest.raises(UserError, match=said) as told:
            TextToImage.from_pretrained(tmp_path)
        assert "\n" not in str(told.value)

    refused("holds no generator")
    pipe.G.save_pretrained(tmp_path)
    refused("has no text encoder")
    np.save(tmp_path / "mine.npy", np.zeros((3, 4), np.float32))
    GivenVectors(tmp_path / "mine.npy").save(tmp_path / "text")
    refused("trained on vectors from mine.npy; they know no sentence")
    (tmp_path / "text" / "encoder.json").write_text("{")
    refused("encoder.json is damaged")
    BagOfWords(WORDS[:4]).save(tmp_path / "text")
    with pytest.raises(UserError, match="vectors of 4 numbers; expected 9"):
        draw(TextToImage.from_pretrained(tmp_path), RED)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"shape": 3}))
    refused("does not fit this version")
    (tmp_path / "config.json").write_text(json.dumps(config | {"size": 2 * SIZE}))
    refused("does not fit this version")


def test_a_network_that_diverged_is_named(pipe):
    G = random_network(CGANGenerator, pipe.G.config)
    with torch.no_grad():
        next(G.parameters()).fill_(math.nan)
    with pytest.raises(UserError, match="take a checkpoint from before"):
        draw(TextToImage(G, pipe.encoder), RED)


def blocks(n, size, value=128):
    return np.full((n, size, size, 3), value, np.uint8)


def test_sizes_of_grids():
    assert grid([blocks(12, 32), blocks(3, 32)]).size == (12 * (32 + GAP) + GAP, 2 * (32 + GAP) + GAP)
    assert grid([blocks(2, 8)] * 3, scale=5).size == (2 * (40 + GAP) + GAP, 3 * (40 + GAP) + GAP)
    captioned = grid([blocks(12, 32), blocks(12, 32)], ["one", "two"])
    line = Text("one", 13, 999).height
    assert captioned.size == (12 * (32 + GAP) + GAP, 2 * (32 + GAP + line + GAP) + GAP)
    narrow = grid([blocks(1, 8)], ["a long caption over an image that is much narrower than it " * 3])
    assert 100 < narrow.width <= NARROWEST + 2 * GAP
    x = np.asarray(captioned)
    assert (x[GAP + line + GAP : GAP + line + GAP + 32, GAP : GAP + 32] == 128).all(), "an image, unchanged, in its place"
    assert (x[GAP + line + GAP : GAP + line + GAP + 32, :GAP] == 255).all()
    assert (x[GAP : GAP + line] < 80).any(), "letters"
    assert not (np.asarray(grid([blocks(12, 32), blocks(12, 32)], ["", ""])) < 80).any()
    headed = grid([blocks(3, 64)], headings=["first", "second", "third"])
    assert headed.height > grid([blocks(3, 64)]).height
    assert headed.width == grid([blocks(3, 64)]).width


def test_captions_are_wrapped_cut_and_cleaned():
    words = "a face with long red hair, glasses and a friendly smile " * 40
    text = Text(words, 13, 200)
    assert len(text.lines) == 4
    assert text.lines[-1].endswith("…")
    assert all(text.font.getlength(line) <= 200 for line in text.lines)
    counts = [len(Text("word " * n, 13, 200).lines) for n in range(40)]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3, 4}
    whole = Text("a face with long red hair, glasses and a friendly smile", 13, 200)
    assert " ".join(whole.lines) == "a face with long red hair, glasses and a friendly smile"
    broken = Text("x" * 60, 13, 200)
    assert "".join(broken.lines) == "x" * 60
    assert len(broken.lines) > 1
    assert plain(" a\nb\tc\x07d \udcff ") == "a b c d ?"
    assert Text("", 13, 200).height == 0
    other = Text("größer, Привет", 13, 400)
    assert other.font.getname() != text.font.getname(), "Pillow's own font has English letters only"
    for odd in ("\U0001f642 漢字", "\udcff", "\0", "\u202eabc", "e\u0301"):
        assert grid([blocks(1, 8)], [odd]).width >= 8 + 2 * GAP


def test_strips_and_animations(pipe):
    images = pipe.interpolate(RED, BLUE, 5, seeded(3)).images
    assert strip(images, RED, BLUE, 4).width == 5 * (64 + GAP) + GAP
    out = walk(images, RED, BLUE, 2)
    with Image.open(io.BytesIO(out)) as moving:
        assert moving.n_frames == 8
        assert moving.info["loop"] == 0
        frames = []
        for k in range(8):
            moving.seek(k)
            frames.append(np.asarray(moving.convert("RGB")).astype(int))
    below = frames[0].shape[0] - GAP - 2 * SIZE
    left = (frames[0].shape[1] - 2 * SIZE) // 2
    for k, frame in enumerate(frames):
        shown = frame[below : below + 2 * SIZE, left : left + 2 * SIZE]
        wanted = [np.abs(shown - np.asarray(picture(image, 2)).astype(int)).mean() for image in images]
        assert np.argmin(wanted) == (0, 1, 2, 3, 4, 3, 2, 1)[k]
        assert min(wanted) < 12, "a palette of 256 colours is near"


def test_generate_writes_one_picture(folder, tmp_path, capsys):
    out = tmp_path / "new" / "a.png"
    assert bridge("generate", folder, RED, BLUE, "-n", 3, "--out", out, "--seed", 3, "--scale", 2) == 0
    assert capsys.readouterr().out == f"{out}\n"
    x = pixels(out)
    images = TextToImage.from_pretrained(folder)([RED, BLUE], 3, seeded(3, 4, 5, 3, 4, 5)).images
    expected = np.asarray(grid([images[:3], images[3:]], [RED, BLUE], 2))
    assert x.shape == expected.shape
    assert np.abs(x - expected).max() <= 1
    assert [p.name for p in out.parent.iterdir()] == ["a.png"]
    assert bridge("generate", folder, RED, "-n", 11, "--columns", 4, "--out", out) == 0
    line = Text(RED, 13, 999).height
    assert pixels(out).shape == (3 * (64 + GAP) + GAP + line + GAP, 4 * (64 + GAP) + GAP, 3)


def test_generate_writes_a_data_set(folder, tmp_path, capsys):
    (tmp_path / "p.txt").write_text(f"\ufeff{RED}\r\n{BLUE}\r\n\r\n", encoding="utf-8")
    out = tmp_path / "samples-0.5"
    out.mkdir()
    assert bridge("generate", folder, "--prompts", tmp_path / "p.txt", "-n", 3, "--out", out, "--seed", 5, "--batch", 2) == 0
    assert capsys.readouterr().err.startswith("drawing  image 6/6")
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == [RED] * 3 + [BLUE] * 3
    assert [row["seed"] for row in rows] == [5, 6, 7] * 2
    assert sorted(p.name for p in out.iterdir()) == [*(f"{k:06d}.png" for k in range(6)), "metadata.jsonl"]
    pipe = TextToImage.from_pretrained(folder)
    for row in rows:
        assert np.abs(pixels(out / row["file_name"]) - np.asarray(pipe(row["text"], 1, seeded(row["seed"])).images[0])).max() <= 1
    assert [c[0] for c in ImageData(out).captions] == [row["text"] for row in rows]
    import datasets

    loaded = datasets.load_dataset("imagefolder", data_dir=str(out), cache_dir=str(tmp_path / "hub"), split="train")
    assert loaded["text"] == [RED] * 3 + [BLUE] * 3
    assert loaded[4]["seed"] == 6
    assert np.array_equal(np.asarray(loaded[4]["image"]), pixels(out / "000004.png"))


def test_interpolate_writes_a_strip_or_an_animation(folder, tmp_path):
    assert bridge("interpolate", folder, RED, BLUE, "--steps", 6, "--out", tmp_path / "a.png") == 0
    assert pixels(tmp_path / "a.png").shape[1] == 6 * (64 + GAP) + GAP
    assert bridge("interpolate", folder, RED, BLUE, "--steps", 6, "--out", tmp_path / "a.gif", "--last-seed", 4) == 0
    with Image.open(tmp_path / "a.gif") as moving:
        assert moving.n_frames == 10


def test_the_commands_in_a_process(folder, tmp_path):
    (tmp_path / "broken.txt").write_bytes(b"a red star\nbad \xff\n")
    code = (
        "import sys, runpy, image_bridge, image_bridge.__main__ as m\n"
        "assert 'torch' not in sys.modules and 'PIL' not in sys.modules\n"
        "m.main(sys.argv[1:])\n"
    )

    def run(*words):
        return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)

    done = run("generate", folder, RED, "zebra", "-n", 2, "--out", tmp_path / "a.png")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'a.png'}\n")
    assert done.stderr == "image-bridge: warning: the encoder knows no word of 'zebra'; its images are those of no text\n"
    done = run("generate", folder, "--prompts", tmp_path / "broken.txt", "--out", tmp_path / "s")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "received the byte 0xff in line 2" in done.stderr
    done = run("--help")
    assert "image-bridge generate RUN" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "broken.txt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generate", "RUN", ""], "the prompt is empty"),
        (["generate", "RUN", RED, " "], "prompt 2 is empty"),
        (["generate", "RUN", "red " * 2500], "2,000 characters at most; received 10,000"),
        (["generate", "RUN"], "expected sentences, or --prompts FILE with one a line"),
        (["generate", "RUN", RED, "--prompts", "IN/blank.txt"], "received both"),
        (["generate", "RUN", "--prompts", "IN/blank.txt"], "blank.txt line 2 is blank"),
        (
            ["generate", "RUN", "--prompts", "IN/broken.txt"],
            "not text in UTF-8; expected a sentence a line; received the byte 0xff",
        ),
        (["generate", "RUN", "--prompts", "IN/empty.txt"], "holds no sentence"),
        (["generate", "RUN", "--prompts", "IN/none.txt"], "no such file"),
        (["generate", "IN", RED], "holds no generator"),
        (["generate", "IN/run", RED], "has no whole checkpoint yet"),
        (["generate", "IN/none", RED], "holds no generator"),
        (["generate", "RUN", RED, "-n", "0"], "--number must be 1 or more; received 0"),
        (["generate", "RUN", RED, "-n", "many"], "expects a whole number; received 'many'"),
        (["generate", "RUN", RED, "--seed", "-1"], "seeds must be 0 or more and below 2^63; received -1"),
        (["generate", "RUN", RED, "--seed", "1" * 30], "below 2^63"),
        (["generate", "RUN", RED, "--batch", "0"], "--batch must be 1 or more"),
        (["generate", "RUN", RED, "--columns", "0"], "--columns must be 1 or more"),
        (["generate", "RUN", RED, "--scale", "-2"], "--scale must be 0 or more"),
        (["generate", "RUN", RED, "--scale", "900"], "too many for one picture"),
        (["generate", "RUN", RED, "-n", "99999"], "give --out FOLDER for a file an image"),
        (["generate", "RUN", RED, "--truncation", "0"], "truncation must be a finite number above 0"),
        (["generate", "RUN", RED, "--truncation", "nan", "--out", "OUT/folder"], "truncation must be a finite number above 0"),
        (["generate", "RUN", RED, "--device", "gpu"], "--device: unknown device"),
        (["generate", "RUN", RED, "--out", "OUT/a.jpg"], "has the ending .jpg; expected --out FILE.png, or a new folder"),
        (["generate", "RUN", RED, "--out", ""], "nothing was named to write to"),
        (["generate", "RUN", RED, "--out", "IN"], "exists already; expected the name of a new folder"),
        (["generate", "RUN", RED, "--out", "IN/empty.txt/a.png"], "it is a file; name another place"),
        (["generate", "RUN", RED, "--out", "/proc/none/a.png"], "cannot be"),
        (["generate", "RUN", RED, "--out", "/proc/none"], "cannot be"),
        (["interpolate", "RUN", RED], "TO is missing"),
        (["interpolate", "RUN", RED, ""], "prompt 2 is empty"),
        (["interpolate", "RUN", RED, BLUE, "--steps", "1"], "steps must be 2 or more"),
        (["interpolate", "RUN", RED, BLUE, "--steps", "999999"], "give a smaller --steps or --scale"),
        (["interpolate", "RUN", RED, BLUE, "--out", "OUT/a"], "has no ending; expected --out FILE.png or FILE.gif"),
        (["interpolate", "RUN", RED, BLUE, "--out", "IN/a.png"], "is a folder"),
        (["interpolate", "RUN", RED, BLUE, "--last-seed", "-3"], "received -3"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(words, said, folder, tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    for made in (out, source / "run" / "checkpoints", source / "a.png"):
        made.mkdir(parents=True)
    (source / "blank.txt").write_text("a red star\n\na blue star\n")
    (source / "broken.txt").write_bytes(b"a red star\nbad \xff\n")
    (source / "empty.txt").write_text("\n \n")
    before = sorted(tmp_path.rglob("*"))
    words = [*words, *([] if "--out" in words else ["--out", "OUT/a.png"])]
    places = {"RUN": str(folder), "IN": str(source), "OUT": str(out)}
    given = ["/".join([places.get(word.split("/")[0], word.split("/")[0]), *word.split("/")[1:]]) for word in words]
    assert bridge(*given) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.err.startswith("image-bridge: ")
    assert told.out == ""
    assert sorted(tmp_path.rglob("*")) == before
