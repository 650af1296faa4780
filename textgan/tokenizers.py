"""Tokenizers: words, characters, byte pairs and sentencepiece unigrams, all with the same four special tokens."""

from __future__ import annotations

import contextlib
import heapq
import io
import itertools
import json
import operator
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .errors import UserError

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
COUNTED = ("word", "char")
KINDS = (*COUNTED, "bpe", "unigram")
WORD = r"▁?(?:\w+(?:['’-]\w+)*|[^\w▁])|▁"


def clean(text: str) -> str:
    """Text with every run of blanks as one, and the mark of a blank itself as a blank."""
    return " ".join(text.replace("▁", " ").split())


class Tokenizer:
    """A tokenizer of the ``tokenizers`` library, or of sentencepiece (kind "unigram").

    ``<pad>``, ``<bos>``, ``<eos>``, ``<unk>`` are 0 to 3; text never encodes to the first three.
    """

    pad, bos, eos, unk = 0, 1, 2, 3

    def __init__(self, kind: str, model: Any) -> None:
        self.kind, self.model = kind, model
        self._ascii: tuple[dict[str, int], bool] | None = None  # the vocabulary, and whether letters are made small
        if kind == "word":
            self._ascii = model.get_vocab(), model.normalizer.normalize_str("A").endswith("a")

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        size: int = self.model.get_piece_size() if self.kind == "unigram" else self.model.get_vocab_size()
        return size

    @property
    def vocab(self) -> dict[str, int]:
        """The id of each token."""
        return {self.token(i): i for i in range(self.vocab_size)}

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Ids of each text, nothing added."""
        texts = [clean(text) for text in texts]
        if self.kind == "unigram":
            ids: list[list[int]] = self.model.encode(texts)
            return ids
        if self._ascii is None:
            return [e.ids for e in self.model.encode_batch(texts, add_special_tokens=False)]
        vocabulary, lower = self._ascii
        found = [_ascii_words(text, lower) if text.isascii() else None for text in texts]  # twice as fast, and the same
        others = [text for text, words in zip(texts, found, strict=True) if words is None]
        rest = iter(self.model.encode_batch(others, add_special_tokens=False)) if others else iter(())
        return [next(rest).ids if words is None else [vocabulary.get(w, self.unk) for w in words] for words in found]

    def encode(self, text: str) -> list[int]:
        """Ids of one text, nothing added."""
        return self.encode_batch([text])[0]

    def decode(self, ids: list[int]) -> str:
        """Text of ids; padding, BOS and EOS are left out, the mark of an unknown token is shown."""
        ids = [i for i in ids if i > 2]
        if self.kind == "unigram":
            text: str = self.model.decode(ids)
        elif self.kind == "word":  # a word that is not known has lost the mark of the blank before it
            text = "".join("▁<unk>" if i == self.unk else self.token(i) for i in ids).replace("▁", " ")
        else:
            text = self.model.decode(ids, skip_special_tokens=False)
        return text.strip()

    def token(self, i: int) -> str:
        """The token of an id."""
        name: str = self.model.id_to_piece(i) if self.kind == "unigram" else self.model.id_to_token(i)
        return name

    def save(self, folder: Path | str) -> None:
        """Write tokenizer.json, or tokenizer.model for unigram."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.kind == "unigram":
            (folder / "tokenizer.model").write_bytes(self.model.serialized_model_proto())
        else:
            self.model.save(str(folder / "tokenizer.json"))


def _ascii_words(text: str, lowercase: bool) -> list[str]:
    """The words of a clean text of ASCII letters, where Python's and the tokenizers library's ideas of a word agree."""
    return re.findall(WORD, "▁" + (text.lower() if lowercase else text).replace(" ", "▁")) if text else []


def _words(sentences: Iterable[str], model: Any, lowercase: bool) -> Iterator[str]:
    """All words, as the model will cut them."""
    for sentence in map(clean, sentences):
        if sentence.isascii():
            yield from _ascii_words(sentence, lowercase)
        else:
            yield from (word for word, _ in model.pre_tokenizer.pre_tokenize_str(model.normalizer.normalize_str(sentence)))


def count(
    kind: str, sentences: Iterable[str], folder: Path, name: str = "0", *, lowercase: bool = False, limit: int = 2_000_000
) -> None:
    """Write how often each word or character comes into files of ``folder``, in flat memory; see ``from_counts``.

    Args:
        kind: "word" or "char".
        sentences: read once, as a stream.
        folder: where it is written.
        name: what the files' names begin with: each process that counts has one of its own.
        lowercase: turn letters into small ones first.
        limit: different words in memory; when there are more, they go to a file and counting begins anew.
    """
    blank = _blank(kind, lowercase)
    if kind == "word":
        tokens = _words(sentences, blank, lowercase)
    else:
        tokens = (c for s in sentences for c in blank.normalizer.normalize_str(clean(s)))
    for number in itertools.count():
        counts: Counter[str] = Counter()
        while len(counts) <= limit and (piece := list(itertools.islice(tokens, 100_000))):
            counts.update(piece)
        with open(folder / f"{name}-{number}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(item) + "\n" for item in sorted(counts.items()))
        if len(counts) <= limit:
            return


def from_counts(kind: str, folder: Path, vocab_size: int, *, lowercase: bool = False, min_count: int = 1) -> Tokenizer:
    """The tokenizer of the commonest words or characters by all counts in ``folder``, added up; see ``train``."""
    with contextlib.ExitStack() as files:
        streams = [map(json.loads, files.enter_context(open(path, encoding="utf-8"))) for path in sorted(folder.glob("*.jsonl"))]
        same = itertools.groupby(heapq.merge(*streams), operator.itemgetter(0))
        added = ((word, sum(n for _, n in rows)) for word, rows in same)
        common = (item for item in added if item[1] >= min_count and item[0] not in SPECIAL)
        ranked = heapq.nsmallest(vocab_size - len(SPECIAL), common, key=lambda item: (-item[1], item[0]))
    from tokenizers import Tokenizer as Model
    from tokenizers import models

    vocabulary = [*SPECIAL, *(word for word, _ in ranked)]
    blank = _blank(kind, lowercase)
    model = Model(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    model.normalizer, model.pre_tokenizer, model.decoder = blank.normalizer, blank.pre_tokenizer, blank.decoder
    return Tokenizer(kind, model)


def _blank(kind: str, lowercase: bool) -> Any:
    """A tokenizer for words or characters that knows none yet."""
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Model

    lower = [normalizers.Lowercase()] if lowercase else []
    blank = Model(models.WordLevel({}, unk_token="<unk>"))
    if kind == "word":
        marks = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        blank.normalizer = normalizers.Sequence([*lower, *marks])
        blank.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "isolated")
        blank.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)])
    else:
        blank.normalizer = normalizers.Sequence(lower)
        blank.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        blank.decoder = decoders.Fuse()
    return blank


def train(kind: str, sentences: Iterable[str], vocab_size: int, *, lowercase: bool = False, min_count: int = 1) -> Tokenizer:
    """Learn a vocabulary.

    Args:
        kind: one of KINDS.
        sentences: read once, as a stream.
        vocab_size: largest number of tokens, the four special ones included.
        lowercase: turn letters into small ones first.
        min_count: rarer words or characters are unknown (word and char).

    Raises:
        UserError: the kind is unknown, or the vocabulary too small.
    """
    if kind not in KINDS:
        raise UserError(f"unknown tokenizer; expected one of {', '.join(KINDS)} or a path; received {kind!r}")
    if vocab_size < 5:
        raise UserError(f"--vocab-size is too small; expected 5 or more; received {vocab_size}")
    if kind == "unigram":
        return _train_unigram(sentences, vocab_size, lowercase)
    if kind in COUNTED:
        with tempfile.TemporaryDirectory() as folder:
            count(kind, sentences, Path(folder), lowercase=lowercase)
            return from_counts(kind, Path(folder), vocab_size, lowercase=lowercase, min_count=min_count)
    from tokenizers import Tokenizer as Model
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    model = Model(models.BPE())
    model.normalizer = normalizers.Sequence([*([normalizers.Lowercase()] if lowercase else []), normalizers.NFC()])
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size < len(alphabet) + 4:
        raise UserError(f"--vocab-size is too small for bpe; expected {len(alphabet) + 4} or more; received {vocab_size}")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL), initial_alphabet=sorted(alphabet), show_progress=False
    )
    model.train_from_iterator((clean(s) for s in sentences), trainer)
    # The special tokens are told apart by id alone: "<eos>" in the user's text is text.
    return Tokenizer(kind, _without_added(model))


def _without_added(model: Any) -> Any:
    from tokenizers import Tokenizer as Model

    data = json.loads(model.to_str())
    data["added_tokens"] = []
    return Model.from_str(json.dumps(data, ensure_ascii=False))


def _train_unigram(sentences: Iterable[str], vocab_size: int, lowercase: bool) -> Tokenizer:
    import sentencepiece

    out = io.BytesIO()
    rule = "nfkc_cf" if lowercase else "identity"
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(clean(s) for s in sentences), model_writer=out, vocab_size=vocab_size, model_type="unigram",
            pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="<pad>", bos_piece="<bos>", eos_piece="<eos>",
            unk_piece="<unk>", normalization_rule_name=rule, hard_vocab_limit=False, input_sentence_size=1_000_000,
            num_threads=1, minloglevel=2, character_coverage=1.0, max_sentence_length=100_000,
        )  # fmt: skip
    except RuntimeError as error:
        raise UserError(
            f"sentencepiece could not learn {vocab_size} tokens from this text; try --vocab-size 200; {error}"
        ) from error
    return Tokenizer("unigram", sentencepiece.SentencePieceProcessor(model_proto=out.getvalue()))


def load(path: Path | str) -> Tokenizer:
    """A tokenizer from a folder, a tokenizer.json or a .model file; ``hf:PATH``, ``hf:NAME`` or a folder: one of transformers.

    Raises:
        UserError: there is none, or it has other special tokens.
    """
    if str(path).startswith("hf:") or _of_transformers(Path(path)):
        from .hf.tokenizers import BorrowedTokenizer

        return BorrowedTokenizer(path)
    path = Path(path)
    if path.is_dir():
        path = next((path / n for n in ("tokenizer.json", "tokenizer.model") if (path / n).is_file()), path / "tokenizer.json")
    try:
        if path.suffix == ".model":
            import sentencepiece

            processor = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
            found = Tokenizer("unigram", processor)
        else:
            from tokenizers import Tokenizer as Model

            text = path.read_text(encoding="utf-8")
            kind = {"ByteLevel": "bpe", "Fuse": "char", "Sequence": "word"}.get(json.loads(text)["decoder"]["type"], "bpe")
            found = Tokenizer(kind, Model.from_str(text))
    except Exception as error:  # the libraries raise bare Exception
        reason = str(error).splitlines()[0]
        raise UserError(
            f"no tokenizer can be read from {path}; expected tokenizer.json or a sentencepiece .model; {reason}"
        ) from error
    if found.vocab_size < 4 or tuple(found.token(i) for i in range(4)) != SPECIAL:
        raise UserError(f"{path} has other special tokens; expected ids 0-3 to be {' '.join(SPECIAL)}")
    return found


def _of_transformers(folder: Path) -> bool:
    """Whether a folder has a tokenizer of transformers that is not one of ours."""
    from tokenizers import Tokenizer as Model

    if not (folder / "tokenizer_config.json").is_file():
        return False
    try:
        model = Model.from_file(str(folder / "tokenizer.json"))
    except Exception:  # the library raises bare Exception; who loads it says what is wrong
        return False
    return tuple(model.id_to_token(i) for i in range(4)) != SPECIAL
