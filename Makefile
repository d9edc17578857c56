# Everything from a bare machine with CPython 3.11-3.13 (pip and venv included) and make:
#   make run     train n-step Q on Pong for some twelve minutes on two cores, with a live view; most runs win by then
#   make test    what CI runs: lint, types, the fast tests, the faults, the learning tests

PYTHON ?= python3
ALGO ?= n-step-q
CORES := import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
THREADS ?= $(shell $(PYTHON) -c '$(CORES)')
FRAMES ?= 5M
SEED ?= 1
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install run test lint format type fast faults learn results docs dist clean

help:
	@echo "make run     train on Pong for some twelve minutes on two cores; most runs win by then;"
	@echo "             ALGO=$(ALGO) THREADS=$(THREADS) FRAMES=$(FRAMES) SEED=$(SEED)"
	@echo "make test    lint, types, the fast tests, faults, learning tests: what CI runs"
	@echo "make fast    the fast tests alone      make learn   the learning tests alone"
	@echo "make faults  the fault tests: processes killed and stopped on purpose, a few times each"
	@echo "make lint    style and imports         make type    mypy --strict"
	@echo "make results tables and figures of the documents, from results/published"
	@echo "make docs    the documentation site, in build/docs/    make dist    wheel and sdist, in dist/"
	@echo "make format  mend what lint can mend   make clean   remove .venv and caches; results stay"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "asyncrl needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "Installing into $(VENV): about a minute, once"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: $(INSTALLED)
	@$(BIN)/asyncrl run --env pong --preset fast --algo $(ALGO) --threads $(THREADS) --frames $(FRAMES) --seed $(SEED) \
	  --set evaluation.every=600k --set evaluation.episodes=5
	@if $(BIN)/python -c 'import imageio_ffmpeg' 2>/dev/null; then \
	  $(BIN)/asyncrl record last --checkpoint best --max-seconds 30; fi

test: lint type fast faults learn

lint: $(INSTALLED)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

type: $(INSTALLED)
	@$(BIN)/mypy

fast: $(INSTALLED)
	@$(PYTEST)

faults: $(INSTALLED)
	@$(PYTEST) -m faults

learn: $(INSTALLED)
	@$(PYTEST) -m learning

# The tables and figures of the documents below a comment <!-- results: … -->, from results/published.
results: $(INSTALLED)
	@$(BIN)/python docs/make_results.py

docs: $(INSTALLED)
	@$(BIN)/tox -q -e docs

# From this tree the sdist, and from the sdist the wheel. tox -e release tests both.
dist: $(INSTALLED)
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist

format: $(INSTALLED)
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

clean:
	@rm -rf $(VENV) .tox .mypy_cache .pytest_cache .ruff_cache build dist
	@find asyncrl tests -name __pycache__ -type d -prune -exec rm -rf {} +
