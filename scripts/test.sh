#!/usr/bin/env bash
# Runs both suites side by side, and fails when either fails. Each fails when it ran no test.
# testthat's output follows pytest's.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

r_output=$(mktemp)
trap 'rm -f "$r_output"' EXIT
r=0 python=0
scripts/run Rscript scripts/test_r.R >"$r_output" 2>&1 &
scripts/run python -m pytest || python=$?
wait $! || r=$?
cat "$r_output"

[ "$python" -eq 0 ] || echo "pytest failed: see above, before testthat" >&2
[ "$r" -eq 0 ] && [ "$python" -eq 0 ]
