"""StarGAN: its codes, its networks and its losses against plainer forms, and the command with several attributes."""

import json

import numpy as np
import pytest
import torch

from image_bridge.__main__ import main
from image_bridge.algorithms import stargan
from image_bridge.datasets import shapes
from image_bridge.discriminators import DomainDiscriminator
from image_bridge.generators import LabelledConfig, LabelledTranslator, load_translator
from image_bridge.images import ImageData
from image_bridge.pairs import TrainingImages
from textgan.errors import UserError
from textgan.runtime import Workers

from .image_conformance import build

TWO = {"label": "size,kind", "domains": "large + ring,small + ring,small + star"}
TINY = ["--size", "8", "--steps", "2", "--critic-steps", "2", "--batch", "4", "--width", "4", "--blocks", "1", "--d-width", "4",
        "--threads", "1", "--grids", "2"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("stargan")
    shapes.build(path, 40, 32, 0, 1, lambda done, total: None)
    return path


@pytest.fixture
def some_without(folder, tmp_path):
    """The same images, of which every third has lost its size."""
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    for row in rows[::3]:
        del row["attributes"]["size"]
    (tmp_path / "images").symlink_to(folder / "images")
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def of(made, i=0):
    """A minibatch, its domains and those that it is to be translated into, as the next step will draw them."""
    real, domain = made.data[i], made.data.labels(i)
    made.workers.seed(0, 0)
    target = made.targets(domain)
    made.workers.seed(0, 0)
    return real, domain, target


# networks


@pytest.mark.parametrize("border", ["reflect", "replicate", "zeros"])
def test_only_with_zeros_around_it_does_an_image_keep_its_code(border):
    G = LabelledTranslator(LabelledConfig(("a", "b", "c"), size=16, width=4, blocks=1)).double()
    for norm in (m for m in G.modules() if isinstance(m, torch.nn.InstanceNorm2d)):
        torch.nn.init.uniform_(norm.weight)
        torch.nn.init.uniform_(norm.bias)
    G.layers[0].padding_mode = border  # of the one layer that sees the code
    x = torch.rand(1, 3, 16, 16, dtype=torch.float64).expand(3, -1, -1, -1)
    apart = (G(x, torch.arange(3)) - G(x, torch.zeros(3, dtype=torch.long))).abs().amax((1, 2, 3))
    assert apart[0] == 0
    assert (apart[1:].min() > 1e-3) if border == "zeros" else (apart.max() < 1e-9)


def test_codes_are_the_one_hots_of_all_attributes_side_by_side(tmp_path):
    one, two = (
        LabelledConfig(("a", "b", "c")),
        LabelledConfig(("a", "b", "c"), values=((0, 1), (1, 0), (1, 2)), width=2, blocks=1),
    )
    assert LabelledTranslator(one).codes.tolist() == torch.eye(3).tolist()
    G = LabelledTranslator(two)
    assert G.codes.tolist() == [[1, 0, 0, 1, 0], [0, 1, 1, 0, 0], [0, 1, 0, 0, 1]]
    G.save_pretrained(tmp_path)
    again = load_translator(tmp_path)
    assert again.config == two
    assert again.codes.equal(G.codes)
    x, ways = torch.rand(2, 3, 128, 128), torch.tensor([1, 2])
    made = again.translate(x, torch.zeros(2, dtype=torch.long), ways)
    torch.testing.assert_close(made, G(x, ways), atol=1e-5, rtol=0)
    assert (made - again.translate(x, ways, ways.flip(0))).abs().max() > 1e-3  # the target alone decides, not the source


def test_d_halves_an_image_down_to_2_x_2():
    for size, layers in ((8, 2), (32, 4), (128, 6)):
        D = DomainDiscriminator(size, 4, (3, 2))
        assert len(D.body) == layers
        patches, logits = D(torch.zeros(5, 3, size, size))
        assert patches.shape == (5, 1, 2, 2)
        assert [a.shape for a in logits] == [(5, 3), (5, 2)]
    assert DomainDiscriminator(128, 64, (2,)).domain.in_channels == 2048
    assert DomainDiscriminator(256, 4, (2,)).domain.in_channels == 128
    with pytest.raises(ValueError, match="power of two"):
        stargan.StarGAN.sizes(stargan.StarGANConfig(size=28))


# data


def test_images_of_no_domain_are_left_out(some_without):
    data = ImageData(some_without)
    images = TrainingImages(data, {8: data.pack(8)}, Workers())
    batches, values = images.labelled("size", ("small", "large"), 8, 4)
    numbers, words = data.attributes["size"]
    assert values == ((1,), (0,))
    assert 0 < len(batches.chosen) < len(images.chosen)
    assert set(batches.chosen) == {i for i in images.chosen if numbers[i] >= 0}
    for i in range(batches.per_epoch):
        rows = batches.chosen[batches.order.indices(i)]
        assert [("small", "large")[k] for k in batches.labels(i)] == [words[k] for k in numbers[rows]]
    alone, _ = images.labelled("kind", ("ring", "star"), 8, 4)
    assert {data.attributes["kind"][1][data.attributes["kind"][0][i]] for i in alone.chosen} == {"ring", "star"}
    with pytest.raises(UserError, match="has no size"):
        data.classes("size")


def test_several_attributes_give_the_combinations_that_there_are(folder, some_without):
    data = ImageData(folder)
    numbers, words = data.attribute("size, kind")
    both = {
        f"{data.attributes['size'][1][a]} + {data.attributes['kind'][1][b]}"
        for a, b in zip(data.attributes["size"][0], data.attributes["kind"][0], strict=True)
    }
    assert set(words) == both
    assert len(both) < 12
    first = data.attributes["size"][1][data.attributes["size"][0][7]]
    assert words[numbers[7]].startswith(f"{first} + ")
    lost = ImageData(some_without)
    assert ((lost.attribute("size,kind")[0] < 0) == (lost.attributes["size"][0] < 0)).all()
    with pytest.raises(UserError, match="--label shape names no attribute"):
        data.attribute("size,shape")
    made, _ = build("stargan", folder, **TWO)
    assert made.G.config.values == ((0, 0), (1, 0), (1, 1))
    assert made.G.config.targets == ("large + ring", "small + ring", "small + star")


@pytest.mark.parametrize("world", [1, 2])
def test_targets_are_the_domains_of_the_whole_minibatch_shuffled(world, folder):
    made, _ = build("stargan", folder)
    domain, found = torch.arange(8), []
    for rank in range(world):
        workers = Workers(rank, world)
        workers.gather = lambda own: domain
        workers.seed(0, 0)
        made.workers = workers
        found.append(made.targets(domain.chunk(world)[rank]))
    assert torch.cat(found).sort().values.equal(domain)
    assert not torch.cat(found).equal(domain)
    assert set(found[0].tolist()) != set(range(4))  # not those of a process's own half


# losses


@pytest.mark.parametrize("changes", [{}, TWO], ids=["one", "two"])
def test_the_losses_of_both_players_by_hand(changes, folder):
    made, _ = build("stargan", folder, **changes, weight=2.0, cycle=3.0)
    torch.nn.init.normal_(made.D.domain.weight)

    def named(logits, domain):
        found = 0.0
        for part, column in zip(logits, np.array(made.G.config.values).T, strict=True):
            p = part.softmax(1)
            found -= np.mean([p[k, column[d]].log().item() for k, d in enumerate(domain)])
        return found

    with torch.no_grad():
        real, domain, target = of(made)
        (right, logits), (wrong, _) = made.D(real), made.D(made.G(real, target))
        told = (wrong.mean() - right.mean()).item(), named(logits, domain)
        control = named(logits, target)
    d = made.d_step(0)
    assert (d["d/loss"].item(), d["d/domain"].item()) == pytest.approx(told, abs=1e-5)
    assert abs(control - told[1]) > 1e-2  # it is the domain of real images that D learns
    with torch.no_grad():
        real, domain, target = of(made, 1)  # what D's second step sees
        fake = made.G(real, target)
        score, logits = made.D(fake)
        parts = -score.mean().item(), named(logits, target), (made.G(fake, domain) - real).abs().mean().item()
        nowhere = (made.G(fake, target) - real).abs().mean().item()
    g = made.g_step(0)
    assert (g["g/adversarial"].item(), g["g/domain"].item(), g["g/cycle"].item()) == pytest.approx(parts, abs=1e-5)
    assert g["g/loss"].item() == pytest.approx(parts[0] + 2 * parts[1] + 3 * parts[2], abs=1e-4)
    assert abs(nowhere - parts[2]) > 1e-5  # the way back is into the domain that the image is of


def test_the_rate_falls_over_the_second_half_of_both(folder):
    made, _ = build("stargan", folder, steps=8)
    rates = []
    for step in (made.d_step, made.g_step):
        counts = 16 if step == made.d_step else 8
        player = made.d if step == made.d_step else made.g
        for i in (0, counts // 2, 3 * counts // 4):
            made.workers.seed(0, i)
            step(i)
            rates.append(player.optimizer.param_groups[0]["lr"] / 1e-4)
    assert rates == pytest.approx([1, 1, 0.5] * 2)


# the command


def here(*words):
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


def test_the_command_trains_on_two_attributes_and_says_what_is_wrong(folder, tmp_path, capsys):
    train = ["train", "stargan", "--data", folder, *TINY]
    assert here(*train, "--run", tmp_path / "r", "--label", TWO["label"], "--domains", TWO["domains"]) == 0
    G = load_translator(sorted((tmp_path / "r/checkpoints").iterdir())[-1] / "generator")
    assert G.config.domains == tuple(TWO["domains"].split(","))
    assert G.codes.shape == (3, 4)
    capsys.readouterr()
    for words, told in (
        (["--label", "size,shape"], "--label shape names no attribute"),
        (["--label", "size", "--domains", "small"], "two domains or more"),
        (["--label", "size", "--size", "28"], "power of two"),
        (["--label", "size", "--compile"], "differentiate twice"),
    ):
        assert here(*train, "--run", tmp_path / "bad", *words) == 2
        error = capsys.readouterr().err
        assert told in error
        assert "Traceback" not in error
        assert not (tmp_path / "bad").exists()
