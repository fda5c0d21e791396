# Citywell. `make` alone lists the targets. Knobs: ENGINE=sail|spark, CITY_POPULATION=2000, and an .env file.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
ENV_READY := $(VENV)/.citywell-ready
JARS := infra/engine/jars
JARS_READY := $(JARS)/.citywell-ready
TEST_WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile
UV_PIN := $(shell grep -o '^uv==[^ ]*' requirements.lock)

.DEFAULT_GOAL := help
.PHONY: help setup jars demo up down status test test-all bench lint lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(ENV_READY) ## Python environment from requirements.lock
	@:

ifneq ($(and $(shell command -v java),$(shell command -v mvn),$(wildcard infra/engine/pom.xml)),)
jars: $(JARS_READY)
endif
jars: ## jars of the Spark engine, where Java and Maven exist; only tests and benchmarks need them
	@:

$(ENV_READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: no '$(PYTHON)' on the PATH. Install it, or: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed, and '$(PYTHON)' is another version: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Python environment in $(VENV) (first time: a few minutes) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "'$(PYTHON) -m venv' failed. On Debian or Ubuntu: apt install python3.11-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(UV_PIN)'
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(JARS_READY): infra/engine/pom.xml
	@echo "Jars of the Spark engine ..."
	@mvn --quiet --batch-mode -Dstyle.color=never --file infra/engine/pom.xml package
	@mkdir -p $(JARS) && touch $@

demo: setup ## start the stack, take the city's records to risk scores, print results and addresses
	@$(BIN)/citywell demo

up: setup ## start the stack
	@$(BIN)/citywell up

down: ## stop what was started, and nothing else
	@if [ -x $(BIN)/citywell ]; then $(BIN)/citywell down; else echo "Nothing to stop: the environment was never set up."; fi

status: setup ## what runs, what is healthy, where the logs are
	@$(BIN)/citywell status

test: setup jars ## the tests of every change: half an hour on two cores
	@$(PYTEST) $(ARGS)

test-all: setup jars ## all tests, the long ones too
	@$(PYTEST) -m "slow or not slow" $(ARGS)

bench: setup jars ## benchmarks; each line: name value unit target pass|short
	@$(BIN)/python -m tests.bench

lint: setup ## ruff, mypy, sqlfluff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint --disable-progress-bar dbt

lock: ## resolve pyproject.toml into requirements.lock; CONSTRAINTS=file narrows the choice
	@$(BIN)/uv pip compile --quiet --generate-hashes --all-extras --no-header --no-annotate --python-version 3.11 \
	  $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) --output-file requirements.lock pyproject.toml
