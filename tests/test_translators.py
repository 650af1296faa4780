"""What the translators' algorithms have beside their papers: growth by nearest neighbours, the mean of G, total variation."""

import pytest
import torch
from torch import nn

from image_bridge.__main__ import main
from image_bridge.datasets import shapes
from image_bridge.objectives import total_variation
from textgan.runtime import frozen

from .image_conformance import build, weights

NAMES = ("combogan", "cyclegan", "dtn", "xgan")
FOLLOWED = {"dtn": "g"}  # what of G is followed, where it is not all


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("translators")
    shapes.build(path, 40, 16, 0, 1, lambda done, total: None)
    return path


def first_g_step(name, folder, **changes):
    made, images = build(name, folder, **changes)
    images.workers.seed(0, 0)
    return made, {key.removeprefix("g/"): float(value) for key, value in made.g_step(0).items()}


@pytest.mark.parametrize("name", NAMES)
def test_images_grow_as_asked(name, folder):
    for growth, layers in (("transposed", (True, False)), ("nearest", (False, True))):
        G = build(name, folder, growth=growth)[0].kept["generator"]
        assert tuple(any(isinstance(m, kind) for m in G.modules()) for kind in (nn.ConvTranspose2d, nn.Upsample)) == layers
        x = torch.rand(2, 3, G.config.size, G.config.size)
        source = torch.zeros(2, dtype=torch.long)
        assert G.eval().translate(x, source, source + 1).shape == x.shape
        assert G.config.growth == growth


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_of_g_is_kept_where_it_is_asked_for(name, folder):
    for decay in (0.0, 0.9):
        made, images = build(name, folder, ema=decay)
        before = {key: value.clone() for key, value in made.G.state_dict().items()}
        images.workers.seed(0, 0)
        made.g_step(0)
        now, kept = made.G.state_dict(), made.kept["generator"].state_dict()
        weight = min(decay, 0.1)  # after the first step, whatever the decay
        for key in (key for key in now if now[key].is_floating_point()):
            assert torch.allclose(kept[key], weight * before[key] + (1 - weight) * now[key], atol=1e-6), key
        part = FOLLOWED.get(name, "")
        moved = [key for key in now if key.startswith(part) and not torch.allclose(now[key], before[key], atol=1e-6)]
        assert moved
        assert all(torch.equal(kept[key], now[key]) for key in moved) == (decay == 0)


def test_the_f_of_dtn_is_one_and_the_same(folder):
    made, _ = build("dtn", folder, ema=0.9)
    assert made.kept["generator"].f is made.G.f
    assert made.kept["generator"].g is not made.G.g
    with frozen(made.kept["generator"]):
        pass
    assert not made.kept["generator"].g.training
    players = {p.data_ptr() for player in made.players.values() for p in player.parameters}
    assert not any(p.data_ptr() in players for p in made.kept["generator"].g.parameters())


@pytest.mark.parametrize("name", ["combogan", "cyclegan", "xgan"])
def test_total_variation_is_that_of_the_translations(name, folder):
    plain = first_g_step(name, folder)[1]
    assert "tv" not in plain
    made, images = build(name, folder, tv=0.01)
    a, b = made.drawn(0) if name == "combogan" else (0, 1)
    made.G.train()
    with torch.no_grad():
        expected = sum(total_variation(made.G(made.data[s][0], s, t)).item() for s, t in ((a, b), (b, a)))
    images.workers.seed(0, 0)
    told = {key.removeprefix("g/"): float(value) for key, value in made.g_step(0).items()}
    assert told["tv"] == pytest.approx(expected, rel=1e-4)
    assert told["loss"] == pytest.approx(plain["loss"] + 0.01 * told["tv"], rel=1e-4)
    assert any(
        not torch.equal(x, y)
        for x, y in zip(weights(made).values(), weights(first_g_step(name, folder)[0]).values(), strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("words", "says"), [("--ema 1.5", "1.5"), ("--growth linear", "linear")])
def test_mistakes_are_one_line(name, words, says, folder, tmp_path, capsys):
    classes = ["--classes", "colour"] if name == "dtn" else []
    given = ["--data", str(folder), "--run", str(tmp_path / "run"), "--label", "size", "--size", "16", *classes]
    with pytest.raises(SystemExit) as left:
        main(["train", name, *given, *words.split()])
    assert left.value.code == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) <= 2
    assert says in error
    assert not (tmp_path / "run").exists()
