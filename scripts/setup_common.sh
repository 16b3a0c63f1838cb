# shellcheck shell=bash
# What the set-up scripts share: messages, stamps, running commands, Debian's packages.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
log="$root/.setup.log"
venv="$root/.venv${VERSIONS:+-$VERSIONS}"
r_lib="$root/.r-lib"
: "${wanted:=test}" # "test"; "lint": for the linters too; "check": for R CMD check, too

# The R packages beside those that layernorm imports. What reticulate imports stands here so that
# it comes ready-made from the system, and only reticulate is compiled.
r_packages=(Matrix Rcpp RcppTOML here jsonlite png rappdirs rlang withr magrittr testthat)
[ "$wanted" = test ] || r_packages+=(lintr)
[ "$wanted" != check ] || r_packages+=(covr knitr rmarkdown)

say() { printf '%s\n' "== $*"; }

# stop REASON REMEDY...: ends the set-up; one line of remedy for each argument.
stop() {
  printf '\nSet-up stopped: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
  exit 1
}

# logged COMMAND...: runs it with its output in the log.
logged() {
  log_start=$(($(wc -l <"$log") + 3))
  printf '\n$ %s\n' "$*" >>"$log"
  "$@" >>"$log" 2>&1 </dev/null
}

# attempt WHAT COMMAND...: logs it; when it fails, says why and stops.
attempt() {
  local what=$1
  shift
  logged "$@" || explain "$what" "$*"
}

# Whether less than 50 MB are left. Some commands do not say so when they fail, python -m venv among
# them.
disk_is_full() { [ "$(df -kP "$root" | awk 'NR == 2 { print $4 }')" -lt 51200 ]; }

# explain WHAT COMMAND: stops with the end of what the last logged command said.
explain() {
  local output remedy="Fix what it says, then run the same command again."
  output=$(tail -n "+$log_start" "$log")
  if disk_is_full || grep -qiE 'no space left|disk quota' <<<"$output"; then
    remedy="The disk is full. Make room (about 4 GB here: $root), then run the same command again."
  elif grep -qiE 'resolv|network is unreachable|timed out|connection (refused|reset|failed)|no route|failed to establish|could not connect' <<<"$output"; then
    remedy="The network did not answer. Check the connection (and any proxy), then run the same command again."
  elif grep -q 'No matching distribution found' <<<"$output"; then
    remedy="There may be no such package for this Python yet. Name another one: PYTHON=/path/to/python3, then run the same command again."
  fi
  stop "$1 failed." "command:   $2" "its end:" "" \
    "$(tail -n 8 <<<"$output" | cut -c 1-300 | sed '2,$s/^/  /')" "" "$remedy" "All of its output: $log"
}

# --- stamps ---------------------------------------------------------------------------------

checksum() { cksum | tr -d ' \n'; }

# checksum_of PATH...: one checksum over the names and contents of files and folders.
checksum_of() {
  (cd "$root" && find "$@" -type f ! -path '*/__pycache__/*' ! -name '*.so' -exec cksum {} + |
    LC_ALL=C sort | checksum)
}

r_version() { Rscript --version 2>&1 | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1; }

stamp_is() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# write_stamp FILE TEXT: all of it or nothing.
write_stamp() {
  printf '%s\n' "$2" >"$1.new"
  mv -f "$1.new" "$1"
}

# The .venv is created again when one of these changes: where it is, its Python's and R's version,
# and PYTHON, a choice that is kept until it is made again.
venv_key() {
  local python chosen
  chosen=${PYTHON:-$(sed -n 's/.*, chosen \(.*\), in .*/\1/p' "$venv/.stamp-venv" 2>/dev/null || true)}
  python=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
    python=none
  echo "python $python, R $(r_version | cut -d . -f 1,2), chosen ${chosen:-any}, in $root"
}

# Python packages are installed again when one of these changes.
python_key() {
  echo "$1: $(checksum_of pyproject.toml constraints CMakeLists.txt py_layernorm/native \
    scripts/setup_python.sh scripts/find_python.sh)"
}

# Other R packages are checked again when one of these changes.
r_key() {
  echo "$1: $(checksum_of r_package/DESCRIPTION scripts/setup_r.sh \
    scripts/newer_r_package.sh scripts/missing_r_packages.R) R $(r_version | cut -d . -f 1,2)"
}

# layernorm itself is installed again when one of its files changes; py_layernorm is part of it.
layernorm_key() { echo "$(checksum_of r_package py_layernorm) R $(r_version | cut -d . -f 1,2)"; }

venv_is_fresh() { [ -f "$venv/.stamp-packages" ] && stamp_is "$venv/.stamp-venv" "$(venv_key)"; }

# made_for FILE KEY: whether a set-up for what is wanted, or for more than that, left this stamp.
made_for() {
  local for_this for_these=(test lint check)
  [ "$wanted" = test ] || for_these=(lint check)
  [ "$wanted" != check ] || for_these=(check)
  for for_this in "${for_these[@]}"; do
    if stamp_is "$1" "$("$2" "$for_this")"; then return; fi
  done
  return 1
}

python_is_fresh() { venv_is_fresh && made_for "$venv/.stamp-packages" python_key; }

r_packages_are_fresh() { made_for "$r_lib/.stamp-packages" r_key; }

layernorm_is_fresh() { stamp_is "$r_lib/.stamp-layernorm" "$(layernorm_key)"; }

is_fresh() {
  command -v Rscript >/dev/null && python_is_fresh && r_packages_are_fresh && layernorm_is_fresh &&
    [ -f "$venv/.stamp-checked" ]
}

# --- Debian's and Ubuntu's packages ---------------------------------------------------------

has_apt() { command -v apt-get >/dev/null && command -v dpkg >/dev/null; }

# The version that apt would install, without epoch; nothing when there is none.
apt_version() {
  apt-cache policy "$1" 2>/dev/null |
    awk '$1 == "Candidate:" && $2 != "(none)" { sub(/^[0-9]+:/, "", $2); print $2 }'
}

# apt_run ARGUMENT...: apt-get as root, never asking a question.
apt_run() {
  local -a as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  attempt "apt-get $1" ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

# need_root COMMAND: stops unless this is root or sudo works; a password only from a person.
need_root() {
  [ "$(id -u)" -ne 0 ] || return 0
  if command -v sudo >/dev/null; then
    if sudo -n true 2>/dev/null; then return; fi
    if [ -t 0 ] && [ -t 2 ]; then
      say "This needs root: $1"
      if sudo -v; then return; fi
    fi
  fi
  stop "this needs root, and neither root nor sudo (without a password) is to be had." \
    "Have this run as root:   $1" "then run the same command again."
}

# The lists of packages are read from the network only when there are none.
apt_lists() {
  if [ -n "$(find /var/lib/apt/lists -name '*_Packages*' -print -quit 2>/dev/null)" ]; then return; fi
  need_root "apt-get update"
  say "Reading the lists of the system's packages (apt-get update)"
  apt_run update
}

# debian_name NAME: what Debian and Ubuntu call an R package.
debian_name() { echo "r-cran-$1" | tr '[:upper:]' '[:lower:]'; }

# apt_install PACKAGE...
apt_install() {
  local command="apt-get install --no-install-recommends $*"
  apt_lists
  need_root "$command"
  say "Installing the system's packages: $*"
  if (apt_run install --no-install-recommends "$@") 2>/dev/null; then return; fi
  # Old lists name packages that are gone, and an interrupted dpkg wants to be finished first.
  say "That failed: once more, with new lists of packages"
  if [ -n "$(ls /var/lib/dpkg/updates 2>/dev/null)" ]; then
    if [ "$(id -u)" -eq 0 ]; then attempt "finishing an interrupted installation" dpkg --configure -a
    else attempt "finishing an interrupted installation" sudo dpkg --configure -a; fi
  fi
  apt_run update
  apt_run install --no-install-recommends --fix-broken "$@"
}
