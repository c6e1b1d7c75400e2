# `make` alone lists the targets. Needs Python 3.11+ and a package index; nothing else.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-slow test-faults test-athena test-conformance test-browser lint bench bench-identity sbom clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(READY) ## make the virtual environment from the lock file

# uv lives in the project's own environment, so nothing on the machine changes. Compiling once saves
# seconds in every process where Python may not write its own caches.
$(READY): pyproject.toml uv.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"
	$(BIN)/uv sync --locked --inexact --compile-bytecode --quiet --python $(BIN)/python
	touch $@

demo: $(READY) ## land a sample company and run the whole platform on it, on this machine
	$(BIN)/cdp demo

dev: $(READY) ## open the Dagster UI on http://127.0.0.1:3000, with sensors and schedules on
	$(BIN)/cdp dev

# The order in tests/conftest.py holds, the longest files first, and not that of xdist.
WORKERS := --numprocesses 2 --dist loadgroup --no-loadscope-reorder --durations=15

test: $(READY) ## run the tests, but for the slow ones and those in a browser (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest -q -m "not browser and not faults and not slow" $(WORKERS)

test-slow: $(READY) ## run the slow tests: whole runs again and again, any order, a hundred thousand objects
	$(BIN)/python -m pytest -q -m "slow and not browser and not faults" $(WORKERS)

test-faults: $(READY) ## the fault matrix: kill, break and shuffle, and count what it came to (half an hour)
	$(BIN)/python -m tests.faults

test-athena: $(READY) ## run the sample company on both engines, Athena on a local server, and compare every table
	$(BIN)/python -m tests.athena_local.parity

test-conformance: $(READY) ## run dbt-athena's own functional tests on the local Athena server (needs the package index)
	$(BIN)/python -m tests.athena_local.conformance

test-browser: $(READY) ## drive the real UI in headless Chromium; pictures go to artifacts/
	$(BIN)/python -m pytest -q -m browser tests/browser

lint: $(READY) ## ruff, basedpyright and sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/sqlfluff lint --disable-progress-bar --processes 2 dbt_project/models

bench: $(READY) ## the whole pipeline against a hand-written DuckDB script, at scale 1 and 10
	$(BIN)/python -m benchmarks.pipeline

bench-identity: $(READY) ## identity on labelled data, with its targets; MORE=folder adds sets of yours
	$(BIN)/python -m benchmarks.identity_suite $(if $(MORE),--more $(MORE))

sbom: $(READY) ## list what the product is made of, as CycloneDX, in artifacts/
	mkdir -p artifacts
	$(BIN)/uv export --quiet --locked --no-dev --format cyclonedx1.5 --output-file artifacts/sbom.json

clean: ## remove the environment, the local lake and every build product
	rm -rf $(VENV) .cdp .pytest_cache .ruff_cache .hypothesis artifacts dbt_project/target dbt_project/logs
