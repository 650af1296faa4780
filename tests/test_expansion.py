"""More words, several encoders, other libraries."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from textgan import tokenizers
from textgan.encoders import GRUEncoder, GRUEncoderConfig, SentenceEncoder
from textgan.errors import UserError
from textgan.expansion import expand, fit_map

from .test_encoders import run_of, textgan


def test_the_map_is_found_and_its_quality_told():
    r = np.random.default_rng(0)
    a, true = r.normal(size=(600, 8)), r.normal(size=(8, 5))
    weight, intercept, quality = fit_map(a, a @ true + 3)
    assert np.allclose(weight, true, atol=1e-6)
    assert np.allclose(intercept, 3, atol=1e-6)
    assert quality == pytest.approx({"shared": 600, "ridge": 0, "r2": 1, "cosine": 1, "nearest": 1}, abs=1e-6)
    noise = fit_map(a, r.normal(size=(600, 5)))[2]
    assert noise["r2"] < 0.1
    assert noise["nearest"] < 0.1


def test_ridge_is_used_when_few_words_are_shared():
    r = np.random.default_rng(0)
    a = r.normal(size=(60, 40))
    b = a[:, :5] + r.normal(size=(60, 5))
    weight, intercept, quality = fit_map(a, b)
    assert quality["ridge"] > 0
    plain = np.linalg.lstsq(a, b, rcond=None)[0]
    fresh = r.normal(size=(500, 40))
    error = lambda w: ((fresh @ w - fresh[:, :5]) ** 2).mean()  # noqa: E731
    assert error(weight) < error(plain)
    with pytest.raises(UserError, match="only 9 words"):
        fit_map(a[:9], b[:9])


def keyed(words, vectors):
    from gensim.models import KeyedVectors

    kv = KeyedVectors(vectors.shape[1])
    kv.add_vectors(words, vectors.astype(np.float32))
    return kv


def test_trained_words_keep_their_vectors_and_new_ones_get_mapped_ones():
    words = [f"w{i}" for i in range(60)]
    t = tokenizers.train("word", [" ".join(words)], 100, lowercase=True)
    torch.manual_seed(0)
    encoder = GRUEncoder(GRUEncoderConfig(t.vocab_size, 4, 6, "bi"))
    r = np.random.default_rng(0)
    a = r.normal(size=(64, 5))
    map_ = r.normal(size=(5, 4))
    with torch.no_grad():
        for i, word in enumerate(words):
            encoder.embedding.weight[t.encode(word)[0]] = torch.tensor(a[i] @ map_ + 1)
    kv = keyed([*words, "zebra", "Paris", "two_words", "rare"], a)
    new, wide, quality = expand(encoder, t, kv)
    assert quality["shared"] == 60
    assert quality["added"] == 3
    assert wide.vocab_size == t.vocab_size + 3 == new.config.vocab_size
    for text in ("w7 w3", "w59", "unheard"):
        assert wide.encode(text) == t.encode(text)
        x = torch.tensor([[*t.encode(text), 2]])
        assert torch.equal(new(x), encoder(x))
    for word, k in (("zebra", 60), ("Paris", 61), ("paris", 61), ("rare", 63)):
        assert t.encode(word) == [t.unk]
        found = new.embedding.weight[wide.encode(word)[0]].detach().numpy()
        assert np.allclose(found, a[k] @ map_ + 1, atol=1e-3)
    assert wide.encode("two_words") == [wide.unk]
    counts = np.full(t.vocab_size, 9)
    counts[t.encode("w0")[0]] = 1
    assert expand(encoder, t, kv, counts)[2]["shared"] == 59
    with pytest.raises(UserError, match="only a vocabulary of words"):
        expand(encoder, tokenizers.train("char", words, 100), kv)


# gensim leaves a file without a header open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_the_commands(corpus, tmp_path, capsys):
    run_of("quickthought", corpus, tmp_path / "q")
    run_of("skipthought", corpus, tmp_path / "s")
    known = [corpus.tokenizer.token(i)[1:] for i in range(4, corpus.vocab_size)]
    known = [w for w in known if w.isalpha()]
    r = np.random.default_rng(0)
    lines = [" ".join([w, *(f"{v:.3f}" for v in r.normal(size=3))]) for w in [*known, "okapi"]]
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")  # GloVe's format has no header
    assert textgan("expand", tmp_path / "q", tmp_path / "big", "--vectors", tmp_path / "glove.txt", "--min-count", 1) == 0
    report = json.loads((tmp_path / "big" / "expansion.json").read_text())
    assert report["f"]["added"] == 1
    old, new = (SentenceEncoder.from_pretrained(tmp_path / n) for n in ("q", "big"))
    assert np.allclose(old.encode("a man sees a kite ."), new.encode("a man sees a kite ."), atol=1e-6)
    with pytest.warns(UserWarning, match="without a known word"):
        lost = old.encode("okapi")
    assert np.abs(new.encode("okapi") - lost).max() > 1e-4
    assert textgan("combine", tmp_path / "q", tmp_path / "s", "--out", tmp_path / "both") == 0
    both = SentenceEncoder.from_pretrained(tmp_path / "both")
    assert both.dimension == 24
    v = both.encode(["a man sees a kite .", "a dog"])
    alone = SentenceEncoder.from_pretrained(tmp_path / "s").encode(["a man sees a kite .", "a dog"])
    assert np.allclose(v[:, 16:], alone / np.linalg.norm(alone, axis=1, keepdims=True), atol=1e-6)
    capsys.readouterr()
    for wrong in (
        ["expand", tmp_path / "q", tmp_path / "new"],
        ["expand", tmp_path / "q", tmp_path / "both", "--vectors", tmp_path / "glove.txt"],
        ["expand", tmp_path / "q", tmp_path / "new", "--vectors", tmp_path / "none"],
        ["combine", tmp_path / "q", "--out", tmp_path / "new"],
        ["combine", tmp_path / "q", tmp_path / "none", "--out", tmp_path / "new"],
        ["export", tmp_path / "none", tmp_path / "new"],
        ["export", tmp_path / "q", tmp_path / "both"],
    ):
        assert textgan(*wrong) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert not (tmp_path / "new").exists()


@pytest.mark.filterwarnings("ignore")
def test_sentence_transformers_loads_the_export(corpus, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from textgan import hf  # noqa: F401

    run_of("quickthought", corpus, tmp_path / "q")
    assert textgan("export", tmp_path / "q", tmp_path / "st") == 0
    model = sentence_transformers.SentenceTransformer(str(tmp_path / "st"), device="cpu")
    texts = ["a man  sees a kite .", "", "a dog ▁ holds the red car .", " okapi"]
    mine = SentenceEncoder.from_pretrained(tmp_path / "q").encode(texts)
    assert np.abs(model.encode(texts) - mine).max() < 1e-6
    assert np.abs(mine[0] - mine[2]).max() > 1e-3
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    judged = EmbeddingSimilarityEvaluator(texts[:3], texts[1:], [0.1, 0.5, 0.9])(model)
    assert np.isfinite(list(judged.values())).all()
    from transformers import AutoModel, AutoTokenizer

    inputs = AutoTokenizer.from_pretrained(tmp_path / "st")(texts, padding=True, return_tensors="pt")
    found = AutoModel.from_pretrained(tmp_path / "st")(**inputs)
    assert np.abs(found.pooler_output.detach().numpy() - mine).max() < 1e-6
    assert "16 numbers" in (tmp_path / "st" / "README.md").read_text()


def test_states_of_words_and_their_masks(corpus, tmp_path, capsys):
    made = run_of("quickthought", corpus, tmp_path / "q")
    (tmp_path / "in.txt").write_text("a man sees a kite .\na dog\n")
    assert textgan("encode", tmp_path / "q", tmp_path / "in.txt", tmp_path / "out.npy", "--words", 5) == 0
    states, mask = np.load(tmp_path / "out.npy"), np.load(tmp_path / "out.npy.mask.npy")
    assert states.shape == (2, 5, 16)
    assert mask.tolist() == [[True] * 5, [True, True, True, False, False]]
    assert (states[~mask] == 0).all()
    made.f.eval()
    x = torch.tensor([[*corpus.tokenizer.encode("a dog"), 2]])
    assert np.allclose(states[1, :3, :8], made.f.states(x)[0][0].detach(), atol=1e-6)
    for wrong in (["--words", -1], ["--words", 5, "--normalize"]):
        assert textgan("encode", tmp_path / "q", tmp_path / "in.txt", tmp_path / "o.npy", *wrong) == 2
        assert capsys.readouterr().err.count("\n") >= 1


def test_two_processes_encode_what_one_does(corpus, tmp_path):
    run_of("skipthought", corpus, tmp_path / "s")
    (tmp_path / "in.txt").write_text("".join(f"a man sees a {'red ' * (k % 3)}car .\n" for k in range(9000)))
    assert textgan("encode", tmp_path / "s", tmp_path / "in.txt", tmp_path / "one.npy") == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "textgan", "encode"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [*launch, tmp_path / "s", tmp_path / "in.txt", tmp_path / "two.npy"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "two.npy").read_bytes() == (tmp_path / "one.npy").read_bytes()
    rows = np.load(tmp_path / "two.npy")
    assert np.abs(rows[0] - rows[1]).max() > 1e-5 < np.abs(rows[-1]).max()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.txt", "one.npy", "s", "two.npy"]


def test_a_language_model_starts_from_word_vectors(corpus, tmp_path):
    from .conformance import build

    words = run_of("word2vec", corpus, tmp_path / "w")
    for name in ("mle", "seqgan"):
        made, _ = build(name, corpus, embeddings=str(tmp_path / "w"))
        i = corpus.tokenizer.encode("a horse")[1]
        expected = torch.tensor(words.model.wv["horse"])
        assert torch.cosine_similarity(made.G.embedding.weight[i].detach(), expected, 0).item() == pytest.approx(1, abs=1e-5)
