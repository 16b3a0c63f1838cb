#!/usr/bin/env bash
# Runs every linter, and fails when one of them finds something.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

python_code=(py_layernorm tests examples benchmarks scripts)
shell_code=(.ci/run scripts/run scripts/*.sh)
mapfile -t cpp_code < <(find py_layernorm tests benchmarks -name '*.cc' -o -name '*.h' | sort)
failed=
check() {
  echo "== ${*:1:9}"
  scripts/run "$@" || failed="$failed ${*:1:4};"
}

check python -m ruff check "${python_code[@]}"
check python -m ruff format --check "${python_code[@]}"
check python -m mypy
check clang-format --dry-run --Werror "${cpp_code[@]}"
check shellcheck --external-sources "${shell_code[@]}"
check Rscript scripts/lint_r.R

if [ -n "$failed" ]; then
  echo "Failed:$failed" >&2
  exit 1
fi
