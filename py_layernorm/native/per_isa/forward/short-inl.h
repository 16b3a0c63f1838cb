// The forward pass over contiguous rows of at most kShortVectors vectors, as many side by side as a
// vector has lanes.
#pragma once

#include "per_isa/forward/rows-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// Those of the rows [first, first + count) that are not in range. Out of line: a call in the loop
// over the other rows would spill its registers.
template <class T, int kRows>
__attribute__((noinline)) void normalise_some_in_double(const Forward& f, int64_t first,
                                                        int64_t count,
                                                        Rows<Compute<T>, kRows>& rows) {
  const ForwardOf<T> a(f);
  for (int64_t r = 0; r < count; ++r)
    if (!in_range(Compute<T>(), rows.spread[r]))
      normalise_in_double(a.x + (first + r) * f.n, a.gamma, a.beta, f.n, 1, f.epsilon,
                          a.y + (first + r) * f.n, &rows.mean[r], &rows.rstd[r]);
}

// Rows of kVectors vectors, the last of which may be partial. gamma and beta stay in registers, and
// there is no loop over a row.
template <class T, int kVectors, bool kStreaming>
void normalise_short_rows(const Forward& f, int64_t begin, int64_t end) {
  using C = Compute<T>;
  using V = Vec<C>;
  constexpr int kWidth = kLanes<C>, kLast = kVectors - 1;
  const ForwardOf<T> a(f);
  const int64_t n = f.n, left = n - kLast * kWidth;
  const double one_nth = 1 / static_cast<double>(n);
  const auto vector = [&](const auto* p, int v) {
    return v < kLast ? load(p + v * kWidth) : load(p + kLast * kWidth, left);
  };
  V gamma[kVectors], beta[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    gamma[v] = a.gamma ? vector(a.gamma, v) : splat<C>(1);
    beta[v] = a.beta ? vector(a.beta, v) : V{};
  }
  V sum[kWidth] = {}, sum2[kWidth] = {};
  for (int64_t first = begin; first < end; first += kWidth) {
    const int64_t count = smaller(kWidth, end - first);
    const T* const x_begin = a.x + first * n;
    const T* const x_end = x_begin + count * n;
    Rows<C, kWidth> rows;

    V* into = sum;
    for (const T* x = x_begin; x != x_end; x += n) {
      V total = vector(x, 0);
      for (int v = 1; v < kVectors; ++v) total += vector(x, v);
      *into++ = total;
    }
    const V m = sum_each<C, kWidth>(sum) * static_cast<C>(one_nth);
    store(rows.m, m);

    into = sum;
    V* into2 = sum2;
    const C* mean = rows.m;
    for (const T* x = x_begin; x != x_end; x += n, ++mean) {
      V total = {}, total2 = {};
      for (int v = 0; v < kVectors; ++v) {
        V d = vector(x, v) - splat(*mean);
        if (v == kLast) d = first_lanes<C>(d, left);
        __builtin_prefetch(x + kWidth * n + v * kWidth);  // the next group's
        total += d;
        total2 += d * d;
      }
      *into++ = total;
      *into2++ = total2;
    }
    const bool all =
        rows.finish(m, sum_each<C, kWidth>(sum), sum_each<C, kWidth>(sum2), one_nth, f.epsilon);
    if (!all) normalise_some_in_double<T>(f, first, count, rows);
    const auto row_in_range = [&](int64_t r) { return in_range(C(), rows.spread[r]); };
    for_runs(count, all, row_in_range, [&](int64_t run, int64_t run_end) {
      T* y = a.y + (first + run) * n;
      const C* constants = rows.constants + run;
      for (const T* x = x_begin + run * n; x != x_begin + run_end * n; x += n, y += n) {
        const Row<V> row = {splat(constants[0]), splat(constants[kWidth]),
                            splat(constants[2 * kWidth])};
        ++constants;
        for (int v = 0; v < kVectors; ++v)
          write<kStreaming>(y + v * kWidth, xhat_of(vector(x, v), row) * gamma[v] + beta[v],
                            v < kLast ? kWidth : left);
      }
    });
    std::memcpy(f.mean + first, rows.mean, count * sizeof(double));
    std::memcpy(f.rstd + first, rows.rstd, count * sizeof(double));
  }
  if (kStreaming) end_streaming();
}

template <class T, int kVectors>
void share_out_short_rows(const Forward& f) {
  ForwardTask task = normalise_short_rows<T, kVectors, false>;
  if constexpr (kStreams<T>)
    if (f.streaming) task = normalise_short_rows<T, kVectors, true>;
  share_out(f, task, f.outer, 2 * f.n * kSize<T>);
}

template <class T>
PyLayernormStatus forward_short(const Forward& f) {
  static_assert(kShortVectors == 4, "one case each");
  switch (ceil_div(f.n, kLanes<Compute<T>>)) {
    case 1:
      share_out_short_rows<T, 1>(f);
      break;
    case 2:
      share_out_short_rows<T, 2>(f);
      break;
    case 3:
      share_out_short_rows<T, 3>(f);
      break;
    default:
      share_out_short_rows<T, 4>(f);
  }
  return PY_LAYERNORM_OK;
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
