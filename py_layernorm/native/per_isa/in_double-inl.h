// Rows that C cannot hold: a squared 1e30 or 1e-30 in float, or a NaN or an infinity. One element
// after the other, in double, as the formulas read.
#pragma once

#include "per_isa/statistics-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// The row of n elements, `stride` apart, start to end.
template <class T>
void normalise_in_double(const T* x, const Compute<T>* gamma, const Compute<T>* beta, int64_t n,
                         int64_t stride, double epsilon, T* y, double* mean, double* rstd) {
  double largest = __builtin_sqrt(epsilon);
  for (int64_t k = 0; k < n; ++k) {
    const double size = __builtin_fabs(load_one(x + k * stride));
    if (size > largest) largest = size;
  }
  double scale = 1;
  if (largest > 0 && largest < __builtin_inf()) {
    int exponent;
    __builtin_frexp(largest, &exponent);
    // No further than to where both the scale and one over it are normal numbers.
    scale = __builtin_ldexp(1, exponent > 1000 ? -1000 : exponent < -1000 ? 1000 : -exponent);
  }
  // Deviations from the row's first element, which are exact where they are small.
  const double first = load_one(x) * scale;
  const auto deviation = [&](int64_t k) { return load_one(x + k * stride) * scale - first; };
  double sum = 0, sum_d = 0, sum_d2 = 0;
  for (int64_t k = 0; k < n; ++k) sum += deviation(k);
  const double m = sum / n;
  for (int64_t k = 0; k < n; ++k) {
    const double d = deviation(k) - m;
    sum_d += d;
    sum_d2 += d * d;
  }
  // A constant row has the same deviation at any scale; beside large numbers epsilon would vanish.
  const double shrunk = sum_d2 == 0 ? 1 : scale;
  const Statistics<double> s = statistics_of(sum_d, sum_d2, 1 / static_cast<double>(n),
                                             epsilon * shrunk * shrunk);
  const double scaled_mean = m + s.c;
  for (int64_t k = 0; k < n; ++k) {
    double value = (deviation(k) - scaled_mean) * s.rstd;
    if (gamma) value *= gamma[k];
    if (beta) value += beta[k];
    store_one(y + k * stride, value);
  }
  *mean = (first + scaled_mean) / scale;
  *rstd = s.rstd * shrunk;
}

// The row of n elements, `stride` apart, whose rstd C cannot hold or that is not finite: plainly,
// in double. First its sums, then, given those, its dx.
template <class T>
void add_in_double(const T* dy, const T* x, const Compute<T>* gamma, int64_t n, int64_t stride,
                   double mean, double rstd, double* dgamma, double* dbeta, double* sum_g,
                   double* sum_gx) {
  *sum_g = *sum_gx = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double d = load_one(dy + k * stride);
    const double xhat = (load_one(x + k * stride) - mean) * rstd;
    const double g = gamma ? d * gamma[k] : d;
    dgamma[k] += d * xhat;
    dbeta[k] += d;
    *sum_g += g;
    *sum_gx += g * xhat;
  }
}
template <class T>
void write_dx_in_double(const T* dy, const T* x, const Compute<T>* gamma, int64_t n, int64_t stride,
                        double mean, double rstd, double k1, double k2, T* dx) {
  for (int64_t k = 0; k < n; ++k) {
    const double d = load_one(dy + k * stride);
    const double xhat = (load_one(x + k * stride) - mean) * rstd;
    const double g = gamma ? d * gamma[k] : d;
    store_one(dx + k * stride, (g - k1 - xhat * k2) * rstd);
  }
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
