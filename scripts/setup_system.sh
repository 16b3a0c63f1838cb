#!/usr/bin/env bash
# What comes from the system: R, a compiler, and what a Python of the system's lacks.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup_common.sh
. "$(dirname "$0")/setup_common.sh"

packages=()
again="then run the same command again."

if ! command -v Rscript >/dev/null; then
  has_apt || stop "R is missing: there is no Rscript on the PATH." \
    "Install R 4.1 or newer from your system's packages or from R's own site, $again"
  # R's packages are asked for in one go with it: that is faster, and one question to root.
  apt_lists
  packages+=(r-base-core)
  for name in "${r_packages[@]}"; do
    debian=$(debian_name "$name")
    [ -z "$(apt_version "$debian")" ] || packages+=("$debian")
  done
fi

# The native op is compiled, and so is reticulate where the system's is too old.
if has_apt && ! command -v g++ >/dev/null && ! command -v c++ >/dev/null; then packages+=(g++); fi

look_at_python() {
  local found python version lacks lack
  found=$("$root/scripts/find_python.sh") ||
    stop "${PYTHON:-there} is no Python from 3.10 to 3.13 that runs." \
      "TensorFlow has no release for newer ones yet." \
      "Install one (on Debian and Ubuntu: apt-get install python3 python3-venv), $again" \
      "PYTHON=/path/to/python3 names one that is not on the PATH."
  python=$(sed -n 1p <<<"$found")
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  lacks=$(sed -n 2p <<<"$found")
  for lack in $lacks; do
    if [[ $python = /usr/bin/* ]] && has_apt; then
      case $lack in
        venv) packages+=("python$version-venv") ;;
        libpython) packages+=("libpython$version") ;;
      esac
    elif [ "$lack" = venv ]; then
      stop "$python has no module venv with pip." \
        "Install it, or name another Python: PYTHON=/path/to/python3, $again"
    else
      stop "$python has no shared library libpython$version, which R's reticulate loads." \
        "Build that Python with --enable-shared, or name another: PYTHON=/path/to/python3, $again"
    fi
  done
}

# What makes R's manual and vignettes, and looks at them. inconsolata, R's default font for the
# manual, would be half a gigabyte more; scripts/check_r.sh asks for the manual without it.
look_at_tools() {
  local tool command missing=
  local -a tools=(pandoc:pandoc qpdf:qpdf tidy:tidy
    "pdflatex:texlive-latex-base texlive-latex-recommended texlive-fonts-recommended")
  for tool in "${tools[@]}"; do
    command=${tool%%:*}
    if command -v "$command" >/dev/null; then continue; fi
    missing="$missing $command"
    # shellcheck disable=SC2206 # one word for each package
    packages+=(${tool#*:})
  done
  [ -z "$missing" ] || has_apt || stop "R CMD check needs these commands:$missing" \
    "Install them, $again"
}

[ "$wanted" != check ] || look_at_tools
venv_is_fresh || look_at_python
[ ${#packages[@]} -eq 0 ] || apt_install "${packages[@]}"
