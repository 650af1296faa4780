"""One layer of GRU over sentences of mixed lengths: no work is done for padding, nor twice for the same word.

Sentences are packed as torch's PackedSequence packs them: sorted by length, all first tokens, then all second ones, and so on; N
is the number of real tokens. On CUDA the layer is cuDNN's. Elsewhere the loop below is two to four times faster than nn.GRU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence


class LayerNormGRU(nn.Module):
    """A GRU whose products are layer-normalised (Ba et al., 2016, eq. 24-27), with the reset gate after the product."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.below = nn.Linear(input_size, 3 * hidden_size)
        self.before = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.norm_below = nn.LayerNorm(3 * hidden_size)
        self.norm_before = nn.LayerNorm(3 * hidden_size)


def gru(input_size: int, hidden_size: int, layer_norm: bool = False) -> nn.Module:
    """A one-layer GRU that starts as in Skip-Thought (section 2.1): orthogonal recurrences, others uniform in +-0.1, no bias."""
    module = LayerNormGRU(input_size, hidden_size) if layer_norm else nn.GRU(input_size, hidden_size)
    for name, parameter in module.named_parameters():
        if "weight_hh" in name or name == "before.weight":
            for part in parameter.data.chunk(3):
                nn.init.orthogonal_(part)
        elif "weight_ih" in name or name == "below.weight":
            nn.init.uniform_(parameter, -0.1, 0.1)
        elif "bias" in name and "norm" not in name:
            nn.init.zeros_(parameter)
    return module


class Packing:
    """Where each token of sentences (B, T) stands when they are packed. Made on the host; indices lie on the device.

    Attributes:
        alive: for each step, how many sentences reach it.
        tokens: (N,) place of each packed token in the flat (B * T) batch.
        turned: the same when every sentence is read backwards.
        sentence: (N,) row that each packed token is of.
        order: (B,) rows from the longest to the shortest.
        last: (B,) packed place of each row's last token.
    """

    def __init__(self, lengths: np.ndarray, width: int, device: torch.device) -> None:
        order = (-lengths).argsort(kind="stable")
        sizes = lengths[order]
        steps, k = np.nonzero(np.arange(sizes[0])[:, None] < sizes)
        alive = np.bincount(steps)
        first, last = alive.cumsum() - alive, np.empty_like(sizes)
        last[order] = first[sizes - 1] + np.arange(len(sizes))
        self.alive: list[int] = alive.tolist()
        sentence = order[k]
        parts = [sentence * width + steps, sentence * width + sizes[k] - 1 - steps, sentence, order, last]
        self.tokens, self.turned, self.sentence, self.order, self.last = (torch.from_numpy(part).to(device) for part in parts)


def run(rnn: Any, inputs: Sequence[tuple[Tensor, Tensor]], packing: Packing, h: Tensor | None = None) -> Tensor:
    """States (N, H) of a GRU at every packed token.

    Args:
        rnn: what ``gru`` gives.
        inputs: the parts of the input, which stand side by side: vectors (n, E) and which of them (N,) each packed token takes.
            The product of a vector with the gates is made once.
        packing: of the sentences.
        h: (B, H) first state of each row; zeros when absent.
    """
    if h is not None:
        h = h.index_select(0, packing.order)
    if isinstance(rnn, nn.GRU) and rnn.weight_hh_l0.is_cuda:
        x = torch.cat([vectors.index_select(0, which) for vectors, which in inputs], 1)
        packed = PackedSequence(x, torch.tensor(packing.alive))
        found: Tensor = rnn(packed, None if h is None else h.unsqueeze(0).contiguous())[0].data
        return found
    weight, bias = (rnn.below.weight, rnn.below.bias) if isinstance(rnn, LayerNormGRU) else (rnn.weight_ih_l0, rnn.bias_ih_l0)
    parts: list[Tensor] = []
    for (vectors, which), w in zip(inputs, weight.split([v.shape[1] for v, _ in inputs], 1), strict=True):
        parts.append(F.linear(vectors, w, None if parts else bias).float().index_select(0, which))
    below = sum(parts[1:], parts[0])
    if isinstance(rnn, LayerNormGRU):
        return _layer_normed(rnn, below, packing.alive, h)
    if h is None:
        h = below.new_zeros(packing.alive[0], rnn.hidden_size)
    scan: Any = _Scan.apply
    states: Tensor = scan(below, rnn.weight_hh_l0, rnn.bias_hh_l0, h.float(), packing.alive, _precision(below.device))
    return states


def _precision(device: torch.device) -> torch.dtype:
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32


def _eight_bits(x: Tensor, most: int = 127) -> tuple[Tensor, Tensor]:
    """Rows (n, k) as whole numbers in +-most, and what to multiply each row with (n, 1)."""
    x = x.float()
    scale = x.abs().amax(1, keepdim=True).clamp(min=1e-30) / most
    return (x / scale).round_().to(torch.int8), scale


class EightBits:
    """A GRU whose products are of whole numbers of eight bits, four times as fast on CPUs that have instructions for them (VNNI).

    Every row of a weight, every word's vector and every state has a scale of its own. Weights lie in +-63: CPUs without such
    instructions add products in pairs of 16 bits, which larger ones would overflow.

    Raises:
        ValueError: the GRU is layer-normalised, not on a CPU, or has a single number.
    """

    def __init__(self, rnn: nn.Module) -> None:
        if not isinstance(rnn, nn.GRU) or next(rnn.parameters()).device.type != "cpu":
            raise ValueError("products of eight bits are for GRUs without layer norm, on a CPU")
        if min(rnn.input_size, rnn.hidden_size) < 2:  # torch multiplies single numbers wrongly
            raise ValueError("products of eight bits want vectors of two numbers or more")
        (self.below, self.below_scale), (self.before, self.before_scale) = (
            _eight_bits(getattr(rnn, name).detach(), 63) for name in ("weight_ih_l0", "weight_hh_l0")
        )

    def of_inputs(self, vectors: Tensor, bias: Tensor) -> Tensor:
        """Products (n, 3H) of vectors (n, E) with the gates, and the bias (3H,)."""
        rows, scale = _eight_bits(vectors)
        return torch._int_mm(rows, self.below.t()).float().mul_(scale).mul_(self.below_scale.t()).add_(bias)

    def of_states(self, h: Tensor) -> Tensor:
        """Products (n, 3H) of states (n, H) with the gates."""
        rows, scale = _eight_bits(h)
        return torch._int_mm(rows, self.before.t()).float().mul_(scale).mul_(self.before_scale.t())


@torch.no_grad()
def last_states(rnn: Any, vectors: Tensor, which: Tensor, packing: Packing, eight: EightBits | None = None) -> Tensor:
    """``run(...)[packing.last]`` (B, H) for one input and without a gradient: nothing is kept, so it is faster.

    Args:
        rnn: see run.
        vectors: (n, E), see run.
        which: (N,), see run.
        packing: of the sentences.
        eight: the same GRU, for products of eight bits.
    """
    if not isinstance(rnn, nn.GRU) or rnn.weight_hh_l0.is_cuda:
        return run(rnn, [(vectors, which)], packing)[packing.last]
    size, dtype = rnn.hidden_size, _precision(vectors.device)
    weight, u, b, c = (getattr(rnn, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    rz, n_bias = c.clone(), c[2 * size :]
    rz[2 * size :] = 0
    of_states: Callable[[Tensor], Tensor]
    if eight:
        table, of_states = eight.of_inputs(vectors, b + rz), eight.of_states  # (n, 3H)
    else:
        table, u = F.linear(vectors, weight, b + rz).float(), u.t().to(dtype)  # (n, 3H), (H, 3H)
        of_states = lambda h: h.to(dtype) @ u  # noqa: E731
    h = table.new_zeros(packing.alive[0], size)
    for here, n in zip(which.split(packing.alive), packing.alive, strict=True):
        old = h[:n]
        below, before = table.index_select(0, here), of_states(old)
        r, z = below[:, : 2 * size].add_(before[:, : 2 * size]).sigmoid_().chunk(2, 1)
        new = below[:, 2 * size :].addcmul_(r, before[:, 2 * size :] + n_bias).tanh_()
        h[:n] = torch.lerp(new, old, z)
    return torch.empty_like(h).index_copy_(0, packing.order, h)


def _layer_normed(rnn: LayerNormGRU, below: Tensor, alive: list[int], h: Tensor | None) -> Tensor:
    state = below.new_zeros(alive[0], rnn.hidden_size) if h is None else h
    states = []
    for a in rnn.norm_below(below).split(alive):
        state = state[: len(a)]
        r, z, n = a.chunk(3, 1)
        before_r, before_z, before_n = rnn.norm_before(rnn.before(state)).chunk(3, 1)
        new = torch.tanh(n + (r + before_r).sigmoid() * before_n)
        state = torch.lerp(new, state, (z + before_z).sigmoid())
        states.append(state)
    return torch.cat(states)


class _Scan(torch.autograd.Function):
    """The recurrence r, z = s(a + U h + c), n = tanh(a + r (U h + c)), h' = (1 - z) n + z h, and its gradient by hand.

    Products with U run in ``dtype``; states, gates and all sums stay float32.
    """

    @staticmethod
    def forward(
        ctx: Any, below: Tensor, weight: Tensor, bias: Tensor, first: Tensor, alive: list[int], dtype: torch.dtype
    ) -> Tensor:
        size, total = weight.shape[1], len(below)
        u, c = weight.to(dtype).t(), bias.to(dtype)
        states, new, before_n = (below.new_empty(total, size) for _ in range(3))
        rz = below.new_empty(total, 2 * size)
        old, at = first, 0
        for n in alive:
            here = slice(at, at + n)
            old = old[:n]
            before = torch.addmm(c, old.to(dtype), u)
            gates = torch.add(below[here, : 2 * size], before[:, : 2 * size], out=rz[here]).sigmoid_()
            before_n[here] = before[:, 2 * size :]
            candidate = torch.addcmul(below[here, 2 * size :], gates[:, :size], before_n[here], out=new[here]).tanh_()
            old = torch.lerp(candidate, old, gates[:, size:], out=states[here])
            at += n
        ctx.save_for_backward(states, new, before_n, rz, weight, first)
        ctx.alive, ctx.dtype = alive, dtype
        return states

    @staticmethod
    def backward(ctx: Any, d_states: Tensor) -> Any:
        states, new, before_n, rz, weight, first = ctx.saved_tensors
        alive, dtype, size = ctx.alive, ctx.dtype, weight.shape[1]
        u = weight.to(dtype)
        starts = np.cumsum([0, *alive]).tolist()
        d_below = states.new_empty(len(states), 3 * size)
        d_before = torch.empty(len(states), 3 * size, dtype=dtype, device=states.device)
        carried = torch.zeros_like(first)
        for t in reversed(range(len(alive))):
            here, n = slice(starts[t], starts[t + 1]), alive[t]
            old = first if t == 0 else states[starts[t - 1] : starts[t - 1] + n]
            r, z = rz[here, :size], rz[here, size:]
            d = d_states[here] + carried[:n]
            a, b = d_below[here], d_before[here]
            torch.mul((1 - z) * d, 1 - new[here].square(), out=a[:, 2 * size :])  # of n's product with the input
            torch.mul((old - new[here]) * d, z * (1 - z), out=a[:, size : 2 * size])
            torch.mul(a[:, 2 * size :] * before_n[here], r * (1 - r), out=a[:, :size])
            b[:, : 2 * size] = a[:, : 2 * size]
            b[:, 2 * size :] = a[:, 2 * size :] * r
            torch.addcmul((b @ u).float(), d, z, out=carried[:n])
        olds = [first, *(states[starts[t - 1] : starts[t - 1] + alive[t]] for t in range(1, len(alive)))]
        d_weight = d_before.t() @ torch.cat(olds).to(dtype)
        d_bias = (d_before.new_ones(1, len(d_before)) @ d_before)[0]
        return d_below, d_weight.float(), d_bias.float(), carried, None, None
