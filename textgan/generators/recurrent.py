"""LSTM and GRU language models: the generators of SeqGAN and of the Gumbel-softmax GAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .base import Generator, State


@dataclass(frozen=True)
class RNNConfig:
    """Sizes of an RNNGenerator; defaults are SeqGAN's oracle experiment (V is the corpus's)."""

    vocab_size: int
    embedding_dim: int = 32
    hidden_dim: int = 32
    num_layers: int = 1
    cell: Literal["lstm", "gru"] = "lstm"
    dropout: float = 0.0
    bos: int = 1
    eos: int | None = 2
    pad: int = 0
    banned: tuple[int, ...] = ()


class RNNGenerator(Generator):
    """An LSTM or GRU language model, generator and policy of the text GANs."""

    kind = "rnn"
    Config = RNNConfig
    rnn: nn.LSTM | nn.GRU

    def __init__(self, config: RNNConfig) -> None:
        super().__init__(config)
        kind = nn.LSTM if config.cell == "lstm" else nn.GRU
        between = config.dropout if config.num_layers > 1 else 0.0
        self.rnn = kind(config.embedding_dim, config.hidden_dim, config.num_layers, batch_first=True, dropout=between)
        self.out = nn.Linear(config.hidden_dim, config.vocab_size)

    def read(self, x: Tensor, state: State | None = None, real: Tensor | None = None) -> tuple[Tensor, State]:
        """See Generator.read; all steps at once where there is no padding."""
        if real is not None:
            return super().read(x, state, real)
        first: Any = state[0] if state is not None and self.config.cell == "gru" else state
        found, last = self.rnn(self.dropout(self.embedding(x)), first)
        return found, last if isinstance(last, tuple) else (last,)

    def _start(self, rows: int) -> State:
        shape = (self.config.num_layers, rows, self.config.hidden_dim)
        zeros = self.out.weight.new_zeros(shape)
        return (zeros, zeros.clone()) if self.config.cell == "lstm" else (zeros,)

    def _step(self, below: Tensor, state: State) -> State:
        layers: list[State] = []
        for k in range(self.config.num_layers):
            weights = [getattr(self.rnn, f"{name}_l{k}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            new: State
            if self.config.cell == "lstm":
                new = torch.lstm_cell(below, (state[0][k], state[1][k]), *weights)
            else:
                new = (torch.gru_cell(below, state[0][k], *weights),)
            layers.append(new)
            below = new[0]
        return tuple(torch.stack(parts) for parts in zip(*layers, strict=True))
