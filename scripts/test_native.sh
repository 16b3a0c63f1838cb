#!/usr/bin/env bash
# The C++ under the tools that see what values do not show: reads and writes out of bounds, undefined
# behaviour, leaks, values used before they are set, data races. The kernel without TensorFlow; the
# op within it, under the address sanitizer.
#   scripts/test_native.sh                        all four
#   scripts/test_native.sh asan|op|valgrind|tsan  one of them; op needs what asan has built
# Each is first shown an element too many (tsan: unlocked data), and must report it.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cmake >/dev/null || scripts/run python -m pip install --quiet cmake
if ! command -v valgrind >/dev/null; then
  echo "valgrind is missing: apt-get install valgrind" >&2
  exit 1
fi

sanitized="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"

# build NAME FLAGS...: the kernel by the project's own CMakeLists.txt, and the driver, in $folder.
build() {
  folder=build/native/$1
  local flags="${*:2}"
  scripts/run cmake -S . -B "$folder" -DCMAKE_BUILD_TYPE=None "-DCMAKE_CXX_FLAGS=$flags" >/dev/null
  scripts/run cmake --build "$folder" --target py_layernorm_kernel --parallel >/dev/null
  # shellcheck disable=SC2086 # one word for each flag
  "${CXX:-c++}" -std=c++17 $flags -I py_layernorm/native tests/native/driver.cc -o "$folder/driver" \
    -L "$folder" -lpy_layernorm_kernel -Wl,-rpath,"$PWD/$folder" -pthread
}

# must_report TEXT COMMAND...: sees the tool report the driver's deliberate fault, by that text.
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
  build asan "$sanitized"
  PY_LAYERNORM_ISA=avx2 must_report "ERROR: AddressSanitizer" "$folder/driver"
  on_each "baseline avx2 avx512" "$folder/driver"
  # AVX-512 reads and writes a row's end under a mask, into which the sanitizer does not look:
  # there, pages that may not be touched tell.
  PY_LAYERNORM_ISA=avx512 must_report "AddressSanitizer: SEGV" "$folder/driver" --after
  on_each avx512 "$folder/driver" --after
  on_each avx512 "$folder/driver" --before
}

# The op in a copy of the package, with the kernel that asan has built. Leaks are not looked for:
# those of Python and TensorFlow would be all there is to see.
op() {
  folder=build/native/asan
  local tree=$PWD/$folder/tree native preload
  native=$tree/py_layernorm/native
  scripts/run cmake --build "$folder" --target py_layernorm_op >/dev/null
  rm -rf "$tree"
  mkdir -p "$tree"
  cp -r py_layernorm tests "$tree"
  cp "$folder/libpy_layernorm_kernel.so" "$native"
  preload=$("${CXX:-c++}" -print-file-name=libasan.so):$("${CXX:-c++}" -print-file-name=libubsan.so)
  local -a tests=(scripts/run env "LD_PRELOAD=$preload" ASAN_OPTIONS=detect_leaks=0
    python "$tree/tests/with_package.py" "$tree" -q -x -p no:cacheprovider --capture=sys)

  # A copy of the op that asks for one mean too few.
  sed -i 's/= output(c, 1, TF_DOUBLE, rows, status)/= output(c, 1, TF_DOUBLE, {rows[0] - 1}, status)/' \
    "$native/op.cc"
  # shellcheck disable=SC2086,SC2016 # one word for each flag; the loader knows $ORIGIN
  "${CXX:-c++}" -std=c++17 $sanitized -fPIC -shared -I "$native" "$native/op.cc" \
    -o "$native/libpy_layernorm_op.so" -L "$folder" -lpy_layernorm_kernel -L "$folder/stand-in" \
    -Wl,--no-as-needed -ltensorflow_framework -Wl,--unresolved-symbols=ignore-all '-Wl,-rpath,$ORIGIN'
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

# valgrind runs the code as it is compiled for users; leaks are the address sanitizer's to find. Up
# to 3.22 it knows no AVX-512. The driver's own operator new is to stay in place.
valgrind_() {
  build valgrind -O3 -g -DNDEBUG
  local -a tool=(valgrind --quiet --error-exitcode=9 --soname-synonyms=somalloc=nouserintercepts)
  export PY_LAYERNORM_ISA=avx2
  must_report "Invalid read\|uninitialised" "${tool[@]}" "$folder/driver"
  on_each "baseline avx2" "${tool[@]}" "$folder/driver" --small
}

tsan() {
  build tsan -O1 -g -fsanitize=thread
  export TSAN_OPTIONS=halt_on_error=1
  must_report "ThreadSanitizer: data race" "$folder/driver"
  on_each "baseline avx512" "$folder/driver" --small
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
