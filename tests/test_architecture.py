"""The rules of the design, as tests."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import image_bridge.algorithms
import textgan.algorithms

ROOT = Path(__file__).parent.parent
BOTH = pytest.mark.parametrize("package", [textgan, image_bridge], ids=lambda package: package.__name__)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@BOTH
def test_no_algorithm_imports_another(package):
    for path in (ROOT / package.__name__ / "algorithms").glob("[!_]*.py"):
        names = list(imports(path))
        assert "torch" in names
        assert not [n for n in names if re.match(r"\.\w|\.$|\w+\.algorithms", n) and not n.startswith("..")]


def test_runtime_imports_nothing_of_the_project_but_the_error():
    for path in (ROOT / "textgan/runtime").glob("*.py"):
        outside = {n for n in imports(path) if n.startswith(("..", "textgan", "image_bridge"))}
        assert outside <= {"..errors"}


def test_textgan_never_imports_image_bridge():
    for path in (ROOT / "textgan").rglob("*.py"):
        assert "image_bridge" not in "".join(imports(path))


def test_several_processes_share_the_statistics_of_every_batch_normalisation_that_is_trained():
    for folder in ("algorithms", "generators"):
        for path in [*(ROOT / "image_bridge" / folder).glob("*.py"), ROOT / "image_bridge/discriminators.py"]:
            assert not re.search(r"nn\.(Sync)?BatchNorm", path.read_text()), f"{path} must take BatchNorm2d of blocks"


def test_import_is_light():
    def loaded(modules, heavy):
        code = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    assert loaded("textgan, textgan.__main__", ["torch", "transformers", "gensim", "datasets"]) == "[]"
    assert loaded("textgan.cli, textgan.algorithms.seqgan", ["transformers", "gensim", "datasets"]) == "[]"
    assert loaded("image_bridge, image_bridge.__main__", ["torch", "numpy", "PIL", "transformers", "gensim"]) == "[]"
    assert loaded("image_bridge.cli, image_bridge.algorithms.cgan", ["transformers", "gensim", "datasets"]) == "[]"


@BOTH
def test_every_algorithm_is_in_the_dictionaries_and_in_papers(package):
    papers, names = (ROOT / "PAPERS.md").read_text(), package.algorithms.ALGORITHMS
    assert set(names) == set(package.algorithms.SUMMARIES)
    for name in names:
        assert f"## `{name}`" in papers
    files = {path.stem for path in (ROOT / package.__name__ / "algorithms").glob("[!_]*.py")}
    assert files == {place.partition(":")[0].rpartition(".")[2] for place in names.values()}
