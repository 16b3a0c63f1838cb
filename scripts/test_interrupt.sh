#!/usr/bin/env bash
# Kills `make setup` and `make demo` at many moments, in a copy of this checkout, and sees the next
# run succeed; then gives them a disk that is full, and sees them say so.
#   scripts/test_interrupt.sh            the moments below: about an hour
#   scripts/test_interrupt.sh 5 20 60    the moments in seconds, for each of the commands
set -euo pipefail
cd "$(dirname "$0")/.."

moments=("$@")
[ ${#moments[@]} -gt 0 ] || moments=(0.2 1 2 4 8 12 20 30 45 60 90)
copy=$PWD/build/interrupt/checkout

# A copy of what is committed or changed here, without what set-up makes.
rm -rf "$copy"
mkdir -p "$copy"
git ls-files --cached --others --exclude-standard -z | xargs -0 tar cf - | tar xf - -C "$copy"
cd "$copy"

# kill_after SECONDS SIGNAL COMMAND...: kills it with all that it started, as a closed terminal or
# a power cut would. Says whether it was still running.
kill_after() {
  local seconds=$1 signal=$2 group
  setsid "${@:3}" >run.log 2>&1 </dev/null &
  group=$!
  sleep "$seconds"
  if kill "-$signal" -- "-$group" 2>/dev/null; then echo "  killed ($signal) after $seconds s: ${*:3}"
  else echo "  had ended before $seconds s: ${*:3}"; fi
  wait "$group" 2>/dev/null || true
  while kill -0 -- "-$group" 2>/dev/null; do sleep 0.1; done
}

must_succeed() {
  echo "  then: $*"
  "$@" >run.log 2>&1 </dev/null || { tail -n 30 run.log; echo "FAILED after a kill: $*" >&2; exit 1; }
}

works() {
  must_succeed scripts/run Rscript -e 'stopifnot(inherits(layernorm::layernorm_sitrep, "function"))'
  must_succeed scripts/run python -c \
    'from py_layernorm import engines as e; assert e.describe()[0] == "fused", e.describe()'
}

signals=(KILL TERM HUP)
number=0
next_signal() {
  signal=${signals[number % 3]}
  number=$((number + 1))
}

echo "== make setup from nothing, killed again and again before it is done"
for seconds in "${moments[@]}"; do
  next_signal
  kill_after "$seconds" "$signal" make setup
done
must_succeed make setup
works

echo "== each step of make setup, killed once and then run to its end"
steps=(.venv/.stamp-packages .venv/.stamp-checked .r-lib/.stamp-packages .r-lib/.stamp-layernorm)
for seconds in "${moments[@]}"; do
  next_signal
  step=${steps[number % 4]}
  echo "  without $step"
  rm -f "$step" .venv/.stamp-checked
  kill_after "$seconds" "$signal" make setup
  must_succeed make setup
  works
done

echo "== make demo, killed once and then run to its end"
for seconds in "${moments[@]}"; do
  next_signal
  kill_after "$seconds" "$signal" make demo
  must_succeed make demo
done

echo "== a full disk"
# full_disk FOLDER SIZE: a file system of that size in its place, until it is unmounted.
full_disk() {
  mkdir -p "$1"
  mount -t tmpfs -o "size=$2" tmpfs "$1"
  trap 'umount "$copy.full" "$copy/examples/output" 2>/dev/null || true' EXIT
}

# must_say TEXT COMMAND...: sees it fail, with that text.
must_say() {
  echo "  on it: ${*:2}"
  if "${@:2}" >run.log 2>&1 </dev/null; then echo "FAILED: it found room" >&2; exit 1; fi
  grep -F "$1" run.log || { tail -n 20 run.log; echo "FAILED: not said: $1" >&2; exit 1; }
}

if [ "$(id -u)" -eq 0 ] && full_disk "$copy.full" 40m; then
  git -C "$OLDPWD" ls-files -z | (cd "$OLDPWD" && xargs -0 tar cf -) | tar xf - -C "$copy.full"
  must_say "The disk is full" make -C "$copy.full" setup
  full_disk "$copy/examples/output" 40k
  must_say "No space left on device" make demo
  umount "$copy/examples/output"
  must_succeed make demo
else
  echo "  not tried: no tmpfs can be mounted here"
fi
echo "Every run after a failure succeeded."
