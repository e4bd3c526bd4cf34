# `make help` lists the targets. Those that need the environment install it first, when it is missing
# or when pyproject.toml or constraints.txt has changed since.

PYTHON3 ?= python3
VENV ?= .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
NOTEBOOKS = $(wildcard notebooks/*.ipynb)
LOGDIR ?= outputs
DIR ?=
ARGS ?=
PYTEST_ARGS ?=
# Processes of `make test` and `make test-slow`; 0 runs the tests in one, for a debugger.
JOBS ?= 2

# Keep compiled modules: the tests start Python many times, and each start would compile them anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test test-slow test-all lint format bench docs faults bad-input status board figures constraints clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo '  Variables: ARGS="noise_rate=0.2 technique=early_stop" for run and bench; PYTEST_ARGS="-k reset"'
	@echo '  and JOBS=2 for the tests; LOGDIR=outputs for board; PYTHON3=python3.12 for install.'

install: $(INSTALLED) ## Set up .venv with the tested versions

# A virtual environment without a working pip is what an interrupted set-up leaves: make it again.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { \
		$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
			echo "labelnoise needs Python 3.11 or newer, but $(PYTHON3) is" \
				"$$($(PYTHON3) --version 2>/dev/null || echo "not found"). Write: make install PYTHON3=/path/to/python3.11" >&2; \
			exit 1; }; \
		$(PYTHON3) -m venv $(VENV); }
	@echo "Installing into $(VENV): about 6 GB and a few minutes the first time."
	@$(PYTHON) -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

run: $(INSTALLED) ## Run an experiment: make run ARGS="noise_rate=0.2 technique=early_stop"
	@$(PYTHON) run.py $(ARGS)

test: $(INSTALLED) ## Run the fast tests and the doctests
	$(PYTHON) -m pytest -m "not slow" -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

test-slow: $(INSTALLED) ## Run the slow tests alone
	$(PYTHON) -m pytest -m slow -n $(JOBS) --maxschedchunk 1 $(PYTEST_ARGS)

test-all: $(INSTALLED) ## Run every test
	$(PYTHON) -m pytest $(PYTEST_ARGS)

lint: $(INSTALLED) ## Check style, format, types and that notebooks hold no outputs
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(if $(NOTEBOOKS),$(VENV)/bin/nbstripout --verify $(NOTEBOOKS))

format: $(INSTALLED) ## Fix what can be fixed: imports, format, outputs in notebooks
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
	$(if $(NOTEBOOKS),$(VENV)/bin/nbstripout $(NOTEBOOKS))

bench: $(INSTALLED) ## Measure speed and memory
	$(PYTHON) -m benchmarks $(ARGS)

faults: $(INSTALLED) ## Inject 200 faults into runs, sweeps, searches, audits and phase diagrams
	$(PYTHON) -m tests.faults $(ARGS)

bad-input: $(INSTALLED) ## Print the error line of every wrong input in the table (or ARGS=WORD: rows with a word)
	$(PYTHON) -m tests.bad_input $(ARGS)

status: $(INSTALLED) ## Show the state of the newest sweep in outputs/ (or DIR=outputs/NAME)
	@$(PYTHON) -m labelnoise.report sweep $(DIR)

# On localhost, so that other machines cannot read it.
board: $(INSTALLED) ## Open TensorBoard on outputs/ (or LOGDIR=...)
	$(PYTHON) -m tensorboard.main --host localhost --logdir $(LOGDIR)

docs: $(INSTALLED) ## Write the documentation site to build/site
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --quiet
	@echo "Open build/site/index.html in a browser."

figures: $(INSTALLED) ## Draw figures and tables of README and docs again: ARGS="two_stages --cifar10 data"
	$(PYTHON) docs/make_figures.py $(ARGS)

constraints: $(INSTALLED) ## Pin the newest versions that pyproject.toml allows in constraints.txt
	$(PYTHON) -m pip install --quiet --dry-run --ignore-installed --report $(VENV)/resolved.json --editable ".[dev]"
	@{ grep '^#' constraints.txt; $(PYTHON) -c 'import json; \
		found = [p["metadata"] for p in json.load(open("$(VENV)/resolved.json"))["install"]]; \
		pins = [p["name"] + "==" + p["version"].split("+")[0] for p in found if p["name"] != "labelnoise"]; \
		print(*sorted(pins, key=str.lower), sep="\n")'; } > $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt

clean: ## Remove caches and build files; keeps .venv, data and outputs
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache build dist *.egg-info
	find . -name .venv -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
