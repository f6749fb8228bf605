# On a fresh machine `make demo` and `make test` do everything. `make check` is for every commit, `make docs` for the site.
VENV ?= .venv
PYTHON ?= python3
OUT ?= out/demo
N ?= 5000
# Tests run in a process for each core, up to four, since each takes a gigabyte of memory. A process computes with one
# thread: more of them would wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n auto --maxprocesses 4 --dist worksteal

BIN := $(VENV)/bin
DEMO := $(VENV)/.demo
INSTALLED := $(VENV)/.installed
CODE := src tests tools benchmarks notebooks

.PHONY: demo check test wheel fuzz lint docs clean

demo: $(DEMO)
	$(BIN)/qumade demo --out $(OUT)

# Fast: everything but the tests that take more than a second.
check: lint
	$(PYTEST) -m "not slow"

test: lint
	$(PYTEST)

# Builds the wheel and installs it into an empty environment, without torch: needs a package registry.
wheel: $(INSTALLED)
	QUMADE_TEST_INSTALL=1 $(BIN)/pytest tests/test_install.py

# N damaged and hostile inputs instead of the 300 of `make test`.
fuzz: $(INSTALLED)
	QUMADE_FUZZ=$(N) $(PYTEST) tests/fuzz

lint: $(INSTALLED)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy src

# Strict: a link to a page or a heading that does not exist is an error.
docs: $(INSTALLED)
	$(BIN)/python tools/docs_tables.py --check
	$(BIN)/zensical build --strict

# Installed again whenever the requirements change. pip shows what it fetches: with torch this takes minutes.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "QuMaDe needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(DEMO): pyproject.toml | $(VENV)/bin/python
	@echo 'Installing QuMaDe and PyTorch into $(VENV): up to 6 GB, some minutes on a usual connection'
	$(BIN)/python -m pip install --editable '.[train]'
	touch $(DEMO)

$(INSTALLED): pyproject.toml | $(VENV)/bin/python
	@echo 'Installing QuMaDe with all its extras and test tools into $(VENV): up to 8 GB, some minutes on a usual connection'
	$(BIN)/python -m pip install --editable '.[dev]'
	touch $(DEMO) $(INSTALLED)

clean:
	rm -rf $(VENV) out .cache
