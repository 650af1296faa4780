"""Both directions, with the real library: its models as our encoder, and our encoder as one of its models."""

import json
import shutil

import numpy as np
import pytest
import torch

import image_bridge.captions
from textgan.encoders import SentenceEncoder, load_encoder
from textgan.errors import UserError

from .test_encoders import run_of
from .test_encoders import textgan as command

sentence_transformers = pytest.importorskip("sentence_transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the library's own
TEXTS = ["a man sees a kite .", "a dog holds the red car .", "two women", "a kite"]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A SentenceTransformer with random weights: a BERT of one layer, and the mean of its states."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    root = tmp_path_factory.mktemp("st")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({w for text in TEXTS for w in text.split()}), "left", "right"]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=32, **names).save_pretrained(root / "bert")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    torch.manual_seed(7)
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=32, **sizes)).save_pretrained(root / "bert")
    sentence_transformers.SentenceTransformer(str(root / "bert"), device="cpu").save(str(root / "made"))
    return root / "made"


@pytest.fixture(scope="module")
def ours(corpus, tmp_path_factory):
    """A quickthought run, and its export."""
    root = tmp_path_factory.mktemp("ours")
    run_of("quickthought", corpus, root / "run")
    assert command("export", root / "run", root / "export") == 0
    return root


def test_its_model_is_our_encoder(theirs, tmp_path, capsys):
    expected = sentence_transformers.SentenceTransformer(str(theirs), device="cpu").encode(TEXTS)
    encoder = load_encoder(theirs)
    assert encoder.dimension == 8
    assert np.allclose(encoder.encode(TEXTS), expected, atol=1e-6)
    assert np.allclose(encoder.encode(TEXTS[1]), expected[1], atol=1e-6)
    with pytest.raises(UserError, match="int8 is for runs of"):
        encoder.encode(TEXTS, precision="int8")
    assert np.abs(expected[0] - expected[1]).max() > 0.1
    (tmp_path / "in.txt").write_text("\n".join(TEXTS) + "\n")
    assert command("encode", theirs, tmp_path / "in.txt", tmp_path / "out.npy") == 0
    assert np.allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-6)
    assert command("encode", theirs, tmp_path / "in.txt", tmp_path / "unit.npy", "--normalize") == 0
    assert np.allclose(np.linalg.norm(np.load(tmp_path / "unit.npy"), axis=1), 1, atol=1e-5)
    capsys.readouterr()
    assert command("nearest", theirs, TEXTS[1], "--among", tmp_path / "in.txt", "-n", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"1.000  {TEXTS[1]}"
    assert len(lines) == 2
    text = image_bridge.captions.load_encoder(str(theirs))
    assert np.allclose(text.encode(TEXTS), expected, atol=1e-6)
    text.save(tmp_path / "kept")
    assert np.allclose(image_bridge.captions.load_encoder(str(tmp_path / "kept")).encode(TEXTS), expected, atol=1e-6)


def test_what_it_cannot_do_is_said_in_one_line(theirs, tmp_path, capsys, monkeypatch):
    (tmp_path / "in.txt").write_text("a kite\n")
    assert command("encode", theirs, tmp_path / "in.txt", tmp_path / "out.npy", "--words", 4) == 2
    assert command("nearest", theirs, "a kite") == 2
    shutil.copytree(theirs, tmp_path / "broken")
    (tmp_path / "broken" / "config.json").write_text("{}")
    assert command("nearest", tmp_path / "broken", "a kite", "--among", tmp_path / "in.txt") == 2
    monkeypatch.setattr("textgan.hf.encoders.find_spec", lambda name: None)
    assert command("nearest", theirs, "a kite", "--among", tmp_path / "in.txt") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("textgan:")]
    for line, told in zip(
        errors, ("quickthought or skipthought", "--among FILE", "cannot be loaded", "textgan[hf]"), strict=True
    ):
        assert told in line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken", "in.txt"]


def suite(folder):
    r = np.random.default_rng(0)
    folder.mkdir()
    words = [w for text in TEXTS for w in text.split()]
    rows = [f"{' '.join(r.choice(words, 4))}\t{' '.join(r.choice(words, 4))}\t{r.uniform(0, 5):.2f}" for _ in range(60)]
    (folder / "mine.test.tsv").write_text("\n".join(rows) + "\n")
    (folder / "side.all").write_text("".join(f"{k % 2} a {('left', 'right')[k % 2]} {r.choice(words)}\n" for k in range(60)))
    return folder


def test_the_suite_judges_it_beside_its_words_and_itself_untrained(theirs, tmp_path, capsys):
    before = {p.name: p.read_bytes() for p in theirs.iterdir() if p.is_file()}
    data = suite(tmp_path / "data")
    assert command("evaluate", theirs, "--suite", "sts", "--suite-data", data) == 0
    told = capsys.readouterr().out
    header, *rows = told.splitlines()
    assert header.split() == "trained mean of its word vectors untrained".split()
    from scipy.stats import spearmanr

    pairs = [line.split("\t") for line in (data / "mine.test.tsv").read_text().splitlines()]
    model = sentence_transformers.SentenceTransformer(str(theirs), device="cpu")
    table, tokenizer = model[0].model.get_input_embeddings().weight.detach().numpy(), model.tokenizer

    def words(texts):
        return np.stack([table[tokenizer(text, add_special_tokens=False)["input_ids"]].mean(0) for text in texts])

    figures = next(row for row in rows if row.startswith("mine cosine rho")).split()[3:]
    for k, encode in ((0, model.encode), (1, words)):
        a, b = (encode([pair[side] for pair in pairs]) for side in (0, 1))
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert float(figures[k]) == pytest.approx(spearmanr(cosine, [float(p[2]) for p in pairs]).statistic, abs=2e-3)
    assert len(set(figures)) == 3
    assert {p.name: p.read_bytes() for p in theirs.iterdir() if p.is_file()} == before
    assert command("evaluate", theirs, "--suite", "sts", "--suite-data", data, "--seed", "1") == 0
    again = next(row for row in capsys.readouterr().out.splitlines() if row.startswith("mine cosine rho")).split()[3:]
    assert again[:2] == figures[:2]
    assert again[2] != figures[2]  # another network that has learnt nothing


def test_its_evaluators_judge_our_export(ours):
    from scipy.stats import spearmanr
    from sentence_transformers.sentence_transformer import evaluation

    model = sentence_transformers.SentenceTransformer(str(ours / "export"), device="cpu")
    encoder = SentenceEncoder.from_pretrained(ours / "run")
    a, b, scores = [TEXTS[k] for k in (0, 1, 2, 0)], [TEXTS[k] for k in (1, 2, 3, 3)], [0.1, 0.9, 0.4, 0.7]
    u, v = encoder.encode(a), encoder.encode(b)
    cosine = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    found = evaluation.EmbeddingSimilarityEvaluator(a, b, scores)(model)
    assert found["spearman_cosine"] == pytest.approx(spearmanr(cosine, scores).statistic)
    assert found["spearman_cosine"] != pytest.approx(
        evaluation.EmbeddingSimilarityEvaluator(a, b, scores[::-1])(model)["spearman_cosine"]
    )
    triplets = evaluation.TripletEvaluator(TEXTS[:2], TEXTS[:2], TEXTS[2:])(model)
    assert triplets["cosine_accuracy"] == 1
    assert evaluation.TripletEvaluator(TEXTS[:2], TEXTS[2:], TEXTS[:2])(model)["cosine_accuracy"] == 0
    queries, documents = {"q": TEXTS[1]}, {str(k): text for k, text in enumerate(TEXTS)}
    search = evaluation.InformationRetrievalEvaluator(queries, documents, {"q": {"1"}})(model)
    assert search["cosine_accuracy@1"] == 1
    assert evaluation.InformationRetrievalEvaluator(queries, documents, {"q": {"2"}})(model)["cosine_accuracy@1"] == 0
    assert np.allclose(model.similarity(u, u).diagonal(), 1, atol=1e-5)
    # how MTEB called an encoder before its version 2
    told = model.encode(TEXTS, task_name="STS12", prompt_type="query", batch_size=2, normalize_embeddings=True)
    assert np.allclose(told, encoder.encode(TEXTS, normalize_embeddings=True), atol=1e-6)
    with pytest.raises(ValueError, match="task_nam"):
        model.encode(TEXTS, task_nam="STS12")


def test_mteb_judges_our_export(ours):
    mteb = pytest.importorskip("mteb")
    import datasets
    from mteb.abstasks import AbsTaskSTS
    from mteb.abstasks.task_metadata import TaskMetadata

    unknown = (
        "date",
        "domains",
        "task_subtypes",
        "license",
        "annotations_creators",
        "dialect",
        "sample_creation",
        "bibtex_citation",
    )

    class Local(AbsTaskSTS):
        metadata = TaskMetadata(
            name="LocalSTS", description="local", dataset={"path": "local/local", "revision": "1"}, type="STS", category="t2t",
            modalities=["text"], eval_splits=["test"], eval_langs=["eng-Latn"], main_score="cosine_spearman", reference=None,
            **dict.fromkeys(unknown),
        )  # fmt: skip
        min_score, max_score = 0, 5

        def load_data(self, **options):
            rows = {"sentence1": TEXTS[:3], "sentence2": TEXTS[1:], "score": [1.0, 4.0, 2.0]}
            self.dataset = datasets.DatasetDict({"test": datasets.Dataset.from_dict(rows)})
            self.data_loaded = True

    from scipy.stats import spearmanr

    u = SentenceEncoder.from_pretrained(ours / "run").encode(TEXTS, normalize_embeddings=True)
    model = sentence_transformers.SentenceTransformer(str(ours / "export"), device="cpu")
    found = mteb.evaluate(model, [Local()], cache=None, overwrite_strategy="always")[0].scores["test"][0]
    assert found["main_score"] == pytest.approx(spearmanr((u[:-1] * u[1:]).sum(1), [1.0, 4.0, 2.0]).statistic)


def test_our_export_is_our_encoder_again(ours, tmp_path, capsys):
    expected = SentenceEncoder.from_pretrained(ours / "run").encode(TEXTS)
    assert np.allclose(load_encoder(ours / "export").encode(TEXTS), expected, atol=1e-6)
    assert command("evaluate", ours / "export", "--suite", "sts", "--suite-data", suite(tmp_path / "data")) == 0
    through = capsys.readouterr().out
    assert command("evaluate", ours / "run" / "checkpoints" / sorted(p.name for p in (ours / "run/checkpoints").iterdir())[-1],
                   "--suite", "sts", "--suite-data", tmp_path / "data") == 0  # fmt: skip
    straight = capsys.readouterr().out
    trained = [
        [row.split()[-3] for row in told.splitlines()[1:] if row.startswith(("mine", "side"))] for told in (through, straight)
    ]
    assert np.allclose(*np.array(trained, dtype=float), atol=2e-3)
    card = (ours / "export" / "README.md").read_text()
    assert "library_name: sentence-transformers" in card
    assert json.loads((ours / "export" / "modules.json").read_text())[0]["kwargs"] == ["task_name", "prompt_type"]
    with pytest.raises(UserError, match="folder of sentence-transformers"):
        load_encoder(tmp_path)
