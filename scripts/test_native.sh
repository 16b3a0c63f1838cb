#!/usr/bin/env bash
# The C++ under the tools that find what wrong values do not show: accesses out of bounds, undefined
# behaviour, leaks, uninitialised values, data races. The kernel without TensorFlow, and the op in
# TensorFlow under the address sanitizer.
#   scripts/test_native.sh                        all four
#   scripts/test_native.sh asan|op|valgrind|tsan  one of them
# Each tool must first report a deliberate fault: an element too many (tsan: a data race).
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cmake >/dev/null || scripts/run python -m pip install --quiet cmake
if ! command -v valgrind >/dev/null; then
  echo "valgrind is missing: apt-get install valgrind" >&2
  exit 1
fi

# build PRESET: what CMakePresets.json says, in $folder; the driver is $driver.
build() {
  folder=build/native/$1
  driver=$folder/tests/native/driver
  scripts/run cmake --preset "$1" >/dev/null
  scripts/run cmake --build --preset "$1" --parallel >/dev/null
}

# must_report TEXT COMMAND...: checks that the tool reports the driver's deliberate fault with TEXT.
must_report() {
  local said
  if said=$("${@:2}" --break 2>&1) || ! grep -q "$1" <<<"$said"; then
    printf '%s\n' "$said" "The tool did not report the deliberate fault: ${*:2}" >&2
    exit 1
  fi
}

# on_each "ISA..." COMMAND...: runs it once for each instruction set that this processor has.
on_each() {
  local isa
  for isa in $1; do
    echo "== ${*:2}: $isa"
    PY_LAYERNORM_ISA=$isa "${@:2}"
  done
}

asan() {
  build asan
  PY_LAYERNORM_ISA=avx2 must_report "ERROR: AddressSanitizer" "$driver"
  on_each "baseline avx2 avx512" "$driver"
  # AVX-512 reads and writes the end of a row under a mask, which the sanitizer does not see. Guard
  # pages do.
  PY_LAYERNORM_ISA=avx512 must_report "AddressSanitizer: SEGV" "$driver" --after
  on_each avx512 "$driver" --after
  on_each avx512 "$driver" --before
}

# The op in a copy of the package. Leaks are not reported: there would be nothing but Python's and
# TensorFlow's own.
op() {
  build asan
  local tree=$PWD/$folder/tree native preload
  native=$tree/py_layernorm/native
  rm -rf "$tree"
  mkdir -p "$tree"
  cp -r py_layernorm tests "$tree"
  cp "$folder/libpy_layernorm_kernel.so" "$native"
  preload=$("${CXX:-c++}" -print-file-name=libasan.so):$("${CXX:-c++}" -print-file-name=libubsan.so)
  local -a tests=(scripts/run env "LD_PRELOAD=$preload" ASAN_OPTIONS=detect_leaks=0
    python "$tree/tests/with_package.py" "$tree" -q -x -p no:cacheprovider --capture=sys)

  cp "$folder/tests/native/libfaulty_op.so" "$native/libpy_layernorm_op.so"
  local said
  if said=$("${tests[@]}" "$tree/tests/engines/test_fused.py" 2>&1) ||
    ! grep -q "AddressSanitizer: heap-buffer-overflow" <<<"$said"; then
    printf '%s\n' "$said" "The sanitizer did not report the deliberate fault of the op" >&2
    exit 1
  fi

  cp "$folder/libpy_layernorm_op.so" "$native"
  echo "== the op within TensorFlow"
  "${tests[@]}" "$tree"/tests/{engines/test_op_arguments,engines/test_fused,values/test_layouts}.py
}

# valgrind runs the code as it is compiled for users; leaks are for the address sanitizer to find.
# Up to 3.22 it does not know AVX-512. It must not replace the driver's operator new.
valgrind_() {
  build valgrind
  local -a tool=(valgrind --quiet --error-exitcode=9 --soname-synonyms=somalloc=nouserintercepts)
  export PY_LAYERNORM_ISA=avx2
  must_report "Invalid read\|uninitialised" "${tool[@]}" "$driver"
  on_each "baseline avx2" "${tool[@]}" "$driver" --small
}

tsan() {
  build tsan
  export TSAN_OPTIONS=halt_on_error=1
  must_report "ThreadSanitizer: data race" "$driver"
  on_each "baseline avx512" "$driver" --small
}

case ${1:-all} in
  asan) asan ;;
  op) op ;;
  valgrind) valgrind_ ;;
  tsan) tsan ;;
  all) asan; op; valgrind_; tsan ;;
  *) echo "test_native.sh: unknown argument $1" >&2; exit 2 ;;
esac
echo "No report from any tool."
