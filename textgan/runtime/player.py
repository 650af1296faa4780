"""One side of the game: a module and the optimizer that trains it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .outer import adam_step, outer_layers, square, taken
from .sharding import sharded
from .workers import Workers


class Player:
    """A module with its optimizer; ``minimise`` moves this module and nothing else.

    Args:
        module: what is trained.
        optimizer: holds exactly the module's parameters that this player may move.
        workers: the group whose gradients are averaged.
        clip: largest allowed global norm of the gradient; None for no clipping.
    """

    def __init__(self, module: nn.Module, optimizer: Optimizer, workers: Workers, clip: float | None = None) -> None:
        self.module = module
        self.optimizer = optimizer
        self.workers = workers
        self.clip = clip
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.finite = torch.ones((), dtype=torch.bool, device=workers.device)
        self.sharded = sharded(module)
        alone = workers.world == 1 and workers.device.type == "cpu" and clip is None  # nobody else needs the gradient
        self.outer = outer_layers(module, optimizer) if alone else []
        if not self.sharded:
            workers.broadcast([*(p.data for p in module.parameters()), *module.buffers()])

    def minimise(self, loss: Tensor) -> Tensor:
        """One optimizer step down the gradient of ``loss`` (a scalar); gives the gradient's norm before clipping.

        A non-finite gradient is remembered on the device (``finite``) without a host sync. Weights of ``outer`` layers get no
        ``grad``: see outer.py.
        """
        self.optimizer.zero_grad(set_to_none=True)
        inputs = None if self.sharded else self.parameters  # fully_shard's graph has copies of the parameters
        for layer in self.outer:
            layer.factors = []
        try:
            with torch.autocast(loss.device.type, enabled=False):
                loss.backward(inputs=inputs)
        finally:
            factors = [(layer.weight, pair) for layer in self.outer if (pair := taken(layer))]
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not self.sharded:  # fully_shard has averaged them
            self.workers.average(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        if factors:
            norm = torch.stack([norm.square(), *(square(*pair) for _, pair in factors)]).sum().sqrt()
        if self.sharded:
            norm = norm.full_tensor()  # type: ignore[attr-defined]
        if self.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        self.finite.logical_and_(torch.isfinite(norm))
        self.optimizer.step()
        for weight, pair in factors:
            adam_step(self.optimizer, weight, *pair)
        return norm


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Run networks that a stage calls fixed: in eval mode, so that neither dropout nor buffers move."""
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)
