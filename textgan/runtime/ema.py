"""A lagged copy of a network: the exponential moving average of its parameters and buffers."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


class EMA(Generic[M]):
    """``copy <- decay * copy + (1 - decay) * module``; buffers that are counters are taken over as they are.

    Args:
        module: the network that is followed.
        decay: weight of the old copy, in [0, 1); 0 makes ``copy`` the module's latest value.
    """

    def __init__(self, module: M, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1); received {decay}")
        self.module = module
        self.decay = decay
        self.copy: M = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self) -> None:
        """Move the copy one step towards the module."""
        states = (module.state_dict(keep_vars=True).values() for module in (self.copy, self.module))
        for old, new in {id(old): (old, new) for old, new in zip(*states, strict=True)}.values():  # tied ones once
            if old.is_floating_point():
                old.lerp_(new, 1 - self.decay)
            else:
                old.copy_(new)
