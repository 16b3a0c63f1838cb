#!/usr/bin/env bash
# Runs pytest and testthat side by side, and fails when either fails. Each fails when it ran no
# test. testthat's output follows pytest's.
#   scripts/test.sh            all tests
#   scripts/test.sh --quick    those that a change is most likely to break: at most a minute
# VERSIONS=oldest and VERSIONS=newest run them in the environments of those versions.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

files=() filter=()
if [ "${1:-}" = --quick ]; then
  files=(tests/layer/test_{arguments,compose,accelerate_order}.py tests/values/test_values.py
    tests/engines/test_fused.py tests/files/test_{files,saveable}.py)
  filter=("^(axis|compose_layer|layer_layer_normalization)$")
fi

r_output=$(mktemp)
trap 'rm -f "$r_output"' EXIT
r=0 python=0
scripts/run Rscript scripts/test_r.R ${filter[@]+"${filter[@]}"} >"$r_output" 2>&1 &
scripts/run python -m pytest ${files[@]+"${files[@]}"} || python=$?
wait $! || r=$?
cat "$r_output"

[ "$python" -eq 0 ] || echo "pytest failed: see above, before testthat" >&2
[ "$r" -eq 0 ] && [ "$python" -eq 0 ]
