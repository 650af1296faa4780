"""Encoders of sentences: plain modules with a frozen config that turn ids into vectors.

A sentence x is (B, T) ids: words, EOS, then padding. The last real token is the first EOS, or the last place where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from .generators import read, save


@dataclass(frozen=True)
class GRUEncoderConfig:
    """Sizes of a GRUEncoder; defaults are uni-skip of Skip-Thought (Kiros et al., 2015, section 2.1)."""

    vocab_size: int
    embedding_dim: int = 620
    hidden_dim: int = 2400
    direction: Literal["uni", "bi"] = "uni"
    layer_norm: bool = False
    pad: int = 0
    eos: int = 2


class LayerNormGRU(nn.Module):
    """A GRU whose products are layer-normalised (Ba et al., 2016, eq. 24-27), with the reset gate after the product as in torch.

    Slower than nn.GRU: one step at a time.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.below = nn.Linear(input_size, 3 * hidden_size)
        self.before = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.norm_below = nn.LayerNorm(3 * hidden_size)
        self.norm_before = nn.LayerNorm(3 * hidden_size)

    def forward(self, e: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """States (B, T, H) over e (B, T, E), and the last one (1, B, H), as nn.GRU gives them; h is (1, B, H)."""
        state = e.new_zeros(len(e), self.hidden_size) if h is None else h[0]
        states = []
        for below in self.norm_below(self.below(e)).unbind(1):
            r, z, n = below.chunk(3, 1)
            before_r, before_z, before_n = self.norm_before(self.before(state)).chunk(3, 1)
            keep = (z + before_z).sigmoid()
            state = keep * state + (1 - keep) * torch.tanh(n + (r + before_r).sigmoid() * before_n)
            states.append(state)
        return torch.stack(states, 1), state.unsqueeze(0)


def gru(input_size: int, hidden_size: int, layer_norm: bool = False) -> nn.Module:
    """A one-layer GRU that starts as in Skip-Thought (section 2.1): orthogonal recurrences, others uniform in +-0.1, no bias."""
    module = LayerNormGRU(input_size, hidden_size) if layer_norm else nn.GRU(input_size, hidden_size, batch_first=True)
    for name, parameter in module.named_parameters():
        if "weight_hh" in name or name == "before.weight":
            for part in parameter.data.chunk(3):
                nn.init.orthogonal_(part)
        elif "weight_ih" in name or name == "below.weight":
            nn.init.uniform_(parameter, -0.1, 0.1)
        elif "bias" in name and "norm" not in name:
            nn.init.zeros_(parameter)
    return module


class GRUEncoder(nn.Module):
    """The state of a GRU after the last real token; with direction "bi", of two GRUs of half the size, one reading backwards.

    Padding never reaches the vector: the forward state is taken at the last real token, and the backward GRU reads each sentence
    turned round within its own length.
    """

    def __init__(self, config: GRUEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        count = 2 if config.direction == "bi" else 1
        if config.hidden_dim % count:
            raise ValueError(f"the hidden size of two directions must be even; received {config.hidden_dim}")
        size = config.hidden_dim // count
        self.rnns = nn.ModuleList(gru(config.embedding_dim, size, config.layer_norm) for _ in range(count))

    def lengths(self, x: Tensor) -> Tensor:
        """Real tokens (B,) of x (B, T), EOS included; at least 1."""
        real = (x == self.config.eos).cumsum(1) - (x == self.config.eos).long() == 0
        return (real & (x != self.config.pad)).sum(1).clamp(min=1)

    def states(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, D) at every token of x (B, T), and the mask (B, T) of the real ones; states at padding are 0."""
        lengths = self.lengths(x)
        places = torch.arange(x.shape[1], device=x.device)
        mask = places < lengths.unsqueeze(1)
        e = self.embedding(x)
        parts = [self.rnns[0](e)[0]]
        if len(self.rnns) == 2:
            turned = torch.where(mask, lengths.unsqueeze(1) - 1 - places, places).unsqueeze(2)  # its own inverse
            h = self.rnns[1](e.gather(1, turned.expand_as(e)))[0]
            parts.append(h.gather(1, turned.expand_as(h)))
        return torch.cat(parts, 2) * mask.unsqueeze(2), mask

    def forward(self, x: Tensor) -> Tensor:
        """Thought vectors (B, D) of x (B, T)."""
        lengths = self.lengths(x)
        states, _ = self.states(x)
        half = self.config.hidden_dim // len(self.rnns)
        last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, half)
        thought = states[:, :, :half].gather(1, last).squeeze(1)
        return thought if len(self.rnns) == 1 else torch.cat([thought, states[:, 0, half:]], 1)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write config.json and model.safetensors."""
        save(self, self.config, "gru-encoder", folder)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> GRUEncoder:
        """Load what save_pretrained wrote.

        Raises:
            UserError: the folder holds no such model.
        """
        config, weights = read(folder, "gru-encoder")
        model = cls(GRUEncoderConfig(**config))
        model.load_state_dict(weights)
        return model.eval()
