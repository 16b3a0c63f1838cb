// One call forward and backward, compared loosely with the plain formula in long double. The digits
// are for test_native_kernel.py to check.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "array.h"
#include "kernel.h"
#include "plain.h"

namespace {

void fail(const std::string& what) {
  std::fprintf(stderr, "driver: %s\n", what.c_str());
  std::exit(1);
}

struct Case {
  std::int64_t outer, n, inner;
  int dtype = 0;
  bool gamma = true, beta = true;
  bool extremes = false;  // rows of 1e30, 1e-30, NaN and infinity among the others
  bool in_place = false;
  int skew = 0;
  bool check = true;
};

std::string text(const Case& c) {
  return std::string(kNames[c.dtype]) + " [" + std::to_string(c.outer) + ", " +
         std::to_string(c.n) + ", " + std::to_string(c.inner) + "]" + (c.gamma ? " gamma" : "") +
         (c.beta ? " beta" : "") + (c.extremes ? " extremes" : "") +
         (c.in_place ? " in place" : "") + " threads " + std::to_string(py_layernorm_get_threads());
}

// The status of the first call that is not OK, or OK.
int run(const Case& c) {
  const std::int64_t size = c.outer * c.n * c.inner, rows = c.outer * c.inner;
  const int w = weight_type(c.dtype);
  Array x(c.dtype, size, c.skew), dy(c.dtype, size, c.skew), y_own(c.dtype, size, c.skew);
  Array dx_own(c.dtype, size, c.skew), gamma(w, c.n), beta(w, c.n), dgamma(w, c.n), dbeta(w, c.n);
  Array mean(1, rows), rstd(1, rows);
  fill(x, 0.5);
  fill(dy);
  fill(gamma, 1.5);
  fill(beta);
  const auto at = [&](std::int64_t row, std::int64_t k) {
    return (row / c.inner * c.n + k) * c.inner + row % c.inner;
  };
  if (c.extremes) {
    const Real infinity = std::numeric_limits<Real>::infinity();
    const Real scale[] = {1, 1e30L, 1e-30L, infinity, std::nanl(""), 0};
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t k = 0; k < c.n; ++k)
        if (row % 7 != 6) x.set(at(row, k), x.get(at(row, k)) * scale[row % 7]);
  }
  Array x_before(c.dtype, size), dy_before(c.dtype, size);
  if (size) std::memcpy(x_before.data(), x.data(), x.bytes());
  if (size) std::memcpy(dy_before.data(), dy.data(), dy.bytes());

  // Forward in place destroys x, which backward needs: it goes to a copy.
  Array x_work(c.dtype, size, c.skew);
  if (size) std::memcpy(x_work.data(), x.data(), x.bytes());
  Array& y = c.in_place ? x_work : y_own;
  int status = py_layernorm_forward(
      c.dtype, c.outer, c.n, c.inner, x_work.data(), c.gamma ? gamma.data() : nullptr,
      c.beta ? beta.data() : nullptr, 1e-3, y.data(), static_cast<double*>(mean.data()),
      static_cast<double*>(rstd.data()));
  if (status) return status;
  Array& dx = c.in_place ? dy : dx_own;
  status = py_layernorm_backward(
      c.dtype, c.outer, c.n, c.inner, dy.data(), x.data(), c.gamma ? gamma.data() : nullptr,
      static_cast<double*>(mean.data()), static_cast<double*>(rstd.data()), dx.data(),
      dgamma.data(), c.beta ? dbeta.data() : nullptr);
  if (status) return status;
  if (std::memcmp(x.data(), x_before.data(), x.bytes())) fail("x was written to: " + text(c));
  if (!c.check || c.extremes) return 0;

  const auto reals = [](const Array& array, std::int64_t n, bool there, Real otherwise) {
    std::vector<Real> values(n, otherwise);
    for (std::int64_t k = 0; there && k < n; ++k) values[k] = array.get(k);
    return values;
  };
  const std::vector<Real> real_x = reals(x, size, true, 0),
                          real_dy = reals(dy_before, size, true, 0);
  const std::vector<Real> real_gamma = reals(gamma, c.n, c.gamma, 1);
  const std::vector<Real> real_beta = reals(beta, c.n, c.beta, 0);
  std::vector<Real> real_y(size), real_dx(size), real_dgamma(c.n), real_dbeta(c.n);
  std::vector<Real> real_mean(rows), real_rstd(rows);
  py_layernorm::plain::forward<Real>(c.outer, c.n, c.inner, real_x.data(), real_gamma.data(),
                                     real_beta.data(), 1e-3L, real_y.data(), real_mean.data(),
                                     real_rstd.data());
  py_layernorm::plain::backward<Real>(c.outer, c.n, c.inner, real_dy.data(), real_x.data(),
                                      real_gamma.data(), real_mean.data(), real_rstd.data(),
                                      real_dx.data(), real_dgamma.data(), real_dbeta.data());

  const Real limit = c.dtype == 2 ? 0.05L : c.dtype == 3 ? 0.01L : 1e-3L;
  const auto expect = [&](const char* what, const Array& came, std::int64_t i, Real wanted,
                          Real size) {
    if (!(std::fabs(came.get(i) - wanted) <= limit * (size + 1)))
      fail(std::string(what) + " is " + std::to_string(came.get(i)) + ", not " +
           std::to_string(wanted) + ": " + text(c));
  };
  for (std::int64_t i = 0; i < size; ++i) {
    const Real r = real_rstd[i / (c.n * c.inner) * c.inner + i % c.inner];
    expect("y", y, i, real_y[i], 4);
    expect("dx", dx, i, real_dx[i], 4 * r);
  }
  for (std::int64_t k = 0; k < c.n; ++k) {
    expect("dgamma", dgamma, k, real_dgamma[k], rows);
    if (c.beta) expect("dbeta", dbeta, k, real_dbeta[k], rows);
  }
  return 0;
}

void must(const Case& c) {
  if (const int status = run(c)) fail("status " + std::to_string(status) + ": " + text(c));
}

}  // namespace
