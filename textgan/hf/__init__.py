"""Adapters to transformers and sentence-transformers; ``import textgan.hf`` makes our models known to them.

Afterwards ``AutoConfig``, ``AutoTokenizer``, ``AutoModelForCausalLM`` (``AutoModelForMaskedLM`` for MaskGAN's filler) and
``pipeline`` take an export, a run, a checkpoint, or a folder that a generator was saved in; ``AutoModel`` an exported encoder.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from .. import generator_folder
from .borrowed import BorrowedDiscriminator, BorrowedGenerator
from .encoders import BorrowedEncoder, SentenceEncoderConfig, SentenceEncoderModel, export_sentence_transformer
from .generators import (
    GeneratorCache,
    MaskForMaskedLM,
    MaskGeneratorConfig,
    RMCForCausalLM,
    RMCGeneratorConfig,
    RNNForCausalLM,
    RNNGeneratorConfig,
    export_generator,
)
from .tokenizers import BorrowedTokenizer, FillerTokenizer, GeneratorTokenizer

__all__ = [
    "BorrowedDiscriminator", "BorrowedEncoder", "BorrowedGenerator", "BorrowedTokenizer", "FillerTokenizer", "GeneratorCache",
    "GeneratorTokenizer", "MaskForMaskedLM", "MaskGeneratorConfig", "RMCForCausalLM", "RMCGeneratorConfig", "RNNForCausalLM",
    "RNNGeneratorConfig", "SentenceEncoderConfig", "SentenceEncoderModel", "export_generator", "export_sentence_transformer",
]  # fmt: skip


def _finds_runs(auto: Any) -> None:
    """Let ``auto.from_pretrained`` take a run or a checkpoint, which hold no model of their own: the generator in it is meant."""
    original = auto.from_pretrained

    @functools.wraps(original)
    def from_pretrained(pretrained_model_name_or_path: Any, *args: Any, **options: Any) -> Any:
        path = Path(pretrained_model_name_or_path)
        if (path / "checkpoints").is_dir() or (path / "generator" / "config.json").is_file():
            pretrained_model_name_or_path = str(generator_folder(path))
        return original(pretrained_model_name_or_path, *args, **options)

    auto.from_pretrained = staticmethod(from_pretrained)


for _model, _register in (
    (SentenceEncoderModel, AutoModel),
    (RNNForCausalLM, AutoModelForCausalLM),
    (RMCForCausalLM, AutoModelForCausalLM),
    (MaskForMaskedLM, AutoModelForMaskedLM),
):
    AutoConfig.register(_model.config_class.model_type, _model.config_class)
    _register.register(_model.config_class, _model)
for _config in (RNNGeneratorConfig, RMCGeneratorConfig):
    AutoTokenizer.register(_config, GeneratorTokenizer)
AutoTokenizer.register(MaskGeneratorConfig, FillerTokenizer)
for _auto in (AutoConfig, AutoTokenizer, AutoModelForCausalLM, AutoModelForMaskedLM):
    _finds_runs(_auto)
