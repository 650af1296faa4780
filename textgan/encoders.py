"""Encoders of sentences: plain modules with a frozen config that turn ids into vectors.

A sentence x is (B, T) ids: words, EOS, then padding. The last real token is the first EOS, or the last place where there is none.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .errors import UserError
from .generators import read, save
from .recurrence import EightBits, Packing, gru, last_states, run
from .runtime import newest
from .tokenizers import Tokenizer

if TYPE_CHECKING:
    from .hf import BorrowedEncoder


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
        e, places = self._words(x, packing)
        return [run(rnn, [(e, place)], packing) for rnn, place in zip(self.rnns, places, strict=True)]

    def _words(self, x: Tensor, packing: Packing) -> tuple[Tensor, list[Tensor]]:
        """The vectors (n, E) of the different words, and which of them each packed token takes, for each direction."""
        words, which = x.unique(return_inverse=True)
        which = which.flatten()
        return self.embedding(words), [which[place] for place in (packing.tokens, packing.turned)[: len(self.rnns)]]

    def states(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, T, D) at every token of x (B, T), and the mask (B, T) of the real ones; states at padding are 0."""
        packing = self.packing(x)
        parts = []
        for states, place in zip(self.packed_states(x, packing), (packing.tokens, packing.turned), strict=False):
            parts.append(states.new_zeros(x.numel(), states.shape[1]).index_copy(0, place, states))
        mask = torch.zeros(x.numel(), dtype=torch.bool, device=x.device).index_fill(0, packing.tokens, True)
        return torch.cat(parts, 1).view(*x.shape, -1), mask.view(x.shape)

    def last(self, states: Tensor, mask: Tensor) -> Tensor:
        """Thought vectors (B, D) from what ``states`` gives."""
        size = self.config.hidden_dim // len(self.rnns)
        place = (mask.sum(1) - 1).view(-1, 1, 1).expand(-1, 1, size)
        return torch.cat([states[:, :, :size].gather(1, place).squeeze(1), states[:, 0, size:]], 1)

    def forward(self, x: Tensor, lengths: np.ndarray | None = None, eight: Sequence[EightBits | None] | None = None) -> Tensor:
        """Thought vectors (B, D) of x (B, T).

        Args:
            x: (B, T) ids.
            lengths: (B,), EOS included, if they are known, which spares a wait for the device.
            eight: for each direction, its GRU with products of eight bits, which are used where no gradient is wanted.
        """
        packing = self.packing(x, lengths)
        if not torch.is_grad_enabled():
            e, places = self._words(x, packing)
            directions = zip(self.rnns, places, eight or [None] * len(self.rnns), strict=True)
            return torch.cat([last_states(rnn, e, place, packing, few) for rnn, place, few in directions], 1)
        return torch.cat([states.index_select(0, packing.last) for states in self.packed_states(x, packing)], 1)

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


class SentenceEncoder:
    """Text to vectors: one or more encoders with their tokenizers, whose vectors are put side by side.

    Each encoder's part is divided by its length first when there are several, as Skip-Thought's combine does.
    """

    def __init__(self, parts: Sequence[GRUEncoder], tokenizers: Tokenizer | Sequence[Tokenizer] | None) -> None:
        assert tokenizers is not None
        self.parts = list(parts)
        self.tokenizers = [tokenizers] * len(self.parts) if isinstance(tokenizers, Tokenizer) else list(tokenizers)

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return sum(part.config.hidden_dim for part in self.parts)

    def mean_words(self, sentences: Sequence[str]) -> np.ndarray:
        """The mean of the word vectors (n, E) of the first encoder: what a sentence vector must beat."""
        table, tokenizer = self.parts[0].embedding.weight.detach().float().cpu(), self.tokenizers[0]
        rows = [row or [tokenizer.eos] for row in tokenizer.encode_batch(list(sentences))]
        return torch.stack([table[torch.tensor(row)].mean(0) for row in rows]).numpy()

    @torch.inference_mode()
    def encode(
        self,
        sentences: str | Sequence[str],
        batch_size: int = 256,
        *,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = False,
        show_progress_bar: bool = False,
        precision: Literal["fp32", "bf16", "int8"] = "fp32",
        max_length: int = 400,
    ) -> Any:
        """Vectors (n, D) of sentences, or (D,) of one; float32, as an array or a tensor.

        Sentences are sorted by length and batched; a vector does not depend on the others in its batch. An empty sentence is
        encoded as its end alone, a word that is not known as the unknown word; each comes with a warning.

        Args:
            sentences: one or many.
            batch_size: sentences at a time.
            convert_to_tensor: give a tensor on the encoder's device.
            normalize_embeddings: divide every vector by its length.
            show_progress_bar: show one.
            precision: bf16 runs the products in bfloat16, several times faster where the hardware has them. int8 runs them in
                whole numbers of eight bits, 1.8 times (D 600) to 2.8 times (D 2,400) as fast as fp32 for many sentences on a
                CPU with VNNI; a vector's cosine with that of fp32 is about .9999.
            max_length: longer sentences are cut to so many tokens.

        Raises:
            UserError: int8 is asked for on a GPU, of an encoder with layer norm, or of one whose vectors have a single number.
        """
        texts = [sentences] if isinstance(sentences, str) else list(sentences)
        try:
            eight = [[EightBits(rnn) for rnn in part.rnns] if precision == "int8" else None for part in self.parts]
        except ValueError as error:
            raise UserError(f"precision int8: {error}; use fp32 or bf16") from error
        device = self.parts[0].embedding.weight.device
        out = torch.zeros(len(texts), self.dimension, device=device)
        at = 0
        for k, (part, tokenizer) in enumerate(zip(self.parts, self.tokenizers, strict=True)):
            here = slice(at, at := at + part.config.hidden_dim)
            if k == 0 or tokenizer is not self.tokenizers[k - 1]:
                flat, sizes = _flat_ids(tokenizer, texts, max_length)
            batches: Any = _sorted_batches(flat, sizes, batch_size, tokenizer.pad)
            if show_progress_bar:
                from rich.progress import track

                batches = track(batches, f"encoding {k + 1}/{len(self.parts)}", total=-(-len(texts) // batch_size))
            for chosen, x in batches:
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                    vectors = part(torch.from_numpy(x).to(device), sizes[chosen], eight[k]).float()
                if len(self.parts) > 1:
                    vectors = nn.functional.normalize(vectors, dim=1, eps=1e-12)
                out[torch.from_numpy(chosen).to(device), here] = vectors
        if normalize_embeddings:
            out = nn.functional.normalize(out, dim=1, eps=1e-12)
        found = out[0] if isinstance(sentences, str) else out
        return found if convert_to_tensor else found.cpu().numpy()

    @torch.inference_mode()
    def states(self, sentences: Sequence[str], length: int, *, batch_size: int = 256) -> tuple[Tensor, Tensor]:
        """States (n, length, D) at every token, on the CPU, and the mask (n, length) of the real ones, EOS among them.

        What conditions a model with attention over words. Longer sentences are cut to ``length`` tokens.

        Raises:
            UserError: the encoders cut sentences into different tokens.
        """
        if any(t is not self.tokenizers[0] for t in self.tokenizers):
            raise UserError("states of single words need one tokenizer; these encoders have several; use one of the runs alone")
        flat, sizes = _flat_ids(self.tokenizers[0], sentences, length)
        out = torch.zeros(len(sizes), length, self.dimension)
        device = self.parts[0].embedding.weight.device
        for chosen, x in _sorted_batches(flat, sizes, batch_size, self.tokenizers[0].pad):
            found = [part.states(torch.from_numpy(x).to(device))[0] for part in self.parts]
            out[torch.from_numpy(chosen), : x.shape[1]] = torch.cat(found, 2).cpu()
        return out, torch.arange(length) < torch.from_numpy(sizes)[:, None]

    @classmethod
    def from_pretrained(cls, path: Path | str) -> SentenceEncoder:
        """The encoder of a run, of a checkpoint, or of a folder that holds encoders.

        Raises:
            UserError: there is none.
        """
        from .tokenizers import load

        folders, loaded, ordered = encoder_folders(path), dict[bytes, Tokenizer](), []
        for folder in folders:
            content = b"".join(file.read_bytes() for file in sorted(folder.glob("tokenizer*")))
            if content not in loaded:
                loaded[content] = load(folder)
            ordered.append(loaded[content])
        return cls([GRUEncoder.from_pretrained(folder) for folder in folders], ordered)


def load_encoder(path: Path | str) -> SentenceEncoder | BorrowedEncoder:
    """The encoder of a run, of a checkpoint, of a folder that holds encoders, or of a folder of sentence-transformers.

    Raises:
        UserError: there is none, or sentence-transformers is not installed.
    """
    if (Path(path) / "modules.json").is_file():
        from .hf import BorrowedEncoder

        return BorrowedEncoder(path)
    return SentenceEncoder.from_pretrained(path)


def encoder_folders(path: Path | str) -> list[Path]:
    """The folders of the single encoders of a run, of its checkpoint, or of a folder that holds encoders.

    Raises:
        UserError: there is none.
    """
    folder = newest(Path(path))
    found = sorted(p.parent for p in folder.rglob("config.json") if '"textgan-gru-encoder"' in p.read_text(encoding="utf-8"))
    if not found or (folder / "env.json").is_file():  # of a run without a checkpoint: what lies there is not trained
        raise UserError(
            f"{path} holds no sentence encoder; expected a run of quickthought, skipthought or joint with a checkpoint, or a "
            "folder of sentence-transformers"
        )
    return found


def _flat_ids(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids of all sentences one after the other, each with its EOS, and their lengths (n,)."""
    ids = [row[: max_length - 1] for row in tokenizer.encode_batch(list(texts))] if len(texts) else []
    if not all(ids):
        warnings.warn("there are empty sentences; they get the vector of nothing", stacklevel=3)
    if any(row and row.count(tokenizer.unk) == len(row) for row in ids):
        told = "there are sentences without a known word; only their length tells them apart; `textgan expand` adds words"
        warnings.warn(told, stacklevel=3)
    sizes = np.array([len(row) + 1 for row in ids], dtype=np.int64)
    return np.array([token for row in ids for token in (*row, tokenizer.eos)], dtype=np.int64), sizes


def _sorted_batches(flat: np.ndarray, sizes: np.ndarray, size: int, pad: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places (B,) and ids (B, T) of batches of sentences of alike length, from long to short."""
    first, order = sizes.cumsum() - sizes, (-sizes).argsort(kind="stable")
    for start in range(0, len(sizes), size):
        chosen = order[start : start + size]
        steps = np.arange(sizes[chosen[0]])
        places = np.minimum(first[chosen, None] + steps, len(flat) - 1)
        yield chosen, np.where(steps < sizes[chosen, None], flat[places], pad)
