"""The relational memory, and the language model whose state it is: RelGAN's generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import Generator, State


@dataclass(frozen=True)
class RMCConfig:
    """Sizes of an RMCGenerator; defaults are RelGAN's (appendix B, and the authors' code)."""

    vocab_size: int
    embedding_dim: int = 32
    slots: int = 1
    heads: int = 2
    head_size: int = 256
    dropout: float = 0.0
    bos: int = 1
    eos: int | None = 2
    pad: int = 0
    banned: tuple[int, ...] = ()


class RelationalMemory(nn.Module):
    """A memory of slots that attend to each other and to the input (Santoro et al., 2018, section 3), gated as a whole ("unit").

    D is heads times head size, the width of a slot.
    """

    def __init__(self, input_size: int, slots: int, heads: int, head_size: int) -> None:
        super().__init__()
        self.slots, self.heads = slots, heads
        width = self.width = heads * head_size
        self.project = nn.Linear(input_size, width)
        self.qkv, self.norm_qkv = nn.Linear(width, 3 * width), nn.LayerNorm(3 * width)
        self.norm_attended, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.gate_input, self.gate_memory = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """The memory (B, S, D) after an input (B, E)."""
        x = self.project(x).unsqueeze(1)  # (B, 1, D)
        qkv = self.norm_qkv(self.qkv(torch.cat([memory, x], 1)))
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in qkv.chunk(3, 2)
        )  # (B, heads, S + 1, D / heads)
        attended = F.scaled_dot_product_attention(q[:, :, : self.slots], k, v)  # the input's own row is not kept
        new = self.norm_attended(memory + attended.transpose(1, 2).flatten(2))
        new = self.norm_out(new + self.mlp(new))
        enter, stay = (self.gate_input(x) + self.gate_memory(memory.tanh())).chunk(2, 2)
        gated: Tensor = enter.sigmoid() * new.tanh() + (stay + 1).sigmoid() * memory
        return gated


class RMCGenerator(Generator):
    """A language model whose state is a relational memory: RelGAN's generator."""

    kind = "rmc"
    Config = RMCConfig

    def __init__(self, config: RMCConfig) -> None:
        super().__init__(config)
        self.memory = RelationalMemory(config.embedding_dim, config.slots, config.heads, config.head_size)
        self.out = nn.Linear(config.slots * self.memory.width, config.vocab_size)
        nn.init.trunc_normal_(self.embedding.weight, std=config.vocab_size**-0.5)  # as the authors' code, like the rest
        for layer in (m for m in self.modules() if isinstance(m, nn.Linear)):
            nn.init.trunc_normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)

    def _start(self, rows: int) -> State:
        first = torch.eye(self.memory.slots, self.memory.width, device=self.out.weight.device, dtype=self.out.weight.dtype)
        return (first.flatten().expand(1, rows, -1),)

    def _step(self, below: Tensor, state: State) -> State:
        memory = self.memory(below, state[0][0].unflatten(1, (self.memory.slots, -1)))
        return (memory.flatten(1).unsqueeze(0),)
