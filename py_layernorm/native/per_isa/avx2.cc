// For processors with AVX2, FMA and F16C.
#if defined(__x86_64__)
#define ISA avx2
#define ISA_AVX2
#include "per_isa/isa-inl.h"
#endif
