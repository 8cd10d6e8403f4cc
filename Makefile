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
NATIVE_PYTEST_ARGS ?=
# The C++ tests run under AddressSanitizer and UndefinedBehaviorSanitizer; OFF where the compiler comes without them.
SANITIZE ?= ON

# What native/ is built with and from. CXX counts where the user gave it; make's own default does not.
COMPILER := $(shell for name in $(if $(filter default,$(origin CXX)),c++ g++ clang++,"$(CXX)"); do \
  if echo 'int main() {}' | $$name -std=c++20 -x c++ -c -o /dev/null - 2>/dev/null; then echo "$$name"; break; fi; done)
HEADERS := import os, sysconfig; print(os.path.join(sysconfig.get_path('include'), 'Python.h'))
LACKING := $(if $(COMPILER),$(if $(wildcard $(shell "$(PYTHON)" -c "$(HEADERS)" 2>/dev/null)),,the headers of Python),\
  a compiler for C++20)
SUITABLE_CMAKE := $(shell cmake --version 2>/dev/null | \
  awk 'NR == 1 { split($$3, v, "."); if (100 * v[1] + v[2] >= 320) print "cmake" }')
CMAKE := $(or $(SUITABLE_CMAKE),$(abspath $(BIN)/cmake))
CTEST := $(CMAKE:%cmake=%ctest)
NATIVE_BUILD := native/build
# What the compiled engine depends on; only files of C++ and CMake, as Python's are read where they are.
NATIVE := native/CMakeLists.txt $(shell find native/src -name '*.[ch]pp')
# himmel is built with the environment's own tools and in a folder that stays, so that a change compiles what it changes.
INSTALL := CXX="$(COMPILER)" $(PIP) --no-build-isolation --config-settings=build-dir="$(NATIVE_BUILD)/{wheel_tag}"
BUILD_TOOLS := nanobind scikit-build-core ninja $(if $(SUITABLE_CMAKE),,cmake)

.PHONY: demo test lint format types tests native native-tests quick clean
# pip must not change an environment twice at once.
.NOTPARALLEL:

demo: $(VENV)/.installed-demo
	@$(if $(LACKING),echo "himmel is installed without its bitstream engine: this machine lacks $(strip $(LACKING))." >&2)
	@mkdir -p demo
	$(BIN)/himmel nano get
	$(BIN)/himmel nano sample demo/bunny.mp4 --clip bigbuckbunny
	$(BIN)/himmel ask demo/bunny.mp4 "Which way does the moving thing move?" \
	  --choice left --choice right --choice up --choice down --picture demo/streams.png
	$(BIN)/himmel ask demo/bunny.mp4 "How does the camera move?" --max-new-tokens 24
	@echo "The three streams are drawn in demo/streams.png"

test: lint types tests native-tests

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

tests: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) $(PYTEST_ARGS)

native: $(VENV)/.installed-dev

native-tests: $(VENV)/.installed-dev
	CXX="$(COMPILER)" $(CMAKE) -S native -B $(NATIVE_BUILD)/tests --log-level=WARNING \
	  -DHIMMEL_PYTHON=OFF -DHIMMEL_TESTS=ON -DHIMMEL_SANITIZE=$(SANITIZE)
	$(CMAKE) --build $(NATIVE_BUILD)/tests --parallel $(WORKERS)
	cd $(NATIVE_BUILD)/tests && $(CTEST) --output-on-failure
	OMP_NUM_THREADS=1 $(BIN)/pytest native/tests -n $(WORKERS) $(NATIVE_PYTEST_ARGS)

quick: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) -m "not slow" $(PYTEST_ARGS)
	OMP_NUM_THREADS=1 $(BIN)/pytest native/tests -n $(WORKERS) -m "not slow" $(NATIVE_PYTEST_ARGS)

clean:
	rm -rf $(VENV) demo build dist $(NATIVE_BUILD) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@"$(PYTHON)" -c "$(SUITS)" 2>/dev/null || \
	  { echo "himmel needs Python 3.11 to 3.13; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# A stamp is younger than the files that say what is installed, or pip runs again.
$(VENV)/.installed-demo: pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	$(PIP) $(BUILD_TOOLS)
	$(INSTALL) -e ".[models]"
	@touch $@

# What is tested has the engine: without one, the build fails here instead of going on.
$(VENV)/.installed-dev: pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	$(if $(LACKING),$(error The bitstream engine cannot be built: this machine lacks $(strip $(LACKING))))
	$(PIP) $(BUILD_TOOLS)
	$(INSTALL) --config-settings=wheel.cmake=true -e ".[train,dev]"
	@touch $@
