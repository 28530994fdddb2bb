# `make figure1` and `make test` do everything on a fresh machine; `make help` lists the rest.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
BUDGET ?= laptop
SEEDS ?=
DATA_DIR ?=
export DATA_DIR  # read by conf/base.yaml
METHODS ?=
export METHODS  # folders of methods of your own, see docs/add-a-method.md
ARGS ?=
FIGURE2_ESTIMATOR ?= quadrature
SELECTION ?= figure1
ABLATION ?= initial_scale
SWEEP ?= algorithm=aevb,wake_sleep model.n_latent=2,5,10 data=digits
LAUNCHER ?=
RESULTS ?= results
MINUTES ?= 10
PIP_ARGS ?=
# A Python that the packages support; set PYTHON=... to choose another.
SUPPORTED := -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do $$p $(SUPPORTED) && echo $$p && break; done)

VARIABLES := BUDGET SEEDS DATA_DIR METHODS ARGS FIGURE2_ESTIMATOR SELECTION ABLATION SWEEP LAUNCHER RESULTS MINUTES PIP_ARGS PYTHON
UNKNOWN := $(filter-out $(VARIABLES) MAKEFLAGS MAKEOVERRIDES,$(foreach name,$(.VARIABLES),$(if $(findstring command,$(origin $(name))),$(name))))
ifneq ($(strip $(UNKNOWN)),)
$(error there is no variable $(UNKNOWN); choose from: $(VARIABLES))
endif

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PEERS := $(VENV)/.installed-bench
# A folder's name is taken as it is typed: a dollar sign is its own, and an apostrophe is quoted, too.
quoted = '$(subst ','\'',$(1))'
FOLDER = $(if $(filter-out results,$(RESULTS)),$(call quoted,results=$(value RESULTS)))
NO_RESULTS = $(if $(FOLDER),$(error $@ is about the folder results alone, so RESULTS cannot be given))
OVERRIDES = budget=$(BUDGET) $(if $(SEEDS),seeds=$(SEEDS)) $(FOLDER) $(ARGS)

.PHONY: help install figure1 figure2 manifolds samples replay step-sizes ablation sweep estimators diagnostics claims report dashboard bench install-bench gpu test test-more test-all lint clean-results

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  BUDGET=smoke|quick|laptop|desktop|paper  SEEDS=n  DATA_DIR=folder  RESULTS=folder  METHODS=folder  ARGS='any Hydra overrides'"

install: $(INSTALLED) ## Create .venv with the exact versions of constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && $(PYTHON) $(SUPPORTED) || { echo "error: $(or $(PYTHON),no Python found) is not Python 3.11, 3.12 or 3.13 with venv; install one or set PYTHON=/path/to/python." >&2; exit 2; }
	@test ! -x $(PY) || $(PY) $(SUPPORTED) || rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	@touch $@

figure1: $(INSTALLED) ## Experiment 1, the paper's Figure 2: train what is missing and draw it
	$(PY) -m reproduce figure figure=figure1 $(OVERRIDES)

figure2: $(INSTALLED) ## Experiment 2, the paper's Figure 3: marginal log-likelihoods
	$(PY) -m reproduce figure figure=figure2 estimator=$(FIGURE2_ESTIMATOR) $(OVERRIDES)

manifolds: $(INSTALLED) ## The paper's Figure 4: two-dimensional latent spaces as grids of images
	$(PY) -m reproduce figure figure=manifolds $(OVERRIDES)

samples: $(INSTALLED) ## The paper's Figure 5: random samples at several N_z; and reconstructions
	$(PY) -m reproduce figure figure=samples $(OVERRIDES)

replay: $(INSTALLED) ## The published runs' first values, replayed from the author's random numbers
	$(PY) -m reproduce replay $(FOLDER) $(ARGS)

step-sizes: $(INSTALLED) ## Choose Adagrad's step sizes: SELECTION=figure1 (default) or figure2
	$(PY) -m reproduce step-sizes selection=$(SELECTION) $(FOLDER) $(ARGS)

ablation: $(INSTALLED) ## Train variants of the same cells: ABLATION=initial_scale (default), conf/ablation
	$(PY) -m reproduce ablation ablation=$(ABLATION) $(if $(SEEDS),seeds=$(SEEDS)) $(FOLDER) $(ARGS)

sweep: $(INSTALLED) ## Train many cells: SWEEP='algorithm=aevb,wake_sleep model.n_latent=3,5' LAUNCHER=submitit_slurm|ray|joblib|...
	$(PY) -m reproduce sweep $(if $(LAUNCHER),hydra/launcher=$(LAUNCHER)) $(OVERRIDES) $(SWEEP)

estimators: $(INSTALLED) ## Validate the estimators of log p(x) against exact answers
	$(PY) -m reproduce estimators $(FOLDER) $(ARGS)

diagnostics: $(INSTALLED) ## KL a latent dimension, active units, collapse, noise of the bound, of what is trained
	$(PY) -m reproduce diagnostics $(call quoted,results=$(value RESULTS)) $(ARGS)

claims: $(INSTALLED) ## Check the paper's claims on what is drawn: RESULTS=results (default), ARGS='budget=NAME places=true'
	$(PY) -m reproduce claims $(call quoted,results=$(value RESULTS)) $(ARGS)

report: $(INSTALLED) ## One HTML file with everything there is: RESULTS=results (default)
	$(PY) -m reproduce report $(call quoted,results=$(value RESULTS))

dashboard: $(INSTALLED) ## W&B runs of everything in the store, and the published curves; ARGS=tracking=online saves it
	$(PY) -m reproduce dashboard $(FOLDER) $(ARGS)

bench: $(PEERS) ## Measure training next to PyTorch, Lightning, JAX and Pyro; and the estimators
	$(NO_RESULTS)$(PY) -m benchmarks.bench $(ARGS)
	$(PY) -m benchmarks.likelihood

install-bench: $(PEERS) ## Add to .venv the peers that `make bench` measures: JAX and Pyro

$(PEERS): $(INSTALLED)
	$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[dev,bench]'
	@touch $@

gpu: $(INSTALLED) ## On a GPU: checks, speed, then cells of the paper budget, in MINUTES=10; without .venv: python -m benchmarks.gpu
	$(NO_RESULTS)$(PY) -m benchmarks.gpu --minutes $(MINUTES) $(if $(DATA_DIR),--data-dir $(call quoted,$(value DATA_DIR))) $(ARGS)

PARALLEL := --numprocesses auto --maxprocesses 4 --dist worksteal

test: $(INSTALLED) ## Run the fast tests; needs no network
	$(PY) -m pytest $(PARALLEL) $(ARGS)

test-more: $(INSTALLED) ## Run the tests that start processes, compile, draw or sample
	$(PY) -m pytest $(PARALLEL) -m integration $(ARGS)

test-all: $(INSTALLED) ## Run all tests, with shapes checked at every call; with DATA_DIR=... also those on the real data
	AEVB_TEST_SHAPES=1 $(PY) -m pytest -m '' $(ARGS)

lint: $(INSTALLED) ## Check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff check tests --isolated --select F821 --target-version py311  # undefined names, off elsewhere for shape strings
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright

clean-results: ## Delete what you ran (not the committed results)
	$(NO_RESULTS)rm -rf results/runs results/restored results/unfinished results/figure1 results/figure2 results/ablations results/manifolds results/samples results/replay results/diagnostics results/estimators results/claims*.json results/report results/wandb results/sweeps results/wandb-sweep results/bench.json results/bench_likelihood.json results/growth.* results/published_estimator results/gpu
