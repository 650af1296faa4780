"""The mathematics of the GAN lab, without its page."""

import copy
import math

import numpy as np
import pytest
import torch

from textgan.ui.ganlab import (
    BATCH,
    BINS,
    EDGE,
    LOSSES,
    PENALTY,
    PHASES,
    SHAPES,
    Lab,
    LabConfig,
    histogram,
    js,
    kl,
    sample_shape,
    smoothed,
)  # fmt: skip


def parameters(network):
    return [p.detach().clone() for p in network.parameters()]


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_divergences_by_hand():
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    assert kl(p, q) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert kl(q, p) == pytest.approx(0.25 * math.log(1 / 2) + 0.75 * math.log(3 / 2)) != pytest.approx(kl(p, q))
    m = (p + q) / 2
    assert js(p, q) == pytest.approx((kl(p, m) + kl(q, m)) / 2) == js(q, p)
    assert kl(p, p) == js(p, p) == 0
    left, right = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert js(left, right) == pytest.approx(math.log(2))
    assert kl(left, right) == math.inf
    assert kl(left, smoothed(right, 9)) == pytest.approx(-math.log(0.5 / 10))


def test_points_are_counted_in_their_cells():
    side = 2 * EDGE / BINS
    points = torch.tensor([[-EDGE + side / 2, EDGE - side / 2], [-EDGE + side / 2, EDGE - side / 2], [99.0, -99.0], [0.01, 0.01]])
    found = histogram(points)
    assert found[0, BINS - 1] == 0.5
    assert found[BINS - 1, 0] == found[BINS // 2, BINS // 2] == 0.25
    assert found.sum() == 1


def test_every_shape_is_where_it_says():
    r = torch.Generator().manual_seed(0)
    drawing = torch.zeros(4, 4)
    drawing[0, 3] = 1  # right, on top
    found = {name: sample_shape(name, 4000, r, drawing) for name in SHAPES}
    assert all(x.shape == (4000, 2) and x.abs().max() < EDGE for x in found.values())
    centres = 0.75 * torch.stack([torch.tensor([math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)]) for k in range(8)])
    near = torch.cdist(found["ring of Gaussians"], centres).min(1)
    assert near.values.max() < 0.25
    assert (near.indices.bincount() / 4000 - 1 / 8).abs().max() < 0.03
    assert (found["two far Gaussians"].abs() - 0.7).abs().max() < 0.4
    line = found["line"]
    assert (line[:, 1] - 0.6 * line[:, 0]).std() < 0.03 < line[:, 0].std()
    own = found["own drawing"]
    assert (own >= 0.5).all()
    assert (own <= 1).all()


def test_phases_of_one_turn_each_do_their_own_thing():
    lab = Lab(LabConfig(d_steps=1))
    g, d = parameters(lab.G), parameters(lab.D)
    assert [lab.advance() for _ in PHASES[:4]] == list(PHASES[:4])
    assert equal(g, parameters(lab.G))
    assert equal(d, parameters(lab.D))
    turn = lab.turn
    with torch.no_grad():
        assert torch.equal(turn.fake, lab.G(turn.z))
        assert torch.equal(turn.real_score, lab.D(turn.real)[:, 0])
        p_real, p_fake = lab.D(turn.real).sigmoid(), lab.D(lab.G(turn.z)).sigmoid()
        by_hand = -(p_real.log().sum() + (1 - p_fake).log().sum()) / (2 * BATCH)
    assert turn.loss.item() == pytest.approx(by_hand.item(), rel=1e-5)
    twin = copy.deepcopy(lab.D)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        twin(torch.cat([turn.real, turn.fake.detach()]))[:, 0], torch.cat([torch.ones(BATCH), torch.zeros(BATCH)])
    )
    loss.backward()
    for ours, theirs in zip(turn.gradient, twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs.grad)
    torch.optim.Adam(twin.parameters(), lab.config.d_lr, betas=(0.5, 0.9)).step()
    assert lab.advance() == "update"
    for ours, theirs in zip(lab.D.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert not equal(d, parameters(lab.D))
    assert equal(g, parameters(lab.G))
    assert (lab.steps, lab.player) == (1, "D")
    lab.advance()
    assert lab.player == "G"
    d = parameters(lab.D)
    lab.go_to("update")
    assert equal(d, parameters(lab.D))
    assert not equal(g, parameters(lab.G))


def test_d_has_so_many_turns_before_g_also_when_that_is_changed_within_a_turn():
    lab, players = Lab(LabConfig(d_steps=2)), []
    for k in range(9):
        lab.go_to("loss")
        if k == 2:  # in G's turn
            lab.adjust(0.5, 0.25, 4)
        lab.go_to("update")
        players.append(lab.player)
    assert "".join(players) == "DDGDDDDGD"
    assert (lab.g.param_groups[0]["lr"], lab.d.param_groups[0]["lr"]) == (0.5, 0.25)


@pytest.mark.parametrize("loss", LOSSES)
def test_arrows_lower_g_s_loss_and_are_its_slope(loss):
    lab = Lab(LabConfig(loss=loss))
    lab.train(40)
    x = lab.G(lab.fixed[:8]).detach()
    pulls = lab.pulls(x)
    for k in range(2):
        step = torch.zeros_like(x)
        step[3, k] = 1e-2
        with torch.no_grad():
            slope = (lab.g_loss(lab.score(x + step)) - lab.g_loss(lab.score(x - step))).item() / 2e-2
        assert -slope * len(x) == pytest.approx(pulls[3, k].item(), rel=0.05, abs=2e-3)
    with torch.no_grad():
        assert lab.g_loss(lab.score(x + 0.05 * pulls)) < lab.g_loss(lab.score(x)) < lab.g_loss(lab.score(x - 0.05 * pulls))


def test_minimax_leaves_g_without_a_gradient_where_d_is_sure():
    found = {}
    for loss in LOSSES[:2]:
        lab = Lab(LabConfig(loss=loss))
        with torch.no_grad():
            lab.D[-1].bias.fill_(-12.0)
        found[loss] = lab.pulls(torch.zeros(4, 2)).norm().item()
    assert found["minimax"] < 1e-4 * found["non-saturating"]


def test_the_penalty_is_in_the_critic_s_loss():
    lab = Lab(LabConfig(loss="Wasserstein"))
    with torch.no_grad():
        for p in lab.D.parameters():
            p.zero_()
    lab.go_to("loss")
    assert lab.turn.loss.item() == pytest.approx(PENALTY)  # no slope anywhere: 0 - 0 + PENALTY (0 - 1)^2
    assert lab.field().max() == lab.field().min()


def test_it_learns_and_a_seed_decides_it():
    labs = [Lab(LabConfig(seed=seed)) for seed in (1, 1, 2)]
    for lab in labs:
        lab.train(1200)
    first, again, other = (lab.history[-1] for lab in labs)
    assert first == again != other
    assert first[0] == 1200
    assert labs[0].history[0][4] > 0.6 > 0.45 > first[4]
