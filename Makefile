# Every command of the project. `make` alone lists them.
#
# Set-up puts everything into this folder (.venv for Python, .r-lib for R), apart from Debian's
# or Ubuntu's own packages. PYTHON=/path/to/python chooses another Python: make demo PYTHON=...

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test test-large test-native test-interrupt fuzz mutants lint check doctor bench clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

setup: ## install what the project needs; a second run does nothing
	@scripts/setup.sh --report

demo: ## train in R on real data, load the model in Python, compare (sets up first)
	@scripts/setup.sh
	@scripts/run Rscript examples/demo.R
	@scripts/run python examples/demo.py

test: ## run testthat and pytest; fails when either fails (sets up first)
	@scripts/setup.sh
	@scripts/test.sh

test-large: ## run the tests that take up to 13 GiB of memory (sets up first)
	@scripts/setup.sh
	@# With oneDNN's allocator the same run needs more than 16 GiB.
	@TF_ENABLE_ONEDNN_OPTS=0 scripts/run python -m pytest -m large

test-native: ## the C++ under the address, undefined and thread sanitizers and valgrind
	@scripts/setup.sh
	@scripts/test_native.sh

test-interrupt: ## kill set-up and demo at many moments, in a copy; the next run must succeed
	@scripts/test_interrupt.sh

fuzz: ## ten minutes of what nobody would pass, at the public functions and the op
	@scripts/setup.sh
	@mkdir -p build/fuzz
	@scripts/run python tests/fuzz/fuzz.py -max_total_time=600 -artifact_prefix=build/fuzz/

mutants: ## put single-line faults into a copy; a test must catch each
	@scripts/setup.sh
	@command -v cmake >/dev/null || scripts/run python -m pip install --quiet cmake
	@scripts/run python tests/mutants/run.py

lint: ## check style and types: ruff, mypy, lintr (sets up first)
	@scripts/setup.sh --lint
	@scripts/lint.sh

check: ## R CMD check --as-cran with and without Python, coverage of R's lines (sets up first)
	@scripts/setup.sh --check
	@scripts/check_r.sh
	@scripts/run Rscript scripts/coverage_r.R

doctor: ## say what is installed, what is missing, and the command that mends it
	@scripts/run python -m py_layernorm

bench: ## measure speed side by side with the alternatives (sets up first)
	@scripts/setup.sh
	@scripts/run python -m pip install --quiet --requirement benchmarks/requirements.txt
	@scripts/run python benchmarks/run.py

clean: ## remove all that set-up, tests and builds made in this folder
	@rm -rf .venv .r-lib .setup.log build dist examples/output benchmarks/output
	@rm -rf .pytest_cache .mypy_cache .ruff_cache *.egg-info *.Rcheck layernorm_*.tar.gz
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
