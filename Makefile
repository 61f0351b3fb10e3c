# make demo: train a network.  make test: the suite.  make test-all: what is too slow for it, too.  make env: only the
# environment of the suite.
# Both work on a fresh machine with Python >= 3.11 (with venv), git and make, and install into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALL := $(PIP) --constraint constraints.txt

# Kernels that tests and demo compile stay with the environment, not in the user's cache.
export RMSPROP_CACHE_DIR := $(CURDIR)/$(VENV)/kernels

.PHONY: demo test test-all env lint types bench bench-check clean

demo: $(VENV)/demo.stamp
	$(BIN)/rmsprop train

# Whatever takes long is marked `slow`.
test: env
	$(BIN)/python tests/run.py -m 'not slow'

test-all: env
	$(BIN)/python tests/run.py

env: $(VENV)/env.stamp

lint: env
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: env
	$(BIN)/mypy

bench: env
	$(BIN)/rmsprop bench

# What has changed since the figures of the documentation were measured.
bench-check:
	$(PYTHON) benchmarks/check.py

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

# What the demo needs, and no framework.
$(VENV)/demo.stamp: $(VENV)/python.stamp pyproject.toml constraints.txt
	$(INSTALL) --editable '.[cli]'
	touch $@

# Every framework that tests compare against: some gigabytes.
$(VENV)/env.stamp: $(VENV)/python.stamp pyproject.toml constraints.txt
	$(INSTALL) --editable '.[test]'
	@# The oldest Triton that compiles our kernels, for the tests that look at what it makes of them.
	if $(BIN)/python -c 'import triton' 2>/dev/null; then \
		$(PIP) --no-deps --upgrade --target $(VENV)/triton-3.6 triton==3.6.0; fi
	touch $@ $(VENV)/demo.stamp

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
