# Two commands on a fresh machine with Python 3.10 to 3.13: `make demo`, `make test`.
PYTHON ?= $(or $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done),python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Torch is installed first: any build of it works, and no other package replaces it.
TORCH ?= torch==2.13.0
# Test processes; each uses up to 2 GB of memory.
JOBS ?= 2

.PHONY: demo test test-slow test-pythons test-capped robust lint format bench docs setup clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) tools/set_up.py $(VENV) $(TORCH)

demo: setup
	$(BIN)/python examples/demo.py demo-out

# Tests of one file run in the same process.
test: setup
	$(BIN)/pytest -n $(JOBS) --dist loadfile

test-slow: setup
	$(BIN)/pytest -m slow

# The fast half of the tests, with the built wheel, on every other installed Python from 3.10 to 3.13. MINUTES=20 is a
# time limit; skipped versions are listed.
test-pythons: setup
	$(BIN)/python tools/pythons.py $(if $(MINUTES),--minutes $(MINUTES))

# The numerical tests without AVX-512 and bfloat16 instructions.
test-capped: setup
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 NUMBA_CPU_NAME=haswell $(BIN)/pytest -m numerical -n $(JOBS) --dist loadfile

# Fuzzing, kills, full disks, …: takes half an hour and writes docs/reliability.md. SHORT=1: four minutes, no page.
robust: setup
	$(BIN)/python -m robustness $(if $(SHORT),--short)

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
