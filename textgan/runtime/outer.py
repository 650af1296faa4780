"""Large layers that few rows are to teach: the gradient of the weight stays two factors until Adam needs it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BLOCK = 2**20  # numbers of a gradient at a time (4 MB), so that it is still near when Adam reads it


class OuterLinear(nn.Linear):
    """A linear layer whose weight's gradient is a product of two matrices of n rows, n those that it was given.

    For n = 64 these are far smaller. Where a Player asks for them (``factors`` is a list), backward leaves them there, and
    ``weight`` gets no gradient.
    """

    factors: list[tuple[Tensor, Tensor]] | None = None

    def forward(self, x: Tensor, plain: bool = False) -> Tensor:
        """Rows x (n, in) to (n, out); ``plain`` as nn.Linear does it, for gradients of gradients and mixed types."""
        if plain or x.dim() != 2 or self.bias is None:
            return super().forward(x)
        y: Tensor = _Outer.apply(x, self.weight, self.bias, self)  # type: ignore[no-untyped-call]
        return y


class _Outer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, layer: OuterLinear) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer = layer
        if (k := _shares(weight)) == 1:
            return torch.addmm(bias, x, weight.T)
        y = torch.bmm(weight.view(k, -1, weight.shape[1]), x.T.expand(k, -1, -1)).view(len(weight), len(x))
        return torch.add(y.T, bias, out=x.new_empty(len(x), len(weight)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_weight = None
        if ctx.needs_input_grad[1]:
            if ctx.layer.factors is None:
                of_weight = grad.T @ x
            else:
                ctx.layer.factors.append((grad, x))
        if (k := _shares(weight)) == 1:
            of_x = grad @ weight
        else:
            of_x = torch.bmm(grad.view(len(grad), k, -1).transpose(0, 1), weight.view(k, -1, weight.shape[1])).sum(0)
        return of_x, of_weight, grad.sum(0), None


def _shares(weight: Tensor) -> int:
    """Parts of the weight, one for every thread: products with few rows are faster so than by all threads together."""
    threads = torch.get_num_threads() if weight.device.type == "cpu" else 1
    return 1 if len(weight) % threads else threads


def outer_layers(module: nn.Module, optimizer: torch.optim.Optimizer) -> list[OuterLinear]:
    """The layers of a module whose weights ``adam_step`` can move as the optimizer would: a fused Adam without its variants."""
    groups = optimizer.param_groups
    if type(optimizer) is not torch.optim.Adam or not all(g["fused"] and not g["amsgrad"] and not g["maximize"] for g in groups):
        return []
    moved = {id(p) for group in groups for p in group["params"]}
    return [layer for layer in module.modules() if isinstance(layer, OuterLinear) and id(layer.weight) in moved]


@torch.no_grad()
def taken(layer: OuterLinear) -> tuple[Tensor, Tensor] | None:
    """The factors (n, out) and (n, in) of the gradient of a layer's weight, if that is all there is; no more are asked for."""
    parts, layer.factors = layer.factors, None
    if not parts:
        return None
    left, right = (torch.cat(factors) if len(parts) > 1 else factors[0].detach() for factors in zip(*parts, strict=True))
    if layer.weight.grad is None:
        return left, right
    layer.weight.grad.addmm_(left.T, right)  # it was used otherwise too
    return None


def square(left: Tensor, right: Tensor) -> Tensor:
    """The sum of the squares of the gradient ``left.T @ right``: |A^T B|^2 = <A A^T, B B^T>."""
    return ((left @ left.T) * (right @ right.T)).sum().clamp(min=0)


@torch.no_grad()
def adam_step(optimizer: torch.optim.Optimizer, weight: Tensor, left: Tensor, right: Tensor) -> None:
    """What ``optimizer.step()`` of a fused Adam does to one weight whose gradient is ``left.T @ right``, some rows at a time."""
    group = next(g for g in optimizer.param_groups if any(p is weight for p in g["params"]))
    state = optimizer.state[weight]
    if not state:
        state.update(
            step=torch.zeros((), dtype=torch.float32), exp_avg=torch.zeros_like(weight), exp_avg_sq=torch.zeros_like(weight)
        )
    state["step"] += 1
    rows = max(1, BLOCK // weight.shape[1])
    gradient = weight.new_empty(min(rows, len(weight)), weight.shape[1])
    beta1, beta2 = group["betas"]
    parts = zip(*(x.split(rows) for x in (weight, state["exp_avg"], state["exp_avg_sq"], left.T)), strict=True)
    for some, exp_avg, exp_avg_sq, of_some in parts:
        torch._fused_adam_(  # torch.optim.Adam calls this too; what it does around the call takes as long again
            [some], [torch.mm(of_some, right, out=gradient[: len(some)])], [exp_avg], [exp_avg_sq], [], [state["step"]],
            amsgrad=False, beta1=beta1, beta2=beta2, lr=group["lr"], weight_decay=group["weight_decay"], eps=group["eps"],
            maximize=False,
        )  # fmt: skip
