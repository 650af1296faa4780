"""What the README shows is true."""

import re
import shlex
import shutil
import warnings
from pathlib import Path

import pytest
from PIL import Image

import image_bridge.__main__ as image_bridge
from image_bridge import cli as image_cli
from image_bridge.algorithms import ALGORITHMS as IMAGE_ALGORITHMS
from image_bridge.captions import BagOfWords
from image_bridge.cli import training as image_training
from image_bridge.generators import CGANConfig, CGANGenerator, DomainTranslator, TranslatorConfig
from textgan import cli
from textgan.__main__ import COMMANDS, HELP
from textgan.cli import training
from textgan.cli.completion import CompletionOptions
from textgan.cli.parse import parse

from .borrowed import gpt2
from .test_encoders import run_of
from .test_encoders import textgan as command

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_runs(corpus, text, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_of("mle", corpus, tmp_path / "runs/demo")
    shutil.copytree(corpus.path, tmp_path / "runs/demo/data", dirs_exist_ok=True)
    run_of("quickthought", corpus, tmp_path / "runs/skip")
    tuned = ["--data", text, "--run", "runs/tuned", "--generator", gpt2(tmp_path / "gpt2"), "--epochs", "1", "--lora", "2"]
    assert command("train", "mle", *tuned) == 0
    for line in commands():
        if line.startswith("textgan export") and "words" not in line:
            assert command(*shlex.split(line)[1:]) == 0
    words, faces = ("face", "hair"), tmp_path / "runs/faces"
    CGANGenerator(CGANConfig(len(words), 16, noise=4, code=4, width=4)).save_pretrained(faces)
    BagOfWords(words).save(faces / "text")
    styles = TranslatorConfig(("adventurer", "lorelei"), size=16, width=2, blocks=2)
    DomainTranslator(styles).save_pretrained(tmp_path / "runs/styles")
    Image.new("RGB", (20, 20)).save("face.png")
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of words that this encoder does not know, and other libraries' own
        for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
            exec(code, found)
    assert [image.size for image in found["images"]] == [(16, 16)] * 4
    assert found["translated"].size == (16, 16)
    assert type(found["model"]).__name__ == "GPT2LMHeadModel"
    assert next(iter(found["rows"]))["ids"]
    told = capsys.readouterr().out
    assert told.count("tensor(") >= 2
    assert told.count("'generated_text': 'The city") == 3
    assert 1 < len(found["ids"]) <= 24


def commands():
    lines = [line.strip() for line in README.splitlines() if re.match("    (textgan|image-bridge) ", line)]
    help_lines = re.findall(r"^  ((?:textgan|image-bridge) .*?)(?:   .*)?$", HELP + image_bridge.HELP, re.MULTILINE)
    return [line for line in lines + help_lines if not re.search(r"[A-Z]{3}|\[", line)]


def understood_as_images(words, monkeypatch):
    assert words[0] in image_bridge.COMMANDS
    if words[0] == "train":
        monkeypatch.setattr(image_training, "_start", lambda name, algorithm, chosen, path: 0)
        assert image_cli.run(words[0], words[1:]) == 0
        return
    kind = {**image_cli.options(), "completion": CompletionOptions}[words[0]]
    assert parse(kind, words[1:], "image-bridge", "")


@pytest.mark.parametrize("line", commands())
def test_the_commands_are_understood(line, monkeypatch):
    """Each is parsed whole; what it would then do is left out."""
    program, *words = shlex.split(line)
    if program == "image-bridge":
        understood_as_images(words, monkeypatch)
        return
    assert words[0] in COMMANDS
    if words[0] == "train":
        monkeypatch.setattr(training, "_start", lambda name, algorithm, chosen: 0)
        assert cli.run(words[0], words[1:]) == 0
    else:
        kind = {**cli.OPTIONS, "completion": CompletionOptions}[words[0]]
        assert parse(kind, words[1:], "textgan", "")


def test_its_links_and_methods_exist():
    from textgan.algorithms import ALGORITHMS

    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).is_file(), target
    assert set(re.findall(r"`textgan train (\w+)`", README)) == set(ALGORITHMS)
    assert set(re.findall(r"`image-bridge train (\w+)`", README)) == set(IMAGE_ALGORITHMS)
