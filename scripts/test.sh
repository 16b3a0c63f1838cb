#!/usr/bin/env bash
# Runs both suites, R's first, and fails when either fails. Each fails when it ran no test.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

r=0 python=0
scripts/run Rscript scripts/test_r.R || r=$?
scripts/run python -m pytest || python=$?

[ "$r" -eq 0 ] || echo "testthat failed: see above, before pytest" >&2
[ "$r" -eq 0 ] && [ "$python" -eq 0 ]
