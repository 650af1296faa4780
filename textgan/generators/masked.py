"""The generator that fills blanks: an encoder that reads a sentence with blanks, a decoder that attends to it (MaskGAN)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..likelihood import token_log_prob
from ..sampling import project_and_draw
from .base import Generator, State


def blanks(lengths: Tensor, width: int, rate: float, kind: Literal["contiguous", "random"], u: Tensor) -> Tensor:
    """Where the blanks are, (B, width) booleans, in sentences of these lengths (B,).

    "contiguous" is one stretch of about ``rate`` of the sentence, one token at least, anywhere in it; "random" makes every token
    a blank with probability ``rate``.

    Args:
        lengths: tokens, EOS included.
        width: T.
        rate: share of the tokens, in (0, 1].
        kind: see above.
        u: (B, width) uniform numbers in [0, 1).
    """
    place = torch.arange(width, device=lengths.device)
    n = lengths.unsqueeze(1)
    if kind == "random":
        return (u < rate) & (place < n)
    size = (n * rate).round().long().clamp(min=1)
    start = (u[:, :1] * (n - size + 1)).long()
    return (place >= start) & (place < start + size) & (place < n)


class LSTMStack(nn.Module):
    """Layers of LSTM of one size, with variational dropout: one mask a sequence before each layer and after the last."""

    def __init__(self, size: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.LSTM(size, size, batch_first=True) for _ in range(layers))
        self.dropout = dropout

    def _drop(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropout:
            return x
        keep = torch.empty(len(x), 1, x.shape[2], device=x.device, dtype=x.dtype).bernoulli_(1 - self.dropout)
        return x * keep / (1 - self.dropout)

    def forward(self, e: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Outputs (B, T, H) for inputs (B, T, H), and the last state: h and c, each (layers, B, H)."""
        ends = []
        for k, layer in enumerate(self.layers):
            first = None if state is None else (state[0][k : k + 1].contiguous(), state[1][k : k + 1].contiguous())
            e, end = layer(self._drop(e), first)
            ends.append(end)
        return self._drop(e), (torch.cat([h for h, _ in ends]), torch.cat([c for _, c in ends]))

    def step(self, below: Tensor, state: State) -> State:
        """The state after one input (B, H), without dropout."""
        new = []
        for k, layer in enumerate(self.layers):
            weights = [layer.get_parameter(f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            below, c = torch.lstm_cell(below, (state[0][k], state[1][k]), *weights)
            new.append((below, c))
        return torch.stack([h for h, _ in new]), torch.stack([c for _, c in new])


class Seq2Seq(nn.Module):
    """An encoder and a decoder that attends to it (Luong et al., 2015: "general" score, eq. 8, and eq. 5)."""

    def __init__(self, size: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.encoder, self.decoder = LSTMStack(size, layers, dropout), LSTMStack(size, layers, dropout)
        self.query = nn.Linear(size, size, bias=False)
        self.combine = nn.Linear(2 * size, size, bias=False)

    def attend(self, h: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """Attentional states (B, t, H) of the decoder's h (B, t, H) over memory (B, S, H); bias (B, S) is -inf at padding."""
        weights = (self.query(h) @ memory.transpose(1, 2) + bias.unsqueeze(1)).softmax(2)
        found: Tensor = self.combine(torch.cat([weights @ memory, h], 2)).tanh()
        return found

    def forward(self, context: Tensor, bias: Tensor, e: Tensor) -> Tensor:
        """Attentional states for decoder inputs e (k B, T, H), k versions of each context (B, S, H) that was encoded."""
        memory, state = self.encoder(context)
        k = len(e) // len(context)
        states, _ = self.decoder(e, tuple(part.repeat(1, k, 1) for part in state))
        return self.attend(states, memory.repeat(k, 1, 1), bias.repeat(k, 1))


@dataclass(frozen=True)
class MaskConfig:
    """Sizes of a MaskGenerator; defaults are MaskGAN's on PTB."""

    vocab_size: int
    embedding_dim: int = 650
    num_layers: int = 2
    length: int = 20
    dropout: float = 0.0
    bos: int = 1
    eos: int | None = 2
    pad: int = 0
    banned: tuple[int, ...] = ()


class MaskGenerator(Generator):
    """p(x | m(x)): the encoder reads the sentence with blanks m(x), the decoder writes it from left to right (MaskGAN, 2.1).

    A blank is a learnt vector. Embedding and softmax share their weights, so state and embedding have one size. As a language
    model (``log_prob``, ``sample``) it fills a sentence of ``length`` blanks.
    """

    kind = "mask"
    Config = MaskConfig

    def __init__(self, config: MaskConfig) -> None:
        super().__init__(config)
        self.dropout = nn.Identity()  # the stacks have their own
        self.blank = nn.Parameter(torch.empty(config.embedding_dim).uniform_(-0.05, 0.05))
        self.seq2seq = Seq2Seq(config.embedding_dim, config.num_layers, config.dropout)
        self.out = nn.Linear(config.embedding_dim, config.vocab_size)
        nn.init.uniform_(self.embedding.weight, -0.05, 0.05)
        nn.init.zeros_(self.out.bias)
        self.out.weight = self.embedding.weight

    def context(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (B, T, H) of x (B, T) with blanks where it is not ``present``, and the attention's bias (B, T)."""
        vectors = torch.where(present.unsqueeze(2), self.embedding(x), self.blank)
        padding = present & (x == self.config.pad)
        return vectors, torch.zeros_like(vectors[:, :, 0]).masked_fill(padding, -torch.inf)

    def _nothing(self, rows: int) -> tuple[Tensor, Tensor]:
        x = torch.full((rows, self.config.length), self.config.pad, device=self.out.weight.device)
        return self.context(x, torch.zeros_like(x, dtype=torch.bool))

    def hidden(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """States (B, T, H) that write x (B, T), where ``present`` (B, T) says what of it the encoder sees: nothing, if absent."""
        context = self._nothing(len(x)) if present is None else self.context(x, present)
        found: Tensor = self.seq2seq(*context, self.embedding(self._inputs(x)))
        return found

    def logits(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Scores (B, T, V); see hidden."""
        scores: Tensor = self.out(self.hidden(x, present)) + self.ban
        return scores

    def fill_log_prob(self, x: Tensor, present: Tensor) -> Tensor:
        """Log-probability (B, T), in nats, of each blank of x (B, T), given the tokens before it and those that are present.

        It is 0 at tokens that are present and at padding.
        """
        h, bias = self.hidden(x, present), self.out.bias + self.ban
        return token_log_prob(h, self.out.weight, bias, x, ~present & self.mask(x))

    def _start(self, rows: int) -> State:
        vectors, bias = self._nothing(1)
        return tuple(part.expand(-1, rows, -1).contiguous() for part in self._begin(vectors, bias))

    def _begin(self, vectors: Tensor, bias: Tensor) -> State:
        memory, (h, c) = self.seq2seq.encoder(vectors)
        return (h[-1:], h, c, memory.flatten(1).unsqueeze(0), bias.unsqueeze(0))

    def _step(self, below: Tensor, state: State) -> State:
        _, h, c, memory, bias = state
        h, c = self.seq2seq.decoder.step(below, (h, c))
        top = self.seq2seq.attend(h[-1].unsqueeze(1), memory[0].unflatten(1, (-1, h.shape[2])), bias[0])
        return (top.transpose(0, 1), h, c, memory, bias)

    @torch.no_grad()
    def fill(
        self, x: Tensor, present: Tensor, u: Tensor, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
    ) -> Tensor:
        """Fill the blanks of sentences, from left to right; what is present stays.

        Args:
            x: (B, T) sentences; what stands at blanks is not read.
            present: (B, T), false at blanks.
            u: (B, T) uniform numbers.
            temperature: see sampling.restrict, like top_k and top_p.
            top_k: cut to the likeliest.
            top_p: cut to the nucleus.

        Returns:
            (B, T). Blanks after an EOS that was drawn become padding.
        """
        state = self._begin(*self.context(x, present))
        token = torch.full((len(x),), self.config.bos, device=x.device)
        done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        bias, filled = self.out.bias + self.ban, x.clone()
        for t in range(x.shape[1]):
            state = self._step(self.embedding(token), state)
            token = project_and_draw(
                state[0][-1], self.out.weight, bias, u[:, t], temperature=temperature, top_k=top_k, top_p=top_p
            ).masked_fill(done, self.config.pad)
            token = torch.where(present[:, t], x[:, t], token)
            filled[:, t] = token
            if self.config.eos is not None:
                done = done | (token == self.config.eos)
        return filled
