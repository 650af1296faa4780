"""The processes that train together; alone, a group of one."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import UserError

T = TypeVar("T")
PATIENCE = timedelta(days=1)  # the first process may learn word vectors for hours; torchrun, not this, notices that one has died


def choose_device(name: str = "auto", local_rank: int = 0) -> torch.device:
    """The device for ``name``: "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        ValueError: the device is not there.
    """
    mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    if name == "cuda":
        name = f"cuda:{local_rank}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device; expected auto, cpu, mps, cuda or cuda:N, received {name!r}") from error
    missing = (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()) or (device.type == "mps" and not mps)
    if missing or device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"this machine has no such device; received {name!r}, --device auto takes what there is")
    return device


def fold(*numbers: int) -> int:
    """One 63-bit seed from several non-negative integers (splitmix64, folded), the same on every machine."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = (state ^ number) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ state >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1


def _own_store(rank: int, world: int) -> Any:
    """A part of torchrun's store that this start of the group has for itself.

    The store outlives a restart, with the addresses of processes that are gone; so its part is named by what all processes of
    this start have drawn, which is known once each of them has seen the same draws.
    """
    store: Any = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=PATIENCE)  # type: ignore[attr-defined]
    store.set(f"drawn/{rank}", secrets.token_hex(8))
    while True:
        drawn = b"".join(store.multi_get([f"drawn/{r}" for r in range(world)]))
        name = hashlib.sha256(drawn).hexdigest()
        store.set(f"{name}/{rank}", "seen")
        if store.check([f"{name}/{r}" for r in range(world)]):
            return dist.PrefixStore(name, store)  # type: ignore[attr-defined]
        time.sleep(0.05)


class _GroupMean(torch.autograd.Function):
    """The mean over the group; its own adjoint: what a process puts in has the weight 1 / world in what every process gets."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The mean over the group."""
        total = x.clone()
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """The same of the gradient."""
        return group_mean(grad)


def group_mean(x: Tensor) -> Tensor:
    """The mean of x over the processes that train together, through which gradients flow; alone, x.

    Every process must come by, forwards and backwards, in the same order.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return x
    mean: Tensor = _GroupMean.apply(x)  # type: ignore[no-untyped-call]
    return mean


@dataclass
class Workers:
    """A group of ``world`` processes with one device each; ``rank`` is this one.

    ``noise`` gives the same numbers in every process and ``uniform`` deals them out by rows, so that two processes draw
    what one would have drawn.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    noise: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.noise = torch.Generator(self.device)

    @classmethod
    def start(cls, device: str = "auto") -> Workers:
        """The group that ``torchrun`` describes in the environment, or a group of one without it."""
        world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        chosen = choose_device(device, int(os.environ.get("LOCAL_RANK", 0)))
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)
        if world > 1 and not dist.is_initialized():
            backend = "nccl" if chosen.type == "cuda" else "gloo"
            store = _own_store(rank, world) if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" else None
            dist.init_process_group(backend, timeout=PATIENCE, store=store, rank=rank, world_size=world)
        return cls(rank, world, chosen)

    def stop(self) -> None:
        """Leave the group."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @property
    def main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def seed(self, seed: int, step: int) -> None:
        """Make all randomness of a step a function of (seed, step, rank); ``noise`` of (seed, step) alone."""
        torch.manual_seed(fold(seed, step, self.rank))
        self.noise.manual_seed(fold(seed, step))

    def uniform(self, rows: int, *shape: int) -> Tensor:
        r"""Numbers in [0, 1) of shape (rows, \*shape): this process's rows of those drawn for the whole group."""
        u = torch.rand(rows * self.world, *shape, generator=self.noise, device=self.device)
        return u[self.rank * rows : (self.rank + 1) * rows]

    def shard(self, size: int) -> int:
        """How many of ``size`` rows this process takes.

        Raises:
            ValueError: the rows cannot be dealt out evenly.
        """
        if size % self.world:
            raise ValueError(f"a batch must divide evenly among processes; received batch {size} and {self.world} processes")
        return size // self.world

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the group, in place, with one flat all-reduce."""
        tensors = list(tensors)
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        flat /= self.world
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over the group."""
        if self.world == 1:
            return tensor
        tensor = tensor.clone()
        self.average([tensor])
        return tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of all processes, in the order of their ranks; each has as many."""
        if self.world == 1:
            return tensor
        parts = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's tensors to all others, in place."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def agree(self, value: int) -> int:
        """The largest ``value`` in the group (a host sync: not for the step path)."""
        if self.world == 1:
            return value
        tensor = torch.tensor([value], device=self.device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return int(tensor.item())

    def first(self, work: Callable[[], T]) -> T | None:
        """What the first process makes while the others, which get None, wait for it.

        Raises:
            UserError: in the others, where it failed; in the first, whatever it failed with.
        """
        made, error = None, None
        if self.main:
            try:
                made = work()
            except Exception as raised:
                error = raised
        if self.agree(int(error is not None)):
            raise error or UserError("the first process of the group could not do its part; it says why")
        return made
