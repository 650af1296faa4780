"""Discriminators of text: plain modules with a frozen config that tell real sequences from generated ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .generators import read, save

WINDOWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
MAPS = (100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160)


@dataclass(frozen=True)
class CNNHighwayConfig:
    """Sizes of a CNNHighway; defaults are SeqGAN's (appendix, and the authors' code for T = 20)."""

    vocab_size: int
    length: int = 20
    embedding_dim: int = 64
    windows: tuple[int, ...] = WINDOWS
    maps: tuple[int, ...] = MAPS
    dropout: float = 0.25


class CNNHighway(nn.Module):
    """Convolutions of many widths, max over time, one highway layer (SeqGAN, section "Discriminative model").

    Windows wider than ``length`` are left out. Each convolution is one matrix product over the unfolded embeddings.
    """

    def __init__(self, config: CNNHighwayConfig) -> None:
        super().__init__()
        self.config = config
        fitting = [(w, m) for w, m in zip(config.windows, config.maps, strict=True) if w <= config.length]
        features = sum(m for _, m in fitting)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        self.convolutions = nn.ModuleList(nn.Linear(w * config.embedding_dim, m) for w, m in fitting)
        self.gate = nn.Linear(features, features)
        self.candidate = nn.Linear(features, features)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(features, 2)
        nn.init.uniform_(self.embedding.weight, -1, 1)
        for layer in [*self.convolutions, self.gate, self.candidate, self.out]:
            nn.init.trunc_normal_(layer.weight, std=0.1, a=-0.2, b=0.2)
            nn.init.constant_(layer.bias, 0.1)
        for layer in (self.gate, self.candidate):
            nn.init.zeros_(layer.bias)  # the authors' code; the text of the highway paper has -2 at the gate

    def forward(self, x: Tensor) -> Tensor:
        """Logit (B,) that each sequence of x (B, T) is real."""
        e = self.embedding(x)  # (B, T, E)
        pooled = []
        for layer in self.convolutions:
            assert isinstance(layer, nn.Linear)
            width = layer.in_features // self.config.embedding_dim
            view = e.flatten(1).unfold(1, layer.in_features, self.config.embedding_dim)  # (B, T - width + 1, width E)
            assert view.shape[1] == x.shape[1] - width + 1
            pooled.append(F.linear(view, layer.weight).amax(1) + layer.bias)
        f = torch.cat(pooled, 1).relu()  # relu and the bias commute with the maximum
        t = self.gate(f).sigmoid()
        f = t * self.candidate(f).relu() + (1 - t) * f
        scores = self.out(self.dropout(f))
        logit: Tensor = scores[:, 1] - scores[:, 0]
        return logit.float()

    def probability(self, x: Tensor) -> Tensor:
        """Probability (B,) that each sequence of x (B, T) is real."""
        return self.forward(x).sigmoid()

    def l2(self) -> Tensor:
        """Half the sum of squares of the output layer, the only one that the authors' code regularises."""
        return (self.out.weight.square().sum() + self.out.bias.square().sum()) / 2

    def save_pretrained(self, folder: Path | str) -> None:
        """Write config.json and model.safetensors."""
        save(self, self.config, "cnn-highway", folder)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> CNNHighway:
        """Load what save_pretrained wrote.

        Raises:
            UserError: the folder holds no such model.
        """
        config, weights = read(folder, "cnn-highway")
        model = cls(CNNHighwayConfig(**{**config, "windows": tuple(config["windows"]), "maps": tuple(config["maps"])}))
        model.load_state_dict(weights)
        return model.eval()
