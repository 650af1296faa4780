"""Our generators as models of transformers.

Here BOS is a token like others: a sequence is BOS and what follows it, ``GeneratorTokenizer`` puts it there, and the scores at
place t are those of the token at t + 1. So the logits of BOS and x[:, :-1] are the generator's ``logits(x)``, and a prompt of BOS
alone, which ``generate()`` makes where it is given none, begins a sentence. A prompt without it is read as it stands.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoConfig, Cache, GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast, MaskedLMOutput

from .. import trained_length
from ..errors import UserError
from ..generators import Generator, MaskGenerator, RMCGenerator, RNNGenerator
from ..generators.base import State
from ..tokenizers import Tokenizer, load
from .tokenizers import FillerTokenizer, GeneratorTokenizer


class GeneratorConfig(PretrainedConfig):
    """A generator's own config, and its special tokens under transformers' names."""

    kind: ClassVar[type[Generator]]  # not called "generator": transformers looks for a config inside of that name
    has_no_defaults_at_init = True  # all sizes are written, so that textgan reads what transformers saved

    def __init__(self, **values: Any) -> None:
        names = {f.name for f in dataclasses.fields(self.kind.Config)}
        own = {name: values.pop(name) for name in names & values.keys()}
        special = {f"{name}_token_id": own.get(name) for name in ("bos", "eos", "pad")}
        super().__init__(**own, **{**special, **values})

    def build(self) -> Generator:
        """A new generator of these sizes."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self.kind.Config)}
        return self.kind(self.kind.Config(**{**values, "banned": tuple(values["banned"])}))


class RNNGeneratorConfig(GeneratorConfig):
    """Of an RNNGenerator."""

    model_type, kind = "textgan-rnn", RNNGenerator


class RMCGeneratorConfig(GeneratorConfig):
    """Of RelGAN's generator."""

    model_type, kind = "textgan-rmc", RMCGenerator


class MaskGeneratorConfig(GeneratorConfig):
    """Of MaskGAN's generator."""

    model_type, kind = "textgan-mask", MaskGenerator

    def __init__(self, **values: Any) -> None:
        super().__init__(**{"tie_word_embeddings": True, **values})


class GeneratorCache(Cache):
    """The generator's state after the tokens read so far, whose size does not grow with them."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.state: State | None = None
        self.seen = 0

    def update_state(self, state: State, tokens: int) -> None:
        """Go on to the state after so many more tokens."""
        self.state, self.seen = state, self.seen + tokens

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens read."""
        return self.seen

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take the rows that a beam search goes on with."""
        assert self.state is not None
        self.state = tuple(part.index_select(1, beam_idx.to(part.device)) for part in self.state)

    def reset(self) -> None:
        """Forget everything."""
        self.state, self.seen = None, 0


class GeneratorModel(PreTrainedModel):
    """A generator inside a model of transformers; its weights are saved under its own names, so that textgan loads them too."""

    base_model_prefix = "generator"
    generator: Generator

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.generator = config.build()
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Only what is not saved, and holds nothing while a model is loaded; the generators initialise the rest themselves."""
        if isinstance(module, Generator):
            module.ban.zero_()
            module.ban[list(module.config.banned)] = -torch.inf

    def get_input_embeddings(self) -> nn.Module:
        """The embedding."""
        return self.generator.embedding

    def save_pretrained(self, save_directory: Any, **options: Any) -> None:  # type: ignore[override]
        """As PreTrainedModel's."""
        weights = {name: weight.clone() for name, weight in self.generator.state_dict().items()}  # tied ones are written twice
        super().save_pretrained(save_directory, **{"state_dict": weights, **options})


class GeneratorForCausalLM(GeneratorModel, GenerationMixin):
    """A generator with ``generate()``; what ``generate`` is not told, it takes from the generator: it draws as ``sample`` does.

    Texts get no ``<unk>`` unless ``suppress_tokens`` is given, and are as long as the training sequences at most.
    """

    _is_stateful = True  # there is no way back to an earlier state, as speculative decoding would want it

    @property
    def generation_config(self) -> GenerationConfig:
        """Options of ``generate``."""
        return self._generation_config

    @generation_config.setter
    def generation_config(self, given: GenerationConfig) -> None:
        for name, value in defaults(self.config).items():
            if getattr(given, name) is None:
                setattr(given, name, value)
        self._generation_config = given

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # the first step makes a GeneratorCache

    def prepare_inputs_for_generation(  # type: ignore[override]
        self,
        input_ids: Tensor,
        past_key_values: GeneratorCache | None = None,
        attention_mask: Tensor | None = None,
        use_cache: bool = True,
        logits_to_keep: int = 1,
        **unused: Any,
    ) -> dict[str, Any]:
        """Only the tokens that have not been read."""
        return {
            "input_ids": input_ids if past_key_values is None else input_ids[:, past_key_values.seen :],
            "past_key_values": past_key_values, "attention_mask": attention_mask, "use_cache": use_cache,
            "logits_to_keep": logits_to_keep,
        }  # fmt: skip

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: GeneratorCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        return_dict: bool | None = None,
        **options: Any,
    ) -> Any:
        """Scores of the token after each of some tokens.

        Args:
            input_ids: (B, T), BOS among them.
            attention_mask: (B, T), or of the tokens before them as well; 0 at padding, which is not read, on whichever side.
            past_key_values: the state after the tokens before them; it moves on to the state after them.
            labels: (B, T), as input_ids, -100 where no loss is wanted; they are shifted here.
            use_cache: give the state back.
            logits_to_keep: scores of so many last tokens only; 0 for all.
            return_dict: false for a tuple.
            **options: for the loss, such as num_items_in_batch.

        Returns:
            CausalLMOutputWithPast: ``logits`` (B, T, V), minus infinity at banned tokens; ``loss`` in nats a token, where there
            are labels; ``past_key_values``, where it is wanted.
        """
        real = None if attention_mask is None else attention_mask[:, -input_ids.shape[1] :].bool()
        state = None if past_key_values is None else past_key_values.state
        h, state = self.generator.read(input_ids, state, None if real is None or real.all() else real)
        if past_key_values is None and use_cache:
            past_key_values = GeneratorCache()
        if past_key_values is not None:
            past_key_values.update_state(state, input_ids.shape[1])
        logits = self.generator.out(self.generator.dropout(h[:, -logits_to_keep:])) + self.generator.ban
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **options)
        found = CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)
        return found.to_tuple() if return_dict is False else found


class RNNForCausalLM(GeneratorForCausalLM):
    """An LSTM or GRU language model: the generator of ``mle``, ``seqgan`` and ``gumbel``."""

    config_class = RNNGeneratorConfig


class RMCForCausalLM(GeneratorForCausalLM):
    """A language model with relational memory: the generator of ``relgan``."""

    config_class = RMCGeneratorConfig


def defaults(config: Any) -> dict[str, Any]:
    """Options of ``generate`` with which it draws as ``textgan generate`` does."""
    special = {f"{name}_token_id": getattr(config, name) for name in ("bos", "eos", "pad")}
    unknown = None if config.eos is None else [Tokenizer.unk]  # without an EOS they are no text
    length = 1 + trained_length(Path(config.name_or_path))
    return {
        **special, "do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_length": length,
        "suppress_tokens": unknown,
    }  # fmt: skip


class MaskForMaskedLM(GeneratorModel):
    """MaskGAN's generator, for ``pipeline("fill-mask")``: the probabilities of each blank, given the sentence with its blanks.

    It writes from left to right, so a blank depends on what the blanks before it were filled with. Here they get their likeliest
    tokens; ``textgan fill`` draws them together. A blank is a word: EOS and ``<unk>`` have probability zero, as there.
    """

    config_class = MaskGeneratorConfig
    _tied_weights_keys = {"generator.out.weight": "generator.embedding.weight"}  # noqa: RUF012

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Generator) and module.config.eos is not None:
            module.ban[[module.config.eos, Tokenizer.unk]] = -torch.inf

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, return_dict: bool | None = None, **unused: Any
    ) -> Any:
        """Scores at every place of sentences with blanks.

        Args:
            input_ids: (B, T): the sentence, EOS, padding; a blank is the id V, which comes after those of the vocabulary.
            attention_mask: (B, T), 0 at padding.
            return_dict: false for a tuple.
            **unused: other inputs have no meaning here.

        Returns:
            MaskedLMOutput with ``logits`` (B, T, V).

        Raises:
            UserError: the sentence is longer than those in training.
        """
        config, width = self.config, input_ids.shape[1]
        if width > config.length:
            raise UserError(f"the sentence is too long; expected {config.length} tokens at most, EOS included; received {width}")
        if attention_mask is not None:
            input_ids = input_ids.masked_fill(attention_mask == 0, config.pad)
        x = nn.functional.pad(input_ids, (0, config.length - width), value=config.pad)  # it has learnt to read so many
        present = x != config.vocab_size
        assert isinstance(self.generator, MaskGenerator)
        filled = self.generator.fill(x.masked_fill(~present, config.pad), present, torch.zeros(x.shape, device=x.device), top_k=1)
        logits = self.generator.logits(filled, present)[:, :width]
        return (logits,) if return_dict is False else MaskedLMOutput(logits=logits)


def export_generator(source: Path, folder: Path, card: str) -> None:
    """Write a folder that transformers' Auto classes load after ``import textgan.hf``, and ``textgan.load`` too.

    Args:
        source: folder with a generator.
        folder: to write.
        card: text of its README.md.

    Raises:
        UserError: the tokenizer is of sentencepiece.
    """
    config = AutoConfig.from_pretrained(source)
    if not isinstance(config, GeneratorConfig):  # a model of transformers, which is all there
        shutil.copytree(source, folder, dirs_exist_ok=True)
        (folder / "README.md").write_text(card, encoding="utf-8")
        return
    kind = FillerTokenizer if isinstance(config, MaskGeneratorConfig) else GeneratorTokenizer
    tokenizer = kind.of(load(source)) if any(source.glob("tokenizer*")) else None
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(source / name, folder / name)
    if tokenizer is not None:
        tokenizer.save_pretrained(str(folder))
    if kind is GeneratorTokenizer:
        GenerationConfig(**defaults(config)).save_pretrained(str(folder))
    (folder / "README.md").write_text(card, encoding="utf-8")
