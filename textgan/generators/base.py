"""What all generators share, and how modules with a frozen config are saved."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..estimators import gumbel_softmax, straight_through
from ..likelihood import token_log_prob
from ..sampling import project_and_draw

State = tuple[Tensor, ...]  # each (layers, rows, ...), or none yet; the last layer of the first part is what ``out`` reads


class Generator(nn.Module):
    """What all generators share: p(x) as the product of p(x_t | x_<t), scored, drawn and completed token by token.

    A sequence x is (B, T) ids without BOS; where the config names an EOS, what follows the first one is padding and carries
    no probability. ``banned`` tokens (BOS, padding) have probability zero.

    A subclass has a ``kind``, a ``Config``, the layer ``out`` and the ways to begin (``_start``) and to read a token (``_step``).
    """

    kind: ClassVar[str]
    Config: ClassVar[Any]
    ban: Tensor
    out: nn.Linear

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        self.dropout: nn.Module = nn.Dropout(config.dropout)
        allowed = torch.zeros(config.vocab_size)
        allowed[list(config.banned)] = -torch.inf
        self.register_buffer("ban", allowed, persistent=False)

    def _start(self, rows: int) -> State:
        """The state before the first token."""
        raise NotImplementedError

    def _step(self, below: Tensor, state: State) -> State:
        """The state after reading one token's vector (rows, E) in every row."""
        raise NotImplementedError

    def mask(self, x: Tensor) -> Tensor:
        """True at the tokens of x (B, T) up to and including the first EOS."""
        if self.config.eos is None:
            return torch.ones_like(x, dtype=torch.bool)
        end = x == self.config.eos
        ended: Tensor = end.cumsum(1) - end.long()
        return ended == 0

    def _inputs(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :-1], (1, 0), value=self.config.bos)

    def read(self, x: Tensor, state: State | None = None, real: Tensor | None = None) -> tuple[Tensor, State]:
        """What ``out`` reads (B, T, H) after each token of x (B, T), and the state after the last.

        Args:
            x: tokens in the order in which they are read, BOS among them where it is to be read.
            state: what was reached before x; the beginning when absent.
            real: (B, T), false at padding, wherever it stands: there the state stays as it is.
        """
        state, found = self._start(len(x)) if state is None else state, []
        for t, below in enumerate(self.dropout(self.embedding(x)).unbind(1)):
            new = self._step(below, state)
            if real is not None:
                new = tuple(torch.where(real[:, t, None], after, before) for after, before in zip(new, state, strict=True))
            state = new
            found.append(state[0][-1])
        return torch.stack(found, 1), state

    def hidden(self, x: Tensor) -> Tensor:
        """What ``out`` reads (B, T, H) at each place of x (B, T): the state after BOS and the tokens before it."""
        return self.read(self._inputs(x))[0]

    def logits(self, x: Tensor) -> Tensor:
        """Scores (B, T, V) of every possible token at each place of x (B, T), given those before it."""
        scores: Tensor = self.out(self.dropout(self.hidden(x))) + self.ban
        return scores

    def log_prob(self, x: Tensor, temperature: float = 1.0) -> Tensor:
        """Log-probability (B, T), in nats, of each token of x (B, T) when drawn at this temperature; 0 at padding."""
        h, bias = self.dropout(self.hidden(x)), self._bias()
        return token_log_prob(h / temperature, self.out.weight, bias / temperature, x, self.mask(x))

    def _bias(self) -> Tensor:
        """What is added to the scores: minus infinity at banned tokens."""
        return self.ban if self.out.bias is None else self.out.bias + self.ban

    def _draw(self, h: Tensor, bias: Tensor, u: Tensor, ended: Tensor | None, **how: Any) -> Tensor:
        """The next token (n,) of states (n, H); padding in rows that have ended (n,)."""
        if ended is None:
            return project_and_draw(h, self.out.weight, bias, u, **how)
        if h.device.type != "cpu":  # picking the running rows would be a wait for the device
            return project_and_draw(h, self.out.weight, bias, u, **how).masked_fill(ended, self.config.pad)
        rows = (~ended).nonzero().squeeze(1)
        drawn = project_and_draw(h[rows], self.out.weight, bias, u[rows], **how)
        return torch.full_like(ended, self.config.pad, dtype=torch.long).index_copy_(0, rows, drawn)

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
        done = None if self.config.eos is None else torch.zeros(n, dtype=torch.bool, device=device)
        state = self._start(n)
        bias = self._bias()
        for t in range(length):
            state = self._step(self.embedding(token), state)
            if t < given and prompt is not None:
                token = prompt[t].to(device).expand(n)
            else:
                token = self._draw(state[0][-1], bias, u[:, t], done, temperature=temperature, top_k=top_k, top_p=top_p)
            x[:, t] = token
            if done is not None:
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
        bias = self._bias()
        each = batch * n  # rows a prefix
        real = self._step(self.embedding(torch.full((batch,), self.config.bos, device=x.device)), self._start(batch))
        running: State = ()
        ended = None
        if self.config.eos is not None:
            done = (x[:, :-1] == self.config.eos).cumsum(1).bool()  # (B, T-1): the prefix holds EOS
            ended = done.t().repeat_interleave(n, dim=1).reshape(-1)  # (rows,)
        for s in range(1, length):
            rows = s * each
            real = self._step(self.embedding(x[:, s - 1]), real)  # has read x[:, :s], the prefix of length s
            begun = tuple(part.repeat_interleave(n, dim=1) for part in real)
            if s > 1:
                moved = self._step(self.embedding(flat[: rows - each, s - 1]), running)
                begun = tuple(torch.cat(parts, 1) for parts in zip(moved, begun, strict=True))
            running = begun
            token = self._draw(running[0][-1], bias, numbers[:rows, s], None if ended is None else ended[:rows])
            if ended is not None:
                ended[:rows] |= token == self.config.eos
            flat[:rows, s] = token
        return tokens.permute(1, 0, 2, 3)

    def relax(self, noise: Tensor, temperature: float, *, hard: bool = False, feed_back: bool = True) -> tuple[Tensor, Tensor]:
        """Draw sequences as vectors over the vocabulary, through which gradients flow (Jang et al., 2017, eq. 2).

        Args:
            noise: (B, T, V) Gumbel noise.
            temperature: of the softmax; towards 0 the vectors become one-hot.
            hard: make the vectors one-hot and give them the relaxed ones' gradient (straight-through).
            feed_back: G reads its own vectors as the next input, so that gradients flow through what it reads; otherwise the
                tokens.

        Returns:
            Vectors (B, T, V), and the tokens (B, T) where they are largest; where G reads one-hot vectors or tokens, these are
            exact samples, whatever the temperature. After EOS both are padding.
        """
        batch, length, size = noise.shape
        token = torch.full((batch,), self.config.bos, device=noise.device)
        done = torch.zeros(batch, 1, dtype=torch.bool, device=noise.device)
        below, state = self.embedding(token), self._start(batch)
        padding = F.one_hot(torch.tensor(self.config.pad, device=noise.device), size).to(noise.dtype)
        vectors, tokens = [], []
        for t in range(length):
            state = self._step(below, state)
            scores = (self.out(state[0][-1]) + self.ban).to(noise.dtype)
            vector = gumbel_softmax(scores, noise[:, t], temperature)
            vector = straight_through(vector) if hard else vector
            token = (scores + noise[:, t]).argmax(1).masked_fill(done[:, 0], self.config.pad)
            vector = torch.where(done, padding, vector)
            if self.config.eos is not None:
                done = done | (token == self.config.eos).unsqueeze(1)
            below = vector @ self.embedding.weight if feed_back else self.embedding(token)
            vectors.append(vector)
            tokens.append(token)
        return torch.stack(vectors, 1), torch.stack(tokens, 1)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write config.json and model.safetensors."""
        save(self, self.config, self.kind, folder)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """Load what save_pretrained wrote.

        Raises:
            UserError: the folder holds no such model.
        """
        config, weights = read(folder, cls.kind)
        known = {f.name: config[f.name] for f in fields(cls.Config) if f.name in config}  # transformers adds its own
        model = cls(cls.Config(**{**known, "banned": tuple(config["banned"])}))
        model.load_state_dict(weights)
        return model.eval()


def save(module: nn.Module, config: Any, kind: str, folder: Path | str) -> None:
    """Write a module's frozen config and weights into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model_type": f"textgan-{kind}", **asdict(config)}, indent=1)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    save_file({k: v.contiguous().clone() for k, v in module.state_dict().items()}, folder / "model.safetensors")


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
