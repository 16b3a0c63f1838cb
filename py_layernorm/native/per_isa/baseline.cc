// For every processor that the compiler compiles for.
#define ISA baseline
#include "per_isa/isa-inl.h"
