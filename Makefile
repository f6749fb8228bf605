# Two commands on a fresh machine do everything: `make demo` and `make test`.
VENV ?= .venv
PYTHON ?= python3
OUT ?= out/demo

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test clean

demo: $(INSTALLED)
	$(BIN)/qumade demo --out $(OUT)

test: $(INSTALLED)
	$(BIN)/ruff check src tests tools benchmarks notebooks
	$(BIN)/ruff format --check src tests tools benchmarks notebooks
	$(BIN)/mypy src
	$(BIN)/pytest

# Installed again whenever the requirements change.
$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "QuMaDe needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) out
