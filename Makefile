# Two commands are enough on a fresh machine: `make run` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint bench pages lock clean

run: $(VENV)/.run
	$(BIN)/thongsuot demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	sh deploy/system-packages bench
	$(BIN)/python -m benchmarks

# The pages of the probe kinds, made of their modules; a test wants them to be current.
pages: $(VENV)/.dev
	$(BIN)/python -m probes.pages

# Written anew by hand when a dependency changes: needs uv.
lock:
	uv pip compile --upgrade --generate-hashes --no-strip-extras --all-extras --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 pyproject.toml --group build -o requirements/run.lock
	uv pip compile --upgrade --generate-hashes --no-strip-extras --all-extras --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 pyproject.toml --group build --group dev -o requirements/dev.lock

$(VENV)/.run: requirements/run.lock pyproject.toml
	sh deploy/system-packages run
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml
	sh deploy/system-packages test
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
