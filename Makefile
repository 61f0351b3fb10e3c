# make demo: train a network.  make test: the suite.  make test-all: what is too slow for it, too.  make env: only the
# environment of the suite.  make quick, test-newest, test-lowest: a part of it with other versions.  make mutants: whether
# the suite notices errors that are put into the source.  make bench: measure a step beside other optimizers.
# make docs: build the documentation site, in build/site.  make docs-serve: show it.  make docs-test: look at it in a browser.
# On a fresh machine with git, make and a Python >= 3.11 (with venv), demo, test, test-all and env work; docs needs npm,
# from which KaTeX comes. quick and
# test-newest need a Python 3.13 or 3.12 and test-lowest a Python 3.11; test-all says what it leaves out without them.
# All install into .venv, .venv-newest and .venv-lowest.

# The first Python 3 that there is of some minor versions. pyenv's commands want to be told which version is meant.
find-python = $(shell for minor in $(1); do PYENV_VERSION=3.$$minor python3.$$minor \
	-c 'import sys, venv, ensurepip; print(sys.executable)' 2>/dev/null && break; done)

PYTHON ?= python3
OLDEST_PYTHON ?= $(call find-python,11)
# Not 3.14, for which there is no TensorFlow.
NEWEST_PYTHON ?= $(call find-python,13 12)
NO_OLDEST := no Python 3.11 was found; name one with: make OLDEST_PYTHON=...
NO_NEWEST := no Python 3.13 or 3.12 was found; name one with: make NEWEST_PYTHON=...
VENV := .venv
NEWEST := .venv-newest
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALL := $(PIP) --constraint constraints.txt
MKDOCS := NO_MKDOCS_2_WARNING=1 KATEX="$(abspath $(VENV))/katex" $(BIN)/mkdocs

# Kernels that tests and demo compile stay with the environment, not in the user's cache.
export RMSPROP_CACHE_DIR := $(CURDIR)/$(VENV)/kernels

.PHONY: demo test test-all mutants quick newest newest-python test-newest test-lowest env lint types bench bench-check docs docs-serve docs-test clean

demo: $(VENV)/demo.stamp
	$(BIN)/rmsprop train

# Whatever takes long is marked `slow`.
test: env
	$(BIN)/python tests/run.py -m 'not slow'

test-all: env
	$(BIN)/python tests/run.py
	$(if $(NEWEST_PYTHON),$(MAKE) test-newest,@echo "make test-newest is left out: $(NO_NEWEST)")
	$(if $(OLDEST_PYTHON),$(MAKE) test-lowest,@echo "make test-lowest is left out: $(NO_OLDEST)")

# Put one error after the other into a copy of the source, and see whether a test of `make test` fails. ARGS are the
# tool's options: make mutants ARGS="--only plan".
mutants: env
	$(BIN)/python tests/mutants/run.py $(ARGS)

# A quick selection of every front end on the newest Python, with the packages of constraints-newest.txt.
quick: $(NEWEST)/env.stamp
	$(run-quick)

# The same with the newest packages that there are, and torch as in constraints.txt.
test-newest:
	$(call install-newest,$(TORCH))
	$(run-quick)

# Write down which those are.
newest:
	$(call install-newest,$(TORCH))
	date +"# The newest packages on %F, by make newest; torch is that of constraints.txt." > constraints-newest.txt
	$(NEWEST)/bin/python -m pip freeze --exclude-editable >> constraints-newest.txt
	touch $(NEWEST)/env.stamp

newest-python:
	@echo "$(NEWEST_PYTHON)"

# A quick selection with the lower bounds of pyproject.toml, on the oldest Python; see tests/lowest.py.
test-lowest:
	@test -n "$(OLDEST_PYTHON)" || { echo "$(NO_OLDEST)"; exit 1; }
	"$(OLDEST_PYTHON)" tests/lowest.py

env: $(VENV)/env.stamp

lint: env
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: env
	$(BIN)/mypy

# A step beside other optimizers. ARGS are the benchmark's options: make bench ARGS="--frontend torch --model mlp";
# ARGS=--help lists them.
bench: env
	$(BIN)/python benchmarks/run.py $(ARGS)

# What has changed since the figures of the documentation were measured.
bench-check:
	"$(PYTHON)" benchmarks/check.py

# A broken link, a page that is missing in a language and an undocumented public name are errors.
docs: $(VENV)/docs.stamp
	$(MKDOCS) build --quiet

docs-serve: $(VENV)/docs.stamp
	$(MKDOCS) serve

# Those of the pages are skipped, with the reason, where there is no Chromium.
docs-test: docs
	$(BIN)/python -m pytest docs/tools/tests

$(VENV)/python.stamp:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
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

# What builds the site, and KaTeX, which is copied into it: npm needs node for that alone.
$(VENV)/docs.stamp: $(VENV)/python.stamp pyproject.toml constraints.txt docs/tools/package-lock.json
	$(INSTALL) --editable '.[docs]'
	@command -v npm > /dev/null || { echo "npm is needed: KaTeX, which draws the formulas, comes from it"; exit 1; }
	mkdir -p $(VENV)/katex
	cp docs/tools/package.json docs/tools/package-lock.json $(VENV)/katex
	npm ci --prefix $(VENV)/katex --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# What front ends and tests need and nothing more; $(1) says in which versions.
define install-newest
	@test -n "$(NEWEST_PYTHON)" || { echo "$(NO_NEWEST)"; exit 1; }
	"$(NEWEST_PYTHON)" -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile $(1) \
		--editable '.[tf-keras,torch,jax,keras]' pytest hypothesis
endef

TORCH = $(shell grep '^torch==' constraints.txt)

$(NEWEST)/env.stamp: pyproject.toml constraints-newest.txt
	$(call install-newest,--constraint constraints-newest.txt)
	touch $@

define run-quick
	RMSPROP_CACHE_DIR="$(CURDIR)/$(NEWEST)/kernels" $(NEWEST)/bin/python tests/run.py -m quick
endef

clean:
	rm -rf $(VENV) $(NEWEST) .venv-lowest runs build .mypy_cache .ruff_cache .pytest_cache .hypothesis
