#!/usr/bin/env bash
# Tries what was set up: R reaches the Python of .venv, and Python reaches R.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup_common.sh
. "$(dirname "$0")/setup_common.sh"

if [ -f "$venv/.stamp-checked" ]; then exit; fi

say "Checking that R and Python find each other"
cd "$root"
attempt "starting Python from R" "$root/scripts/run" Rscript -e \
  'reticulate::py_config(); stopifnot(reticulate::py_module_available("py_layernorm"))'

where='import py_layernorm; print(list(py_layernorm.__path__))'
in_r=$("$root/scripts/run" Rscript -e "reticulate::py_run_string('$where')" 2>>"$log" </dev/null) ||
  in_r="nothing, see $log"
in_python=$("$root/scripts/run" python -c "$where" 2>>"$log" </dev/null) ||
  in_python="nothing, see above"
[ "$in_r" = "$in_python" ] || stop "R and Python do not load the same build of py_layernorm." \
  "in R:       $in_r" "in Python:  $in_python" "make clean removes both; then run the same command again."

# rpy2 is for tests of both languages in one process: the rest works without.
if ! "$root/scripts/run" python -c 'import rpy2.robjects' >>"$log" 2>&1 </dev/null; then
  say "Note: rpy2 cannot start R, so that R cannot be used from within Python. It needs an R" \
    "with the shared library libR.so (Debian's r-base-core has it). The details: $log"
fi
: >"$venv/.stamp-checked"
