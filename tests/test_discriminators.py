"""Fast ways through the discriminators, against the plain ones."""

import pytest
import torch

from textgan import discriminators
from textgan.discriminators import CNNHighway, CNNHighwayConfig


@pytest.fixture
def judge():
    torch.manual_seed(0)
    return CNNHighway(CNNHighwayConfig(30, 8, 6, (1, 2, 5, 9), (3, 4, 5, 6))).double().eval()


def test_tables_of_convolutions_judge_as_the_convolutions_do(judge, monkeypatch):
    monkeypatch.setattr(discriminators, "PIECE", 7)
    x = torch.randint(0, 25, (60, 8), generator=torch.Generator().manual_seed(1))  # not all tokens occur
    called = []
    tabulated = judge._tabulated
    monkeypatch.setattr(judge, "_tabulated", lambda part: called.append(len(part)) or tabulated(part))
    found = judge.probability(x)
    assert called == [49, 11]
    with torch.no_grad():
        plain = judge(x).sigmoid()
    assert torch.allclose(found, plain, atol=1e-12)
    assert not torch.allclose(found, judge.probability(x.flip(1)), atol=1e-3)  # order matters
    called.clear()
    assert not found.requires_grad
    few = judge.probability(x[:20])
    assert called == []  # tables do not pay for twenty
    assert torch.allclose(few, plain[:20], atol=1e-12)


def test_a_table_is_no_larger_than_its_limit(judge, monkeypatch):
    x = torch.randint(0, 30, (60, 8), generator=torch.Generator().manual_seed(1))
    whole, looked_up, sizes = judge.probability(x), torch.nn.functional.embedding_bag, []
    monkeypatch.setattr(
        discriminators.F, "embedding_bag", lambda i, table, **k: sizes.append(table.numel()) or looked_up(i, table, **k)
    )
    judge.probability(x)
    assert max(sizes) > 200
    monkeypatch.setattr(discriminators, "TABLE", 200)
    sizes.clear()
    assert torch.allclose(judge.probability(x), whole, atol=1e-12)
    assert max(sizes) <= 200


def test_they_are_single_precision_under_autocast(judge):
    judge.float()
    x = torch.randint(0, 30, (60, 8), generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        low = judge.probability(x)
    assert torch.allclose(low, judge.probability(x), atol=1e-6)


def test_the_largest_responses_and_their_gradients_are_those_of_unfolded_windows(judge):
    """Of tokens by our own function, of vectors by autograd; equal windows share a gradient."""
    x = torch.randint(0, 30, (5, 8), generator=torch.Generator().manual_seed(1))
    x[0] = 3  # every window is the same
    judge.out.weight.data.mul_(10)
    found = {}
    for name, given in (("tokens", x), ("vectors", torch.nn.functional.one_hot(x, 30).double())):
        judge.zero_grad()
        logit = judge(given)
        (logit * torch.arange(1.0, 6.0).double()).sum().backward()
        found[name] = [logit.detach()] + [p.grad.clone() for p in judge.parameters()]
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-12) for a, b in zip(found["tokens"], found["vectors"], strict=True))
    assert all(a.any() for a in found["tokens"])


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8])
def test_the_largest_responses_are_those_of_windows_at_any_length(length):
    g = torch.Generator().manual_seed(2)
    e = torch.randn(3, length, 6, generator=g).double().requires_grad_()
    weights = [torch.randn(4, 6 * width, generator=g).double().requires_grad_() for width in range(1, length + 1)]
    found = discriminators.LargestResponses.apply(e, *weights)
    windows = [e.flatten(1).unfold(1, weight.shape[1], 6) for weight in weights]
    expected = torch.cat([(rows @ weight.T).amax(1) for rows, weight in zip(windows, weights, strict=True)], 1)
    assert torch.allclose(found, expected, atol=1e-12)
    grad = torch.randn(found.shape, generator=g).double()
    pairs = zip(*(torch.autograd.grad(x, [e, *weights], grad) for x in (found, expected)), strict=True)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in pairs)
    assert torch.autograd.gradcheck(discriminators.LargestResponses.apply, (e, *weights))


def test_the_gradient_of_a_gradient_goes_through_vectors_only(judge):
    e = torch.nn.functional.one_hot(torch.randint(0, 30, (2, 8)), 30).double().requires_grad_()
    (grad,) = torch.autograd.grad(judge(e).sum(), e, create_graph=True)
    grad.square().sum().backward()
    assert judge.convolutions[0].weight.grad.any()
    (grad,) = torch.autograd.grad(judge(torch.zeros(2, 8, dtype=torch.long)).sum(), judge.embedding.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.square().sum().backward()


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_leaves_something(dropout):
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        discriminators.CNNHighway(discriminators.CNNHighwayConfig(30, dropout=dropout))


def test_dropout_keeps_the_mean():
    torch.manual_seed(0)
    judge = discriminators.CNNHighway(discriminators.CNNHighwayConfig(30, 8, 6, (1, 2), (40, 40), dropout=0.25))
    x = torch.randint(0, 30, (1, 8)).expand(4000, 8)
    whole, some = judge.eval()(x[:1]), judge.train()(x)
    assert some.std() > 0.01
    assert abs(some.mean() - whole) < 5 * some.std() / 4000**0.5


@pytest.mark.parametrize("p", [0.1, 0.25, 0.9, 0.9999])
def test_dropout_leaves_as_many_as_it_should_each_by_itself(p):
    torch.manual_seed(0)
    x = torch.full((1001, 401), 2.0)  # a number of draws that four does not divide
    found = discriminators._dropout(x, p)
    kept = (found != 0).double()
    assert abs(kept.mean() - (1 - p)) < 5 * (p * (1 - p) / x.numel()) ** 0.5 + 2**-16
    assert abs(found.double().mean() / 2 - 1) < 5 * (p / (1 - p) / x.numel()) ** 0.5
    assert len(found.unique()) == 2
    for dtype in (torch.bfloat16, torch.double):
        assert discriminators._dropout(x.to(dtype), p).dtype == dtype
    for away in (1, 2, 3):  # numbers whose bits are of the same draw
        flat = kept.flatten()
        both = (flat[:-away] * flat[away:]).mean()
        assert abs(both - (1 - p) ** 2) < 6 * ((1 - p) ** 2 / x.numel()) ** 0.5 + 2**-15
