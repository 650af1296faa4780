"""What the README shows is true."""

import re
import shlex
from pathlib import Path

import pytest

from textgan import cli
from textgan.__main__ import COMMANDS, HELP
from textgan.cli import encoding, evaluation, models, training, use
from textgan.cli.parse import parse

from .conformance import train

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_runs(corpus, tmp_path, capsys):
    run = tmp_path / "demo"
    train("mle", corpus, run)
    last = sorted((run / "checkpoints").iterdir())[-1]
    corpus.tokenizer.save(last / "generator")
    for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(code.replace("runs/demo", str(run)), {})
    assert "tensor(" in capsys.readouterr().out


def commands():
    lines = [line.strip() for line in README.splitlines() if line.startswith("    textgan ")]
    help_lines = re.findall(r"^  (textgan .*?)(?:   .*)?$", HELP, re.MULTILINE)
    return [line for line in lines + help_lines if not re.search(r"[A-Z]{3}|\[", line)]


@pytest.mark.parametrize("line", commands())
def test_the_commands_are_understood(line, monkeypatch):
    """Each is parsed whole; what it would then do is left out."""
    words = shlex.split(line)[1:]
    assert words[0] in COMMANDS
    if words[0] == "train":
        monkeypatch.setattr(training, "_start", lambda name, algorithm, chosen: 0)
        assert cli.run(words[0], words[1:]) == 0
    else:
        kind = {
            "nearest": encoding.NearestOptions,
            "encode": encoding.EncodeOptions,
            "generate": use.GenerateOptions,
            "evaluate": evaluation.EvaluateOptions,
            "report": use.ReportOptions,
            "next": encoding.NextOptions,
            "expand": models.ExpandOptions,
            "combine": models.CombineOptions,
            "export": models.ExportOptions,
        }[words[0]]
        assert parse(kind, words[1:], "textgan", "")


def test_its_links_and_methods_exist():
    from textgan.algorithms import ALGORITHMS

    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).is_file(), target
    assert set(re.findall(r"`textgan train (\w+)`", README)) == set(ALGORITHMS)
