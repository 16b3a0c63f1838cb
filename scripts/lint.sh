#!/usr/bin/env bash
# Runs every linter, and fails when one of them found something.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

python_code=(py_layernorm tests examples benchmarks)
failed=
check() {
  echo "== $*"
  scripts/run "$@" || failed="$failed ${*:1:4};"
}

check python -m ruff check "${python_code[@]}"
check python -m ruff format --check "${python_code[@]}"
check python -m mypy
check Rscript scripts/lint_r.R

if [ -n "$failed" ]; then
  echo "Failed:$failed" >&2
  exit 1
fi
