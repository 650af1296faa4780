"""Skip-Thought: a sentence encoder that learns to write the sentences before and after the one it read.

Reference: Kiros, Zhu, Salakhutdinov, Zemel, Torralba, Urtasun, Fidler, "Skip-Thought Vectors", NIPS 2015: encoder, eq. 1-4;
decoders, eq. 5-9; objective, eq. 10.

The encoder reads s_i; two decoders with own GRUs, one embedding and one output layer in common, write s_(i-1) and s_(i+1). Two
published forms of the decoder: ``conditioned`` (the paper: the thought enters every gate at every step) and ``initialised`` (the
authors' code: the thought is the first state).

The loss is the mean over target tokens (EOS counts, padding does not) of both decoders, and ``clip`` refers to that mean. The
authors minimise the sum and clip at 5, where its gradient always is: every step has the same length. Adam does not see the scale.

Departs: the first input of a decoder is the embedding of BOS, where the authors have zeros.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..corpus import Corpus, Sentences
from ..decode import texts as texts_of
from ..encoders import GRUEncoder, GRUEncoderConfig, SentenceEncoder
from ..errors import UserError
from ..generators import read, save
from ..objectives import SampledSoftmax
from ..recurrence import Packing, gru, run
from ..runtime import Bucketed, Player, Stage, Workers, frozen
from ..sampling import categorical, restrict
from ..vectors import source, start_from

Direction = Literal["previous", "next"]


@dataclass(frozen=True)
class SkipThoughtConfig:
    """Settings of Skip-Thought; sizes are small enough for a CPU, the paper's stand beside them."""

    epochs: int = 3
    """Passes over the triples (paper: about two weeks on a GPU)."""
    batch: int = 64
    """Triples a step, over all processes (paper: 128)."""
    embedding_dim: int = 300
    """Size of a word's vector (paper: 620)."""
    hidden_dim: int = 600
    """Size of a thought, and of the decoders' states (paper: 2,400)."""
    direction: Literal["uni", "bi"] = "uni"
    """One GRU, or two of half the size that read from both ends (paper: both)."""
    decoder: Literal["conditioned", "initialised"] = "conditioned"
    """How the thought enters the decoders: at every step (paper), or as their first state (authors' code)."""
    softmax: Literal["full", "adaptive", "sampled"] = "sampled"
    """Over all words; in clusters by frequency (Grave et al., 2017); or over the true word and a sample of the others. Evaluation
    is always over all words (paper: full)."""
    sampled: int = 1024
    """Words in the sample."""
    layer_norm: bool = False
    """Layer-normalised GRUs; slow."""
    word_dropout: float = 0.0
    """Share of the decoders' input words that is replaced by the unknown word."""
    lr: float = 8e-4
    """Adam's learning rate (Kiros' code: 2e-4; TensorFlow's: 8e-4)."""
    halve_every: int = 400_000
    """Steps in which the learning rate halves, continuously (TensorFlow's code: 400,000)."""
    clip: float = 0.5
    """Largest norm of the gradient of the mean loss."""
    embeddings: str = "auto"
    """Where word vectors come from: auto (learnt from this text first), none (random, as in the paper), a word2vec run, or a file
    of word2vec, GloVe or fastText."""


class Decoder(nn.Module):
    """A GRU that writes a sentence from a thought."""

    def __init__(self, embedding_dim: int, hidden_dim: int, conditioned: bool, layer_norm: bool) -> None:
        super().__init__()
        self.conditioned = conditioned
        # the terms C h of every gate are those of a GRU whose input is the word beside the thought
        self.rnn = gru(embedding_dim + (hidden_dim if conditioned else 0), hidden_dim, layer_norm)

    def forward(self, e: Tensor, which: Tensor, thought: Tensor, packing: Packing, h: Tensor | None = None) -> Tensor:
        """States (N, D) over the packed words e[which], e (n, E), given thoughts (B, D); h (B, D): an earlier state."""
        inputs = [(e, which)]
        if self.conditioned:
            inputs.append((thought, packing.sentence))
        elif h is None:
            h = thought
        return run(self.rnn, inputs, packing, h)


BANNED = (0, 1, 3)  # padding, BOS and the unknown word are never written


class SkipThoughtModel(nn.Module):
    """The encoder, the two decoders, and what they share."""

    def __init__(self, encoder: GRUEncoderConfig, conditioned: bool, adaptive: bool = False) -> None:
        super().__init__()
        self.conditioned = conditioned
        self.encoder = GRUEncoder(encoder)
        sizes = (encoder.embedding_dim, encoder.hidden_dim, conditioned, encoder.layer_norm)
        self.previous, self.next = Decoder(*sizes), Decoder(*sizes)
        self.out: nn.Linear | nn.AdaptiveLogSoftmaxWithLoss
        if adaptive:  # ids are ordered by frequency, so the clusters are those of Grave et al., 2017
            v = encoder.vocab_size
            cutoffs = sorted({max(1, v // 10), max(2, v // 2)})
            self.out = nn.AdaptiveLogSoftmaxWithLoss(encoder.hidden_dim, v, cutoffs, head_bias=True)
        else:
            self.out = nn.Linear(encoder.hidden_dim, encoder.vocab_size)
            nn.init.uniform_(self.out.weight, -0.1, 0.1)
            nn.init.zeros_(self.out.bias)

    def nll(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Summed negative log-likelihood of tokens (n,) given states (n, D), over all words."""
        if isinstance(self.out, nn.AdaptiveLogSoftmaxWithLoss):
            with torch.autocast(states.device.type, enabled=False):
                log_p: Tensor = self.out(states.float(), tokens).output
                return -log_p.sum()
        return F.cross_entropy(self.out(states).float(), tokens, reduction="sum")

    def log_p(self, states: Tensor) -> Tensor:
        """Log-probabilities (B, V) of the next word given states (B, D); what is never written has none."""
        scores = self.out.log_prob(states) if isinstance(self.out, nn.AdaptiveLogSoftmaxWithLoss) else self.out(states)
        scores[:, list(BANNED)] = -torch.inf
        return scores.float().log_softmax(1)

    def states(self, decoder: Decoder, thought: Tensor, inputs: Tensor, packing: Packing) -> Tensor:
        """States (N, D) of a decoder over packed inputs (B, T) given thoughts (B, D)."""
        words, which = inputs.unique(return_inverse=True)
        found: Tensor = decoder(self.encoder.embedding(words), which.flatten()[packing.tokens], thought, packing)
        return found

    def step(self, direction: Direction, token: Tensor, thought: Tensor, h: Tensor | None) -> Tensor:
        """The state (B, D) of a decoder after one more token (B,)."""
        packing = Packing(np.ones(len(token), dtype=np.int64), 1, token.device)
        states: Tensor = self.decoder(direction)(self.encoder.embedding(token), packing.tokens, thought, packing, h)
        return states.index_select(0, packing.last)

    @torch.no_grad()
    def write(
        self,
        thought: Tensor,
        direction: Direction,
        length: int,
        u: Tensor,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
    ) -> Tensor:
        """Draw the sentence before or after each thought.

        Args:
            thought: (B, D).
            direction: "previous" or "next".
            length: T, tokens written at the most.
            u: (B, T) uniform numbers; with ``top_k=1`` (greedy) they do not matter.
            temperature: see sampling.restrict, like top_k and top_p.
            top_k: cut to the likeliest.
            top_p: cut to the nucleus.

        Returns:
            (B, T) ids; padding after EOS.
        """
        token = torch.full((len(thought),), 1, device=thought.device)
        done = torch.zeros(len(thought), dtype=torch.bool, device=thought.device)
        h: Tensor | None = None
        written = []
        for t in range(length):
            h = self.step(direction, token, thought, h)
            token = categorical(restrict(self.log_p(h), temperature, top_k, top_p), u[:, t]).masked_fill(done, 0)
            done = done | (token == 2)
            written.append(token)
        return torch.stack(written, 1)

    @torch.no_grad()
    def beam(self, thought: Tensor, direction: Direction, length: int, width: int) -> list[tuple[float, list[int]]]:
        """The likeliest sentences before or after one thought (D,), best first: (log-probability in nats a token, ids)."""
        rows, scores, ended = [[1]], torch.zeros(1, device=thought.device), list[tuple[float, list[int]]]()
        h: Tensor | None = None
        for _ in range(length):
            token = torch.tensor([row[-1] for row in rows], device=thought.device)
            h = self.step(direction, token, thought.expand(len(rows), -1), h)
            log_p = self.log_p(h) + scores.unsqueeze(1)
            best = log_p.flatten().topk(min(2 * width, log_p.numel()))
            kept: list[tuple[int, list[int], float]] = []
            for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                k, word = divmod(place, log_p.shape[1])
                row = [*rows[k], word]
                if word == 2:
                    ended.append((score / (len(row) - 1), row[1:]))
                elif len(kept) < width and score > -math.inf:
                    kept.append((k, row, score))
            if not kept or len(ended) >= 2 * width:
                break
            h = h[torch.tensor([k for k, _, _ in kept], device=h.device)]
            rows, scores = [row for _, row, _ in kept], torch.tensor([s for _, _, s in kept], device=thought.device)
        found = ended or [(float(s) / len(row), row[1:]) for row, s in zip(rows, scores, strict=True)]
        return sorted(found, reverse=True)[:width]

    def decoder(self, direction: Direction) -> Decoder:
        """The decoder of a direction."""
        return self.previous if direction == "previous" else self.next

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the whole model, and the encoder alone beside it."""
        save(
            self,
            Saved(**asdict(self.encoder.config), conditioned=self.conditioned, adaptive=not isinstance(self.out, nn.Linear)),
            "skip-thought",
            folder,
        )
        self.encoder.save_pretrained(Path(folder) / "encoder")

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> SkipThoughtModel:
        """Load what save_pretrained wrote.

        Raises:
            UserError: the folder holds no such model.
        """
        config, weights = read(folder, "skip-thought")
        decoders = config.pop("conditioned"), config.pop("adaptive")
        model = cls(GRUEncoderConfig(**config), *decoders)
        model.load_state_dict(weights)
        return model.eval()


@dataclass(frozen=True)
class Saved(GRUEncoderConfig):
    """What config.json of a whole model says."""

    conditioned: bool = True
    adaptive: bool = False


class SkipThought:
    """Trains the encoder and both decoders on triples of sentences."""

    Config = SkipThoughtConfig
    data_defaults: Mapping[str, Any] = {"vocab_size": 20_000, "length": 40, "lowercase": True}

    def __init__(self, config: SkipThoughtConfig, corpus: Corpus, workers: Workers, *, length: int, seed: int) -> None:
        c = self.config = config
        self.corpus, self.workers, self.length = corpus, workers, length
        self.triples = corpus.train.triples() if corpus.tokenizer is not None else np.zeros(0)
        if not len(self.triples):
            raise UserError(
                "this corpus has no three sentences in a row; expected running text, with blank lines between documents"
            )
        shape = GRUEncoderConfig(corpus.vocab_size, c.embedding_dim, c.hidden_dim, c.direction, c.layer_norm)
        self.model = SkipThoughtModel(shape, c.decoder == "conditioned", c.softmax == "adaptive").to(workers.device)
        if c.embeddings != "none":
            start_from(self.model.encoder.embedding, source(c.embeddings, corpus), corpus.tokenizer)
        self.optimizer = torch.optim.Adam(self.model.parameters(), c.lr, fused=True)
        self.player = Player(self.model, self.optimizer, workers, c.clip)
        self.players: Mapping[str, Player] = {"model": self.player}
        self.kept: Mapping[str, nn.Module] = {}
        self.batches = Bucketed(lambda i: i, len(self.triples), c.batch, seed, workers, self.keys)
        count = torch.from_numpy(corpus.train.counts(corpus.vocab_size)).to(workers.device)
        self.sampled = SampledSoftmax(count, c.sampled) if c.softmax == "sampled" else None

    def keys(self, places: np.ndarray) -> np.ndarray:
        """What triples are sorted by: the encoder's length, then the decoders' larger one."""
        i, lengths = self.triples[places], self.corpus.train.lengths
        return np.asarray(lengths(i) * (self.length + 1) + np.maximum(lengths(i - 1), lengths(i + 1)))

    def stages(self) -> Sequence[Stage]:
        """One stage."""
        epoch = self.batches.per_epoch
        return [Stage("skipthought", self.config.epochs * epoch, self.step, epoch, self.config.batch)]

    def rows(self, sentences: Sentences, indices: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Sentences (B, T) as wide as the longest, and their lengths (B,), EOS included."""
        sizes = np.minimum(sentences.lengths(indices) + 1, self.length)
        return torch.from_numpy(sentences.rows(indices, int(sizes.max()))).to(self.workers.device), sizes

    def inputs(self, y: Tensor) -> Tensor:
        """What a decoder reads (B, T): BOS and all words but the last, some of them dropped in training."""
        x = F.pad(y[:, :-1], (1, 0), value=self.corpus.bos)
        if self.config.word_dropout and self.model.training:
            u = self.workers.uniform(len(x), self.length)[:, : x.shape[1]]  # the same numbers on one process and on two
            x = torch.where((u >= self.config.word_dropout) | (x < 3), x, 3)
        return x

    def losses(self, sentences: Sentences, triples: np.ndarray, full: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Summed NLL of the sentences before and after (eq. 10), and their numbers of tokens."""
        model, found = self.model, []
        thought = model.encoder(*self.rows(sentences, triples))
        for decoder, shift in ((model.previous, -1), (model.next, 1)):
            y, sizes = self.rows(sentences, triples + shift)
            packing = Packing(sizes, y.shape[1], y.device)
            states, tokens = model.states(decoder, thought, self.inputs(y), packing), y.flatten()[packing.tokens]
            if full or self.sampled is None:
                loss = model.nll(states, tokens)
            else:
                assert isinstance(model.out, nn.Linear)
                loss = self.sampled(states, tokens, model.out.weight, model.out.bias, self.workers.noise)
            found += [loss, torch.tensor(float(len(tokens)), device=loss.device)]
        return found[0], found[2], found[1], found[3]

    def step(self, i: int) -> dict[str, Tensor]:
        """One batch of triples."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * 0.5 ** (i / self.config.halve_every)
        before, after, m, n = self.losses(self.corpus.train, self.triples[self.batches.indices(i)], False)
        mean = self.workers.mean
        m, n = mean(m), mean(n)
        grad = self.player.minimise((before + after) / (m + n))
        return {"e/nll_previous": mean(before.detach()) / m, "e/nll_next": mean(after.detach()) / n, "e/grad": grad}

    @torch.no_grad()
    def evaluate(self, limit: int = 2000) -> dict[str, float]:
        """NLL in nats a token, and perplexity, of the sentences before and after on held-out documents, over all words."""
        triples = self.corpus.test.triples()[:limit]
        if not len(triples):
            return {}
        total = np.zeros(4)
        with frozen(self.model):
            for start in range(0, len(triples), 64):
                total += [float(v) for v in self.losses(self.corpus.test, triples[start : start + 64], True)]
        found = {"nll_previous": float(total[0] / total[2]), "nll_next": float(total[1] / total[3])}
        perplexity = {key.replace("nll", "perplexity"): math.exp(value) for key, value in found.items()}
        return {**found, **perplexity, "test_triples": len(triples)}

    def sample(self, n: int) -> list[str]:
        """Held-out sentences, the nearest others among them, and the next sentence that the decoder writes."""
        test, tokenizer = self.corpus.test, self.corpus.tokenizer
        assert tokenizer is not None
        pool = np.arange(min(len(test), 1000))
        texts = [tokenizer.decode([t for t in row if t]) for row in test.rows(pool, self.length).tolist()]
        with frozen(self.model):
            v = SentenceEncoder([self.model.encoder], tokenizer).encode(texts, normalize_embeddings=True)
            near = (v @ v.T - 2 * np.eye(len(v))).argmax(1)
            chosen = np.unique(np.linspace(0, len(pool) - 1, n).astype(int))
            thought = self.model.encoder(*self.rows(test, chosen))
            u = torch.zeros(len(chosen), self.length, device=self.workers.device)
            following = texts_of(tokenizer, self.model.write(thought, "next", self.length, u, top_k=1), 2)
        return [f"{texts[k]}  ~  {texts[near[k]]}  ->  {s}" for k, s in zip(chosen, following, strict=True)]
