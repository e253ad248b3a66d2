# Two commands on a fresh machine with Python 3.10 to 3.13: `make demo`, `make test`.
PYTHON ?= $(or $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done),python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Torch first and alone: any build of it will do, and nothing later replaces it.
TORCH ?= torch==2.13.0
# Processes that test; each takes up to 2 GB.
JOBS ?= 2

.PHONY: demo test test-slow test-pythons test-capped robust lint format bench docs setup clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) tools/set_up.py $(VENV) $(TORCH)

demo: setup
	$(BIN)/python examples/demo.py demo-out

# A file's tests stay together; two files are tested at once.
test: setup
	$(BIN)/pytest -n $(JOBS) --dist loadfile

test-slow: setup
	$(BIN)/pytest -m slow

# The fast half of the tests, with the built wheel, on every other Python from 3.10 to 3.13 that is here. MINUTES=20: as
# many as end by then; the others are named.
test-pythons: setup
	$(BIN)/python tools/pythons.py $(if $(MINUTES),--minutes $(MINUTES))

# The numerical tests as on a processor without AVX-512 and bfloat16.
test-capped: setup
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 NUMBA_CPU_NAME=haswell $(BIN)/pytest -m numerical -n $(JOBS) --dist loadfile

# Half an hour: damaged files, kills, full disks, … ; writes docs/reliability.md. SHORT=1: four minutes, writes nothing.
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
