#!/usr/bin/env bash
# Installs what the project needs and does not have yet.
#   scripts/setup.sh            what the demo, the tests and the benchmarks need
#   scripts/setup.sh --lint     the linters too
#   scripts/setup.sh --check    and what R CMD check --as-cran and the coverage of R need
#   scripts/setup.sh --report   also says so when there was nothing to do
#
# Python's packages go into .venv, at the versions of constraints/locked.txt. With VERSIONS=oldest
# they go into .venv-oldest, at those of constraints/oldest.txt, and with VERSIONS=newest into
# .venv-newest, at the newest that there are.
#
# Each step leaves a stamp with the checksum of what it was made from, written last. No stamp or
# another checksum: the step runs again. So the next run completes an interrupted set-up.
set -euo pipefail

export wanted=test
report=
for argument in "$@"; do
  case $argument in
    --lint) wanted=lint ;;
    --check) wanted=check ;;
    --report) report=yes ;;
    *) echo "setup.sh: unknown argument $argument" >&2; exit 2 ;;
  esac
done

# shellcheck source-path=SCRIPTDIR source=setup_common.sh
. "$(dirname "$0")/setup_common.sh"
cd "$root"

case ${VERSIONS-} in
  '' | oldest | newest) ;;
  *) stop "VERSIONS must be oldest, newest or not set. Received: VERSIONS=$VERSIONS" ;;
esac

if is_fresh; then
  [ -z "$report" ] || say "Everything is set up; nothing to do."
  exit
fi

# One set-up at a time: a second one waits, and then finds its work done.
exec 9<scripts/setup.sh
if command -v flock >/dev/null && ! flock -n 9; then
  say "Another set-up is running in this folder: waiting for it to end"
  flock 9
fi

: >"$log"
scripts/setup_system.sh
scripts/setup_r.sh
scripts/setup_python.sh
scripts/setup_check.sh
say "Set-up is complete."
