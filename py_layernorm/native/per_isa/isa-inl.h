// Both passes, compiled for one instruction set. The file that includes this one names it: ISA is
// the name of its namespace, and ISA_AVX512 or ISA_AVX2 says what to use beyond the compiler's own
// target.
//
// Pragmas, not compiler flags: a build needs to know nothing about instruction sets, and R's accepts
// no such flags.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>
#include <utility>

#include "tasks.h"

// What follows is compiled for the instruction set. The headers above are not: the linker may share
// their functions with other files. Products and sums may be fused, and errno and FP traps are
// ignored; NaN and infinity must stay exact.
#if defined(__clang__)
#pragma clang fp contract(fast)
#if defined(ISA_AVX512)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c"))), apply_to = function)
#elif defined(ISA_AVX2)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#endif
#else
#if defined(ISA_AVX512)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")
#elif defined(ISA_AVX2)
#pragma GCC target("avx2,fma,f16c")
#endif
#pragma GCC optimize("O3", "fp-contract=fast", "no-math-errno", "no-trapping-math")
#endif

#include "per_isa/both-passes-inl.h"

#if defined(__clang__) && (defined(ISA_AVX512) || defined(ISA_AVX2))
#pragma clang attribute pop
#endif
