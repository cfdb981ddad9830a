# Set-up needs python3 (3.11 or newer) with venv, and make; everything else comes hash-checked from the locks.
# A changed running lock, or a set-up that was interrupted, makes a new .venv; nothing is installed outside it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
LOCKER := build/locker
SPREAD := --numprocesses 2 --dist loadfile
LOCKED := $(BIN)/pip install --quiet --require-hashes --only-binary :all:
COMPILE = $(LOCKER)/bin/uv pip compile --quiet --no-config --generate-hashes --no-annotate --python-version 3.11 \
	--custom-compile-command "make lock" $(LOCK_FLAGS)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONNOUSERSITE := 1

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: demo install test lint slow bench lock clean

demo: install
	$(BIN)/riskcal demo --workers 2

install: $(STAMPS)/package

test: lint
	$(BIN)/python -m pytest -m "not slow" $(SPREAD)

lint: $(STAMPS)/development $(STAMPS)/package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

slow: $(STAMPS)/development $(STAMPS)/package
	$(BIN)/python -m pytest -m slow $(SPREAD)

bench: $(STAMPS)/development $(STAMPS)/package
	$(BIN)/python -m pytest tests/benchmarks --override-ini "python_files=bench_*.py" --capture=no

# Pins are kept where they still satisfy pyproject.toml; `make lock LOCK_FLAGS=--upgrade` takes the newest of each.
lock:
	test -x $(LOCKER)/bin/uv || { $(PYTHON) -m venv --clear $(LOCKER) && $(LOCKER)/bin/pip install --quiet uv; }
	$(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" \
		> $(LOCKER)/backend.in
	$(COMPILE) --output-file requirements.lock pyproject.toml $(LOCKER)/backend.in
	$(COMPILE) --output-file requirements-dev.lock --constraint requirements.lock --extra dev pyproject.toml \
		$(LOCKER)/backend.in

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find risk oracle_adapters reports tests -name __pycache__ -type d -exec rm -rf {} +

$(STAMPS)/running: requirements.lock
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "riskcal needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(LOCKED) -r requirements.lock
	mkdir -p $(STAMPS) && touch $@

# The running stamp is absent meanwhile, so an interrupted installation leads to a new .venv.
$(STAMPS)/development: requirements-dev.lock $(STAMPS)/running
	mv $(STAMPS)/running $(STAMPS)/interrupted
	$(LOCKED) -r requirements-dev.lock
	touch $@
	mv $(STAMPS)/interrupted $(STAMPS)/running

$(STAMPS)/package: pyproject.toml $(STAMPS)/running
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
