"""Language models and classifiers of transformers as generators and discriminators of the text GANs.

A borrowed model stays what it is: it is saved as a folder that transformers loads by itself, its tokenizer beside it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.pytorch_utils import Conv1D

from ..decode import Decodes, texts
from ..errors import UserError
from ..generators import Generator
from ..generators.base import State
from ..runtime import Workers
from ..runtime.sharding import shard
from .quiet import quiet
from .tokenizers import BorrowedTokenizer, borrowed_name, not_loaded

CACHE_NUMBERS = 1 << 28  # of the keys of the rollouts that run at a time: 1 GB
PIECE = 256  # sequences judged at a time


def _load(auto: Any, source: str, **options: Any) -> tuple[PreTrainedModel, set[str]]:
    """A model in single precision and eval mode, and the names of the weights that it lacks.

    Raises:
        UserError: there is none.
    """
    name = borrowed_name(source)
    try:
        with quiet():
            model, told = auto.from_pretrained(name, dtype=torch.float32, output_loading_info=True, **options)
    except Exception as error:  # transformers and the libraries below it raise many
        raise not_loaded(source, "model", error) from error
    return model.eval(), set(told["missing_keys"])


def _adapt(model: PreTrainedModel, rank: int) -> None:
    """Freeze what the head of a model reads from, and give every linear map in it a trained one of low rank (Hu et al., 2022).

    It begins as zero and counts twice, as is usual (peft's ``lora_alpha`` is 2 rank).

    Raises:
        UserError: peft is not installed.
    """
    if find_spec("peft") is None:
        raise UserError("--lora needs the package peft; pip install 'textgan[hf]'")
    from peft import LoraConfig, inject_adapter_in_model

    body = model.base_model
    transposed = any(isinstance(module, Conv1D) for module in body.modules())
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", fan_in_fan_out=transposed)
    inject_adapter_in_model(config, body)


def _merged(model: PreTrainedModel, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that the model has without adapters, of those that it has with them."""
    found = {name.replace(".base_layer.", "."): weight for name, weight in weights.items() if ".lora_" not in name}
    for name, module in model.named_modules():
        if f"{name}.lora_A.default.weight" in weights:
            layer: Any = module
            down, up = (weights[f"{name}.lora_{part}.default.weight"] for part in "AB")
            change = layer.scaling["default"] * (up @ down)
            found[f"{name}.weight"] = found[f"{name}.weight"] + (change.t() if layer.fan_in_fan_out else change)
    return found


def _save(model: PreTrainedModel, weights: Mapping[str, Tensor], folder: Path | str) -> None:
    """Write a folder of transformers; ``weights`` are those of the wrapper that has the model as ``model``."""
    own = {name.removeprefix("model."): weight for name, weight in weights.items() if name.startswith("model.")}
    with quiet():
        model.save_pretrained(str(folder), state_dict=_merged(model, own))


def _blocks(model: PreTrainedModel) -> list[nn.Module]:
    """The layers of a transformer."""
    lists = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=[])


@dataclass(frozen=True)
class BorrowedConfig:
    """What a BorrowedGenerator is; its sizes are in the config of its model."""

    architecture: str
    vocab_size: int
    bos: int
    eos: int
    pad: int
    banned: tuple[int, ...]


class BorrowedGenerator(Generator):
    """A causal language model of transformers as a generator; its state is the model's cache of keys and values.

    A sequence begins with the tokenizer's BOS, or its EOS where it has none. Other special tokens, and places of the vocabulary
    that no token has, get probability zero; unknown tokens do not.

    Args:
        model: with a cache of keys and values, whose scores are a linear map of its last state.
        tokenizer: its tokenizer.

    Raises:
        UserError: the model is not of this kind, or is another tokenizer's.
    """

    kind = "borrowed"
    Config = BorrowedConfig

    def __init__(self, model: PreTrainedModel, tokenizer: BorrowedTokenizer) -> None:
        nn.Module.__init__(self)
        size, known = model.config.get_text_config().vocab_size, tokenizer.vocab_size
        name = type(model).__name__
        if size < known:
            raise UserError(f"the tokenizer is not this model's; expected {size:,} tokens at most; received {known:,}")
        banned = tuple(sorted((tokenizer.special | set(range(known, size))) - {tokenizer.eos, tokenizer.unk}))
        self.config = BorrowedConfig(name, size, tokenizer.bos, tokenizer.eos, tokenizer.pad, banned)
        self.model, self.tokenizer = model, tokenizer
        self.dropout = nn.Identity()  # the model has its own
        allowed = torch.zeros(size)
        allowed[list(banned)] = -torch.inf
        self.register_buffer("ban", allowed, persistent=False)
        text = model.config.get_text_config()
        self.places = getattr(text, "max_position_embeddings", None) or math.inf
        if not self._understood():
            raise UserError(
                f"{name} cannot be a generator; expected a causal language model that caches keys and values, and whose scores "
                "are a linear map of its last state, such as GPT-2, GPT-NeoX, Llama, Mistral or Qwen2"
            )
        options = model.generation_config
        if options is not None:  # with these, generate() draws as sample does
            options.bos_token_id, options.eos_token_id, options.pad_token_id = tokenizer.bos, tokenizer.eos, tokenizer.pad
            options.do_sample, options.temperature, options.top_k, options.top_p = True, 1.0, 0, 1.0
            options.suppress_tokens = list(banned) or None

    @torch.no_grad()
    def _understood(self) -> bool:
        """Whether states computed one token at a time, and at once, give the model's own scores."""
        x = torch.tensor([[self.config.bos, self.config.eos, self.config.bos]])
        with contextlib.suppress(AttributeError, TypeError, ValueError, RuntimeError, NotImplementedError, IndexError), quiet():
            scores, state, found = self.model(input_ids=x).logits, self._start(1), []
            for token in x.unbind(1):
                state = self._step(self.embedding(token), state)
                found.append(self.out(state[0][-1]))
            others = (torch.stack(found, 1), self.out(self._states(x)))
            return all(torch.allclose(scores, other, rtol=1e-3, atol=1e-3) for other in others)
        return False  # it went another way

    @property
    def embedding(self) -> nn.Module:  # type: ignore[override]
        """The model's own."""
        return self.model.get_input_embeddings()

    @property
    def out(self) -> nn.Linear:  # type: ignore[override]
        """The model's own."""
        found: nn.Linear = self.model.get_output_embeddings()
        return found

    def _room(self, length: int) -> None:
        if length > self.places:
            raise UserError(f"the model has places for {self.places} tokens; received {length}; lower --length")

    def _start(self, rows: int) -> State:
        return ()

    def _step(self, below: Tensor, state: State) -> State:
        cache: Any = DynamicCache()
        for keys, values in zip(state[1::2], state[2::2], strict=True):
            layer = DynamicLayer()
            layer.lazy_initialization(keys[0], values[0])
            layer.keys, layer.values = keys[0], values[0]
            cache.layers.append(layer)
        self._room(1 + cache.get_seq_length())
        found = self.model.base_model(inputs_embeds=below.unsqueeze(1), past_key_values=cache, use_cache=True)
        parts = (part.unsqueeze(0) for layer in cache.layers for part in (layer.keys, layer.values))
        return (found.last_hidden_state.transpose(0, 1), *parts)

    def _states(self, inputs: Tensor) -> Tensor:
        self._room(inputs.shape[1])
        found: Tensor = self.model.base_model(input_ids=inputs, use_cache=False).last_hidden_state
        return found

    def hidden(self, x: Tensor) -> Tensor:
        """See Generator.hidden; all places at once."""
        return self._states(self._inputs(x))

    def complete(self, x: Tensor, n: int, u: Tensor) -> Tensor:
        """See Generator.complete; as many sequences at a time as there is room for in the cache."""
        text = self.model.config.get_text_config()
        tokens = x.shape[1] * (x.shape[1] - 1) * n  # that the completions of one sequence have together
        piece = max(1, CACHE_NUMBERS // (text.num_hidden_layers * text.hidden_size * tokens))
        parts = zip(x.split(piece), u.split(piece), strict=True)
        return torch.cat([super(BorrowedGenerator, self).complete(part, n, numbers) for part, numbers in parts])

    def adapt(self, rank: int) -> None:
        """Train adapters of this rank only, from here on; see _adapt."""
        _adapt(self.model, rank)
        self.out.requires_grad_(False)

    def shard(self, workers: Workers) -> None:
        """Deal the parameters out over the processes; see runtime.sharding."""
        shard(self, _blocks(self.model), ("logits", "log_prob", "sample", "complete"), workers)

    def save_pretrained(self, folder: Path | str, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write a folder that AutoModelForCausalLM and AutoTokenizer load; adapters are added to the weights that they adapt.

        Args:
            folder: to write.
            weights: whole ones, where those of the module are dealt out.
        """
        _save(self.model, self.state_dict() if weights is None else weights, folder)
        self.tokenizer.save(folder)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """Load a causal language model, by its folder or (``hf:NAME``) by its name, with its tokenizer.

        Raises:
            UserError: there is none.
        """
        tokenizer = BorrowedTokenizer(folder)
        model, missing = _load(AutoModelForCausalLM, str(folder))
        if missing:
            raise UserError(
                f"{folder} lacks weights of a {type(model).__name__}, such as {min(missing)}; expected a language model"
            )
        return cls(model, tokenizer)


class BorrowedDiscriminator(nn.Module):
    """A classifier of transformers with one score, on top of any encoder, as a discriminator of text.

    It has a tokenizer of its own: a sequence is turned into text, and the text into its tokens, so no gradient reaches the
    generator through it.

    Args:
        source: the folder or (``hf:NAME``) the name of an encoder.
        written: turns the sequences into text.
        eos: ends a sequence.

    Raises:
        UserError: there is none.
    """

    def __init__(self, source: Path | str, written: Decodes, eos: int | None) -> None:
        super().__init__()
        self.tokenizer = BorrowedTokenizer(source)
        options = {"num_labels": 1, "ignore_mismatched_sizes": True}  # an encoder has no such head, or another
        self.model, _ = _load(AutoModelForSequenceClassification, str(source), **options)
        self.model.config.pad_token_id = self.tokenizer.pad
        self.written, self.eos = written, eos
        places = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 10**6
        self.places = min(places, self.tokenizer.model.model_max_length)

    def forward(self, x: Tensor) -> Tensor:
        """Logit (B,) that each sequence of tokens x (B, T) is real."""
        return self._judge(texts(self.written, x, self.eos), x.device)

    def _judge(self, sentences: Sequence[str], device: torch.device) -> Tensor:
        rows = self.tokenizer.with_marks(sentences, self.places)
        width, pad = max(map(len, rows)), self.tokenizer.pad
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        logit: Tensor = self.model(input_ids=ids, attention_mask=mask).logits
        return logit.float().sum(1)  # of one; fully_shard wants no view

    @torch.no_grad()
    def probability(self, x: Tensor) -> Tensor:
        """Probability (B,) that each sequence of tokens x (B, T) is real, a few at a time and equal ones once; no gradient."""
        found = []
        for part in x.split(PIECE):  # the same number of pieces in every process, as dealt-out parameters want
            sentences = texts(self.written, part, self.eos)
            places = {sentence: k for k, sentence in enumerate(dict.fromkeys(sentences))}
            scores = self._judge(list(places), x.device)
            found.append(scores[[places[sentence] for sentence in sentences]].sigmoid())
        return torch.cat(found)

    def l2(self) -> Tensor:
        """Nothing: its output layer is not regularised."""
        return torch.zeros((), device=self.model.device)

    def adapt(self, rank: int) -> None:
        """Train adapters of this rank and the head only, from here on; see _adapt."""
        _adapt(self.model, rank)

    def shard(self, workers: Workers) -> None:
        """Deal the parameters out over the processes; see runtime.sharding."""
        shard(self, _blocks(self.model), ("probability",), workers)

    def save_pretrained(self, folder: Path | str, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write a folder that AutoModelForSequenceClassification and AutoTokenizer load; as BorrowedGenerator's."""
        _save(self.model, self.state_dict() if weights is None else weights, folder)
        self.tokenizer.save(folder)
