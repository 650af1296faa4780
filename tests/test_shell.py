"""What other programs and the terminal get: JSON, no colours where none are wanted, completion."""

import dataclasses
import json
import os
import pty
import re
import subprocess
import sys

import pytest

import image_bridge.__main__ as image_bridge
from image_bridge import cli as image_cli
from image_bridge.captions import BagOfWords
from image_bridge.generators import CGANConfig, CGANGenerator
from textgan import cli
from textgan.__main__ import COMMANDS, main

from .test_encoders import run_of, textgan
from .test_sentence_transformers import suite

SILENT = {"resume", "encode", "expand", "combine", "export", "train", "ui", "completion"}  # what they make is a file, or a page


def lines(capsys, code):
    assert code == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def bridge(*words):
    with pytest.raises(SystemExit) as left:
        image_bridge.main([str(word) for word in words])
    return left.value.code


def test_every_command_that_prints_a_result_can_print_json():
    for commands, options in ((COMMANDS, cli.OPTIONS), (image_bridge.COMMANDS, image_cli.options())):
        assert set(commands) == {*options, "train", "completion"}
        for name, kind in options.items():
            assert (name not in SILENT) == ("json" in {f.name for f in dataclasses.fields(kind)}), name


@pytest.mark.filterwarnings("ignore")
def test_texts_as_json(text, corpus, tmp_path, capsys):
    words = ["--epochs", 1, "--batch", 32, "--hidden-dim", 4, "--embedding-dim", 4, "--length", 8, "--threads", 1]
    assert textgan("train", "mle", "--data", text, "--run", tmp_path / "m", *words) == 0
    for name in ("word2vec", "skipthought"):
        run_of(name, corpus, tmp_path / name)
    capsys.readouterr()
    rows = lines(capsys, textgan("generate", tmp_path / "m", "-n", 3, "--json"))
    assert [set(row) for row in rows] == [{"text", "log_prob"}] * 3
    (tmp_path / "in.txt").write_text("a dog\na man sees a kite .\n")
    rows = lines(capsys, textgan("nearest", tmp_path / "skipthought", "a dog", "--among", tmp_path / "in.txt", "--json"))
    assert rows[0] == {"text": "a dog", "cosine": pytest.approx(1, abs=1e-5)}
    rows = lines(capsys, textgan("nearest", tmp_path / "word2vec", "horse", "-n", 4, "--json"))
    assert textgan("nearest", tmp_path / "word2vec", "horse", "-n", 4) == 0
    assert capsys.readouterr().out == "".join(f"{row['cosine']:.3f}  {row['text']}\n" for row in rows)
    assert len(lines(capsys, textgan("analogy", tmp_path / "word2vec", "man", "dog", "horse", "-n", 2, "--json"))) == 2
    rows = lines(capsys, textgan("next", tmp_path / "skipthought", "a dog", "-n", 2, "--top-k", 0, "--json"))
    assert [set(row) for row in rows] == [{"text"}] * 2
    (found,) = lines(capsys, textgan("evaluate", tmp_path / "m", "-n", 20, "--json"))
    assert found["model"]["nll_test"] > 0
    (found,) = lines(capsys, textgan("evaluate", tmp_path / "skipthought", "--suite", "sts", "--suite-data",
                                     suite(tmp_path / "sts"), "--json"))  # fmt: skip
    assert set(found) == {"trained", "mean of its word vectors", "untrained"}
    (found,) = lines(
        capsys, textgan("compare", tmp_path / "m", "-n", 20, "--temperatures", 1, "--out", tmp_path / "c.html", "--json")
    )
    assert found == json.loads((tmp_path / "c.json").read_text())
    (found,) = lines(capsys, textgan("report", tmp_path / "m", "--json"))
    assert found == {"file": str(tmp_path / "m" / "report.html")}
    (found,) = lines(capsys, textgan("prepare", "--data", text, "--out", tmp_path / "corpus", "--json"))
    assert found["folder"] == str(tmp_path / "corpus")
    assert found["kept"] == 200


@pytest.mark.filterwarnings("ignore")
def test_an_encoder_s_own_figures_are_a_table_or_json(text, tmp_path, capsys):
    documents = text.read_text().splitlines()
    (tmp_path / "in.txt").write_text("\n\n".join("\n".join(documents[k : k + 5]) for k in range(0, 200, 5)))
    words = ["--epochs", 1, "--batch", 30, "--hidden-dim", 8, "--embedding-dim", 8, "--threads", 1, "--embeddings", "none"]
    assert textgan("train", "quickthought", "--data", tmp_path / "in.txt", "--run", tmp_path / "q", *words) == 0
    capsys.readouterr()
    (found,) = lines(capsys, textgan("evaluate", tmp_path / "q", "--json"))
    assert textgan("evaluate", tmp_path / "q") == 0
    told = capsys.readouterr().out
    assert re.search(rf"^NLL of a held-out neighbour \(nats\) +{found['neighbour_nll']:.4g}$", told, re.MULTILINE)


def test_images_as_json(tmp_path, capsys):
    words = ["--images", 20, "--size", 16, "--processes", 1]
    (found,) = lines(capsys, bridge("data", "shapes", tmp_path / "s", *words, "--json"))
    assert found["train"] + found["held_out"] == 20
    assert bridge("data", "shapes", tmp_path / "t", *words) == 0
    told = capsys.readouterr().out
    assert f"images to train on: {found['train']}; held out: {found['held_out']}" in told
    name, counts = next(iter(found["attributes"].items()))
    assert f"\n{name}: " + ", ".join(f"{word} {count}" for word, count in counts.items() if count) in told
    CGANGenerator(CGANConfig(2, 16, noise=4, code=4, width=4)).save_pretrained(tmp_path / "g")
    BagOfWords(("red", "blue")).save(tmp_path / "g" / "text")
    for out in ("one.png", "many"):
        (found,) = lines(capsys, bridge("generate", tmp_path / "g", "red", "blue", "-n", 3, "--out", tmp_path / out, "--json"))
        assert found == {"file" if out == "one.png" else "folder": str(tmp_path / out), "images": 6}
    (found,) = lines(capsys, bridge("interpolate", tmp_path / "g", "red", "blue", "--out", tmp_path / "w.png", "--json"))
    assert found == {"file": str(tmp_path / "w.png"), "images": 12}


def in_a_terminal(code, **environment):
    """What Python code writes where both outputs are a terminal."""
    ours, theirs = pty.openpty()
    environment = {**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm-256color", **environment}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 1 << 16):
            written += piece
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return written


@pytest.mark.parametrize("code", [
    "from textgan.__main__ import main; main(['generate', '--help'])",
    "from textgan.runtime import Progress; p = Progress(10, 0, True); p.update(3, 'x'); p.close()",
])  # fmt: skip
def test_no_color(code):
    colours = re.compile(rb"\x1b\[[0-9;]+m")
    assert colours.search(in_a_terminal(code))
    plain = in_a_terminal(code, NO_COLOR="1")
    assert not colours.search(plain)
    assert b"--temperature" in plain or b"3/10" in plain


def test_bash_completes_commands_methods_options_values_and_files(tmp_path, capsys):
    for program, made in (("textgan", main), ("image-bridge", image_bridge.main)):
        with pytest.raises(SystemExit) as left:
            made(["completion", "bash"])
        assert left.value.code == 0
        (tmp_path / program).write_text(capsys.readouterr().out)

    def complete(*words):
        name = words[0].replace("-", "_")
        script = (
            f'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _{name}_or_files; '
            'printf "%s\\n" "${COMPREPLY[@]}"; complete -p "$1"'
        )
        done = subprocess.run(["bash", "-c", script, tmp_path / words[0], *words], capture_output=True, text=True, check=True)
        *found, registered = done.stdout.splitlines()
        assert registered == f"complete -o default -F _{name}_or_files {words[0]}"
        return [word for word in found if word]

    assert complete("textgan", "ge") == ["generate"]
    assert complete("textgan", "train", "mask") == ["maskgan"]
    assert complete("textgan", "generate", "runs/a", "--top") == ["--top-k", "--top-p"]
    assert "--rollouts" in complete("textgan", "train", "seqgan", "--")
    assert "--rollouts" not in complete("textgan", "train", "mle", "--")
    assert complete("textgan", "evaluate", "runs/a", "--cut", "n") == ["nltk"]
    assert complete("textgan", "generate", "runs/") == []  # and so bash completes files
    assert complete("image-bridge", "train", "stack") == ["stackgan", "stackgan_v2"]
    assert complete("image-bridge", "completion", "") != []


def test_zsh_gets_a_script_and_no_other_shell(capsys):
    assert textgan("completion", "zsh") == 0
    assert capsys.readouterr().out.startswith("#compdef textgan")
    assert textgan("completion", "fish") == 2
    assert "expects one of 'bash', 'zsh'; received 'fish'" in capsys.readouterr().err
