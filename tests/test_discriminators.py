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


def test_they_are_single_precision_under_autocast(judge):
    judge.float()
    x = torch.randint(0, 30, (60, 8), generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        low = judge.probability(x)
    assert torch.allclose(low, judge.probability(x), atol=1e-6)
