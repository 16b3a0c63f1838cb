// The forward pass over rows side by side.
#pragma once

#include "per_isa/in_double-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// The pointers of a call, in their types.
template <class T>
struct ForwardOf {
  using C = Compute<T>;
  explicit ForwardOf(const Forward& f)
      : x(static_cast<const T*>(f.x)),
        gamma(static_cast<const C*>(f.gamma)),
        beta(static_cast<const C*>(f.beta)),
        y(static_cast<T*>(f.y)) {}
  const T* x;
  const C* gamma;
  const C* beta;
  T* y;
};

// Rows of up to this many elements are short: as many at a time as a vector has lanes still fit the
// first-level cache.
constexpr int64_t kShort = 256;

// What is known of kRows rows, a lane each, once their sums are.
template <class C, int kRows>
struct Rows {
  static constexpr int kVectors = (kRows + kDoubles - 1) / kDoubles;
  static constexpr int kRoom = kVectors * kDoubles;
  double mean[kRoom], rstd[kRoom], spread[kRoom];
  // The rows' m, then their r, then their cr.
  C constants[3 * kLanes<C>];
  C* const m = constants;
  C* const r = constants + kLanes<C>;
  C* const cr = constants + 2 * kLanes<C>;

  Rows() = default;
  Rows(const Rows&) = delete;

  INLINE Row<C> row(int64_t i) const { return {m[i], r[i], cr[i]}; }

  // Whether all are in range.
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

// Rows of one chunk at most are done kRows at a time, so that one row's sums are on their way while
// the next row is read, and so that the sums of short rows, a large part of their work, are added
// crosswise. Writing a row and reading one of the next group at the same time keeps memory busy
// both ways.
template <class T, int kRows, bool kStreaming>
void forward_groups(const Forward& f, int64_t begin, int64_t end) {
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
    const bool all = rows.finish(m, sum_each<C, kRows>(sum), sum_each<C, kRows>(sum2), one_nth,
                                 f.epsilon);
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

// The rows [first, first + count) that are not in range. Apart from the other rows' loop, whose
// registers a call would cost.
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

// Rows of kVectors vectors, the last perhaps not full, as many at a time as a vector has lanes.
// gamma and beta stay in registers, and no loop runs over a row.
template <class T, int kVectors, bool kStreaming>
void forward_short(const Forward& f, int64_t begin, int64_t end) {
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
    const bool all = rows.finish(m, sum_each<C, kWidth>(sum), sum_each<C, kWidth>(sum2), one_nth,
                                 f.epsilon);
    if (!all) normalise_some_in_double<T>(f, first, count, rows);
    const auto row_in_range = [&](int64_t r) { return in_range(C(), rows.spread[r]); };
    for_runs(count, all, row_in_range, [&](int64_t run, int64_t run_end) {
      T* y = a.y + (first + run) * n;
      const C* constants = rows.constants + run;
      for (const T* x = x_begin + run * n; x != x_begin + run_end * n; x += n, y += n) {
        const V m = splat(constants[0]), r = splat(constants[kWidth]),
                cr = splat(constants[2 * kWidth]);
        ++constants;
        for (int v = 0; v < kVectors; ++v)
          write<kStreaming>(y + v * kWidth,
                            ((vector(x, v) - m) * r - cr) * gamma[v] + beta[v],
                            v < kLast ? kWidth : left);
      }
    });
    std::memcpy(f.mean + first, rows.mean, count * sizeof(double));
    std::memcpy(f.rstd + first, rows.rstd, count * sizeof(double));
  }
  if (kStreaming) end_streaming();
}

// By the length alone: how a row is summed must not depend on how many there are.
template <class T, bool kStreaming>
void forward_rows(const Forward& f, int64_t begin, int64_t end) {
  constexpr int kMany = kLanes<Compute<T>>;
  switch (ceil_div(f.n, kMany)) {
    case 1:
      return forward_short<T, 1, kStreaming>(f, begin, end);
    case 2:
      return forward_short<T, 2, kStreaming>(f, begin, end);
    case 3:
      return forward_short<T, 3, kStreaming>(f, begin, end);
    case 4:
      return forward_short<T, 4, kStreaming>(f, begin, end);
  }
  if (f.n <= kShort) return forward_groups<T, kMany, kStreaming>(f, begin, end);
  forward_groups<T, kMany < 4 ? kMany : 4, kStreaming>(f, begin, end);
}
template <class T>
void forward_rows(const Forward& f, int64_t begin, int64_t end) {
  if constexpr (kStreams<T>)
    if (f.streaming) return forward_rows<T, true>(f, begin, end);
  forward_rows<T, false>(f, begin, end);
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
