// The kernels of one instruction set. CMake compiles this file once for each, with that set's
// flags and with ISA naming its namespace: avx512, avx2 or baseline.
#include "per_isa/backward/long-inl.h"
#include "per_isa/backward/short-inl.h"
#include "per_isa/backward/strips-inl.h"
#include "per_isa/forward/long-inl.h"
#include "per_isa/forward/strips-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

template <class T>
constexpr Kernels kKernels = {
    forward_rows<T>,        forward_long_rows<T>,  long_sum<T>,         long_deviations<T>,
    long_normalise<T>,      long_mean<T>,          long_statistics<T>,  forward_strips<T>,
    backward_block_rows<T>, backward_long_sums<T>, backward_long_dx<T>, backward_block_strips<T>,
};

}  // namespace

const Kernels& kernels(int dtype) {
  switch (dtype) {
    case 0:
      return kKernels<float>;
    case 1:
      return kKernels<double>;
    case 2:
      return kKernels<bfloat16>;
    default:
      return kKernels<float16>;
  }
}

}  // namespace ISA
}  // namespace py_layernorm
