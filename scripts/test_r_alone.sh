#!/usr/bin/env bash
# What an R user has, and nothing else: an empty R library into which the built package and what it
# imports are installed, an empty home, and no Python set-up. R then makes, trains, saves and loads a
# model on the fused engine:
#   managed   in the environment that reticulate creates with uv
#   venv      in a virtual environment that holds Keras and TensorFlow only
#   scripts/test_r_alone.sh [managed] [venv]
#
# uv comes from PyPI. What it downloads is kept in build/r_alone for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
work=$root/build/r_alone
situations=("$@")
[ $# -gt 0 ] || situations=(managed venv)
mkdir -p "$work"
rm -rf "${work:?}"/{tools,path,library,home,venv,layernorm_*.tar.gz}
mkdir "$work/library" "$work/home"

stop() {
  printf '%s\n' "$@" >&2
  exit 1
}

# logged WHAT COMMAND...: shows its output only when it fails.
logged() {
  echo "== $1"
  "${@:2}" >"$work/log" 2>&1 </dev/null || { tail -n 40 "$work/log"; stop "Failed: $1"; }
}

# --- uv, and an R library with what layernorm imports ----------------------------------------

reticulate=$(R_LIBS="$root/.r-lib" Rscript --vanilla -e \
  'cat(if (requireNamespace("reticulate", quietly = TRUE)) find.package("reticulate"))')
[ -n "$reticulate" ] || stop "reticulate is not installed. Run: make setup"
version=$(sed -n 's/^Version: *//p' "$reticulate/DESCRIPTION")
Rscript --vanilla -e 'quit(status = package_version(commandArgs(TRUE)) < "1.41")' "$version" ||
  stop "reticulate $version in $reticulate is too old: 1.41 or newer is needed. Run: make setup"
ln -s "$reticulate" "$work/library/reticulate"

# reticulate before 1.44 does not work with uv from 0.8 on (reticulate's issue 1818).
uv=uv
Rscript --vanilla -e 'quit(status = package_version(commandArgs(TRUE)) < "1.44")' "$version" ||
  uv='uv<0.8'
base=$(scripts/find_python.sh | sed -n 1p)
logged "Installing $uv from PyPI" bash -c '"$0" -m venv "$1" && "$1/bin/pip" install --quiet "$2"' \
  "$base" "$work/tools" "$uv"

# No settings of this machine's or of the caller's but those that say where packages come from.
alone() {
  env -i PATH="$work/path:/usr/local/bin:/usr/bin:/bin" HOME="$work/home" LANG=C.UTF-8 \
    R_LIBS="$work/library" R_LIBS_USER="$work/none" UV_CACHE_DIR="$work/cache/uv" R_USER_CACHE_DIR="$work/cache" \
    UV_PYTHON_PREFERENCE=only-system R_PROFILE_USER="$work/Rprofile" TF_CPP_MIN_LOG_LEVEL=3 \
    "${sources[@]}" "$@"
}
# reticulate has uv download a Python, from elsewhere than PyPI. Here this machine's stands in for it,
# which reticulate before 1.42 allows by no setting.
mkdir "$work/path"
cat >"$work/path/uv" <<UV
#!/bin/sh
[ "\$1" != run ] || for argument; do
  shift
  [ "\$argument" != only-managed ] || argument=only-system
  set -- "\$@" "\$argument"
done
exec "$work/tools/bin/uv" "\$@"
UV
chmod +x "$work/path/uv"
ln -s "$base" "$work/path/"
"$base" -c 'import sys; print("reticulate::py_require(python_version = \"%d.%d\")" % sys.version_info[:2])' \
  >"$work/Rprofile"
mapfile -t sources < <(env | grep -E \
  '^(UV_(DEFAULT_)?INDEX(_URL)?|UV_EXTRA_INDEX_URL|UV_FIND_LINKS|PIP_[A-Z_]*|SSL_CERT_FILE|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY)=')

# --- the package -----------------------------------------------------------------------------

cd "$work"
logged "R CMD build" alone R CMD build --no-build-vignettes "$root/r_package"
tarball=$(echo "$work"/layernorm_*.tar.gz)
[ "$(stat -c %s "$tarball")" -lt 5000000 ] || stop "The tarball has 5 MB or more: $tarball"
started=$SECONDS
logged "R CMD INSTALL" alone R CMD INSTALL --no-multiarch --library="$work/library" "$tarball"
grep '^configure:' "$work/log"
echo "   $((SECONDS - started)) s"

# --- the model -------------------------------------------------------------------------------

# Not in this checkout: uv before 0.8 adds the packages of a .venv in a folder above.
elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
cd "$elsewhere"
for situation in "${situations[@]}"; do
  case $situation in
    managed) python=managed ;;
    venv)
      logged "Making a virtual environment with Keras and TensorFlow" alone \
        "$work/tools/bin/uv" venv --python "$base" "$work/venv"
      logged "Installing them" alone "$work/tools/bin/uv" pip install \
        --python "$work/venv/bin/python" keras tensorflow
      python=$work/venv/bin/python
      ;;
    *) stop "test_r_alone.sh: no such situation: $situation" ;;
  esac
  echo "== A model in R, RETICULATE_PYTHON=$python"
  alone RETICULATE_PYTHON="$python" Rscript "$root/scripts/test_r_alone.R"
done
echo "${#situations[@]} passed, 0 failed"
