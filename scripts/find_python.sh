#!/usr/bin/env bash
# Finds the Python to make .venv from. Prints two lines: its path, and what it lacks of
# "venv" (the module) and "libpython" (the shared library, which reticulate loads).
# Fails when there is no Python from 3.10 to 3.13: TensorFlow has no newer one yet.
set -euo pipefail

# Runs in any Python, however old. Looks for libpython where reticulate does.
what_it_lacks='
import os, sys, sysconfig
if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit(1)
lacks = []
try:
    import ensurepip, venv
except ImportError:
    lacks.append("venv")
get = sysconfig.get_config_var
places = [get("LIBPL"), get("LIBDIR")] + [
    os.path.join(p, "lib") for p in (sys.base_prefix, sys.base_exec_prefix)]
name = "libpython%d.%d" % sys.version_info[:2]
files = [f for p in places if p and os.path.isdir(p) for f in os.listdir(p)]
if not any(f.startswith((name + ".so", name + ".dylib")) for f in files):
    lacks.append("libpython")
print(sys.executable)
print(" ".join(lacks))
'

case ${VERSIONS-} in
  oldest) candidates=(python3.10 python3.11 python3.12 python3) ;;
  newest) candidates=(python3.13 python3.12 python3.11 python3) ;;
  *) candidates=(python3 python3.13 python3.12 python3.11 python3.10 /usr/bin/python3) ;;
esac
[ -z "${PYTHON:-}" ] || candidates=("$PYTHON")

fallback=
for candidate in "${candidates[@]}"; do
  answer=$("$candidate" -c "$what_it_lacks" 2>/dev/null) || continue
  lacks=$(sed -n 2p <<<"$answer")
  if [ -z "$lacks" ]; then
    printf '%s\n\n' "$(sed -n 1p <<<"$answer")"
    exit
  fi
  # Of those that lack something, the system's own is best: apt has what it lacks.
  if [ -z "$fallback" ] || [ "$candidate" = /usr/bin/python3 ]; then fallback=$answer; fi
done

[ -n "$fallback" ] || exit 1
printf '%s\n' "$fallback"
