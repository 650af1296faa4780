"""The rules of the design, as tests."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from textgan.algorithms import ALGORITHMS, SUMMARIES

ROOT = Path(__file__).parent.parent


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_no_algorithm_imports_another():
    for path in (ROOT / "textgan/algorithms").glob("[!_]*.py"):
        names = list(imports(path))
        assert "torch" in names
        assert not [n for n in names if re.match(r"\.\w|\.$|textgan\.algorithms", n) and not n.startswith("..")]


def test_runtime_imports_nothing_of_the_project_but_the_error():
    for path in (ROOT / "textgan/runtime").glob("*.py"):
        outside = {n for n in imports(path) if n.startswith(("..", "textgan", "image_bridge"))}
        assert outside <= {"..errors"}


def test_textgan_never_imports_image_bridge():
    for path in (ROOT / "textgan").rglob("*.py"):
        assert "image_bridge" not in "".join(imports(path))


def test_import_is_light():
    def loaded(modules, heavy):
        code = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    assert loaded("textgan, textgan.__main__", ["torch", "transformers", "gensim", "datasets"]) == "[]"
    assert loaded("textgan.cli, textgan.algorithms.seqgan", ["transformers", "gensim", "datasets"]) == "[]"


def test_every_algorithm_is_in_papers():
    papers = (ROOT / "PAPERS.md").read_text()
    assert set(ALGORITHMS) == set(SUMMARIES)
    for name in ALGORITHMS:
        assert f"`{name}`" in papers
