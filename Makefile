# Everyday commands. Each of them makes the virtual environment first, if it isn't there.
SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
  if $$name -c "$(SUITS)" 2>/dev/null; then echo $$name; break; fi; done)
# Another Python for the newest versions of everything: one that python3.13 or python3.12 starts, or that pyenv has.
OTHER_PYTHON ?= $(shell for name in python3.13 python3.12 "$$HOME"/.pyenv/versions/3.13.*/bin/python \
  "$$HOME"/.pyenv/versions/3.12.*/bin/python; do \
  if "$$name" -c "$(SUITS)" 2>/dev/null; then echo "$$name"; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
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
BUILD_TOOLS := nanobind scikit-build-core ninja $(if $(SUITABLE_CMAKE),,cmake)
comma := ,
# $(call install,ENVIRONMENT,pip's options,what): himmel is built with the environment's own tools and in a folder that
# stays, so that a change compiles what it changes.
pip = $(1)/bin/python -m pip --disable-pip-version-check install --quiet
install = $(call pip,$(1)) $(2) $(BUILD_TOOLS) && CXX="$(COMPILER)" $(call pip,$(1)) $(2) --no-build-isolation \
  --config-settings=build-dir="$(NATIVE_BUILD)/$(1)/{wheel_tag}" $(3)
# What is tested has the engine: without one, the build fails here instead of going on.
with-engine = $(if $(LACKING),$(error The bitstream engine cannot be built: this machine lacks \
  $(strip $(LACKING))))$(call install,$(1),$(2) --config-settings=wheel.cmake=true,$(3))

.PHONY: demo docs test lint format types tests native native-tests quick quick-lowest quick-newest clean
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

# The site, in build/site; a link that leads nowhere is an error.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The site is in build/site; $(BIN)/mkdocs serve shows it at http://localhost:8000 and follows what you change"

test: lint types tests native-tests quick-lowest quick-newest

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

# The lowest versions that pyproject.toml allows.
quick-lowest: .venv-lowest/.installed
	OMP_NUM_THREADS=1 .venv-lowest/bin/pytest -n $(WORKERS) -m "not slow" $(PYTEST_ARGS)
	OMP_NUM_THREADS=1 .venv-lowest/bin/pytest tests/test_site.py

# The newest versions that there are, on another Python, in a plain install: without torch, which brings gigabytes there.
quick-newest: $(if $(OTHER_PYTHON),.venv-newest/.installed)
	$(if $(OTHER_PYTHON),OMP_NUM_THREADS=1 .venv-newest/bin/pytest -n $(WORKERS) -m "not slow" \
	  tests/test_plain_install.py tests/video $(PYTEST_ARGS),@echo "No Python 3.12 or 3.13 is here to test with.")

clean:
	rm -rf $(VENV) .venv-lowest .venv-newest demo build dist $(NATIVE_BUILD) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python .venv-lowest/bin/python:
	@"$(PYTHON)" -c "$(SUITS)" 2>/dev/null || \
	  { echo "himmel needs Python 3.11 to 3.13; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv $(@D)/..

.venv-newest/bin/python:
	"$(OTHER_PYTHON)" -m venv .venv-newest

# A stamp is younger than the files that say what is installed, or pip runs again.
$(VENV)/.installed-demo: pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	$(call install,$(VENV),-c constraints.txt,-e ".[models]")
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	$(call with-engine,$(VENV),-c constraints.txt,-e ".[api$(comma)dev$(comma)docs$(comma)ray$(comma)serve]")
	@touch $@

.venv-lowest/.installed: pyproject.toml constraints-lowest.txt $(NATIVE) | .venv-lowest/bin/python
	$(call with-engine,.venv-lowest,-c constraints-lowest.txt,-e ".[api$(comma)docs$(comma)serve$(comma)test]")
	@touch $@

.venv-newest/.installed: pyproject.toml $(NATIVE) | .venv-newest/bin/python
	$(call with-engine,.venv-newest,--upgrade,-e ".[test]")
	@touch $@
