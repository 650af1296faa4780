"""Our sentence encoders as models of transformers, and as modules of sentence-transformers."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..encoders import GRUEncoder, GRUEncoderConfig, SentenceEncoder
from ..errors import UserError
from .quiet import no_bars
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

    def get_input_embeddings(self) -> nn.Module:
        """The first encoder's word vectors."""
        first = self.parts[0]
        assert isinstance(first, GRUEncoder)
        return first.embedding

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
    with no_bars():
        model.save_pretrained(str(folder))
    text = {"method": "forward", "method_output_name": "pooler_output"}
    kind = "sentence_transformers.base.modules.transformer.Transformer"
    written = {
        # the arguments are those of MTEB's older interface; they change nothing
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": kind, "kwargs": ["task_name", "prompt_type"]}],
        "sentence_bert_config.json": {
            "transformer_task": "feature-extraction", "modality_config": {"text": text},
            "module_output_name": "sentence_embedding",
        },
        "config_sentence_transformers.json": {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine", "prompts": {}},
    }  # fmt: skip
    for name, content in written.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


class BorrowedEncoder:
    """A SentenceTransformer in the place of a SentenceEncoder.

    Args:
        folder: with modules.json, as sentence-transformers saves it.

    Raises:
        UserError: sentence-transformers is not installed, or cannot load the folder.
    """

    def __init__(self, folder: Path | str) -> None:
        if find_spec("sentence_transformers") is None:
            raise UserError(f"{folder} needs the package sentence-transformers; pip install 'textgan[hf]'")
        from sentence_transformers import SentenceTransformer

        try:
            with no_bars():
                self.model = SentenceTransformer(str(folder))
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise UserError(f"{folder} cannot be loaded by sentence-transformers; {str(error).splitlines()[0]}") from error
        self.folder, self.parts = Path(folder), [self.model]

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return len(self.encode("a"))

    def encode(
        self,
        sentences: str | Sequence[str],
        batch_size: int = 256,
        *,
        normalize_embeddings: bool = False,
        show_progress_bar: bool = False,
        precision: Literal["fp32", "bf16", "int8"] = "fp32",
    ) -> np.ndarray:
        """Vectors (n, D) of sentences, or (D,) of one; see SentenceEncoder.

        Raises:
            UserError: precision is int8.
        """
        if precision == "int8":
            raise UserError(f"precision int8 is for runs of quickthought, skipthought or joint; received {self.folder}")
        texts = sentences if isinstance(sentences, str) else list(sentences)
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=precision == "bf16"):
            found = self.model.encode(
                texts, batch_size=batch_size, normalize_embeddings=normalize_embeddings, show_progress_bar=show_progress_bar
            )
        return np.asarray(found, dtype=np.float32)

    def states(self, sentences: Sequence[str], length: int, *, batch_size: int = 256) -> tuple[Tensor, Tensor]:
        """There are none.

        Raises:
            UserError: always.
        """
        raise UserError(f"states of single words want a run of quickthought or skipthought; received {self.folder}")

    def _network(self) -> PreTrainedModel:
        found = next((m for m in self.model.modules() if isinstance(m, PreTrainedModel)), None)
        if found is None:
            raise UserError(f"{self.folder} has no transformers model inside; expected one, to judge it beside itself untrained")
        return found

    @torch.inference_mode()
    def mean_words(self, sentences: Sequence[str]) -> np.ndarray:
        """The mean of the vectors (n, E) with which the network begins; zeros where there is no word.

        Raises:
            UserError: there is no transformers model inside.
        """
        table: Any = self._network().get_input_embeddings()
        rows = self.model.tokenizer(list(sentences), add_special_tokens=False)["input_ids"]
        weight = table.weight.detach().float().cpu()
        return torch.stack([weight[torch.tensor(row, dtype=torch.long)].sum(0) / max(1, len(row)) for row in rows]).numpy()

    def untrained(self) -> BorrowedEncoder:
        """The same with a network that has learnt nothing, drawn by torch's global generator.

        Raises:
            UserError: there is no transformers model inside.
        """
        self._network()
        fresh = copy.copy(self)
        fresh.model = copy.deepcopy(self.model)
        network = fresh._network()
        network.load_state_dict(type(network)(network.config).state_dict())
        return fresh
