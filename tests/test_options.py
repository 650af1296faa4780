"""Options that change how a run goes, not what it is: precision, TensorBoard, --config, sources through libraries."""

import io
import json
import re
import sys

import pytest
import torch

from textgan import tokenizers
from textgan.__main__ import main
from textgan.corpus import Corpus, documents, prepare
from textgan.errors import UserError
from textgan.runtime import Run, fit

from .conformance import GENERATORS, build, train, weights

WORDS = ["--epochs", "1", "--batch", "32", "--hidden-dim", "8", "--embedding-dim", "8", "--length", "8", "--threads", "1"]


def textgan(*words):
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return left.value.code


@pytest.mark.parametrize("name", GENERATORS)
def test_bf16_trains_to_nearly_the_same_weights(name, corpus, tmp_path):
    """Autocast touches every step, losses and weights stay fp32, and the losses stay near."""
    logs = {}
    for precision in ("fp32", "bf16"):
        made, workers = build(name, corpus)
        fit(made, run := Run.create(tmp_path / precision, {}, {}), workers, seed=0, progress=False, precision=precision)
        assert {v.dtype for v in weights(made).values() if v.is_floating_point()} == {torch.float32}
        logs[precision] = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    a, b = (next(value for key, value in logs[p][0].items() if key.endswith("/nll")) for p in ("fp32", "bf16"))
    assert a != b
    assert a == pytest.approx(b, rel=2e-2)


def test_tensorboard(corpus, tmp_path):
    pytest.importorskip("tensorboard")
    made, workers = build("mle", corpus)
    fit(made, Run.create(tmp_path / "r", {}, {}), workers, seed=0, progress=False, tensorboard=True)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "r" / "tensorboard"))
    events.Reload()
    rows = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("g/nll")] == [(r["step"], r["g/nll"]) for r in rows]


def test_a_profile_changes_nothing(text, tmp_path, capsys):
    """Same metrics and weights; a trace of five steps with the operations of the training; a resumed run is not looked at."""
    for name, words in (("off", []), ("on", ["--profile"])):
        assert textgan("train", "mle", "--data", text, "--run", tmp_path / name, *WORDS, "--epochs", "2", *words) == 0
    told = capsys.readouterr().err
    for file in ("metrics.jsonl", "checkpoints/00000012/generator/model.safetensors"):
        assert (tmp_path / "on" / file).read_bytes() == (tmp_path / "off" / file).read_bytes()
    assert not (tmp_path / "off" / "profile.json").exists()
    events = [e.get("name") for e in json.loads((tmp_path / "on" / "profile.json").read_text())["traceEvents"]]
    assert events.count("Optimizer.step#Adam.step") == 5
    assert told.count("the dearest operations") == 1
    rows = re.findall(r"^  (\S.*?) +([\d.]+) s +([\d.]+)% +(\d+) calls$", told, re.MULTILINE)
    assert len(rows) == 5
    assert rows == sorted(rows, key=lambda row: -float(row[1]))
    assert 0 < sum(float(row[2]) for row in rows) <= 100
    (tmp_path / "on" / "profile.json").unlink()
    assert textgan("resume", tmp_path / "on") == 0
    assert not (tmp_path / "on" / "profile.json").exists()


def test_a_run_too_short_for_a_profile_says_so(text, tmp_path, capsys):
    for until in (2, 5):
        run = tmp_path / str(until)
        assert textgan("train", "mle", "--data", text, "--run", run, *WORDS, "--profile", "--until", until) == 0
        assert f"it takes 9 steps, and only {until} were done" in capsys.readouterr().err
        assert not (run / "profile.json").exists()


def test_a_run_from_the_settings_of_another(text, tmp_path):
    assert textgan("train", "mle", "--data", text, "--run", tmp_path / "a", *WORDS) == 0
    assert textgan("train", "mle", "--config", tmp_path / "a", "--run", tmp_path / "b", "--hidden-dim", "9") == 0
    a, b = (Run.open(tmp_path / n).config for n in "ab")
    assert {**a["config"], "hidden_dim": 9} == b["config"]
    assert a["data"] == b["data"]


def test_a_corpus_prepared_once_serves_several_runs(text, tmp_path, capsys):
    assert textgan("prepare", "--data", text, "--length", "8", "--out", tmp_path / "c") == 0
    words = [word for word in WORDS if word not in ("--length",)]
    words.remove("8")
    assert textgan("train", "mle", "--data", tmp_path / "c", "--run", tmp_path / "a", *WORDS[:-4], "--threads", "1") == 0
    assert Run.open(tmp_path / "a").config["data"]["length"] == 8
    assert textgan("train", "mle", "--data", tmp_path / "c", "--run", tmp_path / "b", *WORDS[:-4], "--length", "9") == 2
    assert "was prepared with --length 8; received 9" in capsys.readouterr().err
    assert Corpus.open(tmp_path / "c").info == Corpus.open(tmp_path / "a" / "data").info


def test_a_column_of_another_name(tmp_path, capsys):
    rows = "".join(f'{{"captions": ["a dog sees {k}", "{k} is seen by a dog"]}}\n' for k in range(40))
    (tmp_path / "metadata.jsonl").write_text(rows)
    words = ["--data", tmp_path / "metadata.jsonl", "--split", "line"]
    assert textgan("prepare", *words, "--column", "captions", "--out", tmp_path / "c") == 0
    told = Corpus.open(tmp_path / "c")
    assert told.info["documents"] == 40
    assert len(told.train) + len(told.test) == 80
    assert textgan("prepare", *words, "--out", tmp_path / "d") == 2
    assert "expected --column with one of: captions" in capsys.readouterr().err


def test_standard_input(monkeypatch, tmp_path):
    class Input:
        buffer = io.BytesIO(b"a cat sat .\na dog ran .\n" * 30)

    monkeypatch.setattr(sys, "stdin", Input())
    corpus = prepare("-", tmp_path / "c", length=8)
    assert corpus.info["kept"] == 60
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["corpus.json", "test.arrow", "tokenizer.json", "train.arrow"]


@pytest.mark.filterwarnings("default")  # of the library's own
def test_data_sets(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {"text": ["one", "two\nlines"], "caption": ["a", "b"]}
    datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows)}).save_to_disk(tmp_path / "d")
    assert list(documents(f"datasets:{tmp_path / 'd'}")) == [["one"], ["two", "lines"]]
    assert list(documents(f"datasets:{tmp_path / 'd'}:train", column="caption")) == [["a"], ["b"]]
    with pytest.raises(UserError, match="text, caption"):
        list(documents(f"datasets:{tmp_path / 'd'}", column="nothing"))
    with pytest.raises(UserError, match="no split 'test'; expected .*:SPLIT with train"):
        list(documents(f"datasets:{tmp_path / 'd'}:test"))
    for split in (None, "test"):
        datasets.Dataset.from_dict({"text": [f"of {split}"]}, split=split).save_to_disk(tmp_path / f"one-{split}")
        assert list(documents(f"datasets:{tmp_path / f'one-{split}'}")) == [[f"of {split}"]]
    assert list(documents(f"datasets:{tmp_path / 'one-test'}:test")) == [["of test"]]
    with pytest.raises(UserError, match="no split 'train'"):
        list(documents(f"datasets:{tmp_path / 'one-test'}:train"))


@pytest.mark.filterwarnings("default")
def test_data_sets_are_streamed(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "test.jsonl").write_text('{"text": "of the test"}\n')
    (tmp_path / "local" / "train-0.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (tmp_path / "local" / "train-1.jsonl").write_text('{"text": ')  # damaged, which only who reads on finds out
    found = documents(f"datasets:{tmp_path / 'local'}")
    assert [next(found), next(found)] == [["one"], ["two"]]
    with pytest.raises(UserError, match="cannot be read to its end"):
        next(found)
    assert list(documents(f"datasets:{tmp_path / 'local'}:test")) == [["of the test"]]
    assert not any((tmp_path / "cache").rglob("*.arrow"))  # nothing was copied
    with pytest.raises(datasets.exceptions.DatasetGenerationError):  # what is not streamed is read whole first
        datasets.load_dataset(str(tmp_path / "local"), split="train", cache_dir=str(tmp_path / "cache"))
    with pytest.raises(UserError, match="cannot be loaded"):
        list(documents(f"datasets:{tmp_path / 'nowhere'}"))
    with pytest.raises(UserError, match="Available splits"):
        list(documents(f"datasets:{tmp_path / 'local'}:nothing"))


@pytest.mark.filterwarnings("default")
def test_a_prepared_corpus_is_read_with_datasets(corpus, tmp_path):
    datasets = pytest.importorskip("datasets")
    files = {name: str(corpus.path / f"{name}.arrow") for name in ("train", "test")}
    found = datasets.load_dataset("arrow", data_files=files, cache_dir=str(tmp_path))
    for name, part in (("train", corpus.train), ("test", corpus.test)):
        assert len(found[name]) == len(part)
        rows = part.rows(range(len(part)), corpus.info["length"]).tolist()
        assert [[*row, 2][: len(known)] for row, known in zip(found[name]["ids"], rows, strict=True)] == [
            known[: known.index(2) + 1] if 2 in known else known for known in rows
        ]
        assert found[name][3]["document"] == part.documents([3])[0]
    streamed = datasets.load_dataset("arrow", data_files=files, split="train", streaming=True)
    assert corpus.tokenizer.decode(next(iter(streamed))["ids"]).endswith(".")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_tokenizers_load_in_transformers(kind, tmp_path):
    from transformers import PreTrainedTokenizerFast

    t = tokenizers.train(kind, ["a man rides a horse .", "two dogs !"] * 5, 300)
    t.save(tmp_path)
    fast = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert fast("two men rides !", add_special_tokens=False)["input_ids"] == t.encode("two men rides !")


def test_an_algorithm_from_outside(text, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from textgan.algorithms.mle import MLE\nclass Mine(MLE):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert textgan("train", "mine:Mine", "--data", text, "--run", tmp_path / "a", *WORDS) == 0
    assert textgan("resume", tmp_path / "a") == 0
    assert textgan("train", "mine:Yours", "--data", text, "--run", tmp_path / "b", *WORDS) == 2


def test_weights_do_not_depend_on_how_often_one_looks(corpus, tmp_path):
    made, _ = train("mle", corpus, tmp_path / "a")
    other, workers = build("mle", corpus)
    looked = []
    fit(other, Run.create(tmp_path / "b", {}, {}), workers, seed=0, progress=False, log_every=1, save_minutes=0,
        evaluate=lambda: looked.append(torch.rand(3)) or {}, samples=3)  # fmt: skip
    assert looked
    assert all(torch.equal(weights(made)[k], v) for k, v in weights(other).items())
