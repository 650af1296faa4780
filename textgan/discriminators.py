"""Discriminators of text: plain modules with a frozen config that tell real sequences from generated ones."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .generators import read, save
from .generators.masked import Seq2Seq
from .runtime import OuterLinear

WINDOWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
MAPS = (100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160)
PIECE = 256  # sequences judged at a time
TABLE = 2**24  # numbers of a table at a time (64 MB)
TABULATE = 8  # tokens to judge for each of the vocabulary, from which on tables of their convolutions pay


def embed(embedding: nn.Embedding, x: Tensor) -> Tensor:
    """Vectors (B, T, E) of tokens (B, T), or of vectors over the vocabulary (B, T, V), through which gradients flow."""
    found: Tensor = x @ embedding.weight if x.is_floating_point() else embedding(x)
    return found


def _dropout(x: Tensor, p: float) -> Tensor:
    """nn.Dropout, on a CPU by 16 bits each, a quarter of what is drawn at a time: four times as fast.

    p is rounded to a multiple of 1 / 65,536.
    """
    if x.device.type != "cpu":
        return F.dropout(x, p)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    dropped = min(round(p * 2**16), 2**16 - 1)  # of 2 ** 16 numbers
    kept = draws[: x.numel()].view_as(x) >= dropped - 2**15
    return x * kept.to(x.dtype).mul_(2**16 / (2**16 - dropped))


@functools.cache
def _waves(T: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """What makes a correlation of T places products: of e (K, T), of a filter (K, T), and back from the products (T, K).

    Fourier transforms of L places, T or one more if that is odd, with (a, b) the cosine and the sine of e and (c, d) those of a
    filter. A product (a - ib) (c + id) takes the three a c, b d and (a - b) (c + d) (Gauss): its real part is the sum of the
    first two, its imaginary one the third - the first + the second. At the frequencies 0 and L / 2 it is a c: K is 1.5 L - 1.
    """
    L = T + T % 2
    angles = torch.outer(torch.arange(L // 2 + 1), torch.arange(T)).remainder(L).double() * (2 * math.pi / L)
    ends, cos, sin = angles[:: max(1, L // 2)].cos(), angles[1:-1].cos(), angles[1:-1].sin()
    of_e, of_filter = torch.cat([ends, cos, sin, cos - sin]), torch.cat([ends, cos, sin, cos + sin])
    back = torch.cat([ends, 2 * (cos + sin), 2 * (cos - sin), -2 * sin]).T / L
    return of_e.to(device, dtype), of_filter.to(device, dtype), back.contiguous().to(device, dtype)


class LargestResponses(torch.autograd.Function):
    """The largest response (B, sum of maps) of several convolutions on vectors e (B, T, E), each by a weight (maps, width E).

    A correlation is a product of Fourier transforms: with those of T places, in which no window that lies within the sentence
    wraps around, a filter of any width takes 1.5 T E multiplications, where its windows take (T - width + 1) width E. Equal
    maxima share a gradient, as in amax; which of two windows of the same words has it is a matter of rounding, and makes no
    difference to the words' vectors or the filters.
    """

    @staticmethod
    def forward(ctx: Any, e: Tensor, *weights: Tensor) -> Tensor:  # noqa: D102
        (B, T, E), (of_e, of_filter, back) = e.shape, _waves(e.shape[1], e.dtype, e.device)
        x = (of_e @ e.transpose(0, 1).flatten(1)).view(-1, B, E)  # (K, B, E)
        transformed, responses, largest = [], [], []
        for weight in weights:
            rows = weight.unflatten(1, (-1, E))  # (maps, width, E)
            w = of_filter[:, : rows.shape[1]] @ rows  # (maps, K, E)
            y = w.transpose(0, 1) @ x.transpose(1, 2)  # (K, maps, B)
            found = (back[: T - rows.shape[1] + 1] @ y.flatten(1)).view(-1, len(w), B)
            transformed.append(w)
            responses.append(found)
            largest.append(found.amax(0))
        ctx.save_for_backward(x, *transformed, *responses, *largest)
        ctx.shape = e.shape
        return torch.cat(largest).T.contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:  # noqa: D102
        x, *saved = ctx.saved_tensors
        (B, T, E), count = ctx.shape, len(saved) // 3
        (of_e, of_filter, back), of_x, of_weights = _waves(T, x.dtype, x.device), torch.zeros_like(x), []
        parts = grad.T.contiguous().split([len(w) for w in saved[:count]])
        for w, found, best, part in zip(saved[:count], saved[count : 2 * count], saved[2 * count :], parts, strict=True):
            at = torch.eq(found, best, out=torch.empty_like(found))  # 1 or 0
            at *= part / at.sum(0)
            of_y = (back[: len(at)].T @ at.flatten(1)).view(-1, len(w), B)
            of_x.baddbmm_(of_y.transpose(1, 2), w.transpose(0, 1))
            of_w = of_y @ x  # (K, maps, E)
            of_rows = of_filter[:, : T - len(at) + 1].T @ of_w.flatten(1)  # (width, maps E)
            of_weights.append(of_rows.view(-1, len(w), E).transpose(0, 1).flatten(1))
        return (of_e.T @ of_x.flatten(1)).view(T, B, E).transpose(0, 1), *of_weights


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

    Windows wider than ``length`` are left out. Convolutions of tokens go by Fourier transforms (``LargestResponses``) where they
    have more than one window, those of vectors over the vocabulary are matrix products over the windows.
    """

    def __init__(self, config: CNNHighwayConfig) -> None:
        super().__init__()
        if not 0 <= config.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); received {config.dropout}")
        self.config = config
        fitting = [(w, m) for w, m in zip(config.windows, config.maps, strict=True) if w <= config.length]
        features = sum(m for _, m in fitting)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        self.convolutions = nn.ModuleList(nn.Linear(w * config.embedding_dim, m) for w, m in fitting)
        self.gate = OuterLinear(features, features)
        self.candidate = OuterLinear(features, features)
        self.out = nn.Linear(features, 2)
        nn.init.uniform_(self.embedding.weight, -1, 1)
        for layer in [*self.convolutions, self.gate, self.candidate, self.out]:
            nn.init.trunc_normal_(layer.weight, std=0.1, a=-0.2, b=0.2)
            nn.init.constant_(layer.bias, 0.1)
        for layer in (self.gate, self.candidate):
            nn.init.zeros_(layer.bias)  # the authors' code; the text of the highway paper has -2 at the gate

    def forward(self, x: Tensor) -> Tensor:
        """Logit (B,) that each sequence of x, tokens (B, T) or vectors over the vocabulary (B, T, V), is real."""
        e = embed(self.embedding, x)  # (B, T, E)
        weights = [layer.get_parameter("weight") for layer in self.convolutions]
        plain = x.is_floating_point() or torch.is_autocast_enabled(x.device.type)  # has a gradient of the gradient, mixes types
        if plain:
            rows = (e.flatten(1).unfold(1, weight.shape[1], e.shape[2]) for weight in weights)  # (B, T - width + 1, width E) each
            largest = [F.linear(row, weight).amax(1) for row, weight in zip(rows, weights, strict=True)]
        else:
            whole = e.flatten(1)  # (B, T E): the one window of a filter as wide as the sentence
            narrow = [weight for weight in weights if weight.shape[1] < whole.shape[1]]
            found: Any = LargestResponses.apply(e, *narrow) if narrow else whole[:, :0]  # type: ignore[no-untyped-call]
            theirs = iter(found.split([len(weight) for weight in narrow], 1))
            largest = [next(theirs) if weight.shape[1] < whole.shape[1] else F.linear(whole, weight) for weight in weights]
        bias = torch.cat([layer.get_parameter("bias") for layer in self.convolutions])
        return self._judge((torch.cat(largest, 1) + bias).relu(), plain)  # relu and the bias commute with the maximum

    def _judge(self, f: Tensor, plain: bool = False) -> Tensor:
        """Logit (B,) of features (B, F): highway and output."""
        t = self.gate(f, plain).sigmoid()
        f = f + t * (self.candidate(f, plain).relu() - f)
        if self.training and self.config.dropout:
            f = _dropout(f, self.config.dropout)
        scores = self.out(f)
        logit: Tensor = scores[:, 1] - scores[:, 0]
        return logit.float()

    @torch.no_grad()
    def probability(self, x: Tensor) -> Tensor:
        """Probability (B,) that each sequence of tokens x (B, T) is real, a few sequences at a time; without a gradient."""
        if x.device.type != "cpu" or x.numel() < TABULATE * self.config.vocab_size:
            return torch.cat([self(part).sigmoid() for part in x.split(PIECE)])
        with torch.autocast("cpu", enabled=False):
            return torch.cat([self._tabulated(part).sigmoid() for part in x.split(PIECE * PIECE)])

    def _tabulated(self, x: Tensor) -> Tensor:
        """The same as ``forward`` of many sequences: what every token answers to every row of a filter is computed once.

        A window's response is the sum of what its tokens answer to the filter's rows, E times fewer operations than a product.
        """
        tokens, x = x.unique(return_inverse=True)
        vectors, f = self.embedding(tokens), []
        for layer in self.convolutions:
            weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
            rows = weight.unflatten(1, (-1, vectors.shape[1])).permute(1, 2, 0)  # (width, E, maps)
            entries = x.unfold(1, len(rows), 1) + torch.arange(len(rows)) * len(tokens)  # (B, T', width)
            maps = max(1, TABLE // (len(rows) * len(tokens)))
            for some, its_bias in zip(rows.split(maps, 2), bias.split(maps), strict=True):
                table = (vectors @ some).flatten(0, 1)  # (width tokens, maps)
                answers = (F.embedding_bag(part.flatten(0, 1), table, mode="sum") for part in entries.split(PIECE))
                f.append(torch.cat([a.unflatten(0, (-1, entries.shape[1])).amax(1) for a in answers]) + its_bias)
        return torch.cat([self._judge(part) for part in torch.cat(f, 1).relu().split(PIECE)])

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


@dataclass(frozen=True)
class RelGANDiscriminatorConfig:
    """Sizes of a RelGANDiscriminator; defaults are RelGAN's (appendix B, and the authors' code)."""

    vocab_size: int
    length: int = 20
    representations: int = 64
    embedding_dim: int = 64
    windows: tuple[int, ...] = (2, 3, 4, 5)
    maps: tuple[int, ...] = (300, 300, 300, 300)
    hidden_dim: int = 100
    dropout: float = 0.25


class RelGANDiscriminator(nn.Module):
    """One CNN over many small embeddings of the sentence, each judged by itself (RelGAN, section 3.2).

    A token has ``representations`` vectors, ``embedding_dim`` numbers together; all share convolutions, highway and output.
    Windows wider than ``length`` are left out.
    """

    def __init__(self, config: RelGANDiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        size, rest = divmod(config.embedding_dim, config.representations)
        if rest or size < 1:
            raise ValueError(
                f"embedding_dim {config.embedding_dim} is no multiple of the {config.representations} representations"
            )
        fitting = [(w, m) for w, m in zip(config.windows, config.maps, strict=True) if w <= config.length]
        features = sum(m for _, m in fitting)
        self.size = size
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        self.convolutions = nn.ModuleList(nn.Linear(w * size, m) for w, m in fitting)
        self.gate, self.candidate = nn.Linear(features, features), nn.Linear(features, features)
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(features, config.hidden_dim)
        self.out = nn.Linear(config.hidden_dim, 1)
        nn.init.trunc_normal_(self.embedding.weight, std=config.vocab_size**-0.5)
        for layer in [*self.convolutions, self.gate, self.candidate, self.hidden, self.out]:
            nn.init.trunc_normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, representations) that each sequence of x, tokens (B, T) or vectors (B, T, V), is real."""
        e = embed(self.embedding, x).unflatten(2, (-1, self.size)).transpose(1, 2)  # (B, S, T, E / S)
        e = e.flatten(0, 1).flatten(1)  # (B S, T E / S)
        pooled = [self._largest(e, layer.get_parameter("weight")) + layer.get_parameter("bias") for layer in self.convolutions]
        f = torch.cat(pooled, 1).relu()  # relu and the bias commute with the maximum
        t = self.gate(f).sigmoid()
        f = t * self.candidate(f).relu() + (1 - t) * f
        logits: Tensor = self.out(self.hidden(self.dropout(f)))
        return logits.view(len(x), -1).float()

    def _largest(self, e: Tensor, weight: Tensor) -> Tensor:
        """The largest response (n, maps) of each convolution on rows e (n, T E / S).

        Where it is is found without a graph, and there it is computed again: backward touches one window a map, not all T.
        """
        width = weight.shape[1]
        with torch.no_grad():
            windows = e.unfold(1, width, self.size)  # (n, T', width)
            place = torch.cat([F.linear(part, weight).max(1).indices for part in windows.split(64)]) * self.size
        return sum((e.gather(1, place + j) * weight[:, j] for j in range(1, width)), e.gather(1, place) * weight[:, 0])


@dataclass(frozen=True)
class MaskDiscriminatorConfig:
    """Sizes of a MaskDiscriminator; defaults are MaskGAN's on PTB."""

    vocab_size: int
    embedding_dim: int = 650
    num_layers: int = 2
    dropout: float = 0.0
    pad: int = 0


class MaskDiscriminator(nn.Module):
    """How real each token of a filled sentence is, given the sentence with its blanks (MaskGAN, section 2.1).

    Its encoder reads m(x), so that it knows which tokens were given; its decoder reads the filled sentence from left to right.
    """

    def __init__(self, config: MaskDiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        size = config.embedding_dim
        self.embedding = nn.Embedding(config.vocab_size, size)
        self.blank = nn.Parameter(torch.empty(size).uniform_(-0.05, 0.05))
        self.seq2seq = Seq2Seq(size, config.num_layers, config.dropout)
        self.out = nn.Linear(size, 1)
        nn.init.uniform_(self.embedding.weight, -0.05, 0.05)

    def forward(self, filled: Tensor, x: Tensor, present: Tensor) -> Tensor:
        """Logits (k B, T) that each token of ``filled`` (k B, T) is real.

        Args:
            filled: k versions, one after the other, of every sentence; the encoder reads each sentence once for all of them.
            x: (B, T) sentences.
            present: (B, T) what of them the encoder sees.
        """
        context = torch.where(present.unsqueeze(2), self.embedding(x), self.blank)
        padding = present & (x == self.config.pad)
        bias = torch.zeros_like(context[:, :, 0]).masked_fill(padding, -torch.inf)
        logits: Tensor = self.out(self.seq2seq(context, bias, self.embedding(filled)))
        return logits.squeeze(2).float()

    def before(self, filled: Tensor) -> Tensor:
        """States (B, T, H) of the decoder before each token of ``filled`` (B, T), without the encoder: what the critic reads."""
        e = F.pad(self.embedding(filled[:, :-1]), (0, 0, 1, 0))  # nothing stands before the first
        found: Tensor = self.seq2seq.decoder(e)[0]
        return found
