#!/usr/bin/env bash
# R CMD check --as-cran of the R package, as built for CRAN, three times: with Python and the
# Keras, with a Python that lacks Keras, and without any Python. Fails on every
# error, warning and note, on every attempt to reach the network, and on every file left in HOME.
#   scripts/check_r.sh [present] [without-keras] [absent]
#
# Needs what scripts/setup.sh --check installs. The logs stay in build/check_r.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
work=$root/build/check_r
situations=("$@")
[ $# -gt 0 ] || situations=(present without-keras absent)
rm -rf "$work"
mkdir -p "$work/repository/src/contrib"
failed=

# --- what the check itself needs to be told --------------------------------------------------

export R_LIBS="$root/.r-lib${R_LIBS:+:$R_LIBS}" R_ENVIRON_USER='' R_PROFILE_USER=''
export TF_CPP_MIN_LOG_LEVEL=3 # as in scripts/run

# Nothing goes to the network, so that an attempt of the package's is told from one of the check's:
# what CRAN's servers hold is left out (whether the name is taken, whether links answer), the clock
# is not compared with a server's, and the repository of packages is an empty one in a folder.
export _R_CHECK_CRAN_INCOMING_REMOTE_=false
export _R_CHECK_SYSTEM_CLOCK_=false
touch "$work/repository/src/contrib/PACKAGES"
printf 'menu_name\tURL\tdefault\tsource\twin.binary\tmac.binary\nCRAN\tCRAN\tfile://%s\tTRUE\tTRUE\tFALSE\tFALSE\n' \
  "$work/repository" >"$work/repositories"
export R_REPOSITORIES="$work/repositories" R_PROFILE="$work/Rprofile"
echo "options(repos = c(CRAN = 'file://$work/repository'))" >"$work/Rprofile"
# R looks at the links in the help pages all the same: to this one.
links='^CONNECT arxiv\.org:443 '

# keras3 is not in Debian; the tests that need it are skipped without it.
export _R_CHECK_PACKAGE_DEPENDS_IGNORE_MISSING_ENHANCES_=true
# The default also asks for the font inconsolata: half a gigabyte of TeX packages.
export R_RD4PDF=times,hyper
# The example that runs first starts TensorFlow. CRAN's machines have none, and run no example.
export _R_CHECK_EXAMPLE_TIMING_THRESHOLD_=60

# --- the package -----------------------------------------------------------------------------

echo "== R CMD build"
cd "$work"
"$root/scripts/run" R CMD build "$root/r_package" >build.log 2>&1 || {
  cat build.log
  exit 1
}
tarball=$(echo "$work"/layernorm_*.tar.gz)

# --- the three situations --------------------------------------------------------------------

# Prints variables for env that give R that Python; what is not set here, reticulate finds itself.
python_for() {
  case $1 in
    present) echo "RETICULATE_PYTHON=$root/.venv/bin/python" ;;
    without-keras)
      "$root/.venv/bin/python" -m venv --without-pip "$work/bare" >&2
      echo "RETICULATE_PYTHON=$work/bare/bin/python"
      ;;
    absent)
      # All programs but Python and its tools.
      local folder file
      mkdir "$work/bin"
      for folder in /usr/local/bin /usr/bin /bin; do
        for file in "$folder"/*; do
          case ${file##*/} in
            *python* | pip* | uv | uvx | conda* | virtualenv* | pyenv*) ;;
            *) [ -e "$work/bin/${file##*/}" ] || ln -s "$file" "$work/bin/" ;;
          esac
        done
      done
      echo "PATH=$work/bin"
      ;;
    *) echo "check_r.sh: no such situation: $1" >&2; return 2 ;;
  esac
}

# report WHAT TEXT: a finding, unless there is no text.
report() {
  [ -n "$2" ] || return 0
  printf '   %s\n%s\n' "$1" "$2"
  failed=yes
}

"$root/.venv/bin/python" "$root/scripts/no_network.py" "$work/port" "$work/asked" &
proxy=$!
trap 'kill "$proxy"' EXIT
until [ -s "$work/port" ]; do sleep 0.1; done
proxy_url=http://127.0.0.1:$(cat "$work/port")

for situation in "${situations[@]}"; do
  python=$(python_for "$situation")
  echo "== R CMD check --as-cran, Python $situation"
  folder=$work/$situation
  mkdir -p "$folder/home" "$folder/tex"
  : >"$work/asked"
  # TeX writes its fonts to HOME unless told where; that is no doing of the package's.
  status=0
  env -u RETICULATE_PYTHON -u RETICULATE_USE_MANAGED_VENV -u VIRTUAL_ENV -u KERAS_HOME \
    -u MPLCONFIGDIR -u XDG_CACHE_HOME HOME="$folder/home" TEXMFVAR="$folder/tex" "$python" \
    {http,https,ftp,all}_proxy="$proxy_url" {HTTP,HTTPS,FTP,ALL}_PROXY="$proxy_url" \
    no_proxy= NO_PROXY= \
    R CMD check --as-cran --output="$folder" "$tarball" >"$folder/check.log" 2>&1 || status=$?
  tail -n +2 "$folder/check.log" | grep -E '^Status:' || status=1
  # OK, or a package that CRAN has not seen before. Everything else is shown.
  findings=$(grep -E '\.\.\.( \[.*\])? (NOTE|WARNING|ERROR)|^Status: .*(ERROR|WARNING)' \
    -A 8 "$folder/check.log" || true)
  [ "$status" -eq 0 ] || findings="$findings
$(tail -n 30 "$folder/check.log")"
  report "found by R CMD check (all of it: $folder/check.log):" "$findings"
  report "asked of the network:" "$(grep -v "$links" "$work/asked" || true)"
  report "left in HOME:" "$(find "$folder/home" -mindepth 1)"
done

[ -z "$failed" ] || exit 1
echo "No findings."
