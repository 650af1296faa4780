"""The sampler's frequencies against softmax, and its edges."""

import pytest
import torch
from scipy.stats import chisquare

from textgan.sampling import categorical, project_and_draw, restrict


@pytest.mark.parametrize("size", [3, 16, 101])
def test_frequencies_are_those_of_softmax(size):
    torch.manual_seed(0)
    logits, n = torch.randn(size), 40_000
    drawn = categorical(logits.expand(n, size), torch.rand(n)).bincount(minlength=size).double()
    p = logits.double().softmax(0)
    assert chisquare(drawn, p * n).pvalue > 1e-3
    assert chisquare(drawn, (logits.double() * 1.2).softmax(0) * n).pvalue < 1e-3  # the test can fail


def test_inverse_of_the_distribution_function():
    p = torch.tensor([[0.1, 0.0, 0.2, 0.7, 0.0]])
    for u, token in [(0.0, 0), (0.05, 0), (0.11, 2), (0.29, 2), (0.31, 3), (0.999, 3), (1 - 2**-24, 3)]:
        assert categorical(p.log(), torch.tensor([u])).item() == token


def test_banned_tokens_are_never_drawn():
    logits = torch.zeros(2**14, 77)
    logits[:, ::2] = -torch.inf
    u = torch.cat([torch.rand(2**14 - 2), torch.tensor([0.0, 1 - 2**-24])])
    drawn = categorical(logits, u)
    assert (drawn % 2 == 1).all()
    assert len(drawn.unique()) == 38


def test_pieces_give_what_one_piece_gives(monkeypatch):
    h, w, b, u = torch.randn(100, 4), torch.randn(50, 4), torch.randn(50), torch.rand(100)
    whole = project_and_draw(h, w, b, u)
    monkeypatch.setattr("textgan.sampling.CACHE_ELEMENTS", 1000)
    assert torch.equal(whole, project_and_draw(h, w, b, u))
    assert not torch.equal(whole, project_and_draw(h, w, b, u.flip(0)))


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_small_and_large_logits_are_drawn_alike(scale, monkeypatch):
    """Small logits take the way without a maximum, large ones that with it."""
    torch.manual_seed(0)
    h, w, b, u = torch.randn(3, 8) / 3, torch.randn(60, 8) * scale, torch.randn(60) * scale, torch.rand(20_000)
    b[:30] = -torch.inf
    logits = h @ w.t() + b
    assert (logits.amax() > 80) == (scale > 1)
    each = torch.arange(3).repeat(len(u))
    drawn = project_and_draw(h[each], w, b, u.repeat_interleave(3), temperature=0.8)
    plain = categorical(logits[each] / 0.8, u.repeat_interleave(3))
    assert (plain == drawn).float().mean() > 0.999  # up to a rounding at the edge between two tokens
    assert (plain == drawn.roll(3)).float().mean() < 0.999
    monkeypatch.setattr("textgan.sampling.SAFE", float("inf"))  # what large logits would give without their maximum
    unsafe = project_and_draw(h[each], w, b, u.repeat_interleave(3), temperature=0.8)
    assert torch.equal(unsafe, drawn) == (scale == 1)


def test_restrict():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert restrict(logits, top_k=2).softmax(0).tolist() == pytest.approx([0.625, 0.375, 0, 0])
    assert restrict(logits, top_p=0.7).softmax(0).tolist() == pytest.approx([0.625, 0.375, 0, 0])
    assert restrict(logits, top_p=0.5).softmax(0).tolist() == pytest.approx([1, 0, 0, 0])
    assert restrict(logits, temperature=0.5).softmax(0)[0].item() == pytest.approx(0.25 / 0.365)
    for bad in ({"temperature": 0}, {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 0}, {"top_p": 1.1}):
        with pytest.raises(ValueError, match="received"):
            restrict(logits, **bad)
