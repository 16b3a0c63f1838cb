// The plain formula over the last axis, for float, as the compiler makes it fast by itself.
// benchmarks/kernel.py measures what the kernel's accuracy costs beside it.
#include "plain.h"

#include "kernel.h"

extern "C" PY_LAYERNORM_API void plain_forward(std::int64_t rows, std::int64_t n, const float* x,
                                               const float* gamma, const float* beta, float epsilon,
                                               float* y, float* mean, float* rstd) {
  py_layernorm::plain::forward<float>(rows, n, 1, x, gamma, beta, epsilon, y, mean, rstd);
}
