// The plain algorithm, beside which `make bench` measures what the kernel's accuracy costs: the mean
// in one float, the variance from the deviations alone. It is built of the kernel's own parts, with
// its flags, so that nothing else differs.
#include "per_isa/forward/rows-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

INLINE Vec<float> squares_of_chunk(const float* x, int64_t n, float m) {
  Sum<float, 4> sum;
  for_parts<kLanes<float>, 4>(n, [&](int u, int64_t j, int64_t left) {
    const Vec<float> difference = load(x + j, left) - m;
    const Vec<float> d = left < kLanes<float> ? first_lanes<float>(difference, left) : difference;
    sum.part[u] += d * d;
  });
  return sum.total();
}

INLINE Vec<float> plain_chunk(const float* x, const float* gamma, const float* beta, int64_t n,
                              float m, float r, float* y, const float* next) {
  Sum<float, 4> sum;
  for_parts<kLanes<float>, 4>(n, [&](int u, int64_t j, int64_t left) {
    const Vec<float> xhat = (load(x + j, left) - m) * r;
    sum.part[u] += load(next + j, left);
    write<false>(y + j, xhat * load(gamma + j, left) + load(beta + j, left), left);
  });
  return sum.total();
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm

using namespace py_layernorm;
using namespace py_layernorm::ISA;

// Rows of at most kChunk elements, a multiple of four of them, by one thread.
extern "C" void plain_forward(int64_t rows, int64_t n, const float* x, const float* gamma,
                              const float* beta, float epsilon, float* y, float* mean,
                              float* rstd) {
  constexpr int kRows = 4;
  const float one_nth = 1 / static_cast<float>(n);
  Vec<float> sum[kRows];
  for (int r = 0; r < kRows; ++r) sum[r] = sum_of_chunk<4>(x + r * n, n);
  for (int64_t first = 0; first < rows; first += kRows) {
    float m[kLanes<float>], squares[kLanes<float>];
    store(m, sum_each<float, kRows>(sum) * one_nth);
    for (int r = 0; r < kRows; ++r) sum[r] = squares_of_chunk(x + (first + r) * n, n, m[r]);
    store(squares, sum_each<float, kRows>(sum) * one_nth);
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = first + r;
      mean[row] = m[r];
      rstd[row] = 1 / __builtin_sqrtf(squares[r] + epsilon);
      sum[r] = plain_chunk(x + row * n, gamma, beta, n, m[r], rstd[row], y + row * n,
                           x + smaller(row + kRows, rows - 1) * n);
    }
  }
}
