"""What the translators' algorithms have beside their papers: growth by nearest neighbours, a filter, the mean of G."""

import itertools
import math

import pytest
import torch
from torch import nn

from image_bridge.__main__ import main
from image_bridge.blocks import Bilateral
from image_bridge.datasets import shapes
from textgan.runtime import frozen

from .image_conformance import build

NAMES = ("combogan", "cyclegan", "dtn", "xgan")
FOLLOWED = {"dtn": "g"}  # what of G is followed, where it is not all


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("translators")
    shapes.build(path, 40, 16, 0, 1, lambda done, total: None)
    return path


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


def plain_bilateral(x, spread):
    """One place after the other."""
    out, (B, _, S, _) = torch.empty_like(x), x.shape
    for b, i, j in itertools.product(range(B), range(S), range(S)):
        mass, total = 0.0, torch.zeros_like(x[b, :, i, j])
        for k, m in itertools.product((-1, 0, 1), (-1, 0, 1)):
            other = x[b, :, min(max(i + k, 0), S - 1), min(max(j + m, 0), S - 1)]
            weight = math.exp(-0.5 * ((other - x[b, :, i, j]) * 127.5 / spread).square().sum().item())
            mass, total = mass + weight, total + weight * other
        out[b, :, i, j] = total / mass
    return out


def test_the_bilateral_filter_takes_specks_and_leaves_edges():
    torch.manual_seed(0)
    x = torch.rand(2, 3, 6, 6) * 2 - 1
    smooth = Bilateral(20)
    assert torch.allclose(smooth(x), plain_bilateral(x, 20), atol=1e-6)
    assert not torch.allclose(smooth(x), plain_bilateral(x, 40), atol=1e-2)  # control
    halves = torch.ones(1, 3, 8, 8)
    halves[..., 4:] = -1
    assert torch.equal(smooth(halves), halves)
    specks = 4 / 127.5 * torch.randn(1, 3, 8, 8)
    assert (smooth(halves + specks) - halves).std() < 0.5 * specks.std()


@pytest.mark.parametrize("name", NAMES)
def test_translations_leave_by_the_filter_where_it_is_asked_for(name, folder):
    plain, smooth = (build(name, folder, bilateral=spread)[0] for spread in (0.0, 20.0))
    smooth.G.load_state_dict(plain.G.state_dict())  # it has no weights
    for made in (plain, smooth):
        assert made.kept["generator"].config.bilateral == (20 if made is smooth else 0)
        made.G.eval()
    given = (torch.rand(2, 3, plain.G.config.size, plain.G.config.size), *((0, 1) if plain.G.needs_source else ()))
    with torch.no_grad():
        raw, found = plain.G(*given), smooth.G(*given)
    assert torch.allclose(found, Bilateral(20)(raw), atol=1e-6)
    assert not torch.equal(found, raw)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("words", "says"),
    [("--ema 1.5", "1.5"), ("--growth linear", "linear"), ("--bilateral -1", "--bilateral is too small; expected 0 or more")],
)
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
