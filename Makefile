# Every command of the project. `make` alone lists them.
#
# Set-up puts everything into this folder (.venv for Python, .r-lib for R), except Debian's or
# Ubuntu's own packages. PYTHON=/path/to/python chooses another Python: make demo PYTHON=...

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo quick test test-oldest test-newest test-large test-native test-interrupt \
	test-r-alone fuzz mutants lint check doctor bench lock clean

# What only some commands need, at the locked versions.
pip_install := scripts/run python -m pip install --quiet --constraint constraints/locked.txt

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

setup: ## install what the project needs; a second run does nothing
	@scripts/setup.sh --report

demo: ## train in R on real data, load the model in Python, compare (sets up first)
	@scripts/setup.sh
	@scripts/run Rscript examples/demo.R
	@scripts/run python examples/demo.py

quick: ## run the tests that a change is most likely to break, in a minute (sets up first)
	@scripts/setup.sh
	@scripts/test.sh --quick

test: ## run testthat and pytest; fails when either fails (sets up first)
	@scripts/setup.sh
	@scripts/test.sh

test-oldest: ## run both with the lowest versions promised, in .venv-oldest (sets up first)
	@VERSIONS=oldest scripts/setup.sh
	@VERSIONS=oldest scripts/test.sh

test-newest: ## run both with the newest versions there are, in .venv-newest, made afresh
	@rm -rf .venv-newest
	@VERSIONS=newest scripts/setup.sh
	@VERSIONS=newest scripts/test.sh

test-large: ## run the tests that take up to 13 GiB of memory (sets up first)
	@scripts/setup.sh
	@# With oneDNN's allocator the same run needs more than 16 GiB.
	@TF_ENABLE_ONEDNN_OPTS=0 scripts/run python -m pytest -m large

test-native: ## run the C++ under the address, undefined and thread sanitizers and valgrind
	@scripts/setup.sh
	@scripts/test_native.sh

test-interrupt: ## kill set-up and demo at many moments, in a copy; the next run must succeed
	@scripts/test_interrupt.sh

test-r-alone: ## build and install the R package for a user who has R and nothing else; train a model
	@scripts/setup.sh
	@scripts/test_r_alone.sh

fuzz: ## call the public functions and the op with made-up arguments for ten minutes
	@scripts/setup.sh
	@mkdir -p build/fuzz
	@scripts/run python tests/fuzz/fuzz.py -max_total_time=600 -artifact_prefix=build/fuzz/

mutants: ## put single-line faults into a copy; a test must catch each
	@scripts/setup.sh
	@command -v cmake >/dev/null || $(pip_install) cmake
	@scripts/run python tests/mutants/run.py

lint: ## check style and types: ruff, mypy, clang-format, shellcheck, lintr (sets up first)
	@scripts/setup.sh --lint
	@scripts/lint.sh

check: ## R CMD check --as-cran with and without Python, coverage of R's lines (sets up first)
	@scripts/setup.sh --check
	@scripts/check_r.sh
	@scripts/run Rscript scripts/coverage_r.R

doctor: ## say what is installed, what is missing, and the command that fixes it
	@scripts/run python -m py_layernorm

bench: ## measure speed side by side with the alternatives (sets up first)
	@scripts/setup.sh
	@$(pip_install) --requirement benchmarks/requirements.txt
	@scripts/run python benchmarks/run.py

lock: ## renew constraints/, the versions that set-up installs (sets up first)
	@scripts/setup.sh
	@scripts/lock.sh

clean: ## remove all that set-up, tests and builds made in this folder
	@rm -rf .venv .venv-oldest .venv-newest .r-lib .setup.log build dist examples/output benchmarks/output
	@rm -rf .pytest_cache .mypy_cache .ruff_cache *.egg-info *.Rcheck layernorm_*.tar.gz
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
