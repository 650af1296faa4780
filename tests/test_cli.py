"""The real commands in a subprocess, and what they say to mistakes."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

TINY = [
    "--epochs",
    "3",
    "--batch",
    "32",
    "--hidden-dim",
    "8",
    "--embedding-dim",
    "8",
    "--length",
    "8",
    "--threads",
    "1",
]
GAN = ["--pretrain-epochs", "1", "--d-pretrain-rounds", "1", "--d-samples", "32", "--d-epochs", "1", "--d-steps", "1",
       "--rounds", "12", "--rollouts", "2", "--batch", "16", "--length", "8", "--threads", "1"]  # fmt: skip


def textgan(*words, **options):
    command = [sys.executable, "-W", "error", "-m", "textgan", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, **options)


@pytest.fixture(scope="module")
def run(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "a"
    done = textgan("train", "mle", "--data", text, "--run", path, *TINY)
    assert done.returncode == 0, done.stderr
    return path


def test_generate_is_deterministic_and_takes_a_prompt(run):
    first, again, other = (textgan("generate", run, "-n", 5, "--seed", s).stdout for s in (1, 1, 2))
    assert first == again != other
    assert len(first.splitlines()) == 5
    rows = textgan("generate", run, "-n", 3, "--prompt", "a man", "--json").stdout.splitlines()
    assert all(json.loads(r)["text"].startswith("a man") and json.loads(r)["log_prob"] < 0 for r in rows)


def test_evaluate_agrees_with_training(run):
    found = json.loads(textgan("evaluate", run, "-n", 20, "--json").stdout)["model"]
    last = json.loads(sorted((run / "eval").glob("0*.json"))[-1].read_text())
    assert found["nll_test"] == pytest.approx(last["nll_test"], abs=1e-9)
    assert 0.1 < found["nll_test"] < 5


def test_the_best_checkpoint_is_kept(text, tmp_path):
    words = ["--data", text, *TINY, "--epochs", "30", "--lr", "0.1", "--evaluate-every", "1"]
    assert textgan("train", "mle", "--run", tmp_path / "a", *words).returncode == 0
    found = [json.loads(file.read_text()) for file in sorted((tmp_path / "a/eval").iterdir())]
    lowest = min(found, key=lambda row: row["nll_test"])
    assert lowest["step"] < found[-1]["step"]  # it has learnt by heart since
    assert textgan("generate", tmp_path / "a/best", "-n", 2).stdout
    state = torch.load(tmp_path / "a/best/state.pt", weights_only=True)
    assert state["step"] == lowest["step"]
    stopped = textgan("train", "mle", "--run", tmp_path / "b", *words, "--until", lowest["step"] + 3)
    assert stopped.returncode == textgan("resume", tmp_path / "b").returncode == 0
    again = torch.load(tmp_path / "b/best/state.pt", weights_only=True)
    assert all(torch.equal(v, again["networks"]["generator"][k]) for k, v in state["networks"]["generator"].items())
    done = textgan("train", "mle", "--run", tmp_path / "c", *words, "--best", "beauty")
    assert done.returncode == 2
    assert "nll_test" in done.stderr


def test_run_folder(run):
    assert {p.name for p in run.iterdir()} >= {
        "config.json",
        "env.json",
        "metrics.jsonl",
        "timing.jsonl",
        "samples",
        "checkpoints",
    }
    assert (sorted((run / "checkpoints").iterdir())[-1] / "generator/tokenizer.json").is_file()


SKIP = ["--epochs", "12", "--batch", "16", "--hidden-dim", "8", "--embedding-dim", "8", "--length", "8", "--threads", "1",
        "--sampled", "5", "--word-dropout", "0.2", "--log-every", "1"]  # fmt: skip
QUICK = ["--epochs", "60", "--batch", "30", "--hidden-dim", "8", "--embedding-dim", "8", "--length", "8", "--threads", "1",
         "--word-dropout", "0.2", "--precision", "bf16"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "mark"),
    [("seqgan", GAN, '"adversarial"'), ("skipthought", SKIP, '"step": 20,'), ("quickthought", QUICK, '"step": 120,')],
)
def test_killed_at_a_random_moment_and_resumed_equals_unbroken(name, options, mark, text, tmp_path):
    base = ["--data", text, *options]
    assert textgan("train", name, *base, "--run", tmp_path / "whole").returncode == 0
    command = [sys.executable, "-m", "textgan", "train", name, *map(str, base), "--run", str(tmp_path / "killed")]
    process = subprocess.Popen([*command, "--save-minutes", "0"], stderr=subprocess.DEVNULL)
    log = tmp_path / "killed/metrics.jsonl"
    while not (log.exists() and mark.encode() in log.read_bytes()):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    time.sleep(int.from_bytes(os.urandom(1), "big") / 5000)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = textgan("resume", tmp_path / "killed")
    assert done.returncode == 0, done.stderr
    logs = [(tmp_path / n / "metrics.jsonl").read_bytes() for n in ("whole", "killed")]
    assert logs[0] == logs[1]
    last = [sorted((tmp_path / n / "checkpoints").iterdir())[-1] for n in ("whole", "killed")]
    files = [{f.relative_to(folder): f.read_bytes() for f in folder.rglob("*.safetensors")} for folder in last]
    assert files[0] == files[1] != {}


def test_dry_run_leaves_nothing(text, tmp_path):
    done = textgan("train", "seqgan", "--data", text, "--run", tmp_path / "d", "--dry-run", *GAN)
    assert done.returncode == 0
    assert "adversarial: 60 steps" in done.stderr
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("name", ["seqgan", "skipthought"])
def test_two_processes_equal_one(name, text, tmp_path):
    options = [*SKIP, "--epochs", "2"] if name == "skipthought" else [*GAN, "--d-dropout", "0", "--rounds", "2"]
    base = ["train", name, "--data", str(text), *options, "--device", "cpu"]
    assert textgan(*base, "--run", tmp_path / "one").returncode == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "textgan"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *base, "--run-dir", str(tmp_path / "two")], capture_output=True, text=True, env=environment, timeout=200
    )
    assert done.returncode == 0, done.stderr
    one, two = ([json.loads(line) for line in (tmp_path / n / "metrics.jsonl").read_text().splitlines()] for n in ("one", "two"))
    assert len(one) == len(two) > 5
    for a, b in zip(one, two, strict=True):
        assert a.pop("stage") == b.pop("stage")
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
    key = "e/nll_next" if name == "skipthought" else "g/nll"
    assert one[0][key] != pytest.approx(one[1].get(key, 0), rel=1e-3)


def test_help_teaches_and_is_quick():
    began = time.monotonic()
    done = textgan("--help")
    assert time.monotonic() - began < 2
    assert "textgan train mle --data wikipedia-sample" in done.stdout
    assert "--rollouts" in textgan("train", "seqgan", "--help").stdout


WRONG = [
    (["trian"], "did you mean `textgan train`"),
    (["train"], "no algorithm"),
    (["train", "seqgn", "--data", "x"], "unknown algorithm"),
    (["train", "mle", "--data", "TEXT", "--run", "R", "--epoch", "3"], "did you mean --epochs"),
    (["train", "mle", "--data", "TEXT", "--run", "R", "--batch", "many"], "--batch expects a whole number; received 'many'"),
    (["train", "mle", "--data", "TEXT", "--run", "R", "--lr", "x"], "--lr expects a number; received 'x'"),
    (["train", "mle", "--data", "TEXT", "--run", "R", "--lr"], "--lr expects a value; received none"),
    (["train", "mle", "--data", "TEXT", "--run", "R", "--cell", "rnn"], "--cell expects one of 'lstm', 'gru'; received 'rnn'"),
    (["train", "mle", "extra", "--data", "TEXT", "--run", "R"], "received 'extra'"),
    (["train", "mle", "--data", "TEXT", "--run", "TEXT/run"], "cannot be used: Not a directory"),
    (["generate"], "RUN is missing"),
    (["report"], "no run was named"),
    (["train", "mle", "--data", "TEXT"], "--run DIR"),
    (["train", "mle", "--run", "R"], "--data FILE"),
    (["train", "mle", "--data", "TEXT", "--run", "R", "--dropout", "1.5"], "--dropout must lie in"),
    (["train", "mle", "--data", "TEXT", "--run", "R", "--lr", "-1"], "--lr must be"),
    (["train", "mle", "--data", "TEXT", "--run", "R", "--length", "1"], "--length must be 2"),
    (["train", "mle", "--data", "TEXT", "--run", "R", "--device", "cuda:77"], "--device"),
    (["train", "mle", "--data", "nowhere.txt", "--run", "R"], "no such file"),
    (["train", "mle", "--data", "EMPTY", "--run", "R"], "holds no text"),
    (["train", "mle", "--data", "oracle:TEXT", "--run", "R"], "no oracle can be read"),
    (["train", "mle", "--data", "TEXT", "--run", "RUN"], "already holds a run"),
    (["resume", "nowhere"], "is not a run"),
    (["generate", "nowhere"], "holds no generator"),
    (["generate", "RUN", "--temperature", "0"], "--temperature must be"),
    (["generate", "RUN", "--top-p", "2"], "--top-p must lie"),
    (["generate", "RUN", "-n", "0"], "--number must be 1"),
    (["generate", "RUN", "--out", "."], "it is a folder"),
    (["generate", "RUN", "--prompt", "a a a a a a a a a a"], "--prompt is too long; expected fewer than 8 tokens; received 10"),
    (["train", "mle", "--data", "TEXT", "--run", "R", "--epochs", "0"], "--epochs is too small; expected 1 or more; received 0"),
    (["evaluate", "nowhere"], "is not a run"),
]


BROKEN = [
    ("blank.txt", b" \n\n\t\n", "holds no text"),
    ("picture.txt", bytes(range(256)) * 40, "is not a text file"),
    ("wide.txt", "a man rides a horse\n".encode("utf-16") * 9, "is not a text file"),
    ("rows.jsonl", b'{"text": "one"}\n{"text": "tw', "line 2 is not a JSON"),
    ("list.jsonl", b"[1, 2]\n", "line 1"),
    ("rows.csv", b"id,caption\n1,a man\n", "expected --column with one of: id, caption"),
    ("cut.txt.gz", gzip.compress(b"a man rides a horse\n" * 999)[:50], "cannot be read"),
    ("not.txt.gz", b"a man rides a horse\n", "cannot be read"),
    ("not.txt.bz2", b"a man rides a horse\n", "cannot be read"),
    ("long.txt", b"word " * 200_000, "raise --length"),
    ("folder/", b"", "no such file, folder"),
]


@pytest.mark.parametrize(("name", "content", "says"), BROKEN)
def test_broken_text_ends_in_one_line_and_leaves_nothing(name, content, says, tmp_path, monkeypatch, capsys):
    from textgan.__main__ import main

    monkeypatch.chdir(tmp_path)
    if name.endswith("/"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit) as left:
        main(["train", "mle", "--data", name, "--run", "R/deep", "--threads", "1"])
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert says in error
    assert error.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == [name.strip("/")], "something half-made was left"


DAMAGED = [
    ("config.json", b"{", ["resume", "evaluate", "report"], "damaged"),
    ("config.json", None, ["resume", "evaluate", "report"], "is not a run"),
    ("config.json", b'{"schema_version": 7}', ["resume"], "expected schema 1"),
    ("data/corpus.json", b"{", ["resume", "evaluate"], "is not a prepared corpus"),
    ("data/tokenizer.json", b"{}", ["resume", "evaluate"], "no tokenizer can be read"),
    ("data/train.arrow", b"nonsense", ["resume"], "corpus"),
    ("data/test.arrow", b"", ["evaluate"], "corpus"),
    ("checkpoints/LAST/generator/model.safetensors", b"nonsense", ["generate", "evaluate"], "no whole checkpoint"),
]


@pytest.mark.filterwarnings("default")  # a damaged checkpoint is named in a warning
@pytest.mark.parametrize(("file", "content", "commands", "says"), DAMAGED)
def test_a_damaged_run_ends_in_one_line(file, content, commands, says, run, tmp_path, capsys):
    from textgan.__main__ import main

    hurt = tmp_path / "hurt"
    shutil.copytree(run, hurt)
    kept = sorted((hurt / "checkpoints").iterdir())
    for other in kept[:-1]:
        shutil.rmtree(other)
    path = hurt / file.replace("LAST", kept[-1].name)
    path.unlink() if content is None else path.write_bytes(content)
    for command in commands:
        with pytest.raises(SystemExit) as left:
            main([command, str(hurt)])
        error = capsys.readouterr().err
        assert left.value.code == 2, command
        assert says in error
        assert [line for line in error.splitlines() if "warning" not in line][1:] == []


@pytest.mark.parametrize(("words", "says"), WRONG)
def test_a_mistake_ends_in_one_line_and_exit_code_2(words, says, run, text, tmp_path, monkeypatch, capsys):
    from textgan.__main__ import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text(" \n")
    names = {"TEXT": str(text), "RUN": str(run), "EMPTY": "empty.txt", "oracle:TEXT": f"oracle:{text}", "TEXT/run": f"{text}/run"}
    with pytest.raises(SystemExit) as left:
        main([names.get(word, word) for word in words])
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert says in error
    assert error.count("\n") == 1
    assert {p.name for p in tmp_path.iterdir()} == {"empty.txt"}, "something half-made was left"


def test_a_generator_needs_neither_corpus_nor_run(run, tmp_path):
    last = sorted((run / "checkpoints").iterdir())[-1]
    shutil.copytree(last / "generator", tmp_path / "g")
    from_run, from_checkpoint, alone = (
        textgan("generate", p, "-n", 4, "--length", 8).stdout for p in (run, last, tmp_path / "g")
    )
    assert from_run == from_checkpoint == alone
    assert len(alone.splitlines()) == 4


def test_a_package_that_is_missing_is_named(text, tmp_path, monkeypatch, capsys):
    from textgan.__main__ import main

    monkeypatch.setitem(sys.modules, "gensim.corpora.wikicorpus", None)
    with pytest.raises(SystemExit) as left:
        main(["prepare", "--data", "wikipedia-sample", "--out", str(tmp_path / "c")])
    assert left.value.code == 2
    assert "this needs the package gensim" in capsys.readouterr().err
