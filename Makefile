# `make demo` trains on real text and writes a report; `make test` runs the tests; `make docs` builds the pages in site/. Each installs what it needs into .venv.
PYTHON ?= $(firstword $(foreach p,python3.12 python3.11 python3,$(if $(shell $(p) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null | grep True),$(p))))
RUN ?= runs/demo
BIN := .venv/bin

.PHONY: demo test lint docs clean
demo: .venv/installed
	$(BIN)/python scripts/demo.py --run $(RUN)

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2

lint: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The variable silences what the theme says of mkdocs 2, which is not for the reader of these pages.
docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# torch comes first and pinned, so that no other package asks for a build of its own.
.venv/installed: pyproject.toml constraints.txt
	test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; found none (set PYTHON=/path/to/python)"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist site .pytest_cache .mypy_cache .ruff_cache
