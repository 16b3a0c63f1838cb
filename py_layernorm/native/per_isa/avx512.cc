// For processors with AVX-512.
#if defined(__x86_64__)
#define ISA avx512
#define ISA_AVX512
#include "per_isa/isa-inl.h"
#endif
