# Every target sets the checkout up first; that costs nothing when it is done already.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PY := .venv/bin/python
WORKERS ?= auto
# Claude Code transcripts (a folder) that the demo may read besides this checkout
TRANSCRIPTS ?=
# a folder with evaluation data; benchmarks and tests that need it say when it is missing
BENCH_EVAL ?= $(or $(BETHINK_EVAL),$(wildcard ../shared/eval))
BENCH ?= $(sort $(shell grep -rls --include=*.py __main__ bench))
export TRANSCRIPTS BENCH_EVAL
ifneq ($(strip $(BENCH_EVAL)),)
export BETHINK_EVAL := $(abspath $(BENCH_EVAL))
endif

.PHONY: help setup check style types layers hygiene pages test test-all test-fast demo bench docs lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: ## make .venv from requirements.lock (again only when something changed)
	@scripts/setup.sh

check: style types layers hygiene pages ## the next five; `make -k check` goes on after a failure

style: setup ## ruff: lint and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: setup ## mypy, strict, on src
	$(PY) -m mypy

layers: setup ## import-linter: imports point down
	$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-cache --no-logo

hygiene: setup ## file sizes; hosts, paths, secrets, unfinished marks
	$(PY) scripts/check_size.py
	$(PY) scripts/check_repo.py

pages: setup ## links lead somewhere, generated pages are up to date
	$(PY) scripts/check_docs.py
	$(PY) scripts/docs_cli.py --check
	$(PY) scripts/docs_parts.py --check

test: check ## the checks, then every test that is not marked slow
	@echo "Left out here: tests marked slow (minutes each: load, endurance, fresh installs). 'make test-all' runs them too."
	$(PY) -m pytest -n $(WORKERS) --maxprocesses=4 --dist=loadgroup -rs -m "not slow"

test-all: check ## the checks, then every test; takes an hour or more
	$(PY) -m pytest -n $(WORKERS) --maxprocesses=4 --dist=loadgroup -rs

test-fast: setup ## the tests without the checks
	$(PY) -m pytest -n $(WORKERS) --maxprocesses=4 --dist=loadgroup -rs -m "not slow"

demo: setup ## two assistants, two processes, one memory; TRANSCRIPTS=FOLDER adds real sessions
	@$(PY) scripts/demo.py

bench: setup ## measure quality and speed; BENCH_EVAL=FOLDER holds the evaluation data, BENCH= picks scripts
	@mkdir -p bench/results
	@for script in $(BENCH); do \
	    echo "== $$script"; options=(); \
	    if grep -q -- --markdown "$$script"; then options=(--markdown "bench/results/$$(basename "$$script" .py).md"); fi; \
	    $(PY) "$$script" "$${options[@]}"; \
	done
	$(PY) scripts/docs_parts.py

docs: setup ## write the generated pages again
	$(PY) scripts/docs_cli.py
	$(PY) scripts/docs_parts.py

lock: ## choose versions again; UPGRADE=1 takes the newest
	@scripts/lock.sh

clean: ## remove what was made here, .venv too
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +
