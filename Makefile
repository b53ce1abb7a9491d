# `make run` and `make test` set everything up themselves; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS := --disable-pip-version-check --no-input
# The site, its worker and the tests share the machine: no process takes all cores for itself.
export OMP_NUM_THREADS ?= 2

.DEFAULT_GOAL := help
.PHONY: help run demo test test-all lint format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Set up, prepare the demo if there is no data set, serve on http://127.0.0.1:8000
	@$(BIN)/python manage.py init
	@$(BIN)/python manage.py demo --if-empty
	@exec $(BIN)/python manage.py serve

test: $(VENV)/.dev ## Set up and run the tests
	$(BIN)/python -m pytest

test-all: $(VENV)/.dev ## The slow tests too
	$(BIN)/python -m pytest -m "slow or not slow"

lint: $(VENV)/.dev ## Style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment and caches; your data in instance/ stays
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "The venv module is missing. On Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: requirements.txt $(VENV)/.venv
	@echo "Installing the libraries into $(VENV): minutes the first time, some 5 GB with torch and CUDA."
	$(BIN)/pip install $(PIP_FLAGS) -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements-crowdkit.txt requirements-pictures.txt $(VENV)/.run
	$(BIN)/pip install $(PIP_FLAGS) --quiet -r requirements-dev.txt
	@touch $@
