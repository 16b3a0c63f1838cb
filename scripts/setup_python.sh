#!/usr/bin/env bash
# The project and what it needs of Python's packages, into .venv.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup_common.sh
. "$(dirname "$0")/setup_common.sh"

if python_is_fresh; then exit; fi

# Without both stamps, or made for another place, the .venv is begun anew: nothing half-made stays.
if ! venv_is_fresh; then
  python=$("$root/scripts/find_python.sh" | sed -n 1p)
  say "Making .venv from $("$python" --version), $python"
  rm -rf "$venv"
  attempt "making .venv" "$python" -m venv "$venv"
  write_stamp "$venv/.stamp-venv" "$(venv_key)"
  size=", 2 GB on the disk"
fi
# reticulate starts Python with .venv as its home. Debian's and Ubuntu's Python then looks for
# .pth files, which an editable install lives by, in dist-packages instead of site-packages.
for folder in "$venv"/lib/python3*/; do ln -sfn site-packages "${folder}dist-packages"; done

earlier=$(cat "$venv/.stamp-packages" 2>/dev/null || true)
rm -f "$venv/.stamp-packages" "$venv/.stamp-checked"

# pip unpacks gigabytes: here, where there must be room anyhow, and where no interrupted run
# leaves them behind.
rm -rf "$venv/.tmp"
mkdir "$venv/.tmp"

# rpy2 follows R: its rpy2-rinterface 3.6.6 and newer wants R 4.5.
constraints="$venv/.tmp/constraints.txt"
case $(r_version) in
  [0-3].* | 4.[0-4].*) echo 'rpy2-rinterface<3.6.6' >"$constraints" ;;
  *) : >"$constraints" ;;
esac

extras=tensorflow,r,test,fuzz
[ "$wanted" = test ] || extras=$extras,lint

# rpy2 is built here in the mode that needs neither compiler nor headers, and not taken from
# pip's cache, where a build for another R may lie.
pip_install() {
  logged env TMPDIR="$venv/.tmp" PIP_USER=no PIP_DISABLE_PIP_VERSION_CHECK=1 RPY2_CFFI_MODE=ABI \
    "$venv/bin/python" -m pip install --progress-bar off --constraint "$constraints" \
    --no-binary rpy2-rinterface --editable ".[$extras]"
}

say "Installing TensorFlow, Keras and the rest of Python's packages (a few minutes${size:-})"
cd "$root"
status=0
pip_install || status=$?
rm -rf "$venv/.tmp"
if [ "$status" -ne 0 ]; then
  # pip that fails, and was not killed, leaves all as it was: what was installed still serves.
  if [ -n "$earlier" ] && [ "$status" -lt 128 ]; then write_stamp "$venv/.stamp-packages" "$earlier"; fi
  explain "installing Python's packages" "pip install --editable '.[$extras]'"
fi
write_stamp "$venv/.stamp-packages" "$(python_key "$wanted")"
