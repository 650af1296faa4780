"""The likelihood of tokens a few rows at a time, against the plain form."""

import pytest
import torch
from torch.nn import functional as F

from textgan import likelihood
from textgan.likelihood import token_log_prob


def parts(seed=0):
    r = torch.Generator().manual_seed(seed)
    h, weight, bias = torch.randn(5, 7, 6, generator=r), torch.randn(11, 6, generator=r), torch.randn(11, generator=r)
    x, wanted = torch.randint(1, 11, (5, 7), generator=r), torch.rand(5, 7, generator=r) < 0.6
    return [p.double().requires_grad_() for p in (h, weight, bias)], x, wanted


def plain(h, weight, bias, x, wanted):
    return F.linear(h, weight, bias).log_softmax(2).gather(2, x.unsqueeze(2)).squeeze(2) * wanted


@pytest.mark.parametrize("scores", [11, 40, 10_000])  # one row at a time, a few, all
def test_it_equals_the_plain_form_and_so_does_its_gradient(scores, monkeypatch):
    monkeypatch.setattr(likelihood, "SCORES", scores)
    leaves, x, wanted = parts()
    weights = torch.randn(5, 7, generator=torch.Generator().manual_seed(1)).double()
    values, gradients = [], []
    for form in (token_log_prob, plain):
        found = form(*leaves, x, wanted)
        values.append(found)
        gradients.append(torch.autograd.grad((found * weights).sum(), leaves))
    assert torch.allclose(*values, atol=1e-12)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*gradients, strict=True))
    assert not torch.allclose(token_log_prob(*leaves, x.roll(1, 1), wanted), values[1], atol=1e-3)
    assert (values[0][~wanted] == 0).all()
    assert torch.autograd.gradcheck(lambda *p: token_log_prob(*p, x, wanted), leaves)


def test_a_banned_token_has_no_probability_and_spoils_no_gradient():
    (h, weight, bias), x, wanted = parts()
    ban = torch.zeros(11).double()
    ban[0] = -torch.inf
    padded = torch.where(wanted, x, 0)  # what is not wanted may be a banned token
    found = token_log_prob(h, weight, bias + ban, padded, wanted)
    gradients = torch.autograd.grad(found.sum(), (h, weight, bias))
    assert torch.isfinite(found).all()
    assert all(torch.isfinite(g).all() for g in gradients)
    assert gradients[2][0] == 0
    free = token_log_prob(h, weight, bias, padded, wanted)
    assert (found[wanted] > free[wanted]).all()


def test_nothing_wanted_and_autocast():
    (h, weight, bias), x, wanted = parts()
    nothing = token_log_prob(h, weight, bias, x, torch.zeros_like(wanted))
    assert (nothing == 0).all()
    assert (torch.autograd.grad(nothing.sum(), weight)[0] == 0).all()
    with torch.autocast("cpu", torch.bfloat16):
        low = token_log_prob(h.float(), weight.float(), bias.float(), x, wanted)
    full = plain(h, weight, bias, x, wanted)
    assert 1e-6 < (low - full).abs().max() < 0.1
