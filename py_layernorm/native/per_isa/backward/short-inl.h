// The backward pass over contiguous rows of at most kShortVectors vectors, as many side by side as
// a vector has lanes.
#pragma once

#include "per_isa/backward/rows-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// The constants of xhat and dx of as many rows as a vector has lanes.
template <class C>
struct Planes {
  static constexpr int kRows = kLanes<C>;
  // m of all rows, then r, then cr, and so on.
  C constants[6 * kRows];
  C* const m = constants;
  C* const r = constants + kRows;
  C* const cr = constants + 2 * kRows;
  C* const upper = constants + 3 * kRows;
  C* const lower = constants + 4 * kRows;
  C* const slope = constants + 5 * kRows;

  Planes() = default;
  Planes(const Planes&) = delete;

  INLINE void begin(const double* mean, const double* rstd, int64_t count) {
    double c[kRows] = {}, scale[kRows] = {};
    std::memcpy(c, mean, count * sizeof(double));
    std::memcpy(scale, rstd, count * sizeof(double));
    for (int i = 0; i < kRows; ++i) {
      const Row<C> row = row_of<C>(c[i], scale[i]);
      m[i] = row.m;
      r[i] = row.r;
      cr[i] = row.cr;
    }
  }
  INLINE void finish(Vec<C> sums_g, Vec<C> sums_gx, double one_nth) {
    C sum_g[kRows], sum_gx[kRows];
    store(sum_g, sums_g);
    store(sum_gx, sums_gx);
    for (int i = 0; i < kRows; ++i) {
      const Plane<C> plane = plane_of(Row<C>{m[i], r[i], cr[i]}, sum_g[i], sum_gx[i], one_nth);
      upper[i] = plane.upper;
      lower[i] = plane.lower;
      slope[i] = plane.slope;
    }
  }
};

// Those of the rows [first, first + count) whose rstd is not in range, in double. Out of line: a
// call in the loops over the other rows would spill their registers.
template <class T>
__attribute__((noinline)) void some_rows_in_double(const Backward& b, int64_t first, int64_t count,
                                                   double* dgamma, double* dbeta) {
  for (int64_t row = first; row < first + count; ++row)
    if (!rstd_in_range(Compute<T>(), b.rstd[row])) row_in_double<T>(b, row, dgamma, dbeta);
}

// The rows [begin, end), which are a block, of kVectors vectors, the last of which may be partial.
// gamma and the rows' sums for dgamma and dbeta stay in registers, and there is no loop over a row.
template <class T, int kVectors>
void short_rows_of_block(const Backward& b, int64_t begin, int64_t end, double* dgamma_sum,
                         double* dbeta_sum) {
  using C = Compute<T>;
  using V = Vec<C>;
  constexpr int kWidth = kLanes<C>, kLast = kVectors - 1;
  const BackwardOf<T> a(b);
  const int64_t n = b.n, left = n - kLast * kWidth;
  const double one_nth = 1 / static_cast<double>(n);
  const auto vector = [&](const auto* p, int v) {
    return v < kLast ? load(p + v * kWidth) : load(p + kLast * kWidth, left);
  };
  V gamma[kVectors];
  for (int v = 0; v < kVectors; ++v) gamma[v] = a.gamma ? vector(a.gamma, v) : splat<C>(1);
  V sum_g[kWidth] = {}, sum_gx[kWidth] = {};
  for (int64_t first = begin; first < end; first += kWidth) {
    const int64_t count = smaller(kWidth, end - first);
    Planes<C> planes;
    planes.begin(b.mean + first, b.rstd + first, count);
    const bool all = all_in_range<T>(b, first, count);
    if (!all) some_rows_in_double<T>(b, first, count, dgamma_sum, dbeta_sum);
    const double* rstd = b.rstd + first;
    const auto row_in_range = [&](int64_t r) { return rstd_in_range(C(), rstd[r]); };

    V dgamma[kVectors] = {}, dbeta[kVectors] = {};
    for_runs(count, all, row_in_range, [&](int64_t run, int64_t run_end) {
      const T* x = a.x + (first + run) * n;
      const T* dy = a.dy + (first + run) * n;
      const C* constants = planes.constants + run;
      V* into_g = sum_g + run;
      V* into_gx = sum_gx + run;
      for (const T* const x_end = x + (run_end - run) * n; x != x_end; x += n, dy += n) {
        const Row<V> row = {splat(constants[0]), splat(constants[kWidth]),
                            splat(constants[2 * kWidth])};
        ++constants;
        V g = {}, gx = {};
        for (int v = 0; v < kVectors; ++v) {
          const V d = vector(dy, v);
          V xhat = xhat_of(vector(x, v), row);
          if (v == kLast) xhat = first_lanes<C>(xhat, left);
          const V product = d * xhat;
          dgamma[v] += product;
          dbeta[v] += d;
          g += d * gamma[v];
          gx += product * gamma[v];
        }
        *into_g++ = g;
        *into_gx++ = gx;
      }
    });
    for (int v = 0; v < kVectors; ++v) {
      add_lanes<C>(dgamma_sum + v * kWidth, dgamma[v]);
      add_lanes<C>(dbeta_sum + v * kWidth, dbeta[v]);
    }
    planes.finish(sum_each<C, kWidth>(sum_g), sum_each<C, kWidth>(sum_gx), one_nth);

    for_runs(count, all, row_in_range, [&](int64_t run, int64_t run_end) {
      const T* x = a.x + (first + run) * n;
      const T* dy = a.dy + (first + run) * n;
      T* dx = a.dx + (first + run) * n;
      const C* constants = planes.constants + run;
      for (const T* const x_end = x + (run_end - run) * n; x != x_end; x += n, dy += n, dx += n) {
        const Plane<V> plane = {splat(constants[0]), splat(constants[3 * kWidth]),
                                splat(constants[4 * kWidth]), splat(constants[5 * kWidth]),
                                splat(constants[kWidth])};
        ++constants;
        for (int v = 0; v < kVectors; ++v) {
          const V out = dx_of(vector(dy, v) * gamma[v], vector(x, v), plane);
          store(dx + v * kWidth, out, v < kLast ? kWidth : left);
        }
      }
    });
  }
}

template <class T, int kVectors>
PyLayernormStatus share_out_short_blocks(const Backward& b) {
  return share_out_blocks(b, do_blocks<T, short_rows_of_block<T, kVectors>>, b.outer, 1);
}

template <class T>
PyLayernormStatus backward_short(const Backward& b) {
  static_assert(kShortVectors == 4, "one case each");
  switch (ceil_div(b.n, kLanes<Compute<T>>)) {
    case 1:
      return share_out_short_blocks<T, 1>(b);
    case 2:
      return share_out_short_blocks<T, 2>(b);
    case 3:
      return share_out_short_blocks<T, 3>(b);
    default:
      return share_out_short_blocks<T, 4>(b);
  }
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
