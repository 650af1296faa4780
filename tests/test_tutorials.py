"""The tutorials run as they stand, and the pages build without a warning."""

import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import image_bridge.__main__ as image_bridge
import textgan.__main__ as textgan

ROOT = Path(__file__).parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PROGRAMS = {"textgan": "-m textgan", "image-bridge": "-m image_bridge", "torchrun": "-m torch.distributed.run", "python": ""}
OURS = {"textgan": textgan.main, "image-bridge": image_bridge.main}


def blocks(page):
    """The pieces of a tutorial's script in order: language and text."""
    return re.findall(r"^```(bash|python)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Runs a block as a shell would, with our programs on its path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in PROGRAMS.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    path = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def run(text):
        done = subprocess.run(["bash", "-euc", text], env={**os.environ, **path}, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"

    return run


def plain(text):
    """The commands of a block that are ours alone, or None: those need no shell and, here, no process of their own."""
    lines = [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]
    return None if re.search(r"[|&<>$=;]", text) or any(line[0] not in OURS for line in lines) else lines


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs(page, shell):
    found = blocks(page)
    assert len(found) >= 3
    names = {}
    for language, text in found:
        if language == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # other libraries' own
                exec(text, names)
        elif commands := plain(text):
            for program, *words in commands:
                with pytest.raises(SystemExit) as left:
                    OURS[program](words)
                assert not left.value.code, (program, words)
        else:
            shell(text)


def test_all_tutorials_are_run_and_named_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert len(TUTORIALS) == 5
    for page in TUTORIALS:
        assert f"docs/tutorials/{page.name}" in readme
        assert len(re.findall("^```", page.read_text(), re.MULTILINE)) == 2 * len(blocks(page))  # no block that is not run


def test_the_pages_build_and_load_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for page in tmp_path.rglob("*.html"):
        assert not re.search(
            r'<(?:script|img|iframe)[^>]*src="https?:|<link[^>]*stylesheet[^>]*href="https?:', page.read_text()
        ), page
    assert "textgan.runtime.Run.create" in (tmp_path / "reference" / "runtime.html").read_text()
    assert "image_bridge.pipeline.TextToImage" in (tmp_path / "reference" / "image_bridge.html").read_text()
