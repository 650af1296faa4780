"""What dcgan can have of later papers and of practice, against slower and plainer forms."""

import itertools
import math

import pytest
import torch

from image_bridge.blocks import MinibatchDiscrimination
from image_bridge.objectives import d_loss, feature_matching, flipped
from textgan.objectives import r1


def test_a_label_is_flipped_where_its_number_is_below_the_share():
    real, fake, u = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([0.19, 0.2, 0.0])
    a, b = flipped(real, fake, u, 0.2)
    assert a.tolist() == [-1, 2, -3]
    assert b.tolist() == [1, -2, 3]
    p, q = torch.sigmoid(real), torch.sigmoid(fake)
    by_hand = -(q[0].log() + p[1].log() + q[2].log() + (1 - p[0]).log() + (1 - q[1]).log() + (1 - p[2]).log()) / 3
    assert d_loss(a, b, "bce") == pytest.approx(by_hand.item(), rel=1e-6)
    assert d_loss(*flipped(real, fake, u, 0.0), "bce") == d_loss(real, fake, "bce") != d_loss(a, b, "bce")


def test_feature_matching_by_hand():
    real, fake = torch.tensor([[1.0, 2.0], [3.0, 0.0]], requires_grad=True), torch.tensor([[0.0, 4.0]], requires_grad=True)
    loss = feature_matching(real, fake)
    assert loss == 2**2 + 3**2
    loss.backward()
    assert fake.grad.tolist() == [[-4, 6]]
    assert real.grad is None
    assert feature_matching(torch.tensor([[0.0, 4.0], [2.0, 0.0]]), torch.tensor([[1.0, 2.0]])) == 0  # means alone count


def test_r1_of_a_linear_and_of_a_square_d():
    w, x = torch.randn(3 * 4 * 4), torch.randn(5, 3, 4, 4, requires_grad=True)
    w.requires_grad_()
    found = r1(x.flatten(1) @ w, x)
    assert found.item() == pytest.approx(w.norm().item() ** 2 / 2, rel=1e-5)
    torch.testing.assert_close(torch.autograd.grad(found, w)[0], w.detach())  # through the gradient into D
    assert r1(x.square().flatten(1).sum(1) / 2, x).item() == pytest.approx(x.square().sum().item() / 10, rel=1e-5)


def test_minibatch_discrimination_against_a_loop_over_pairs():
    block = MinibatchDiscrimination(6, 4, 3)
    h = torch.randn(5, 6)
    by_hand = torch.zeros(5, 4)
    for i, j, b in itertools.product(range(5), range(5), range(4)):
        by_hand[i, b] += math.exp(-sum(abs((h[i] - h[j]) @ block.T[:, b, c]).item() for c in range(3)))
    found = block(h)
    assert torch.equal(found[:, :6], h)
    torch.testing.assert_close(found[:, 6:], by_hand, rtol=1e-5, atol=1e-6)
    alike = block(h[:1].expand(5, -1))[:, 6:]
    torch.testing.assert_close(alike, torch.full((5, 4), 5.0))  # a minibatch of one image
    assert (found[:, 6:] < 4).all()
