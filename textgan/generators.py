"""Generators of text: plain modules with a frozen config that save, load, score and sample."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import UserError
from .sampling import project_and_draw

State = tuple[Tensor, ...]  # LSTM: (h, c), GRU: (h,); each (layers, rows, H)


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


class RNNGenerator(nn.Module):
    """An LSTM or GRU language model p(x_t | x_<t), generator and policy of the text GANs.

    A sequence x is (B, T) ids without BOS; where the config names an EOS, what follows the first one is padding and carries
    no probability. ``banned`` tokens (BOS, padding, unknown) have probability zero.
    """

    ban: Tensor
    rnn: nn.LSTM | nn.GRU

    def __init__(self, config: RNNConfig) -> None:
        super().__init__()
        self.config = config
        kind = nn.LSTM if config.cell == "lstm" else nn.GRU
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        self.dropout = nn.Dropout(config.dropout)
        between = config.dropout if config.num_layers > 1 else 0.0
        self.rnn = kind(config.embedding_dim, config.hidden_dim, config.num_layers, batch_first=True, dropout=between)
        self.out = nn.Linear(config.hidden_dim, config.vocab_size)
        allowed = torch.zeros(config.vocab_size)
        allowed[list(config.banned)] = -torch.inf
        self.register_buffer("ban", allowed, persistent=False)

    def mask(self, x: Tensor) -> Tensor:
        """True at the tokens of x (B, T) up to and including the first EOS."""
        if self.config.eos is None:
            return torch.ones_like(x, dtype=torch.bool)
        end = x == self.config.eos
        return end.cumsum(1) - end.long() == 0

    def _inputs(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :-1], (1, 0), value=self.config.bos)

    def logits(self, x: Tensor) -> Tensor:
        """Scores (B, T, V) of every possible token at each place of x (B, T), given those before it."""
        h, _ = self.rnn(self.dropout(self.embedding(self._inputs(x))))
        scores: Tensor = self.out(self.dropout(h)) + self.ban
        return scores

    def log_prob(self, x: Tensor, temperature: float = 1.0) -> Tensor:
        """Log-probability (B, T), in nats, of each token of x (B, T) when drawn at this temperature; 0 at padding."""
        scores = self.logits(x) / temperature if temperature != 1 else self.logits(x)
        picked = -F.cross_entropy(scores.flatten(0, 1), x.flatten(), reduction="none").view_as(x)
        return picked.masked_fill(~self.mask(x), 0.0)

    def _start(self, rows: int) -> State:
        shape = (self.config.num_layers, rows, self.config.hidden_dim)
        zeros = self.out.weight.new_zeros(shape)
        return (zeros, zeros.clone()) if self.config.cell == "lstm" else (zeros,)

    def _step(self, token: Tensor, state: State) -> State:
        """The state after reading one token (rows,) in every row."""
        below = self.embedding(token)
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

    @torch.no_grad()
    def sample(
        self,
        n: int,
        length: int,
        u: Tensor | None = None,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        prompt: Tensor | None = None,
    ) -> Tensor:
        """Draw n sequences.

        Args:
            n: how many.
            length: T, in tokens, prompt included.
            u: (n, length) uniform numbers, one a token; drawn from torch's global generator when absent.
            temperature: see sampling.restrict, like top_k and top_p.
            top_k: cut to the likeliest.
            top_p: cut to the nucleus.
            prompt: (P,) ids that every sequence begins with.

        Returns:
            (n, length) ids; padding after EOS.
        """
        device = self.out.weight.device
        u = torch.rand(n, length, device=device) if u is None else u
        given = 0 if prompt is None else min(len(prompt), length)
        x = torch.full((n, length), self.config.pad, device=device)
        token = torch.full((n,), self.config.bos, device=device)
        done = torch.zeros(n, dtype=torch.bool, device=device)
        state = self._start(n)
        bias = self.out.bias + self.ban
        for t in range(length):
            state = self._step(token, state)
            if t < given and prompt is not None:
                token = prompt[t].to(device).expand(n)
            else:
                token = project_and_draw(
                    state[0][-1], self.out.weight, bias, u[:, t], temperature=temperature, top_k=top_k, top_p=top_p
                )
                token = token.masked_fill(done, self.config.pad)
            x[:, t] = token
            if self.config.eos is not None:
                done = done | (token == self.config.eos)
        return x

    @torch.no_grad()
    def complete(self, x: Tensor, n: int, u: Tensor) -> Tensor:
        """Finish every proper prefix of every sequence n times: all prefixes and repetitions at once, in T - 1 steps.

        Rows are ordered by the length of their prefix, so that those already running at step s are the first s B n.

        Args:
            x: (B, T) sequences.
            n: completions a prefix.
            u: (B, T - 1, n, T) uniform numbers; [b, t, i, s] draws token s of completion i of prefix x[b, :t + 1].

        Returns:
            (B, T - 1, n, T): [b, t, i] begins with x[b, :t + 1].
        """
        batch, length = x.shape
        prefixes = length - 1
        tokens = x.expand(prefixes, n, batch, length).permute(0, 2, 1, 3).clone()  # (T-1, B, n, T)
        flat = tokens.view(-1, length)
        numbers = u.permute(1, 0, 2, 3).reshape(-1, length)
        bias = self.out.bias + self.ban
        each = batch * n  # rows a prefix
        real = self._step(torch.full((batch,), self.config.bos, device=x.device), self._start(batch))
        running: State = tuple(part.new_empty(part.shape[0], prefixes * each, part.shape[2]) for part in real)
        ended = None
        if self.config.eos is not None:
            done = (x[:, :-1] == self.config.eos).cumsum(1).bool()  # (B, T-1): the prefix holds EOS
            ended = done.t().repeat_interleave(n, dim=1).reshape(-1)  # (rows,)
        for s in range(1, length):
            rows = s * each
            real = self._step(x[:, s - 1], real)  # has read x[:, :s], the prefix of length s
            if s > 1:
                old = rows - each
                moved = self._step(flat[:old, s - 1], tuple(part[:, :old] for part in running))
                for part, new in zip(running, moved, strict=True):
                    part[:, :old] = new
            for part, new in zip(running, real, strict=True):
                part[:, rows - each : rows] = new.repeat_interleave(n, dim=1)
            token = project_and_draw(running[0][-1, :rows], self.out.weight, bias, numbers[:rows, s])
            if ended is not None:
                token = token.masked_fill(ended[:rows], self.config.pad)
                ended[:rows] |= token == self.config.eos
            flat[:rows, s] = token
        return tokens.permute(1, 0, 2, 3)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write config.json and model.safetensors."""
        save(self, self.config, "rnn", folder)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> RNNGenerator:
        """Load what save_pretrained wrote.

        Raises:
            UserError: the folder holds no such model.
        """
        config, weights = read(folder, "rnn")
        model = cls(RNNConfig(**{**config, "banned": tuple(config["banned"])}))
        model.load_state_dict(weights)
        return model.eval()


def save(module: nn.Module, config: Any, kind: str, folder: Path | str) -> None:
    """Write a module's frozen config and weights into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model_type": f"textgan-{kind}", **asdict(config)}, indent=1)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    save_file({k: v.contiguous() for k, v in module.state_dict().items()}, folder / "model.safetensors")


def read(folder: Path | str, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and weights that ``save`` wrote.

    Raises:
        UserError: they are not there, or of another kind.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
    except Exception as error:  # safetensors raises its own class for a damaged file
        reason = str(error).splitlines()[0]
        raise UserError(f"no model can be read from {folder}; expected config.json and model.safetensors ({reason})") from error
    if config.pop("model_type", None) != f"textgan-{kind}":
        raise UserError(f"{folder} holds another kind of model; expected textgan-{kind}")
    return config, weights
