"""Our tokenizers as those of transformers, and theirs in the place of ours."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from tokenizers import AddedToken, Regex, decoders, normalizers, processors
from tokenizers import Tokenizer as Model
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ..errors import UserError
from ..tokenizers import SPECIAL, Tokenizer, load
from .quiet import quiet


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


def borrowed_name(source: Path | str) -> str:
    """What transformers is to load for a folder, ``hf:FOLDER`` or ``hf:NAME``.

    Raises:
        UserError: it looks like a folder and there is none.
    """
    name = str(source).removeprefix("hf:")
    if not name or (not Path(name).is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1)):
        raise UserError(f"{source}: no such folder; expected one with a model of transformers, or the name of one")
    return name


def not_loaded(source: Path | str, what: str, error: Exception) -> UserError:
    """What to tell where transformers cannot load what a source should have."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if Path(borrowed_name(source)).is_dir():
        return UserError(f"{source} has no {what} that transformers can load; expected another folder; {reason}")
    return UserError(f"{source}: there is no such folder, and transformers gets no {what} of that name; {reason}")


class BorrowedTokenizer(Tokenizer):
    """A tokenizer of transformers in the place of ours; text never encodes to its special tokens.

    Where it has no BOS or no padding, its EOS stands for them. ``unk`` is -1 where no token is unknown.

    Args:
        source: a folder, or ``hf:`` and a folder or name.

    Raises:
        UserError: there is none, it has no EOS, or it is not one of the tokenizers library.
    """

    def __init__(self, source: Path | str) -> None:
        name = borrowed_name(source)
        try:
            with quiet():
                found = AutoTokenizer.from_pretrained(name)
        except Exception as error:  # transformers and the libraries below it raise many
            raise not_loaded(source, "tokenizer", error) from error
        if not isinstance(found, PreTrainedTokenizerFast):
            raise UserError(f"{source} has a tokenizer that is written in Python; expected one with tokenizer.json")
        end = next((i for i in (found.eos_token_id, found.sep_token_id) if i is not None), None)
        if end is None:
            raise UserError(f"the tokenizer of {source} has no token for the end of a text; expected an eos_token")
        super().__init__("pretrained", found)
        self.eos, self.bos = end, end if found.bos_token_id is None else found.bos_token_id
        self.pad = end if found.pad_token_id is None else found.pad_token_id
        self.unk = -1 if found.unk_token_id in (None, self.eos, self.bos, self.pad) else found.unk_token_id
        added = {i for i, token in found.added_tokens_decoder.items() if token.special}
        self.special: set[int] = added | set(found.all_special_ids) | {self.bos, self.eos, self.pad}
        self.inner = Model.from_str(found.backend_tokenizer.to_str())  # a copy, with settings of its own
        self.inner.no_padding()
        self.inner.no_truncation()
        self.inner.encode_special_tokens = True

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return len(self.model)

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Ids of each text, nothing added."""
        return [e.ids for e in self.inner.encode_batch(texts, add_special_tokens=False)]

    @property
    def vocab(self) -> dict[str, int]:
        """The id of each token."""
        found: dict[str, int] = self.inner.get_vocab()
        return found

    def with_marks(self, texts: Sequence[str], length: int) -> list[list[int]]:
        """Ids of each text with the special tokens that a model of it wants around them, ``length`` at most and one at least."""
        found = self.model(list(texts), truncation=True, max_length=length)["input_ids"]
        return [row or [self.eos] for row in found]

    def decode(self, ids: list[int]) -> str:
        """Text of ids; padding, BOS and EOS are left out, other special tokens are shown."""
        text: str = self.inner.decode([i for i in ids if i not in (self.pad, self.bos, self.eos)], skip_special_tokens=False)
        return text.strip()

    def token(self, i: int) -> str:
        """The token of an id."""
        return str(self.inner.id_to_token(i))

    def save(self, folder: Path | str) -> None:
        """Write it as transformers does."""
        self.model.save_pretrained(str(folder))
