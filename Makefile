# make demo: a first federation. make test: the checks and the tests. make bench: docs/benchmarks.md, measured anew.
# make figures: what papers claim, measured on real data; hours, and it goes on where it was stopped.
# All set up .venv once. make bench-peers: other frameworks for make bench. make lower-bounds: the tests with the oldest
# versions that pyproject.toml allows, in .venv-lower-bounds. make mutants: each constant and sign of an algorithm
# changed, one at a time; its tests must fail.
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
RUN := $(VENV)/bin/python
# A process a core, of one thread: small operations on several threads are slow on a busy machine.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --dist loadfile
READY := $(VENV)/.ready

.PHONY: demo test test-slow mutants lower-bounds check format bench bench-peers figures clean

demo: $(READY)
	$(RUN) -m fedlit.run clients=10 partition=dirichlet

test: check
	$(PYTEST) -m "not slow and not gpu"

test-slow: $(READY)
	$(PYTEST) -m slow

mutants: $(READY)
	OMP_NUM_THREADS=1 $(RUN) -m scripts.mutants

lower-bounds:
	PIP_ARGS="$(PIP_ARGS)" $(PYTHON) scripts/lower_bounds.py

check: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(READY)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(READY)
	$(RUN) -m benchmarks.run --out docs

# SETTINGS: of benchmarks/figures/papers.py; without any, all. FIGURES: the folder of the runs.
FIGURES ?= outputs/figures
figures: $(READY)
	$(RUN) -m benchmarks.figures.run $(SETTINGS) --folder $(FIGURES) --docs docs

# Each in an environment of its own, with the torch that fedlit is tested with.
bench-peers: .venv-flower/.ready .venv-pfl/.ready

.venv-flower/.ready: PACKAGE := flwr[simulation]
.venv-pfl/.ready: PACKAGE := pfl[pytorch]
.venv-flower/.ready .venv-pfl/.ready: constraints.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	if $(@D)/bin/python -m pip install --quiet $(PIP_ARGS) "$(PACKAGE)" numpy $$(grep '^torch==' constraints.txt); then touch $@; \
		else echo "$(PACKAGE) cannot be installed here; make bench goes on without it"; rm -rf $(@D); fi

clean:
	rm -rf $(VENV) .venv-flower .venv-pfl .venv-lower-bounds build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Done once, and again when what is installed changes.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "fedlit needs Python 3.10 or newer; write for example: make $(or $(MAKECMDGOALS),demo) PYTHON=python3.11"; exit 2; }
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable ".[dev]"
	touch $@
