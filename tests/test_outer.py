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
    layer.zero_grad()
    grad.sum().backward()
    assert torch.allclose(layer.bias.grad, 2 * layer.weight.sum(1) * 4)
    bare, three = OuterLinear(3, 2, bias=False).double(), torch.randn(2, 4, 3).double()
    assert torch.equal(bare(x), F.linear(x, bare.weight))
    assert torch.equal(layer(three), F.linear(three, layer.weight, layer.bias))
    ours, _ = twins()
    ours.module[2].forward = lambda h: OuterLinear.forward(ours.module[2], h, plain=True)
    step(ours, 0)
    assert ours.module[2].weight.grad is not None
    assert ours.module[2].factors is None


def test_a_weight_that_is_used_otherwise_too_moves_once():
    ours, theirs = twins()
    for i in range(3):
        x = torch.randn(4, 7, generator=torch.Generator().manual_seed(i))
        norms = []
        for player, plain in ((ours, [True]), (theirs, [])):
            layer = player.module[2]
            loss = layer(x).square().mean() + layer(x + 1, *plain).sin().mean() + layer.weight.square().mean()
            norms.append(player.minimise(loss))
        assert torch.allclose(*norms, rtol=1e-5)
    assert alike(ours, theirs)
    assert ours.optimizer.state[ours.module[2].weight]["step"] == 3


@pytest.mark.parametrize(
    "optimizer", [torch.optim.AdamW, torch.optim.SGD, lambda p, lr, **k: torch.optim.Adam(p, lr, amsgrad=True, **k),
                  lambda p, lr, **k: torch.optim.Adam(p, lr, maximize=True, **k)],
    ids=["adamw", "sgd", "amsgrad", "maximize"],
)  # fmt: skip
def test_other_optimizers_get_the_whole_gradient(optimizer):
    players = [Player(p.module, optimizer(p.module.parameters(), 0.01, fused=True), p.workers) for p in twins()]
    for i in range(3):
        for player in players:
            step(player, i)
    assert not players[0].outer
    assert alike(*players)


def test_a_weight_that_does_not_move_is_left_alone():
    torch.manual_seed(0)
    ours, _ = twins()
    ours.module[2].weight.requires_grad_(False)
    free = [p for p in ours.module.parameters() if p.requires_grad]
    player, before = Player(ours.module, torch.optim.Adam(free, 0.01, fused=True), ours.workers), ours.module[2].weight.clone()
    step(player, 0)
    assert torch.equal(ours.module[2].weight, before)
    assert ours.module[2].factors is None


def test_a_backward_that_fails_leaves_an_ordinary_layer():
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise RuntimeError("no gradient")

    ours, theirs = twins()
    x = torch.randn(4, 5)
    with pytest.raises(RuntimeError, match="no gradient"):
        ours.minimise(ours.module[2:](Fails.apply(ours.module[:2](x))).mean())
    assert ours.module[2].factors is None
    ours.module(x).mean().backward()
    assert ours.module[2].weight.grad.any()
    copy.deepcopy(ours.module)


@pytest.mark.parametrize(("rows", "threads", "parts"), [(12, 1, 1), (12, 2, 2), (12, 3, 3), (11, 2, 1)])
def test_its_products_are_the_same_in_parts(monkeypatch, rows, threads, parts):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    layer, x = OuterLinear(5, rows).double(), torch.randn(4, 5).double().requires_grad_()
    nn.init.normal_(layer.bias)
    assert outer._shares(layer.weight) == parts
    expected = F.linear(x, layer.weight, layer.bias)
    found = layer(x)
    assert found.is_contiguous()
    assert torch.allclose(found, expected)
    assert torch.autograd.gradcheck(layer, (x,))
