#!/usr/bin/env bash
# The project and the Python packages that it needs, into .venv.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup_common.sh
. "$(dirname "$0")/setup_common.sh"

if python_is_fresh; then exit; fi

# Without both stamps, or made for another place, the .venv is created again: nothing half-made stays.
if ! venv_is_fresh; then
  python=$("$root/scripts/find_python.sh" | sed -n 1p)
  say "Making ${venv##*/} from $("$python" --version), $python"
  rm -rf "$venv"
  attempt "making ${venv##*/}" "$python" -m venv "$venv"
  write_stamp "$venv/.stamp-venv" "$(venv_key)"
  size=", 2 GB on the disk"
fi
# reticulate starts Python with .venv as its home. Debian's and Ubuntu's Python then looks for
# .pth files, which an editable install lives by, in dist-packages instead of site-packages.
for folder in "$venv"/lib/python3*/; do ln -sfn site-packages "${folder}dist-packages"; done

earlier=$(cat "$venv/.stamp-packages" 2>/dev/null || true)
rm -f "$venv/.stamp-packages" "$venv/.stamp-checked"

# pip unpacks gigabytes: here, where there must be room anyway, and where an interrupted run does
# not leave them behind.
rm -rf "$venv/.tmp"
mkdir "$venv/.tmp"

# The versions to install. rpy2 follows R: the newest needs R 4.5.
cd "$root"
constraints=${venv##*/}/.tmp/constraints.txt # relative: pip splits a list of files at spaces
case ${VERSIONS-} in
  newest) : ;;
  oldest) cat constraints/oldest.txt ;;
  *) cat constraints/locked.txt ;;
esac >"$constraints"
case $(r_version) in
  [0-3].* | 4.[0-4].*)
    if [ "${VERSIONS-}" != oldest ]; then
      sed -i.all '/^rpy2/d' "$constraints"
      cat constraints/rpy2-for-r-4.4.txt >>"$constraints"
    fi
    ;;
esac

# The lowest TensorFlow that is promised does not go with any JAX that is.
extras=tensorflow,r,test,fuzz
[ "${VERSIONS-}" = oldest ] || extras=$extras,jax
[ "$wanted" = test ] || extras=$extras,lint

# rpy2 is built here in the mode that needs neither compiler nor headers, and not taken from
# pip's cache, which may hold a build for another R. The constraints come by the environment, so
# that they also hold for what builds the packages (PIP_BUILD_CONSTRAINT, from pip 25.3 on).
pip_install() {
  logged env TMPDIR="$venv/.tmp" PIP_USER=no PIP_DISABLE_PIP_VERSION_CHECK=1 RPY2_CFFI_MODE=ABI \
    PIP_CONSTRAINT="$constraints" PIP_BUILD_CONSTRAINT="$constraints" \
    "$venv/bin/python" -m pip install --progress-bar off --no-binary rpy2-rinterface \
    --editable ".[$extras]"
}

say "Installing TensorFlow, Keras and the rest of Python's packages (a few minutes${size:-})"
status=0
pip_install || status=$?
rm -rf "$venv/.tmp"
if [ "$status" -ne 0 ]; then
  # Unless it was killed, pip leaves everything as it was when it fails: that can still be used.
  if [ -n "$earlier" ] && [ "$status" -lt 128 ]; then write_stamp "$venv/.stamp-packages" "$earlier"; fi
  explain "installing Python's packages" "pip install --editable '.[$extras]'"
fi
write_stamp "$venv/.stamp-packages" "$(python_key "$wanted")"
