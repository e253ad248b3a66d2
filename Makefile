# Two commands on a fresh machine with Python 3.10 or newer: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Torch first and alone: any build of it will do, and nothing later replaces it.
TORCH ?= torch==2.13.0

.PHONY: demo test test-slow lint format bench docs setup clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/python examples/demo.py demo-out

test: setup
	$(BIN)/pytest

test-slow: setup
	$(BIN)/pytest -m slow

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/noizenet bench

clean:
	rm -rf $(VENV) demo-out docs/_build docs/_figures build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache

docs: setup
	$(BIN)/noizenet figures docs/_figures
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build
