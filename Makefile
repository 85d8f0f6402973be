# make demo: a first federation. make test: the checks and the tests. Both set up .venv once.
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: demo test test-slow check format clean

demo: $(READY)
	$(RUN) -m fedlit.run clients=10 partition=dirichlet

test: check
	$(RUN) -m pytest -m "not slow"

test-slow: $(READY)
	$(RUN) -m pytest -m slow

check: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(READY)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Done once, and again when what is installed changes.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "fedlit needs Python 3.10 or newer; write for example: make $(or $(MAKECMDGOALS),demo) PYTHON=python3.11"; exit 2; }
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable ".[dev]"
	touch $@
