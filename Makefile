# `make demo` and `make test` work on a fresh machine with Python 3.11 to 3.13 and a C library.
PYTHON ?= python3
BIN := .venv/bin
# One thread a process (tests/conftest.py); neighbours stay in one process, for what they share.
PARALLEL ?= --numprocesses auto --maxprocesses 8 --dist worksteal

.PHONY: demo test soak lint docs clean

demo: .venv/.installed
	$(BIN)/ulmfit run recipes/toy/sentiment.py
	$(BIN)/ulmfit bundle recipes/toy/sentiment.py runs/toy-bundle
	$(BIN)/ulmfit predict runs/toy-bundle < recipes/toy/two-reviews.txt

test: .venv/.installed-dev lint
	$(BIN)/python -m pytest $(PARALLEL)

soak: .venv/.installed-dev
	$(BIN)/python -m pytest $(PARALLEL) -m "soak or not soak"

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site of docs/, without the network; a warning is an error.
docs: .venv/.installed-dev
	$(BIN)/sphinx-build -q -E -n -W --keep-going docs build/docs

.venv/.installed: pyproject.toml constraints.txt
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv runs .mypy_cache .ruff_cache .pytest_cache
