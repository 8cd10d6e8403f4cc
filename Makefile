# Everyday commands. Each of them makes the virtual environment first, if it isn't there.
SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
  if $$name -c "$(SUITS)" 2>/dev/null; then echo $$name; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
# Tests share the machine's cores; with several workers, each gets one thread.
WORKERS ?= 2
PYTEST_ARGS ?=

.PHONY: demo test lint format types tests quick clean

demo: $(VENV)/.installed-demo
	@mkdir -p demo
	$(BIN)/himmel nano get
	$(BIN)/himmel nano sample demo/bunny.mp4 --clip bigbuckbunny
	$(BIN)/himmel ask demo/bunny.mp4 "Which way does the moving thing move?" \
	  --choice left --choice right --choice up --choice down --picture demo/streams.png
	$(BIN)/himmel ask demo/bunny.mp4 "How does the camera move?" --max-new-tokens 24
	@echo "The three streams are drawn in demo/streams.png"

test: lint types tests

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

tests: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) $(PYTEST_ARGS)

quick: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) -m "not slow" $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@"$(PYTHON)" -c "$(SUITS)" 2>/dev/null || \
	  { echo "himmel needs Python 3.11 to 3.13; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# A stamp is younger than the files that say what is installed, or pip runs again.
$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e ".[train,dev]"
	@touch $@
