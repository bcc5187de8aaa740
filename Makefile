# Everything is set up in .venv on first use; nothing global is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
DEMO := .demo
# Only an environment with this mark is emptied when the lock changes.
MADE := $(VENV)/.made-by-make

.PHONY: setup demo test check bench lock clean
.DELETE_ON_ERROR:

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11, 4) and f"Python 3.11.4 or newer is needed, and {sys.executable} is {v.major}.{v.minor}.{v.micro}: make PYTHON=python3.12 ..." or 0)'
	@if [ -L $(VENV) ]; then \
		echo "$(VENV) is a symbolic link to $$(readlink $(VENV)), and setting up would empty that. Remove the link." >&2; exit 1; \
	elif [ -e $(VENV) ] && [ ! -e $(MADE) ] && [ ! -e $@ ]; then \
		echo "$(VENV) was not made by this Makefile, and setting up would empty it. Move it away, or remove it." >&2; exit 1; \
	fi
	@echo "Setting up $(VENV) (several minutes and 7 GB the first time, most of it PyTorch) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $(MADE)
	@# The lock is whole, so nothing is left to resolve; older pips stumble over its pins of packages with extras.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@touch $@

# The complete pipeline on the built-in synthetic pets, in a scratch copy of the files that git knows; no network.
demo: setup
	@PATH="$(BIN):$$PATH" sh demo.sh $(DEMO)

# Three test processes on two cores, since some wait for servers and browsers; with a second thread for PyTorch in each,
# those of heads and galleries take half as much processor time again.
test: setup check
	@OMP_NUM_THREADS=1 PATH="$(BIN):$$PATH" $(BIN)/python -m pytest \
		--numprocesses 3 --dist loadfile --no-loadscope-reorder

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup
	@PATH="$(BIN):$$PATH" $(BIN)/python -m bench

# Resolve pyproject.toml afresh: exact versions and hashes for every platform, no index address.
lock: setup
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --upgrade --output-file requirements.lock

clean:
	@rm -rf $(DEMO) .timings
