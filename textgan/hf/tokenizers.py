"""Our tokenizers as those of transformers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar, Self

from tokenizers import AddedToken, Regex, decoders, normalizers, processors
from tokenizers import Tokenizer as Model
from transformers import PreTrainedTokenizerFast

from ..errors import UserError
from ..tokenizers import SPECIAL, Tokenizer, load


def with_special_tokens(tokenizer: Tokenizer, template: str) -> dict[str, Any]:
    """What ``PreTrainedTokenizerFast`` is made of: text is cleaned as ours is, and special tokens go where ``template`` has them.

    Raises:
        UserError: the tokenizer is of sentencepiece.
    """
    if tokenizer.kind == "unigram":
        raise UserError("a sentencepiece tokenizer cannot be taken to transformers; expected word, char or bpe")
    inner = Model.from_str(tokenizer.model.to_str())
    blanks = [normalizers.Replace("▁", " "), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]  # as our `clean`
    inner.normalizer = normalizers.Sequence([*blanks, *([inner.normalizer] if inner.normalizer else [])])
    special = [(token, i) for i, token in enumerate(SPECIAL) if token in template]
    inner.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    return {
        "tokenizer_object": inner, "model_input_names": ["input_ids", "attention_mask"], "clean_up_tokenization_spaces": False,
        **names,
    }  # fmt: skip


class GeneratorTokenizer(PreTrainedTokenizerFast):
    """The tokenizer of a language model: BOS goes before the text, because that is what the generator reads first.

    Special tokens are told apart by id alone, as in ``textgan.tokenizers``: "<eos>" in a text is text. Ids that begin with BOS
    give a text that begins with its first word, other ids one that begins with the blank before it.
    """

    template: ClassVar[str] = "<bos> $A"
    options: ClassVar[dict[str, Any]] = {"padding_side": "left", "split_special_tokens": True}

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self:
        """Made of one of ours.

        Raises:
            UserError: it is of sentencepiece.
        """
        parts = with_special_tokens(tokenizer, cls.template)
        if tokenizer.kind == "word" and cls.template.startswith("<bos>"):
            parts["tokenizer_object"].decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace("▁", " ")])
        return cls(**parts, **cls.options)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **options: Any) -> Self:
        """What ``save_pretrained`` wrote, or the tokenizer that lies beside a generator of ours.

        Raises:
            UserError: it is of sentencepiece.
        """
        path = Path(pretrained_model_name_or_path)
        if not path.is_dir() or (path / "tokenizer_config.json").is_file():
            found: Self = super().from_pretrained(pretrained_model_name_or_path, *args, **options)
            return found
        with tempfile.TemporaryDirectory() as folder:
            cls.of(load(path)).save_pretrained(folder)
            return cls.from_pretrained(folder, *args, **options)

    def _decode(self, token_ids: Any, *args: Any, **options: Any) -> str:
        text: str = super()._decode(token_ids, *args, **options)
        ids = [token_ids] if isinstance(token_ids, int) else token_ids
        first = next((token for token in ids if token != self.pad_token_id), None)
        return text.removeprefix(" ") if first == self.bos_token_id else text


class FillerTokenizer(GeneratorTokenizer):
    """The tokenizer of MaskGAN's filler: ``<mask>`` is a blank of one token, EOS ends the text, and there is no BOS."""

    template = "$A <eos>"
    options: ClassVar[dict[str, Any]] = {
        "padding_side": "right",
        "mask_token": AddedToken("<mask>", lstrip=True, rstrip=True, special=True),
    }
