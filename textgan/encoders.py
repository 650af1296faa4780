"""Encoders of sentences: plain modules with a frozen config that turn ids into vectors.

A sentence x is (B, T) ids: words, EOS, then padding. The last real token is the first EOS, or the last place where there is none.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .errors import UserError
from .generators import read, save
from .recurrence import Packing, gru, run
from .tokenizers import Tokenizer


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

    def packing(self, x: Tensor, lengths: np.ndarray | None = None) -> Packing:
        """How the sentences x (B, T) are packed; known lengths (B,), EOS included, spare a wait for the device."""
        return Packing(self.lengths(x).cpu().numpy() if lengths is None else lengths, x.shape[1], x.device)

    def packed_states(self, x: Tensor, packing: Packing) -> list[Tensor]:
        """States (N, H) at every packed token, of each direction; the second reads backwards."""
        words, which = x.unique(return_inverse=True)
        e, which = self.embedding(words), which.flatten()
        places = (packing.tokens, packing.turned)
        return [run(rnn, [(e, which[place])], packing) for rnn, place in zip(self.rnns, places, strict=False)]

    def states(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, D) at every token of x (B, T), and the mask (B, T) of the real ones; states at padding are 0."""
        packing = self.packing(x)
        parts = []
        for states, place in zip(self.packed_states(x, packing), (packing.tokens, packing.turned), strict=False):
            parts.append(states.new_zeros(x.numel(), states.shape[1]).index_copy(0, place, states))
        mask = torch.zeros(x.numel(), dtype=torch.bool, device=x.device).index_fill(0, packing.tokens, True)
        return torch.cat(parts, 1).view(*x.shape, -1), mask.view(x.shape)

    def forward(self, x: Tensor, lengths: np.ndarray | None = None) -> Tensor:
        """Thought vectors (B, D) of x (B, T); known lengths (B,), EOS included, spare a wait for the device."""
        packing = self.packing(x, lengths)
        return torch.cat([states[packing.last] for states in self.packed_states(x, packing)], 1)

    @torch.no_grad()
    def set_embeddings(self, vectors: Tensor, known: Tensor) -> None:
        """Take over vectors (n, E) for the tokens ``known`` (n,), scaled so that their spread is that of the others."""
        table = self.embedding.weight
        table[known.to(table.device)] = (vectors / vectors.std() * table.std()).to(table)

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


class Encoders(nn.ModuleDict):
    """Several encoders that are trained together; each is saved in a folder of its own."""

    def save_pretrained(self, folder: Path | str) -> None:
        """Write every encoder into ``folder``/its name."""
        for name, encoder in self.items():
            assert isinstance(encoder, GRUEncoder)
            encoder.save_pretrained(Path(folder) / name)


def read_vectors(source: str, tokenizer: Tokenizer | None, size: int) -> tuple[Tensor, Tensor]:
    """Word vectors for the tokens of a tokenizer.

    Args:
        source: a word2vec run or checkpoint, or a file in word2vec's text or binary (.bin) format.
        tokenizer: of words; a word after a blank and inside a quotation gets the same vector.
        size: dimensions that are wanted.

    Returns:
        Vectors (n, size) and the ids (n,) of the tokens they belong to.

    Raises:
        UserError: there are none, or of another size.
    """
    if tokenizer is None:
        raise UserError("--embeddings needs text; this corpus has no words")
    from gensim.models import KeyedVectors

    path = Path(source)
    if (path / "checkpoints").is_dir():
        from .runtime import Run

        path = Run(path).latest() or path
    for inside in (path / "vectors" / "vectors.bin", path / "vectors.bin"):
        path = inside if inside.is_file() else path
    try:
        vectors = KeyedVectors.load_word2vec_format(str(path), binary=path.suffix == ".bin")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"no word vectors can be read from {source}; expected a word2vec run or file; {error}") from error
    if vectors.vector_size != size:
        raise UserError(f"{source} has vectors of {vectors.vector_size} numbers; expected {size}; set --embedding-dim to match")
    names = [(i, tokenizer.token(i).lstrip("▁")) for i in range(4, tokenizer.vocab_size)]
    found = [(i, w) for i, w in names if w in vectors.key_to_index]
    if not found:
        raise UserError(f"{source} has no word of this vocabulary; expected vectors of the same language and case")
    table = torch.from_numpy(np.stack([vectors[w] for _, w in found]))
    return table, torch.tensor([i for i, _ in found])


class SentenceEncoder:
    """Text to vectors: a tokenizer and one or more encoders, whose vectors are put side by side.

    Each encoder's part is divided by its length first when there are several, as Skip-Thought's combine does.
    """

    def __init__(self, parts: Sequence[GRUEncoder], tokenizer: Any) -> None:
        self.parts, self.tokenizer = list(parts), tokenizer

    def mean_words(self, sentences: Sequence[str]) -> np.ndarray:
        """The mean of the word vectors (n, E) of the first encoder: what a sentence vector must beat."""
        table = self.parts[0].embedding.weight.detach().float().cpu()
        rows = [row or [self.tokenizer.eos] for row in self.tokenizer.encode_batch(list(sentences))]
        return torch.stack([table[torch.tensor(row)].mean(0) for row in rows]).numpy()

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return sum(part.config.hidden_dim for part in self.parts)

    @torch.inference_mode()
    def encode(
        self,
        sentences: str | Sequence[str],
        batch_size: int = 256,
        *,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = False,
        show_progress_bar: bool = False,
        precision: Literal["fp32", "bf16"] = "fp32",
        max_length: int = 400,
    ) -> Any:
        """Vectors (n, D) of sentences, or (D,) of one; float32, as an array or a tensor.

        Sentences are sorted by length and batched; a vector does not depend on the others in its batch. An empty sentence is
        encoded as its end alone, with one warning.

        Args:
            sentences: one or many.
            batch_size: sentences at a time.
            convert_to_tensor: give a tensor on the encoder's device.
            normalize_embeddings: divide every vector by its length.
            show_progress_bar: show one.
            precision: bf16 runs the recurrence's products in bfloat16, several times faster where the hardware has them.
            max_length: longer sentences are cut to so many tokens.
        """
        texts = [sentences] if isinstance(sentences, str) else list(sentences)
        ids = [row[: max_length - 1] for row in self.tokenizer.encode_batch(texts)] if texts else []
        if any(not row for row in ids):
            warnings.warn(
                f"{sum(not row for row in ids)} of {len(ids)} sentences are empty; they get the vector of nothing", stacklevel=2
            )
        device = self.parts[0].embedding.weight.device
        out = torch.zeros(len(ids), self.dimension, device=device)
        sizes = np.array([len(row) + 1 for row in ids], dtype=np.int64)
        flat = np.array([token for row in ids for token in (*row, self.tokenizer.eos)], dtype=np.int64)
        first, order = sizes.cumsum() - sizes, sizes.argsort(kind="stable")[::-1]
        starts: Any = range(0, len(ids), batch_size)
        if show_progress_bar:
            from rich.progress import track

            starts = track(starts, "encoding")
        for start in starts:
            chosen = order[start : start + batch_size].copy()
            steps = np.arange(sizes[chosen[0]])
            places = np.minimum(first[chosen, None] + steps, len(flat) - 1)
            x = torch.from_numpy(np.where(steps < sizes[chosen, None], flat[places], self.tokenizer.pad))
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                parts = [part(x.to(device), sizes[chosen]).float() for part in self.parts]
            if len(parts) > 1:
                parts = [nn.functional.normalize(part, dim=1, eps=1e-12) for part in parts]
            out[torch.from_numpy(chosen).to(device)] = torch.cat(parts, 1)
        if normalize_embeddings:
            out = nn.functional.normalize(out, dim=1, eps=1e-12)
        found = out[0] if isinstance(sentences, str) else out
        return found if convert_to_tensor else found.cpu().numpy()

    @classmethod
    def from_pretrained(cls, path: Path | str) -> SentenceEncoder:
        """The encoder of a run, of a checkpoint, or of a folder that holds encoders.

        Raises:
            UserError: there is none.
        """
        from .runtime import Run
        from .tokenizers import load

        folder = Path(path)
        if (folder / "checkpoints").is_dir():
            folder = Run(folder).latest() or folder
        found = sorted(p.parent for p in folder.rglob("config.json") if '"textgan-gru-encoder"' in p.read_text(encoding="utf-8"))
        if not found:
            raise UserError(f"{path} holds no sentence encoder; expected a run of quickthought or skipthought, or its checkpoint")
        return cls([GRUEncoder.from_pretrained(p) for p in found], load(found[0]))
