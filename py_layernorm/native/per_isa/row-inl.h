// The formulas of one row: its statistics, xhat and dx. Each stands here once, for scalars and for
// vectors (V), and for every path.
#pragma once

#include "per_isa/dtype-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// The statistics of a row from the sums of d = x - m and of d^2, where m is near the mean: the mean
// is m + c. D is a double, or a vector of them, of a row each. If the spread (the mean of d^2, plus
// epsilon) is not in range, normalise_in_double must do the row again.
//
// Neither here nor in plane_of is there a difference of two products: which of them the compiler
// fuses with the subtraction could vary between copies of the code, and with it a row's last bit.
template <class D>
struct Statistics {
  D c, rstd, spread;
};
template <class D>
INLINE Statistics<D> statistics_of(D sum_d, D sum_d2, double one_nth, double epsilon) {
  const D c = sum_d * one_nth;
  const D var = (sum_d2 - sum_d * c) * one_nth;
  return {c, 1 / square_root((var < 0 ? D{} : var) + epsilon), sum_d2 * one_nth + epsilon};
}

// Whether the type of the first argument can hold the squares of a row of this spread. False for
// NaN.
template <class D>
INLINE auto in_range(float, D spread) {
  return (spread >= 1e-30) & (spread <= 1e38);
}
template <class D>
INLINE auto in_range(double, D spread) {
  return (spread >= 1e-280) & (spread <= 1e300);
}

// The same for the backward pass, which knows only rstd.
INLINE bool rstd_in_range(float, double rstd) { return rstd >= 1e-36 && rstd <= 1e36; }
INLINE bool rstd_in_range(double, double rstd) { return rstd >= 1e-280 && rstd <= 1e280; }

// The constants of xhat. The mean is carried in two parts, m + c, because a float m alone is off by
// up to half a unit in its last place: that is most of the spread of a row whose mean is a million
// times its spread.
template <class V>
struct Row {
  V m, r, cr;  // m, rstd, c * rstd
};

// m is the rounded mean, so xhat of a constant row is exactly 0.
template <class C>
INLINE Row<C> row_of(double mean, double rstd) {
  const C m = static_cast<C>(mean);
  const double c = mean - static_cast<double>(m);
  return {m, static_cast<C>(rstd), static_cast<C>(c * rstd)};
}

// xhat = (x - mean) * rstd.
template <class V, class R>
INLINE V xhat_of(V x, const Row<R>& row) {
  return (x - row.m) * row.r - row.cr;
}

// The constants of dx = (g - k1 - xhat * k2) * rstd, with g = dy * gamma, k1 = sum(g) / n and
// k2 = sum(g * xhat) / n. With xhat written out, that is
//   dx = ((g - upper) - ((x - m) * slope + lower)) * r
// where slope = r * k2, and upper + lower = k1 - cr * k2 is carried in two parts, as the mean is.
template <class V>
struct Plane {
  V m, upper, lower, slope, r;
};
template <class C>
INLINE Plane<C> plane_of(const Row<C>& row, double sum_g, double sum_gx, double one_nth) {
  const double k2 = sum_gx * one_nth;
  const double level = (sum_g - static_cast<double>(row.cr) * sum_gx) * one_nth;
  const C upper = static_cast<C>(level);
  return {row.m, upper, static_cast<C>(level - static_cast<double>(upper)),
          static_cast<C>(row.r * k2), row.r};
}
template <class V, class P>
INLINE V dx_of(V g, V x, const Plane<P>& p) {
  return ((g - p.upper) - ((x - p.m) * p.slope + p.lower)) * p.r;
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
