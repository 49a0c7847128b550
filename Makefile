# Builds, runs and checks Switchboard. Everything it makes lies in .venv, .tools, web/node_modules and web/dist.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# One at a time: uv and npm each own their folder.
.NOTPARALLEL:

PYTHON ?= python3.11
export PYTHON
VENV := .venv


# The stamps are newer than the lock they were made from, so a second run starts nothing.
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
NODE_MODULES := web/node_modules/.installed
DIST := web/dist/.built
ASSETS := $(if $(wildcard web/package.json),$(DIST))

CHECKED := $(wildcard core crm channels analysis workers tests)
# `make test T="tests/core -k log"` runs some; COVERAGE=1, or CI=true, also demands the coverage.
T ?=
N ?= 2
COVERED := $(filter-out 0,$(if $(filter true,$(CI)),1,$(COVERAGE)))

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(DEV) ## Install what is needed to run, build and check
.PHONY: run
run: $(RUNTIME) $(ASSETS) ## Start the demo: one process, sample data, nothing outside
	$(VENV)/bin/switchboard demo $(ARGS)
.PHONY: test
test: $(DEV) $(ASSETS) ## Run the tests on SQLite and PostgreSQL; T= picks some, COVERAGE=1 measures
	scripts/system-packages
	$(if $(T),,$(if $(ASSETS),cd web && ../scripts/node npm run --silent --if-present test))
	$(VENV)/bin/python -m pytest -n $(N) $(if $(COVERED),--cov --cov-report=term:skip-covered) $(T)
.PHONY: bench
bench: $(DEV) ## Measure speed and write docs/benchmarks.md; BENCH_SECONDS=10 is quicker
	$(VENV)/bin/python -m tests.bench
.PHONY: chaos
chaos: $(DEV) ## Break things under load and write docs/reliability.md; CHAOS_SECONDS=3 is quicker
	scripts/system-packages
	$(VENV)/bin/python -m tests.chaos
.PHONY: lint
lint: $(DEV) $(if $(wildcard web/package.json),$(NODE_MODULES)) ## Check style, types and who imports whom
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy $(CHECKED)
	$(VENV)/bin/lint-imports
	$(if $(wildcard web/package.json),cd web && ../scripts/node npm run --silent check)
.PHONY: format
format: $(DEV) ## Put the Python files into the one style
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format
.PHONY: assets
assets: $(ASSETS) ## Build the browser's files into web/dist
.PHONY: up-demo
up-demo: ## Start the demo in a container
	docker build --tag switchboard .
	docker run --rm --init --publish 127.0.0.1:8080:8080 switchboard demo
.PHONY: up-grown
up-grown: $(RUNTIME) $(ASSETS) ## Start the grown size with the demo's data: PostgreSQL, Redis, many processes, https
	scripts/system-packages postgresql redis-server nginx-light openssl
	$(VENV)/bin/python -m workers.grown $(ARGS)
.PHONY: compose
compose: $(RUNTIME) ## Make docker-compose.yml anew from workers/processes.py
	$(VENV)/bin/python -m workers.compose

.PHONY: lock
lock: ## Lock the packages named in requirements*.in; UPGRADE=1 takes newer ones
	for name in requirements requirements-dev requirements-uv requirements-node; do \
	    scripts/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header \
	        --python-version 3.11 $(if $(UPGRADE),--upgrade) $$name.in --output-file $$name.lock; \
	done
	! grep -nE '://' requirements*.lock || { echo "A lock names a registry's address."; exit 1; }
.PHONY: clean
clean: ## Remove what was built and installed; var/, the data, stays
	rm -rf $(VENV) .tools web/node_modules web/dist build .mypy_cache .ruff_cache .pytest_cache \
	    .import_linter_cache .coverage* htmlcov switchboard.egg-info
	find $(CHECKED) -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	scripts/uv venv --quiet --allow-existing --python "$(PYTHON)" $(VENV)

# What is installed beyond the lock stays: a developer's own tools are theirs.
$(RUNTIME): requirements.lock pyproject.toml | $(VENV)/bin/python
	scripts/uv pip install --quiet --python $(VENV) --require-hashes --requirement requirements.lock
	scripts/uv pip install --quiet --python $(VENV) --no-deps --editable .
	@touch $@
$(DEV): requirements-dev.lock $(RUNTIME)
	scripts/uv pip install --quiet --python $(VENV) --require-hashes --requirement requirements-dev.lock
	@touch $@

web/package-lock.json:
	@echo "web/package-lock.json is missing: make it once with 'npm install' in web/ and commit it." && exit 1
$(NODE_MODULES): web/package-lock.json
	cd web && ../scripts/node npm ci --no-audit --no-fund --loglevel=error
	@touch $@
SOURCES := $(if $(ASSETS),$(shell find web -mindepth 1 -not -name '.*' -not -path 'web/node_modules*' \
    -not -path 'web/dist*' -not -path 'web/src/generated*'))
$(DIST): $(NODE_MODULES) $(SOURCES)
	cd web && ../scripts/node npm run --silent build
	@touch $@
