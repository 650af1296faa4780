"""A sentence encoder that learns from images: vectors of captions and of their images are drawn to each other.

Reference: Reed, Akata, Lee, Schiele, "Learning Deep Representations of Fine-Grained Visual Descriptions", CVPR 2016: the deep
symmetric structured joint embedding, from which GAN-INT-CLS and StackGAN have their sentence vectors.

F(v, t) = theta(v) . phi(t) is high where the caption t is true of the image v. ``--loss hinge`` is the paper's: the own caption
shall win by a margin of 1 over the best wrong one, and the own image over the best wrong one. ``--loss softmax`` takes the
cosine, with a learnt scale, and the cross-entropy of the own one among all of the minibatch, both ways.

A minibatch at random is told apart by which words occur at all, and the vectors then hold little else: not which of two shapes is
on the left. So a minibatch is made of groups of captions that are near each other by the vectors of the epoch's start.

Departs: a sentence's vector is the encoder's state before the last linear layer, which leads into the common space.
Departs: the words are read by a GRU, not by a character CNN; the images by a small CNN from their pixels, not by a GoogLeNet.
Departs: wrong ones are those of the minibatch; ones that are true as well do not count. In the paper they are all other classes.
Departs: on several processes each looks at its own part of the minibatch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from textgan.encoders import GRUEncoder, GRUEncoderConfig, SentenceEncoder
from textgan.errors import UserError
from textgan.runtime import Player, Stage, Workers, frozen
from textgan.runtime.batches import permuted
from textgan.runtime.workers import fold
from textgan.tokenizers import Tokenizer
from textgan.tokenizers import train as train_tokenizer

from ..blocks import FEATURES, Trunk
from ..captions import NewEncoder, TextEncoder, TrainedEncoder
from ..game import one_size
from ..images import ImageData
from ..objectives import joint_embedding
from ..pairs import TrainingImages
from ..preview import nearest_images

PIECE = 32_768  # captions among which neighbours are looked for, so that the work grows with their number, not its square
JUDGED = 1000  # held-out images that are looked for among each other


@dataclass(frozen=True)
class JointConfig:
    """Settings of the joint embedding; sizes are small enough for a CPU, the paper's stand beside them."""

    size: int = 32
    """Width and height at which images are read."""
    epochs: int = 10
    """Passes over the images (code: 300)."""
    batch: int = 128
    """Pairs a step, over all processes (code: 40)."""
    neighbours: int = 8
    """Captions in a group of alike ones; groups make up the minibatches. 1 for minibatches at random (paper)."""
    loss: Literal["softmax", "hinge"] = "softmax"
    """softmax: the own one among all, by the cosine. hinge: by a margin over the best wrong one (paper)."""
    embedding_dim: int = 100
    """Size of a word's vector; of a new encoder."""
    hidden_dim: int = 300
    """Numbers of a sentence vector; of a new encoder (paper: 1,024)."""
    space: int = 64
    """Numbers of the space in which images and sentence vectors meet (paper: 1,024)."""
    vocab_size: int = 20_000
    """Largest number of words; of a new encoder."""
    length: int = 40
    """Longest caption in words; longer ones are cut."""
    lr: float = 1e-3
    """Adam's learning rate (code: 4e-4)."""
    clip: float = 5.0
    """Largest norm of the gradient."""


class Embedding(nn.Module):
    """Captions and images to vectors of one space.

    Args:
        text: the encoder of sentences.
        space: numbers of the space.
        size: width and height of the images.
        images: how many there are.
        scaled: whether there is a learnt scale for the cosine.
    """

    order: Tensor

    def __init__(self, text: GRUEncoder, space: int, size: int, images: int, scaled: bool) -> None:
        super().__init__()
        self.text, self.of_text = text, nn.Linear(text.config.hidden_dim, space)
        self.image = nn.Sequential(Trunk(size), nn.Linear(FEATURES, space))
        self.log_scale = nn.Parameter(torch.tensor(2.0)) if scaled else None
        self.register_buffer("order", torch.zeros(images, dtype=torch.long))  # of this epoch; it depends on the first weights

    def scores(self, v: Tensor, t: Tensor) -> Tensor:
        """F (n, m) of images (n, space) and of captions (m, space)."""
        if self.log_scale is None:
            return v.float() @ t.float().T
        return self.log_scale.exp() * F.normalize(v.float(), dim=1) @ F.normalize(t.float(), dim=1).T

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the encoder of sentences into ``folder``/text."""
        self.text.save_pretrained(Path(folder) / "text")


class Joint:
    """Trains an Embedding; what is used is its encoder of sentences."""

    Config = JointConfig
    fed: ClassVar = "captions"
    data_defaults: Mapping[str, Any] = {"text": "new"}
    sizes = staticmethod(one_size)

    def __init__(self, config: JointConfig, images: TrainingImages, workers: Workers, encoder: TextEncoder) -> None:
        c = self.config = config
        if c.neighbours < 1 or c.batch % (c.neighbours * workers.world):
            raise UserError(
                f"--batch must be a multiple of --neighbours on each of {workers.world} processes; received --batch {c.batch}, "
                f"--neighbours {c.neighbours}"
            )
        start = encoder.model if isinstance(encoder, NewEncoder | TrainedEncoder) else None
        if not isinstance(start, SentenceEncoder) or len(start.parts) != 1:
            raise UserError(
                "--text names no single GRU encoder; expected new, or a run of skipthought or joint, whose encoder is trained on"
            )
        self.images, self.workers, self.tokenizer = images, workers, start.tokenizers[0]
        self.embedding = Embedding(start.parts[0], c.space, c.size, len(images.chosen), c.loss == "softmax").to(workers.device)
        self.player = Player(self.embedding, torch.optim.Adam(self.embedding.parameters(), c.lr), workers, c.clip)
        self.players: Mapping[str, Player] = {"joint": self.player}
        self.kept: Mapping[str, nn.Module] = {}
        self.local, self.per_epoch = workers.shard(c.batch), -(-len(images.chosen) // c.batch)
        rows = [row[: c.length - 1] for row in self.tokenizer.encode_batch([t for some in images.data.captions for t in some])]
        self.lengths = np.array([len(row) + 1 for row in rows])
        self.ids = np.full((len(rows), int(self.lengths.max())), self.tokenizer.pad)
        for ids, row in zip(self.ids, rows, strict=True):
            ids[: len(row) + 1] = [*row, self.tokenizer.eos]
        self.first = np.cumsum([0, *(len(some) for some in images.data.captions)])
        self._order: tuple[int, np.ndarray, np.ndarray] | None = None  # an epoch, its order, the caption of each image

    @staticmethod
    def new_encoder(config: JointConfig, data: ImageData) -> SentenceEncoder:
        """An untrained encoder with the words of the training captions, begun as torch begins such layers."""
        captions = [c for i in np.flatnonzero(~data.held_out) for c in data.captions[i]]
        tokenizer: Tokenizer = train_tokenizer("word", captions, config.vocab_size, lowercase=True)
        shape = GRUEncoderConfig(tokenizer.vocab_size, config.embedding_dim, config.hidden_dim)
        encoder = GRUEncoder(shape)
        nn.init.normal_(encoder.embedding.weight)  # from Skip-Thought's it learns more slowly what words mean together
        for parameter in encoder.rnns.parameters():
            nn.init.uniform_(parameter, -(config.hidden_dim**-0.5), config.hidden_dim**-0.5)
        return SentenceEncoder([encoder], tokenizer)

    def stages(self) -> Sequence[Stage]:
        """One stage."""
        c = self.config
        return [Stage("joint", c.epochs * self.per_epoch, self.step, self.per_epoch, c.batch)]

    def step(self, i: int) -> dict[str, Tensor]:
        """One minibatch, both ways."""
        images, captions = self.batch(i)
        v, t = self.embedding.image(self.images.pixels[self.config.size](images)), self.phi(captions)
        meaning = torch.from_numpy(self.images.meaning[images]).to(v.device, non_blocking=True)
        alike = (meaning[:, None] == meaning).fill_diagonal_(False)
        scores = self.embedding.scores(v, t)
        loss = joint_embedding(scores, alike, self.config.loss)
        right = scores.detach().masked_fill(alike, -torch.inf).argmax(1) == torch.arange(len(scores), device=v.device)
        grad = self.player.minimise(loss)
        return {
            "e/loss": self.workers.mean(loss.detach()), "e/accuracy": self.workers.mean(right.float().mean()), "e/grad": grad
        }  # fmt: skip

    def phi(self, captions: np.ndarray) -> Tensor:
        """The captions of these numbers (n,) in the common space, (n, space)."""
        sizes = self.lengths[captions]
        x = torch.from_numpy(self.ids[captions, : sizes.max()])
        e = self.embedding
        vectors: Tensor = e.of_text(e.text(x.to(self.workers.device), sizes))
        return vectors

    def batch(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (local batch,) of a step, and the caption of each."""
        epoch, place = divmod(i, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            if not place:
                self.embedding.order.copy_(torch.from_numpy(self.grouped(epoch)))
                self.workers.broadcast([self.embedding.order])
            self._order = epoch, self.embedding.order.cpu().numpy(), self.drawn(epoch)
        start = place * self.config.batch + self.workers.rank * self.local
        chosen = self._order[1][np.arange(start, start + self.local) % len(self._order[1])]
        return self.images.chosen[chosen], self._order[2][chosen]

    def drawn(self, epoch: int) -> np.ndarray:
        """One caption (n,) of each image to train on."""
        u = np.random.default_rng(fold(self.images.seed, 1, epoch)).random(len(self.images.chosen))
        first, after = self.first[self.images.chosen], self.first[self.images.chosen + 1]
        found: np.ndarray = first + (u * (after - first)).astype(np.int64)
        return found

    def grouped(self, epoch: int) -> np.ndarray:
        """The order (n,) of an epoch: at random, and then in groups of captions that are near each other."""
        count, c = len(self.images.chosen), self.config
        order = permuted(np.arange(count), count, fold(self.images.seed, epoch))
        if not epoch or c.neighbours == 1:
            return order
        captions, found = self.first[self.images.chosen], []
        with frozen(self.embedding), torch.no_grad():
            for start in range(0, count, PIECE):
                some = order[start : start + PIECE]
                v = torch.cat([F.normalize(self.phi(captions[part]).float(), dim=1) for part in _pieces(some, 512)])
                near = torch.cat([(part @ v.T).topk(min(c.neighbours, len(v))).indices for part in v.split(512)])
                found += [some[group] for group in groups(near.cpu().numpy())]
        mixed = np.random.default_rng(fold(self.images.seed, 2, epoch)).permutation(len(found))
        return np.concatenate([found[k] for k in mixed])

    def judged(self) -> tuple[np.ndarray, np.ndarray]:
        """Held-out images (n,), training ones where there are none, and the scores (n, n) of image i and first caption j."""
        held_out = self.images.data.usable(held_out=True)
        images = (held_out if len(held_out) else self.images.chosen)[:JUDGED]
        pixels, e = self.images.pixels[self.config.size], self.embedding
        with frozen(e), torch.no_grad():
            v = torch.cat([e.image(pixels(part)).float() for part in _pieces(images, 128)])
            t = torch.cat([self.phi(self.first[part]).float() for part in _pieces(images, 512)])
            return images, e.scores(v, t).cpu().numpy()

    def evaluate(self) -> dict[str, float]:
        """How often a held-out caption finds its image, or an image its caption, first or among the first ten of all.

        One that means the same counts as its own.
        """
        images, scores = self.judged()
        same = self.images.meaning[images][:, None] == self.images.meaning[images]
        found: dict[str, float] = {}
        for what, s in (("image", scores.T), ("caption", scores)):
            best = np.where(same, s, -np.inf).max(1, keepdims=True)
            rank = (s > best).sum(1)
            found |= {f"{what}_recall_{k}": float((rank < k).mean()) for k in (1, 10)}
        return found

    def sample(self, n: int) -> bytes:
        """A picture: held-out captions, their own image, and those that are nearest to them."""
        if not self.workers.main:
            return b""
        images, scores = self.judged()
        return nearest_images(self.images, images, scores.T, self.config.size)


def groups(near: np.ndarray) -> list[np.ndarray]:
    """Disjoint groups of rows: each row that is not yet in one, with those of its nearest (n, k) that are not either."""
    free, found = np.ones(len(near), dtype=bool), []
    for i, row in enumerate(near):
        if free[i]:
            free[i] = False
            group = np.array([i, *row[free[row]]])
            free[group] = False
            found.append(group)
    return found


def _pieces(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
