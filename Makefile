# `make demo` and `make test` need Python 3.11+ and the package registries; everything else they build here.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := .uv/bin/uv
STAMP  := $(VENV)/.ready

.PHONY: setup demo test explore check format lock clean
setup: $(STAMP)

$(UV):
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed, this is " + sys.version'
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.8

$(STAMP): requirements/locked.txt pyproject.toml client/pyproject.toml | $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/locked.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . --editable ./client
	touch $(STAMP)

demo: setup
	$(BIN)/oms demo

test: setup
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not speed"
	$(BIN)/python -m pytest -m speed

# The property tests and fuzzers of the suite with new examples in every run; `make test` always takes the same ones.
explore: setup
	OMS_TESTS_HYPOTHESIS=explore $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/tables.py --check

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python docs/tables.py

# A uv.lock would name a registry host, so the lock is a compiled requirements file with hashes.
lock: | $(UV)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" --all-extras pyproject.toml -o requirements/locked.txt

clean:
	rm -rf $(VENV) .uv .mypy_cache .ruff_cache .pytest_cache
