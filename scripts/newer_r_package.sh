#!/usr/bin/env bash
# Installs one R package that the system lacks, or has too old, into .r-lib: from CRAN where that
# answers, else from the sources of a newer Debian.
#   scripts/newer_r_package.sh reticulate 1.41
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup_common.sh
. "$(dirname "$0")/setup_common.sh"

name=$1 version=$2
newer_debian=trixie

rm -rf "$r_lib/.new"
mkdir -p "$r_lib/.new"
work=$(mktemp -d)
trap 'rm -rf "$work" "$r_lib/.new"' EXIT

# make hands its own flags down; R's builds take the number of processors from here instead.
MAKEFLAGS=-j$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
export MAKEFLAGS

is_debian() { has_apt && [ "$(. /etc/os-release && echo "$ID")" = debian ]; }

need_compiler() {
  local compiler
  compiler=$(R CMD config CXX | awk '{ print $1 }')
  if command -v "$compiler" >/dev/null && command -v make >/dev/null; then return; fi
  has_apt || stop "$name must be compiled, and there is no $compiler or no make." \
    "Install a C++ compiler and make, then run the same command again."
  apt_install g++ make
}

# Whole packages only are moved to where R looks for them.
move_into_place() {
  local package
  for package in "$r_lib"/.new/*/; do
    package=$(basename "$package")
    rm -rf "${r_lib:?}/$package"
    mv "$r_lib/.new/$package" "$r_lib/"
  done
}

# The system's own list of Debian's archive, told to hold the sources of the newer release. It
# is read into a private folder; the system's own configuration stays as it is.
newer_debian_sources() {
  local here file
  here=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  mkdir -p "$work/sources" "$work/lists/partial" "$work/cache/archives/partial"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -r "$file" ] || continue
    # deb [options] address suite component...
    awk -v here="$here" -v newer="$newer_debian" '
      $1 == "deb" || $1 == "deb-src" {
        options = ""
        if (match($0, /\[[^]]*\]/)) {
          options = substr($0, RSTART, RLENGTH) " "
          $0 = substr($0, 1, RSTART - 1) substr($0, RSTART + RLENGTH)
        }
        if ($2 !~ /^cdrom:/ && ($3 == here || $3 ~ /^(old)*stable$/) && / main( |$)/)
          print "deb-src " options $2 " " newer " main"
      }' "$file" >>"$work/sources/lines.list"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -r "$file" ] || continue
    # paragraphs of fields: Types, URIs, Suites, Components, Signed-By
    awk -v here="$here" -v newer="$newer_debian" '
      BEGIN { RS = ""; FS = "\n" }
      {
        text = ""; suite = 0; main = 0; on = 1
        for (i = 1; i <= NF; i++) {
          line = $i; field = tolower(line); sub(/:.*/, "", field)
          words = " " line " "; sub(/^[^:]*:/, " ", words); gsub(/[ \t]+/, " ", words)
          if (line ~ /^#/) continue
          if (field == "enabled" && tolower(words) ~ / no /) on = 0
          if (field == "types") line = "Types: deb-src"
          if (field == "suites") {
            suite = index(words, " " here " ") || words ~ / (old)*stable /
            line = "Suites: " newer
          }
          if (field == "components") { main = index(words, " main "); line = "Components: main" }
          text = text line "\n"
        }
        if (suite && main && on) print text
      }' "$file" >>"$work/sources/paragraphs.sources"
  done
  cat >"$work/apt.conf" <<CONF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/sources";
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
Dir::Cache::archives "$work/cache/archives";
APT::Sandbox::User "root";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
CONF
}

# Fails when CRAN does not answer, or has no such version; stops when it has, and that fails.
from_cran() {
  local status=0
  logged Rscript "$root/scripts/install_from_cran.R" "$name" "$version" "$r_lib/.new" || status=$?
  case $status in
    0) ;;
    3) return 1 ;;
    *) explain "installing $name from CRAN" "install.packages(\"$name\")" ;;
  esac
}

from_newer_debian() {
  local debian
  debian=$(debian_name "$name")
  newer_debian_sources
  cd "$work"
  # The lists may name other archives as well, without that release: what counts is the package.
  logged apt-get -q -c "$work/apt.conf" update || true
  attempt "fetching the source of $debian from Debian $newer_debian" \
    apt-get -q -c "$work/apt.conf" source --download-only --tar-only "$debian"
  attempt "compiling $name" R CMD INSTALL --no-multiarch "--library=$r_lib/.new" \
    "$(find "$work" -name "${debian}_*.orig.tar.*z*" ! -name '*.asc' -print -quit)"
}

need_compiler
say "Installing $name from CRAN into .r-lib"
if ! from_cran; then
  if ! is_debian; then
    stop "$name $version or newer is needed, and CRAN does not answer." \
      "Check the network, or the option repos in your ~/.Rprofile, then run the same command again."
  fi
  say "CRAN does not answer; compiling the source package of Debian $newer_debian (about a minute)"
  from_newer_debian
fi
move_into_place
