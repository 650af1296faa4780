"""The layers whose gradient stays two factors: the same numbers as with nn.Linear."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from textgan.runtime import OuterLinear, Player, Workers, outer


def twins(clip=None, **given):
    """A network with an OuterLinear and one with an nn.Linear, the same weights, and a player of each."""
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), OuterLinear(7, 11), nn.Tanh(), nn.Linear(11, 1))
    theirs = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 11), nn.Tanh(), nn.Linear(11, 1))
    theirs.load_state_dict(ours.state_dict())
    workers = Workers(device=torch.device("cpu"))
    return [Player(m, torch.optim.Adam(m.parameters(), 0.01, fused=True, **given), workers, clip) for m in (ours, theirs)]


def step(player, i, twice=False):
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(i))
    loss = player.module(x).square().mean()
    return player.minimise(loss + player.module(x + 1).mean() if twice else loss)


def alike(a, b):
    pairs = list(zip(a.module.parameters(), b.module.parameters(), strict=True))
    return all(torch.allclose(x, y, atol=1e-6) for x, y in pairs)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("given", [{}, {"weight_decay": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}])
def test_a_player_moves_it_as_it_moves_a_linear_layer(monkeypatch, twice, given):
    monkeypatch.setattr(outer, "BLOCK", 28)  # four rows of seven: the last block is smaller
    ours, theirs = twins(**given)
    before = ours.module[2].weight.detach().clone()
    for i in range(4):
        norm, expected = (step(player, i, twice) for player in (ours, theirs))
        assert torch.allclose(norm, expected, rtol=1e-5)
        assert ours.module[2].weight.grad is None  # it was never written
        assert theirs.module[2].weight.grad is not None
    assert alike(ours, theirs)
    assert not torch.allclose(ours.module[2].weight, before, atol=1e-3)
    step(theirs, 9)
    assert not alike(ours, theirs)  # control


def test_one_goes_on_where_the_other_stopped():
    ours, theirs = twins()
    step(ours, 0), step(theirs, 0)
    state = ours.optimizer.state_dict()
    assert state["state"].keys() == theirs.optimizer.state_dict()["state"].keys()
    theirs.optimizer.load_state_dict(copy.deepcopy(state))
    again, _ = twins()
    again.module.load_state_dict(theirs.module.state_dict())
    again.optimizer.load_state_dict(copy.deepcopy(theirs.optimizer.state_dict()))
    for i in (1, 2):
        step(again, i), step(theirs, i)
    assert alike(again, theirs)


def test_clipping_needs_the_whole_gradient():
    ours, theirs = twins(clip=0.01)
    assert not ours.outer
    for i in range(3):
        step(ours, i), step(theirs, i)
    assert ours.module[2].weight.grad is not None
    assert alike(ours, theirs)


def test_without_a_player_and_for_gradients_of_gradients_it_is_a_linear_layer():
    layer, x = OuterLinear(3, 2).double(), torch.randn(4, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))
    expected = F.linear(x, layer.weight, layer.bias)
    assert torch.equal(layer(x, plain=True), expected)
    for found in (layer(x), expected):
        layer.zero_grad()
        found.square().sum().backward()
        assert torch.allclose(layer.weight.grad, 2 * expected.detach().T @ x.detach())
    (grad,) = torch.autograd.grad(layer(x, plain=True).square().sum(), x, create_graph=True)
    grad.sum().backward()
    ours, _ = twins()
    ours.module[2].forward = lambda h: OuterLinear.forward(ours.module[2], h, plain=True)
    step(ours, 0)
    assert ours.module[2].weight.grad is not None
    assert ours.module[2].factors is None
