"""XGAN and ComboGAN: what their networks share, what a turn moves, their losses in cases that can be told by hand."""

import itertools
from collections import Counter

import pytest
import torch
from torch import nn

from image_bridge.datasets import shapes
from image_bridge.discriminators import GreyAndBlurred
from image_bridge.generators import FeatureConfig, FeatureTranslator, XGANTranslator, XGANTranslatorConfig
from image_bridge.objectives import distance, reversed_gradient
from textgan.errors import UserError

from .image_conformance import build, same, weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("xgan")
    shapes.build(path, 40, 16, 0, 1, lambda done, total: None)
    return path


def test_the_reversed_gradient_is_that_of_the_plain_function_times_minus_its_weight():
    x = torch.randn(3, 4, dtype=torch.double, requires_grad=True)

    def f(h):
        return (h.sin() * torch.arange(1.0, 5.0).double()).sum()

    (plain,) = torch.autograd.grad(f(x), x)
    for weight in (1.0, 0.25, -1.0):
        assert torch.equal(reversed_gradient(x, weight), x)
        (found,) = torch.autograd.grad(f(reversed_gradient(x, weight)), x)
        assert torch.equal(found, -weight * plain)
    assert plain.any()


def test_distances_by_hand():
    a, b = torch.zeros(2, 1, 1, 2), torch.tensor([[[[3.0, 4.0]]], [[[0.0, 1.0]]]])
    assert distance(a, b) == pytest.approx((5 + 1) / 2)
    assert distance(b, b) == 0


def test_layers_at_64_pixels_are_the_papers():
    G = XGANTranslator(XGANTranslatorConfig(("a", "b")))
    layers = nn.Conv2d | nn.ConvTranspose2d | nn.Linear

    def widths(module):
        found = [m for m in module.modules() if isinstance(m, layers)]
        return [m.out_features if isinstance(m, nn.Linear) else m.out_channels for m in found]

    assert [widths(e) for e in G.encoders] == [[32, 64]] * 2
    assert widths(G.encoder) == [128, 256, 1024, 1024]
    assert widths(G.decoder) == [512 * 16, 256]
    assert [widths(d) for d in G.decoders] == [[128, 64, 3]] * 2


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_deep_layers_are_one_and_private_ones_are_not(size):
    G = XGANTranslator(XGANTranslatorConfig(("a", "b"), "domain", size, 4, 12))
    x = torch.rand(2, 3, size, size) * 2 - 1
    assert G(x, 0, 1).shape == x.shape
    parts = {"encoder": G.encoder, "decoder": G.decoder}
    parts |= {f"encoder {k}": G.encoders[k] for k in (0, 1)} | {f"decoder {k}": G.decoders[k] for k in (0, 1)}
    for source, target in itertools.product((0, 1), repeat=2):
        G.zero_grad()
        G(x, source, target).square().sum().backward()
        reached = {name for name, part in parts.items() if all(p.grad is not None and p.grad.any() for p in part.parameters())}
        untouched = {name for name, part in parts.items() if all(p.grad is None for p in part.parameters())}
        assert reached == {"encoder", "decoder", f"encoder {source}", f"decoder {target}"}
        assert untouched == {f"encoder {1 - source}", f"decoder {1 - target}"}
    places = [p.data_ptr() for p in G.parameters()]
    assert len(places) == len(set(places)) == sum(len(list(part.parameters())) for part in parts.values())
    before = G.encode(x, 0), G.encode(x, 1)
    with torch.no_grad():
        next(G.encoders[0].parameters()).mul_(-1)
    assert torch.equal(G.encode(x, 1), before[1])
    assert not torch.equal(G.encode(x, 0), before[0])
    with torch.no_grad():
        next(G.encoder[-2].parameters()).mul_(-1)
    assert not torch.equal(G.encode(x, 1), before[1])


def semantic(folder, alike):
    """XGAN's semantic loss where an image is its own translation, with private layers that are alike or not."""
    made, images = build("xgan", folder)
    G, seen, encode = made.G, [], made.G.encode
    if alike:
        G.encoders[1].load_state_dict(G.encoders[0].state_dict())

    def remembered(x, k):
        code = encode(x, k)
        seen.append((code, x))
        return code

    G.encode, G.decode = remembered, lambda code, k: next(x for c, x in seen if c is code)
    images.workers.seed(0, 0)
    told = made.g_step(0)
    assert told["g/reconstruction"] == 0
    return float(told["g/semantic"])


def test_an_image_that_is_its_own_translation_has_no_semantic_loss(folder):
    assert semantic(folder, alike=True) == 0
    assert semantic(folder, alike=False) > 1e-4


def test_the_classifier_of_domains_learns_what_the_encoders_unlearn(folder):
    gradients = {}
    for deceive in (0.0, 1.0, 2.0):
        made, images = build("xgan", folder, deceive=deceive, reconstruction=0.0, semantic=0.0, adversarial=0.0)
        images.workers.seed(0, 0)
        made.g_step(0)
        gradients[deceive] = [made.G.encoders[0][0][0].weight.grad, made.domain[0].weight.grad]
    assert not gradients[0.0][0].any()  # of the encoder
    torch.testing.assert_close(gradients[2.0][0], 2 * gradients[1.0][0])
    assert gradients[1.0][0].any()
    torch.testing.assert_close(gradients[2.0][1], gradients[0.0][1])  # of the classifier, whatever the weight
    assert gradients[0.0][1].any()


def test_the_teacher_stays_and_teaches_the_first_domain_alone(folder, tmp_path):
    f = FeatureTranslator(FeatureConfig(("a", "b"), size=16, features=5, f_width=4, width=4))
    f.save_pretrained(tmp_path / "dtn/generator")
    alone = {"reconstruction": 0.0, "deceive": 0.0, "semantic": 0.0, "adversarial": 0.0, "lr": 0.01}
    (made, images), (start, _) = (build("xgan", folder, teacher=str(tmp_path / "dtn"), **alone) for _ in range(2))
    other, _ = build("xgan", folder, **alone)
    before, told = weights(made), made.g_step(0)
    assert same(made.g.module["teacher"].state_dict(), f.f.state_dict())
    moved = {k.removeprefix("generator_now.") for k, v in weights(made).items() if not torch.equal(v, before[k])}
    assert {k.split(".")[0] for k in moved if k.startswith(("encoder", "taught", "teacher", "decoder"))} == {
        "encoders",
        "encoder",
        "taught",
    }
    assert {k[:10] for k in moved if k.startswith("encoders")} == {"encoders.0"}
    x = made.data[0][0]
    with torch.no_grad():
        apart = start.g.module["taught"](start.G.encode(x, 0)) - f.f(x)
    assert float(told["g/teacher"]) == pytest.approx(float(apart.norm(dim=1).mean()), rel=1e-4)
    before = weights(other)
    assert "g/teacher" not in other.g_step(0)
    assert not any("encoder" in k for k, v in weights(other).items() if not torch.equal(v, before[k]))
    with pytest.raises(UserError, match="looks at images of 16 pixels; expected --size 32"):
        build("xgan", folder, teacher=str(tmp_path / "dtn"), size=32)
    start.G.save_pretrained(tmp_path / "xgan")
    with pytest.raises(UserError, match="has no f; expected a run of dtn"):
        build("xgan", folder, teacher=str(tmp_path / "xgan"))


def test_two_domains_are_drawn_and_every_two_as_often(folder):
    made, _ = build("combogan", folder)
    drawn = [made.drawn(i) for i in range(3000)]
    counts = Counter(drawn)
    assert set(counts) == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert all(abs(count - 500) < 4 * (3000 * 5 / 36) ** 0.5 for count in counts.values())
    assert [made.drawn(i) for i in range(3000)] == drawn
    assert [build("combogan", folder, seed=1)[0].drawn(i) for i in range(20)] != drawn[:20]


def test_a_turn_moves_the_two_that_are_drawn(folder):
    made, images = build("combogan", folder)
    for i in range(3):
        for step, kinds in (
            (made.g_step, ("generator.encoders", "generator.decoders")),
            (made.d_step, ("discriminators.scores",)),
        ):
            before = weights(made)
            images.workers.seed(0, i)
            step(i)
            moved = {k for k, v in weights(made).items() if not torch.equal(v, before[k]) and k.startswith(kinds)}
            assert {(k.split(".")[1], int(k.split(".")[2])) for k in moved} == {
                (kind.split(".")[1], k) for kind in kinds for k in made.drawn(i)
            }
    assert len({frozenset(made.drawn(i)) for i in range(3)}) > 1


def test_with_two_domains_it_plays_the_game_of_cyclegan(folder):
    told = []
    for name, changes in (
        ("combogan", {"label": "size", "domains": "large,small", "epochs": 1}),
        ("cyclegan", {"identity": 0.0}),
        ("cyclegan", {}),
    ):
        made, images = build(name, folder, **changes)
        images.workers.seed(0, 0)
        told.append({**made.g_step(0), **made.d_step(0)})
    assert told[0].keys() == told[1].keys()
    for key, value in told[0].items():
        torch.testing.assert_close(value, told[1][key], rtol=1e-3, atol=1e-5)
    assert abs(told[2]["g/loss"] - told[0]["g/loss"]) > 0.1


def test_the_options_of_the_authors_program(folder):
    def told(i=0, **changes):
        made, images = build("combogan", folder, **changes)
        images.workers.seed(0, 0)
        return {key: float(value) for key, value in made.g_step(i).items()}

    plain, last = told(), told(3)
    assert told(cycle_loss="smooth_l1")["g/cycle"] < plain["g/cycle"]  # half the square, below 1
    with_latent = told(latent=2.0)
    assert with_latent["g/latent"] > 0
    assert with_latent["g/loss"] == plain["g/loss"]  # it begins at nothing
    made, _ = build("combogan", folder)
    later = told(3, latent=2.0)
    assert later["g/loss"] == pytest.approx(last["g/loss"] + 2 * 3 / made.steps * later["g/latent"], rel=1e-5)
    forward = told(forward=0.2)
    assert forward["g/loss"] == pytest.approx(plain["g/loss"] + 0.2 * forward["g/forward"], rel=1e-5)
    identity = told(identity=0.5)
    assert identity["g/loss"] == pytest.approx(plain["g/loss"] + 5 * identity["g/identity"], rel=1e-5)


def test_one_network_sees_the_grey_and_the_other_blurred_colours():
    torch.manual_seed(0)
    D = GreyAndBlurred(32, 3, 4, 2)
    x = nn.functional.interpolate(torch.rand(2, 3, 4, 4), (32, 32), mode="bilinear")
    tinted = x.clone()
    tinted[:, 0] += 0.587 * 0.5
    tinted[:, 1] -= 0.299 * 0.5  # as bright as before
    tinted[:, :, :16] = x[:, :, :16]
    scores, other = D(x), D(tinted)
    assert scores.shape == (2, 2, 6, 6)
    torch.testing.assert_close(other[:, 0], scores[:, 0], atol=1e-5, rtol=0)
    assert (other[:, 1] - scores[:, 1]).abs().max() > 1e-3
    noisy = x.clone()
    noisy[:, :, 1:-1:2] += 0.3
    noisy[:, :, 2:-1:2] -= 0.3  # rows in turn: it is gone where it is blurred
    change = (D(noisy) - scores).abs().amax((0, 2, 3))
    assert change[1] < change[0] / 2
    assert set(D.state_dict()) == {k for k in D.state_dict() if k.startswith(("grey.", "colours."))}
