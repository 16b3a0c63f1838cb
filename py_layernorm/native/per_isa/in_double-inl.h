// Rows whose squares overflow or underflow the compute type, or that hold a NaN or an infinity: one
// element at a time, in double, scaled where double cannot hold the squares either.
#pragma once

#include "per_isa/row-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// A whole row of n elements, `stride` apart: writes y, mean and rstd.
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
    // Both the scale and its reciprocal must be normal numbers.
    scale = __builtin_ldexp(1, exponent > 1000 ? -1000 : exponent < -1000 ? 1000 : -exponent);
  }
  // Deviations from the row's first element are exact where they are small.
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
  // A constant row has the same deviations, zeros, at any scale. It is left unscaled, because a
  // scaled epsilon would vanish beside large numbers.
  const double shrunk = sum_d2 == 0 ? 1 : scale;
  const Statistics<double> s =
      statistics_of(sum_d, sum_d2, 1 / static_cast<double>(n), epsilon * shrunk * shrunk);
  const double scaled_mean = m + s.c;
  const Row<double> row = {scaled_mean, s.rstd, 0};
  for (int64_t k = 0; k < n; ++k) {
    double value = xhat_of(deviation(k), row);
    if (gamma) value *= gamma[k];
    if (beta) value += beta[k];
    store_one(y + k * stride, value);
  }
  *mean = (first + scaled_mean) / scale;
  *rstd = s.rstd * shrunk;
}

// The backward pass for such a row: first its sums, then its dx, given k1 = sum(g) / n and
// k2 = sum(g * xhat) / n.
template <class T>
void add_in_double(const T* dy, const T* x, const Compute<T>* gamma, int64_t n, int64_t stride,
                   double mean, double rstd, double* dgamma, double* dbeta, double* sum_g,
                   double* sum_gx) {
  const Row<double> row = {mean, rstd, 0};
  *sum_g = *sum_gx = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double d = load_one(dy + k * stride);
    const double xhat = xhat_of(load_one(x + k * stride), row);
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
  const Row<double> row = {mean, rstd, 0};
  for (int64_t k = 0; k < n; ++k) {
    const double d = load_one(dy + k * stride);
    const double xhat = xhat_of(load_one(x + k * stride), row);
    const double g = gamma ? d * gamma[k] : d;
    store_one(dx + k * stride, (g - k1 - xhat * k2) * rstd);
  }
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
