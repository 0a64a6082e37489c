# Everything the project needs is installed by these targets; nothing else has to be done first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: root setup demo demo-down demo-clean test e2e lint bench

root:
	@test "$$(id -u)" = 0 || { echo "make: this needs root (it builds a real host)"; exit 1; }

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null \
	  || { echo "make: Python 3.9 or newer is needed ($(PYTHON) is not)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || if test "$$(id -u)" = 0; \
	  then $(PYTHON) -m tests.sandbox install python3-venv; \
	  else echo "make: run 'apt-get install python3-venv' as root first"; exit 1; fi
	@test -x $(BIN)/python || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo "installing Python packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' \
	  >$(VENV)/pip.log 2>&1 || { why=$$(sed -n '/ERROR: /{s/^.*ERROR: //p;q}' $(VENV)/pip.log); \
	  echo "make: pip cannot install the packages: $$why (see $(VENV)/pip.log)"; exit 1; }
	@touch $@

# Builds the throw-away Matomo host (minutes, the first time) and runs the main job on it.
demo: root setup
	@$(BIN)/python -m tests.demo

demo-down:
	@$(PYTHON) -m tests.sandbox down --name demo

demo-clean:
	@$(PYTHON) -m tests.sandbox destroy --name demo

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Built before the tests: minutes in silence, and in one test's time limit, otherwise.
# Two workers, each with a host and database servers of its own: most tests wait for something.
test: root lint
	@$(BIN)/python -m tests.sandbox build
	@$(BIN)/python -m pytest -n 2 --dist loadfile

# Whole outages under traffic, with 20,000 numbered hits and more: 10 to 30 minutes.
e2e: root setup
	@$(BIN)/python -m tests.sandbox build
	@MATOPS_E2E_HITS=20000 $(BIN)/python -m pytest --timeout 3600 tests/e2e

bench: root setup
	@$(BIN)/python -m tests.bench.check --quick
