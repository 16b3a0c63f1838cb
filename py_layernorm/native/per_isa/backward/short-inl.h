// The backward pass over rows of a few vectors, and the choice between it and longer ones'.
#pragma once

#include "per_isa/backward/rows-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// What dx needs of as many rows as a vector has lanes.
template <class C>
struct Planes {
  static constexpr int kRows = kLanes<C>;
  // The rows' m, then their r, their cr, and so on.
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
      m[i] = static_cast<C>(c[i]);
      r[i] = static_cast<C>(scale[i]);
      cr[i] = static_cast<C>((c[i] - static_cast<double>(m[i])) * scale[i]);
    }
  }
  INLINE void finish(Vec<C> sums_g, Vec<C> sums_gx, double one_nth) {
    C sum_g[kRows], sum_gx[kRows];
    store(sum_g, sums_g);
    store(sum_gx, sums_gx);
    // plane_of, written so that the compiler makes vectors of it.
    for (int i = 0; i < kRows; ++i) {
      const double gx = static_cast<double>(sum_gx[i]);
      const double level =
          (static_cast<double>(sum_g[i]) - static_cast<double>(cr[i]) * gx) * one_nth;
      upper[i] = static_cast<C>(level);
      lower[i] = static_cast<C>(level - static_cast<double>(upper[i]));
      slope[i] = static_cast<C>(static_cast<double>(r[i]) * (gx * one_nth));
    }
  }
};

// The rows [first, first + count) whose rstd C cannot hold, in double. Apart from the other rows'
// loops, whose registers a call would cost.
template <class T>
__attribute__((noinline)) void backward_some_in_double(const Backward& b, int64_t first,
                                                       int64_t count, double* dgamma,
                                                       double* dbeta) {
  for (int64_t row = first; row < first + count; ++row)
    if (!rstd_in_range(Compute<T>(), b.rstd[row])) backward_in_double<T>(b, row, dgamma, dbeta);
}

// Rows of kVectors vectors, the last perhaps not full, as many at a time as a vector has lanes: gamma and their sums for dgamma and dbeta stay in registers, and no loop runs over a row.
template <class T, int kVectors>
void backward_short(const Backward& b, int64_t begin, int64_t end, double* dgamma_sum,
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
  for (int v = 0; v < kVectors; ++v)
    gamma[v] = a.gamma ? vector(a.gamma, v) : splat<C>(1);
  V sum_g[kWidth] = {}, sum_gx[kWidth] = {};
  for (int64_t first = begin; first < end; first += kWidth) {
    const int64_t count = smaller(kWidth, end - first);
    Planes<C> planes;
    planes.begin(b.mean + first, b.rstd + first, count);
    const bool all = all_in_range<T>(b, first, count);
    if (!all) backward_some_in_double<T>(b, first, count, dgamma_sum, dbeta_sum);
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
        const V m = splat(constants[0]), r = splat(constants[kWidth]),
                cr = splat(constants[2 * kWidth]);
        ++constants;
        V g = {}, gx = {};
        for (int v = 0; v < kVectors; ++v) {
          const V d = vector(dy, v);
          V xhat = (vector(x, v) - m) * r - cr;
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
        const V m = splat(constants[0]), r = splat(constants[kWidth]),
                upper = splat(constants[3 * kWidth]), lower = splat(constants[4 * kWidth]),
                slope = splat(constants[5 * kWidth]);
        ++constants;
        for (int v = 0; v < kVectors; ++v) {
          const V level = vector(dy, v) * gamma[v] - upper;
          const V out = (level - ((vector(x, v) - m) * slope + lower)) * r;
          store(dx + v * kWidth, out, v < kLast ? kWidth : left);
        }
      }
    });
  }
}

template <class T>
void backward_block_rows(const Backward& b, int64_t begin, int64_t end) {
  for (int64_t block = begin; block < end; ++block) {
    const int64_t first = block * b.block, last = smaller(b.outer, first + b.block);
    double* dgamma = b.sums + block * 2 * padded(b.n);
    double* dbeta = dgamma + padded(b.n);
    for (int64_t j = 0; j < 2 * padded(b.n); ++j) dgamma[j] = 0;
    switch (ceil_div(b.n, kLanes<Compute<T>>)) {
      case 1:
        backward_short<T, 1>(b, first, last, dgamma, dbeta);
        break;
      case 2:
        backward_short<T, 2>(b, first, last, dgamma, dbeta);
        break;
      case 3:
        backward_short<T, 3>(b, first, last, dgamma, dbeta);
        break;
      case 4:
        backward_short<T, 4>(b, first, last, dgamma, dbeta);
        break;
      default:
        backward_groups<T>(b, first, last, dgamma, dbeta);
    }
  }
  if (b.streaming) end_streaming();
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
