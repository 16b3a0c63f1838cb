#!/usr/bin/env bash
# R's packages: from the system where it has them new enough, else into .r-lib; then layernorm.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=setup_common.sh
. "$(dirname "$0")/setup_common.sh"

export R_LIBS="$r_lib${R_LIBS:+:$R_LIBS}"

missing_packages() {
  Rscript "$root/scripts/missing_r_packages.R" "$root/r_package/DESCRIPTION" "${r_packages[@]}"
}

# What is missing, and the system has at the version asked for: one Debian name to a line.
of_the_system() {
  local name version debian offered
  while read -r name version; do
    debian=$(debian_name "$name")
    offered=$(apt_version "$debian")
    if [ -n "$offered" ] && dpkg --compare-versions "$offered" ge "$version"; then echo "$debian"; fi
  done <<<"$1"
}

install_packages() {
  local missing names name version
  say "Looking which R packages are missing"
  missing=$(missing_packages)
  if [ -n "$missing" ] && has_apt; then
    apt_lists
    names=$(of_the_system "$missing")
    # shellcheck disable=SC2086 # one word for each package
    [ -z "$names" ] || apt_install $names
    missing=$(missing_packages)
  fi
  [ -n "$missing" ] || return 0
  while read -r name version <&3; do
    "$root/scripts/newer_r_package.sh" "$name" "$version"
  done 3<<<"$missing"
  missing=$(missing_packages)
  [ -z "$missing" ] || stop "R still cannot load: $(tr '\n' ' ' <<<"$missing")" "See $log"
}

install_layernorm() {
  say "Installing the R package layernorm into .r-lib"
  rm -f "$r_lib/.stamp-layernorm"
  key=$(layernorm_key)
  rm -rf "$r_lib/.new"
  mkdir -p "$r_lib/.new"
  attempt "installing the R package layernorm" \
    R CMD INSTALL --no-multiarch "--library=$r_lib/.new" "$root/r_package"
  rm -rf "$r_lib/layernorm"
  mv "$r_lib/.new/layernorm" "$r_lib/"
  write_stamp "$r_lib/.stamp-layernorm" "$key"
}

# Compiled packages serve the R that they were compiled for.
r=$(r_version | cut -d . -f 1,2)
if ! stamp_is "$r_lib/.stamp-r" "$r"; then
  rm -rf "$r_lib"
  mkdir "$r_lib"
  write_stamp "$r_lib/.stamp-r" "$r"
fi

if ! r_packages_are_fresh; then
  rm -f "$r_lib/.stamp-packages" "$venv/.stamp-checked"
  install_packages
  write_stamp "$r_lib/.stamp-packages" "$(r_key "$wanted")"
fi
layernorm_is_fresh || install_layernorm
