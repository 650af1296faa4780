"""Modules whose parameters are dealt out over the processes by torch's fully_shard, so that no process holds all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn

from .workers import Workers


def shard(module: nn.Module, parts: Iterable[nn.Module], methods: Iterable[str], workers: Workers) -> None:
    """Deal out the parameters of a module, and with them gradients and optimizer states; alone, everything stays as it is.

    Every process then has to call the same methods in the same order, because the parameters are gathered for each.

    Args:
        module: all get the first process's parameters.
        parts: submodules that are gathered one after the other, such as the blocks of a transformer.
        methods: names of the methods, beside ``forward``, that compute with the parameters.
        workers: the group.
    """
    if workers.world == 1:
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    workers.broadcast([*(p.data for p in module.parameters()), *module.buffers()])
    mesh = init_device_mesh(workers.device.type, (workers.world,))
    for part in (*parts, module):
        fully_shard(part, mesh=mesh)
    for name in methods:
        register_fsdp_forward_method(module, name)


def sharded(module: nn.Module) -> bool:
    """Whether its parameters are dealt out."""
    if not dist.is_initialized():
        return False
    from torch.distributed.fsdp import FSDPModule  # not at the top: it takes half a second

    return isinstance(module, FSDPModule)


def gathered(values: Any, keep: bool) -> Any:
    """Dictionaries with every dealt-out tensor in them whole and on the CPU; without those where a process does not ``keep``.

    Every process has to come by.
    """
    from torch.distributed.tensor import DTensor

    if isinstance(values, dict):
        return {key: gathered(value, keep) for key, value in values.items()}
    if isinstance(values, DTensor):
        found = values.full_tensor()
        return found.cpu() if keep else None
    return values


def dealt(value: Any, like: Any) -> Any:
    """A whole tensor dealt out as ``like`` is, where that is a dealt-out tensor of the same shape; anything else as it is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(like, DTensor) and isinstance(value, Tensor) and value.shape == like.shape:
        return distribute_tensor(value, like.device_mesh, like.placements)
    return value


def dealt_weights(weights: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Whole weights, dealt out as those of the module are."""
    like = module.state_dict()
    return {name: dealt(weight, like.get(name)) for name, weight in weights.items()}


def dealt_moments(state: Mapping[str, Any], parameters: list[nn.Parameter]) -> dict[str, Any]:
    """The state of an optimizer that holds these parameters, in their order; its moments dealt out as they are."""
    moments = {i: {key: dealt(value, parameters[i]) for key, value in of.items()} for i, of in state["state"].items()}
    return {**state, "state": moments}
