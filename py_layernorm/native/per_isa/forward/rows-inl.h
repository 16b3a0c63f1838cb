// The forward pass over contiguous rows of at most kChunk elements, a few side by side.
#pragma once

#include "per_isa/chunk-inl.h"
#include "per_isa/in_double-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// Of rows of up to this many elements, as many as a vector has lanes fit in the first-level cache.
constexpr int64_t kManyTogether = 256;

// The statistics of kRows rows, a lane each.
template <class C, int kRows>
struct Rows {
  static constexpr int kVectors = (kRows + kDoubles - 1) / kDoubles;
  static constexpr int kRoom = kVectors * kDoubles;
  double mean[kRoom], rstd[kRoom], spread[kRoom];
  // The constants of xhat: m of all rows, then r, then cr.
  C constants[3 * kLanes<C>];
  C* const m = constants;
  C* const r = constants + kLanes<C>;
  C* const cr = constants + 2 * kLanes<C>;

  Rows() = default;
  Rows(const Rows&) = delete;

  INLINE Row<C> row(int64_t i) const { return {m[i], r[i], cr[i]}; }

  // From the sums of all rows. Returns whether all are in range.
  INLINE bool finish(Vec<C> first_mean, Vec<C> sum_d, Vec<C> sum_d2, double one_nth,
                     double epsilon) {
    Doubles wide_m[kWide<C>], wide_d[kWide<C>], wide_d2[kWide<C>];
    widen(first_mean, wide_m);
    widen(sum_d, wide_d);
    widen(sum_d2, wide_d2);
    Mask<double> all = ~Mask<double>{};
    for (int v = 0; v < kVectors; ++v) {
      const int at = v * kDoubles;
      const Statistics<Doubles> s = statistics_of(wide_d[v], wide_d2[v], one_nth, epsilon);
      store(mean + at, wide_m[v] + s.c);
      store(rstd + at, s.rstd);
      store(spread + at, s.spread);
      narrow(m + at, load(mean + at));
      narrow(r + at, s.rstd);
      narrow(cr + at, (load(mean + at) - widen_half(m + at)) * s.rstd);
      all &= in_range(C(), s.spread);
    }
    return all_of(all);
  }
};

// kRows rows at a time: the additions of one row overlap with the loads of the next, and the lanes
// of the sums, a large part of the work for short rows, are added crosswise. Writing a row while
// reading one of the next group keeps memory busy in both directions.
template <class T, int kRows, bool kStreaming>
void normalise_rows(const Forward& f, int64_t begin, int64_t end) {
  using C = Compute<T>;
  const ForwardOf<T> a(f);
  const int64_t n = f.n;
  const double one_nth = 1 / static_cast<double>(n);
  constexpr int kParts = kRows > 4 ? 1 : 4;
  const Stand<C> ones(1, a.gamma ? 0 : n), zeros(0, a.beta ? 0 : n);
  const C* gamma = a.gamma ? a.gamma : ones.chunk;
  const C* beta = a.beta ? a.beta : zeros.chunk;
  const auto row_at = [&](int64_t row) { return a.x + smaller(row, end - 1) * n; };
  Vec<C> sum[kRows], sum2[kRows];
  for (int r = 0; r < kRows; ++r) sum[r] = sum_of_chunk<kParts>(row_at(begin + r), n);
  for (int64_t first = begin; first < end; first += kRows) {
    const int64_t count = smaller(kRows, end - first);
    Rows<C, kRows> rows;
    const Vec<C> m = sum_each<C, kRows>(sum) * static_cast<C>(one_nth);
    store(rows.m, m);
    for (int r = 0; r < kRows; ++r)
      deviations_of_chunk<kParts>(row_at(first + r), n, rows.m[r], &sum[r], &sum2[r]);
    const bool all =
        rows.finish(m, sum_each<C, kRows>(sum), sum_each<C, kRows>(sum2), one_nth, f.epsilon);
    for (int64_t r = 0; r < count; ++r) {
      const T* x = row_at(first + r);
      const T* next = row_at(first + r + kRows);
      T* y = a.y + (first + r) * n;
      if (all || in_range(C(), rows.spread[r])) {
        sum[r] = normalise_chunk<kParts, kStreaming>(x, gamma, beta, n, rows.row(r), y, next);
      } else {
        normalise_in_double(x, gamma, beta, n, 1, f.epsilon, y, &rows.mean[r], &rows.rstd[r]);
        sum[r] = sum_of_chunk<kParts>(next, n);
      }
    }
    for (int64_t r = 0; r < count; ++r) {
      f.mean[first + r] = rows.mean[r];
      f.rstd[first + r] = rows.rstd[r];
    }
  }
  if (kStreaming) end_streaming();
}

template <class T, int kRows>
void share_out_rows(const Forward& f) {
  ForwardTask task = normalise_rows<T, kRows, false>;
  if constexpr (kStreams<T>)
    if (f.streaming) task = normalise_rows<T, kRows, true>;
  share_out(f, task, f.outer, 2 * f.n * kSize<T>);
}

template <class T>
PyLayernormStatus forward_rows(const Forward& f) {
  using C = Compute<T>;
  if (f.n <= kManyTogether) {
    share_out_rows<T, kLanes<C>>(f);
  } else {
    share_out_rows<T, kTogether<C>>(f);
  }
  return PY_LAYERNORM_OK;
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
