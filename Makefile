# The main commands are `make serve` and `make test`; `make help` lists all.

PYTHON ?= python3
VENV ?= .venv
# The models folder of the service; an empty variable counts as unset, as in the service.
MODELS := $(or $(ENCORE_MODELS),models)
SAMPLE := data/synthetic
# The data of `make train`; ARGS holds more options for `python -m training train`.
DATASET ?=
DATA ?=
ARGS ?=
# DATA alone means a table; without DATA and DATASET the sample is used. Only the sample has a default
# path: it must never be trained on under the name of real data.
TRAINED := $(or $(DATASET),$(if $(DATA),table,synthetic))
LIES_AT := $(or $(DATA),$(if $(filter synthetic,$(TRAINED)),$(SAMPLE)))
# Half as many again as there are cores, since tests also wait for disks and for other processes.
JOBS ?= $(shell echo $$((3 * $$(getconf _NPROCESSORS_ONLN) / 2)))
COVERAGE_FLOOR ?= 90
# The tool that makes the locks, in one version for all.
UV ?= build/lock/bin/uv
UV_VERSION := 0.13.9

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all:
# implicit links the OpenMP runtime of the system, which pip cannot install.
LOAD_IMPLICIT = $(BIN)/python -c 'import implicit.cpu.als' || { \
	echo "encore: implicit does not load; where libgomp.so.1 is missing: apt-get install libgomp1" >&2; exit 1; }
TRAINING_READY := $(VENV)/.training-installed
DEV_READY := $(VENV)/.dev-installed
SPARK_READY := $(VENV)/.spark-installed

# BLAS threads would compete with those of training and of workers.
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test check fast lint format train lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

serve: $(TRAINING_READY) ## Serve on http://localhost:8000; without a model, train on made-up data first
	@if [ ! -f "$(MODELS)/current" ]; then \
		echo "encore: no model in $(MODELS), training one on made-up data"; \
		$(MAKE) --no-print-directory train DATASET=synthetic DATA=$(SAMPLE) ARGS=--no-events; \
	fi
	@exec $(BIN)/python -m app

train: $(TRAINING_READY) ## Train and publish: DATASET=name DATA=path ARGS="more options"
	@if [ "$(TRAINED)" = synthetic ] && [ "$(LIES_AT)" = "$(SAMPLE)" ] && [ ! -f "$(SAMPLE)/usersha1-artmbid-artname-plays.tsv" ]; then \
		$(BIN)/python -m training generate --users 2000 --artists 3000 --out $(SAMPLE); \
	fi
	@$(BIN)/python -m training train --dataset "$(TRAINED)" $(if $(LIES_AT),--data "$(LIES_AT)") --models "$(MODELS)" $(ARGS)

test: $(SPARK_READY) ## Test everything, with coverage
	@$(BIN)/python -m tests.postgres
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --cov --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR)

check: lint fast ## Quick round for every commit: lint and the fast tests

fast: $(DEV_READY) ## The fast tests; on another Python: PYTHON=python3.13 VENV=.venv-3.13
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not slow"

lint: $(SPARK_READY) ## Format, lint, types, import rules, Dockerfile; changes nothing
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint Dockerfile

format: $(DEV_READY) ## Format the code and fix what the linter can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# Each lock is a part of the larger one, so that served versions are the tested ones. Extras stay in
# the locks: without them pip takes "coverage[toml]" for another, unpinned requirement when a newer
# version appears.
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile pyproject.toml --quiet $(if $(UPGRADE),--upgrade) \
	--universal --python-version 3.11 --fork-strategy fewest --only-binary :all: \
	--generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links

lock: $(UV) ## Pin what pyproject.toml asks for; UPGRADE=1 takes the newest of everything
	@mkdir -p requirements
	@$(LOCK) --extra training --extra postgres --group dev --output-file requirements/dev.txt
	@$(LOCK) --no-binary pyspark --extra training --extra spark --constraint requirements/dev.txt --output-file requirements/spark.txt
	@$(LOCK) --extra training --constraint requirements/dev.txt --output-file requirements/training.txt
	@$(LOCK) --extra postgres --constraint requirements/dev.txt --output-file requirements/postgres.txt
	@$(LOCK) --constraint requirements/training.txt --output-file requirements/serve.txt

clean: ## Remove the environment, caches and builds, but not data and models
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find app training tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# venv makes pip last, so an incomplete environment is made again.
$(BIN)/pip:
	@command -v "$(PYTHON)" >/dev/null || { echo "encore: $(PYTHON) is not installed; Encore needs Python 3.11 or newer" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "encore: needs Python 3.11 or newer, and $(PYTHON) is $$("$(PYTHON)" --version 2>&1); name another one, as in: make PYTHON=python3.13 serve" >&2; exit 1; }
	@echo "encore: making the environment $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv "$(VENV)"

$(TRAINING_READY): requirements/training.txt | $(BIN)/pip
	@echo "encore: installing requirements/training.txt (about 30 s)"
	@$(INSTALL) -r requirements/training.txt
	@$(LOAD_IMPLICIT)
	@touch $@

# The dev lock contains the training lock.
$(DEV_READY): requirements/dev.txt | $(BIN)/pip
	@echo "encore: installing requirements/dev.txt (about 40 s)"
	@$(INSTALL) -r requirements/dev.txt
	@$(LOAD_IMPLICIT)
	@touch $(TRAINING_READY) $@

# PySpark comes as a source archive only, the one exception to wheels.
$(SPARK_READY): requirements/spark.txt $(DEV_READY)
	@echo "encore: installing requirements/spark.txt (about 60 s)"
	@$(INSTALL) --no-binary=pyspark -r requirements/spark.txt
	@touch $@

build/lock/bin/uv:
	@"$(PYTHON)" -m venv build/lock
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
