# One command each: `make run` opens the workbench, `make test` runs all that CI runs.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
ARGS ?=

BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test
NEEDS := pyproject.toml constraints.txt

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run demo test lint format fetch docs screenshots clean

help: ## Show this list
	@echo 'CNA Workbench'
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'Options: PYTHON=python3.12, VENV=.venv, WORKERS=2, ARGS="--model …" for run'

run: fetch ## Install what is missing, fetch the default model, open the workbench
	@$(BIN)/workbench $(ARGS)

demo: fetch ## The same main job without a terminal, printed as tables
	@$(BIN)/workbench demo $(ARGS)

test: lint fetch ## All that CI runs: lint, types, import contracts, tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: $(TEST_STAMP) ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(TEST_STAMP) ## Sort imports and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fetch: $(RUN_STAMP) ## Fetch the default model (nothing to do when it is there)
	@$(BIN)/workbench models fetch

docs: $(TEST_STAMP) ## Write the generated pages again: steps, commands, keys, the paper and ioi on SmolLM2
	@for page in steps cli keys paper ioi; do $(BIN)/python docs/$$page.py; done

screenshots: $(TEST_STAMP) fetch ## Draw the pictures of the README again
	$(BIN)/python docs/screenshots.py

clean: ## Remove caches and build results (delete .venv by hand to install afresh)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find analysis sessions screens workbench tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is touched only after pip has finished, so an interrupted installation starts over,
# and a second `make run` installs nothing.
$(RUN_STAMP): $(NEEDS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'The workbench needs Python 3.11 or newer; $(PYTHON) is missing or older. Try: make PYTHON=python3.11 run' >&2; \
	  exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(TEST_STAMP): $(RUN_STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	@touch $@
