"""Data order, EMA, seeds."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from textgan.runtime import EMA, Batches, Bucketed, Run, Stage, Workers, fit
from textgan.runtime.batches import WINDOW, permuted
from textgan.runtime.workers import choose_device, fold


@given(st.integers(1, 3000), st.integers(0, 2**60))
def test_permuted_is_a_permutation(size, seed):
    assert sorted(permuted(np.arange(size), size, seed)) == list(range(size))


def test_permuted_depends_on_the_seed_and_mixes():
    a, b = permuted(np.arange(1000), 1000, 1), permuted(np.arange(1000), 1000, 2)
    assert (a == b).mean() < 0.02
    assert abs(np.corrcoef(a, np.arange(1000))[0, 1]) < 0.15


def test_an_epoch_sees_every_row_once_and_the_next_in_another_order():
    batches = Batches(lambda i: i[:, None], 100, 10, 3, Workers())
    first, second = (torch.cat([batches[s] for s in range(k, k + 10)]).flatten() for k in (0, 10))
    assert sorted(first.tolist()) == list(range(100)) == sorted(second.tolist())
    assert not torch.equal(first, second)
    assert torch.equal(batches[7], batches[7])


def test_every_batch_is_a_part_of_the_order_of_its_epoch():
    """The order is made for many batches at once; what it is may not depend on that, nor on which batch was asked for before."""
    size, batches = 1003, Batches(lambda i: i, 1003, 5, 3, Workers())
    assert batches.per_epoch > 3 * WINDOW
    orders = [permuted(np.arange(size + 5) % size, size, fold(3, epoch)) for epoch in range(2)]
    for step in (0, 1, WINDOW - 1, WINDOW, 200, batches.per_epoch, 3, batches.per_epoch - 1, 2 * batches.per_epoch - 1):
        epoch, place = divmod(step, batches.per_epoch)
        assert (batches.indices(step) == orders[epoch][5 * place : 5 * place + 5]).all()
        parts = [Batches(lambda i: i, 1003, 6, 3, Workers(rank=r, world=2)) for r in range(2)]
        whole = Batches(lambda i: i, 1003, 6, 3, Workers())
        assert (np.concatenate([part.indices(step) for part in parts]) == whole.indices(step)).all()
        batches.indices(step)[:] = 0  # a copy
        assert (batches.following(step) == permuted(np.arange(5 * place + 1, 5 * place + 6) % size, size, fold(3, epoch))).all()


def test_two_processes_share_the_batch_and_the_noise_of_one():
    one = Workers()
    parts = [Workers(rank=r, world=2) for r in range(2)]
    for w in (one, *parts):
        w.seed(5, 9)
    assert torch.equal(torch.cat([w.uniform(3, 4) for w in parts]), one.uniform(6, 4))
    whole = Batches(lambda i: i, 64, 8, 0, one)[3]
    assert torch.equal(torch.cat([Batches(lambda i: i, 64, 8, 0, w)[3] for w in parts]), whole)
    with pytest.raises(ValueError, match="received batch 7"):
        Batches(lambda i: i, 64, 7, 0, parts[0])


def test_ema_follows_parameters_and_buffers():
    module = nn.BatchNorm1d(2)
    ema = EMA(module, 0.75)
    with torch.no_grad():
        module.weight.fill_(3)
        module.running_mean.fill_(4)
        module.num_batches_tracked.fill_(7)
    ema.update()
    assert ema.copy.weight.tolist() == [1.5, 1.5]
    assert ema.copy.running_mean.tolist() == [1, 1]
    assert ema.copy.num_batches_tracked == 7
    with pytest.raises(ValueError, match="received 1"):
        EMA(module, 1)
    tied = nn.ModuleDict({"a": nn.Linear(1, 1, bias=False), "b": nn.Linear(1, 1, bias=False)})
    tied["a"].weight = tied["b"].weight
    ema = EMA(tied, 0.75)
    before = ema.copy["a"].weight.item()
    with torch.no_grad():
        tied["a"].weight += 1
    ema.update()
    assert ema.copy["b"].weight.item() == pytest.approx(before + 0.25)  # once, not for each name


def test_fold_and_devices():
    assert fold(1, 2) != fold(2, 1)
    assert fold(0) == fold(0)
    assert choose_device("cpu").type == "cpu"
    for bad in ("gpu9", "cuda:99", "meta"):
        with pytest.raises(ValueError, match="received"):
            choose_device(bad)


def test_bucketed_batches_see_every_row_once_and_are_even():
    keys = np.random.default_rng(0).integers(1, 40, 1003)
    made = Bucketed(lambda i: i, 1003, 10, 3, Workers(), keys.__getitem__, window=20)
    epoch = [made.indices(s) for s in range(made.per_epoch)]
    counts = np.bincount(np.concatenate(epoch), minlength=1003)
    assert counts.min() == 1
    assert counts.sum() == 1010  # the last batch is filled
    spread = np.mean([np.ptp(keys[batch]) for batch in epoch])
    plain = Batches(lambda i: i, 1003, 10, 3, Workers())
    assert spread < 0.2 * np.mean([np.ptp(keys[plain.indices(s)]) for s in range(101)])
    means = [keys[batch].mean() for batch in epoch[:20]]
    assert means != sorted(means)  # batches come in no order
    again = Bucketed(lambda i: i, 1003, 10, 3, Workers(), keys.__getitem__, window=20)
    assert all((again.indices(s) == epoch[s]).all() for s in (57, 3, 99))
    parts = [Bucketed(lambda i: i, 1003, 10, 3, Workers(rank=r, world=2), keys.__getitem__, window=20) for r in range(2)]
    assert (np.concatenate([p.indices(7) for p in parts]) == epoch[7]).all()


class Indexes:
    """Its step is the gradient of an indexed matrix, many rows of which are the same: threads meet there."""

    players, kept = {}, {}

    def __init__(self):
        g = torch.Generator().manual_seed(0)
        self.x, self.d = torch.randn(500, 400, generator=g), torch.randn(1500, 400, generator=g)
        self.index = torch.randint(0, 500, (1500,), generator=g).clamp(min=250)
        self.found = []

    def step(self, i):
        x = self.x.clone().requires_grad_()
        (x[self.index] * self.d).sum().backward()
        self.found.append(x.grad)
        return {}

    def stages(self):
        return [Stage("indexes", 30, self.step)]

    def sample(self, n):
        return []

    def differ(self):
        return sum(not torch.equal(self.found[0], x) for x in self.found)


def test_two_threads_add_up_in_the_same_order(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fitted, control = Indexes(), Indexes()
        fit(fitted, Run.create(tmp_path / "r", {}, {}), Workers(), seed=0, progress=False)
        for i in range(30):
            control.step(i)
    finally:
        torch.set_num_threads(threads)
    assert fitted.differ() == 0
    assert control.differ() > 0
