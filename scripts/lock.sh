#!/usr/bin/env bash
# Renews constraints/, the versions that set-up installs, each for every Python and platform:
#   locked.txt           the newest that fit together
#   rpy2-for-r-4.4.txt   those of rpy2 for R before 4.5, in place of locked.txt's
#   oldest.txt           the lowest that pyproject.toml promises
# The files name versions only: where packages come from is left to pip.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/run python -m pip install --quiet uv

builds=$(sed -n 's/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml)
for_old_r='rpy2-rinterface<3.6.6' # newer ones need R 4.5

# compile WHAT ARGUMENT...: prints a file of constraints for the packages named on standard input
# and by the arguments, resolved anew.
compile() {
  printf '# %s. "make lock" writes this file.\n' "$1"
  scripts/run python -m uv pip compile - --quiet --universal --python-version 3.10 \
    --no-header --no-annotate "${@:2}"
}

# renew FILE: replaces it by standard input, all of it or nothing.
renew() {
  cat >"$1.new"
  mv "$1.new" "$1"
  echo "$1: $(grep -c == "$1") lines"
}

# With what builds the packages, and what the longer tests build with.
printf '%s\n' "$builds" cmake ninja setuptools wheel |
  compile "The newest versions that fit together" \
    --all-extras pyproject.toml benchmarks/requirements.txt | renew constraints/locked.txt

echo rpy2 | compile "rpy2 for R before 4.5" --constraint <(echo "$for_old_r") |
  grep -E '^(#|rpy2)' | renew constraints/rpy2-for-r-4.4.txt

echo "$builds" |
  compile "The lowest versions that pyproject.toml promises, and the newest that go with them" \
    --resolution lowest-direct --extra tensorflow --extra r --extra test --extra fuzz \
    --constraint <(echo "$for_old_r") pyproject.toml | renew constraints/oldest.txt
