"""Corpus and tokenizers: real dirt, exact round trips."""

import bz2
import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgan import tokenizers
from textgan.corpus import Corpus, ReadReport, documents, prepare, write_oracle
from textgan.errors import UserError

TEXT = ["the city, of London", "the city , of London .", "don't stop-motion 42% (now)!", "naïve café 猫が好き"]


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_round_trip_and_reload(kind, tmp_path):
    t = tokenizers.train(kind, TEXT, 400)
    t.save(tmp_path)
    again = tokenizers.load(tmp_path)
    assert again.kind == kind
    for text in TEXT:
        ids = t.encode(text)
        assert min(ids) > 3
        assert t.decode(ids) == text
        assert again.encode(text) == ids
        assert again.decode(ids) == text
    assert t.decode(t.encode(TEXT[0])) != TEXT[1]
    tokenizers.train(kind, TEXT, 400).save(tmp_path / "b")
    assert (tmp_path / "b/tokenizer.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()


def test_unigram(tmp_path):
    lines = [f"number {i} of the {i % 7} lines about cats and dogs" for i in range(300)]
    t = tokenizers.train("unigram", lines, 60)
    t.save(tmp_path)
    assert tokenizers.load(tmp_path).encode(lines[5]) == t.encode(lines[5])
    assert t.decode(t.encode(lines[5])) == lines[5]


@given(st.text(max_size=40))
def test_bpe_round_trips_any_text(text):
    import unicodedata

    t = _bpe()
    assert t.decode(t.encode(text)) == unicodedata.normalize("NFC", tokenizers.clean(text)).strip()


def _bpe(made=[]):  # noqa: B006 - trained once
    if not made:
        made.append(tokenizers.train("bpe", TEXT, 300))
    return made[0]


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_special_strings_in_the_text_are_text(kind):
    t = tokenizers.train(kind, ["write <eos> and <pad> here"] * 3, 300)
    assert min(t.encode("write <eos> and <pad> here")) > 3


def test_every_word_of_any_script_that_was_counted_is_found_again():
    texts = ["हिन्दी में नमस्ते", "ΟΔΟΣ ΚΑΛΟΣ", "cafe\u0301 nai\u0308ve", "İstanbul'da", "x² ①", "Don't a_b “Quote”"]
    for lowercase in (False, True):
        made = tokenizers.train("word", texts, 1000, lowercase=lowercase)
        for text in texts:
            assert made.unk not in made.encode(text), text
    assert made.encode("ODOS") == [made.unk]


@given(st.lists(st.text(st.characters(max_codepoint=0x250), max_size=30), max_size=5), st.booleans())
def test_the_fast_way_for_ascii_is_the_library_s(texts, lowercase):
    made = tokenizers.train("word", [*texts, "a b ' don't -x y"], 40, lowercase=lowercase)
    slow = made.model.encode_batch([tokenizers.clean(text) for text in texts], add_special_tokens=False)
    assert made.encode_batch(texts) == [e.ids for e in slow]


def test_bad_tokenizers(tmp_path):
    with pytest.raises(UserError, match="received 'words'"):
        tokenizers.train("words", TEXT, 100)
    with pytest.raises(UserError, match="too small for bpe"):
        tokenizers.train("bpe", TEXT, 100)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="no tokenizer can be read"):
        tokenizers.load(tmp_path)


def read(path, **options):
    report = ReadReport()
    return list(documents(str(path), report=report, **options)), report


def test_dirt_is_mended_and_counted(tmp_path):
    path = tmp_path / "dirty.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\x00x\r\n\r\nbad \xff\xfe byte\n")
    found, report = read(path)
    assert found == [["one", "two x"], ["bad \ufffd\ufffd byte"]]
    assert report.undecodable_bytes == 2
    assert report.undecodable_lines == {str(path): [4]}
    assert report.control_characters == 1


def test_sources(tmp_path):
    (tmp_path / "a.txt").write_text("a\n")
    with gzip.open(tmp_path / "b.txt.gz", "wt") as f:
        f.write("b\n")
    with bz2.open(tmp_path / "c.jsonl.bz2", "wt") as f:
        f.write('{"text": "c"}\n')
    (tmp_path / "d.csv").write_text('id,text\n1,"d, e"\n')
    assert read(tmp_path)[0] == [["a"], ["b"], ["c"], ["d, e"]]
    assert read(tmp_path / "*.txt")[0] == [["a"]]
    assert read(tmp_path / "d.csv", column="id")[0] == [["1"]]
    with pytest.raises(UserError, match="id, text"):
        read(tmp_path / "d.csv", column="caption")
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "captions.jsonl").write_text(
        '{"captions": ["a dog", "one\\ndog"]}\n{"captions": []}\n{"captions": "a cat"}\n'
    )
    assert read(tmp_path / "f", column="captions")[0] == [["a dog", "one", "dog"], [""], ["a cat"]]  # a list is a document
    (tmp_path / "e.jsonl").write_text("{")
    with pytest.raises(UserError, match="line 1 is not a JSON"):
        read(tmp_path / "e.jsonl")
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none*")


def test_rows_lengths_and_held_out(corpus):
    rows = corpus.train.rows(np.arange(len(corpus.train)), 8)
    sizes = corpus.train.lengths()
    assert ((rows == 2).sum(1) == 1).all()
    assert (rows.argmin(1)[sizes < 7] == sizes[sizes < 7] + 1).all()
    assert len(corpus.train) + len(corpus.test) == 200
    assert 5 < len(corpus.test) < 40
    assert corpus.info["held_out_by"] == "sentence"


def test_prose_documents_and_held_out_by_document(tmp_path):
    text = "\n\n".join(f"Cat {i} sat on a mat.\nIt purred. Then it left the house." for i in range(40))
    (tmp_path / "p.txt").write_text(text)
    corpus = prepare(str(tmp_path / "p.txt"), tmp_path / "c", held_out=0.3, split="sentence")
    assert corpus.info["documents"] == 40
    assert corpus.info["kept"] == 120
    a = set(corpus.train.documents(np.arange(len(corpus.train))))
    b = set(corpus.test.documents(np.arange(len(corpus.test))))
    assert a
    assert b
    assert not a & b


def test_small_and_strange_corpora(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("")
    with pytest.raises(UserError, match="holds no text"):
        prepare(str(path), tmp_path / "c")
    path.write_text("only one line")
    corpus = prepare(str(path), tmp_path / "c")
    assert len(corpus.train) == len(corpus.test) == 1
    assert "too few" in corpus.info["warning"]
    path.write_text("word " * 2_000_000)
    with pytest.raises(UserError, match="raise --length"):
        prepare(str(path), tmp_path / "d")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "x.txt"]  # nothing half-written
    corpus = prepare(str(path), tmp_path / "d", overlong="truncate", length=6)
    assert corpus.train.rows(np.array([0]), 6).tolist() == [[4] * 6] or corpus.info["truncated"] == 1
    assert Corpus.open(tmp_path / "d").info["content_sha256"] == corpus.info["content_sha256"]


@pytest.mark.parametrize("kind", tokenizers.COUNTED)
def test_counts_by_parts_in_flat_memory_add_up(kind, tmp_path):
    """Every word but four comes twice, once in each part; which are kept is decided by the sums."""
    parts = [[f"{'the of' if part else 'the a'} w{i} \n\t“{chr(0x4E00 + i)}”" for i in range(2000)] for part in range(2)]
    whole = tokenizers.train(kind, [*parts[0], *parts[1]], 900)
    for part, lines in enumerate(parts):
        tokenizers.count(kind, lines, tmp_path, f"{part}", limit=1000)
    assert len(list(tmp_path.iterdir())) >= (4 if kind == "word" else 2)
    made = tokenizers.from_counts(kind, tmp_path, 900)
    assert made.model.to_str() == whole.model.to_str()
    assert {"▁the", "▁of", "▁a"} <= {made.token(i) for i in range(9)} if kind == "word" else made.token(4) == " "
    assert made.model.to_str() != tokenizers.train(kind, parts[0], 900).model.to_str()


def test_neighbours_never_cross_borders_or_gaps(tmp_path):
    """Documents a, b and c; a sentence that is too long breaks the chain of b."""
    a, c = ([f"{name} {i}" for i in range(4)] for name in "ac")
    b = ["b 0", "b 1", "b 2", "b " * 50, "b 4", "b 5"]
    (tmp_path / "t.txt").write_text("\n\n".join("\n".join(d) for d in (a, b, c)))
    corpus = prepare(str(tmp_path / "t.txt"), tmp_path / "c", held_out=1e-9, split="line", length=5)
    train = corpus.train
    decode = lambda i: corpus.tokenizer.decode(train.rows(np.array([i]), 5)[0].tolist())  # noqa: E731
    triples = [tuple(decode(i + d) for d in (-1, 0, 1)) for i in train.triples()]
    expected = [tuple(d[k : k + 3]) for d in (a, b[:3], c) for k in range(len(d) - 2)]
    assert triples == expected
    assert sum(follows.sum() for _, follows in train.runs()) == 3 + 2 + 1 + 3
    assert not next(oracle_like(tmp_path).runs())[1].any()


def oracle_like(tmp_path):
    rows = np.arange(40).reshape(10, 4)
    return write_oracle(tmp_path / "o", rows, rows, 40, "oracle").train
