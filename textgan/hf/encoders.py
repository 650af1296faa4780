"""Our sentence encoders as models of transformers, and as modules of sentence-transformers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..encoders import GRUEncoder, GRUEncoderConfig, SentenceEncoder
from ..errors import UserError
from .tokenizers import with_special_tokens


class SentenceEncoderConfig(PretrainedConfig):
    """Sizes of the encoders whose vectors stand side by side."""

    model_type = "textgan-sentence-encoder"

    def __init__(self, parts: list[dict[str, Any]] | None = None, **rest: Any) -> None:
        self.parts = parts or []
        self.hidden_size = sum(part["hidden_dim"] for part in self.parts)
        super().__init__(**rest)


class SentenceEncoderModel(PreTrainedModel):
    """textgan's encoders as a transformers model: states at every token, and the sentence's vector as the pooled output."""

    config_class = SentenceEncoderConfig
    main_input_name = "input_ids"

    def __init__(self, config: SentenceEncoderConfig) -> None:
        super().__init__(config)
        self.parts = nn.ModuleList(GRUEncoder(GRUEncoderConfig(**part)) for part in config.parts)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the encoders initialise themselves."""

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, return_dict: bool = True, **unused: Any
    ) -> BaseModelOutputWithPooling:
        """States (B, T, D) and vectors (B, D) of ids (B, T); the mask is not needed, because EOS ends a sentence."""
        found: list[Tensor] = []
        vectors: list[Tensor] = []
        for part in self.parts:
            assert isinstance(part, GRUEncoder)
            states, mask = part.states(input_ids)
            found.append(states)
            vectors.append(part.last(states, mask))
        if len(vectors) > 1:
            vectors = [nn.functional.normalize(v, dim=1, eps=1e-12) for v in vectors]
        return BaseModelOutputWithPooling(last_hidden_state=torch.cat(found, 2), pooler_output=torch.cat(vectors, 1))


def export_sentence_transformer(encoder: SentenceEncoder, folder: Path, card: str, max_length: int = 400) -> None:
    """Write a folder that ``SentenceTransformer(folder)`` and ``AutoModel.from_pretrained(folder)`` load.

    Args:
        encoder: all its parts must share one tokenizer.
        folder: to write.
        card: text of its README.md.
        max_length: longer sentences are cut to so many tokens.

    Raises:
        UserError: the encoders have several tokenizers, or one of sentencepiece.
    """
    first = encoder.tokenizers[0]
    if any(t is not first for t in encoder.tokenizers):
        raise UserError("sentence-transformers wants one tokenizer, and these encoders have several; export each run alone")
    parts = with_special_tokens(first, "$A <eos>")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = PreTrainedTokenizerFast(**parts, model_max_length=max_length, padding_side="right")
    tokenizer.save_pretrained(str(folder))
    config = SentenceEncoderConfig([asdict(part.config) for part in encoder.parts], architectures=["SentenceEncoderModel"])
    model = SentenceEncoderModel(config)
    for mine, theirs in zip(model.parts, encoder.parts, strict=True):
        mine.load_state_dict(theirs.state_dict())
    model.save_pretrained(str(folder))
    text = {"method": "forward", "method_output_name": "pooler_output"}
    kind = "sentence_transformers.base.modules.transformer.Transformer"
    written = {
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": kind}],
        "sentence_bert_config.json": {
            "transformer_task": "feature-extraction", "modality_config": {"text": text},
            "module_output_name": "sentence_embedding",
        },
        "config_sentence_transformers.json": {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine", "prompts": {}},
    }  # fmt: skip
    for name, content in written.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
