# PYTHON: the interpreter that makes the virtual environment. CONSTRAINTS: versions it is pinned to.
PYTHON ?= python3.11
CONSTRAINTS ?= constraints-cpu.txt
PYTEST_ARGS ?= -n 2
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test check format clean

help: ## Show the targets.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: $(INSTALLED) ## Make .venv with everything in it; again only when pyproject.toml changes.

# The stamp is written last: an interrupted install is taken up again by the next call.
$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint $(CONSTRAINTS) --editable '.[train,dev]'
	touch $@

demo: $(INSTALLED) ## Draw a gallery with the small model into out/demo.
	$(BIN)/dreamomni demo --out out/demo

test: $(INSTALLED) ## Run the tests that need no GPU and no patience.
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m "not gpu and not slow" -q $(PYTEST_ARGS)

check: $(INSTALLED) ## Check format, lint, types and who imports whom.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Format the code and mend what lint can mend.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove caches and builds; .venv, runs/ and out/ stay.
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
