# Every target sets up .venv by itself. PYTHON may name another interpreter (3.11 or newer).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
RIVALS := $(VENV)/.rivals

.PHONY: help demo test slow lint bench claims keypoints ui clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo:  ## train the keypoint ladder on synthetic faces, five seeds each, and print the table
	@echo "Installs 2 GB into $(VENV) (once, a few minutes), then trains 35 runs in about a minute on two cores (20 MB in runs/)."
	@$(MAKE) --silent $(READY)
	$(BIN)/ablate run recipes/faces.yaml

test: $(READY)  ## run the tests, except the slow ones
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

slow: $(READY)  ## run the slow tests: kills and faults at every write, clusters, real faces, a browser, PostgreSQL
	$(BIN)/python -m pytest -n 3 --dist worksteal -m slow

lint: $(READY)  ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(RIVALS): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	@touch $@

bench: $(RIVALS)  ## run the benchmarks, write bench/RESULTS.md
	$(BIN)/python -m bench

claims: $(READY)  ## test common claims about training: train missing runs, write docs/claims.md
	$(BIN)/python -m bench.claims run

FACES ?= faces.npz
keypoints: $(READY)  ## run the keypoint study on real faces (make keypoints FACES=faces.npz), write docs/keypoints.md
	$(BIN)/python -m bench.keypoints $(FACES)

ui: $(READY)  ## open the MLflow UI on 127.0.0.1
	$(BIN)/ablate ui

clean:  ## remove the environment and caches; runs and records stay
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
