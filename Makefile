# Everything the project needs is installed by these targets; nothing else has to be done first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: setup demo demo-down demo-clean test lint bench

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null \
	  || { echo "make: Python 3.9 or newer is needed ($(PYTHON) is not)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "installing python3-venv"; apt-get install -qq -y python3-venv >/dev/null 2>&1; } \
	  || { echo "make: run 'apt-get install python3-venv' as root first"; exit 1; }
	@test -x $(BIN)/python || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo "installing Python packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' \
	  || { echo "make: pip could not install the packages named above"; exit 1; }
	@touch $@

# Builds the throw-away Matomo host (minutes, the first time) and runs the main job on it.
demo: setup
	@$(BIN)/python -m tests.demo

demo-down:
	@$(PYTHON) -m tests.sandbox down --name demo

demo-clean:
	@$(PYTHON) -m tests.sandbox destroy --name demo

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

test: lint
	@$(BIN)/python -m pytest

bench: setup
	@$(BIN)/python -m tests.bench.check --quick
