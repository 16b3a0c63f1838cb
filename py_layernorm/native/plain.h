// Layer normalisation, plainly: what the kernel computes, without what makes it fast and accurate.
// The tests and the benchmarks compare the kernel with this.
//
//   x, y, dy, dx                [outer, n, inner]
//   gamma, beta, dgamma, dbeta  [n]
//   mean, rstd                  [outer, inner], one of each a row: the n elements (o, 0..n-1, i)
#pragma once

#include <cmath>
#include <cstdint>

namespace py_layernorm {
namespace plain {

template <class T>
void forward(std::int64_t outer, std::int64_t n, std::int64_t inner, const T* x, const T* gamma,
             const T* beta, T epsilon, T* y, T* mean, T* rstd) {
  for (std::int64_t row = 0; row < outer * inner; ++row) {
    const std::int64_t first = row / inner * n * inner + row % inner;  // element (o, 0, i)
    T sum = 0, sum_d2 = 0;
    for (std::int64_t k = 0; k < n; ++k) sum += x[first + k * inner];
    const T m = sum / n;
    for (std::int64_t k = 0; k < n; ++k) {
      const T d = x[first + k * inner] - m;
      sum_d2 += d * d;
    }
    const T r = 1 / std::sqrt(sum_d2 / n + epsilon);
    for (std::int64_t k = 0; k < n; ++k)
      y[first + k * inner] = (x[first + k * inner] - m) * r * gamma[k] + beta[k];
    mean[row] = m;
    rstd[row] = r;
  }
}

template <class T>
void backward(std::int64_t outer, std::int64_t n, std::int64_t inner, const T* dy, const T* x,
              const T* gamma, const T* mean, const T* rstd, T* dx, T* dgamma, T* dbeta) {
  for (std::int64_t k = 0; k < n; ++k) dgamma[k] = dbeta[k] = 0;
  for (std::int64_t row = 0; row < outer * inner; ++row) {
    const std::int64_t first = row / inner * n * inner + row % inner;
    const T m = mean[row], r = rstd[row];
    T sum_g = 0, sum_gx = 0;
    for (std::int64_t k = 0; k < n; ++k) {
      const T d = dy[first + k * inner], xhat = (x[first + k * inner] - m) * r;
      dgamma[k] += d * xhat;
      dbeta[k] += d;
      sum_g += d * gamma[k];
      sum_gx += d * gamma[k] * xhat;
    }
    for (std::int64_t k = 0; k < n; ++k) {
      const T g = dy[first + k * inner] * gamma[k], xhat = (x[first + k * inner] - m) * r;
      dx[first + k * inner] = (g - sum_g / n - xhat * (sum_gx / n)) * r;
    }
  }
}

}  // namespace plain
}  // namespace py_layernorm
