// The forward pass: rows side by side, rows in segments, strips of columns.
#pragma once

#include "in_double.h"

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

// Rows of one chunk at most are done kRows at a time, so that one row's sums are on their way while
// the next row is read, and so that the sums of short rows, a large part of their work, are added
// crosswise.
template <class T, int kRows, bool kStreaming>
void forward_groups(const Forward& f, int64_t begin, int64_t end) {
  using C = Compute<T>;
  const ForwardOf<T> a(f);
  const int64_t n = f.n;
  constexpr int kParts = kRows > 4 ? 1 : 4;
  const Stand<C> ones(1, a.gamma ? 0 : n), zeros(0, a.beta ? 0 : n);
  const C* gamma = a.gamma ? a.gamma : ones.chunk;
  const C* beta = a.beta ? a.beta : zeros.chunk;
  const auto row_at = [&](int64_t row) { return a.x + smaller(row, end - 1) * n; };
  Vec<C> sum[kRows], sum2[kRows];
  for (int r = 0; r < kRows; ++r) sum[r] = sum_of_chunk<kParts>(row_at(begin + r), n);
  for (int64_t first = begin; first < end; first += kRows) {
    const int64_t count = smaller(kRows, end - first);
    C totals[kLanes<C>], totals2[kLanes<C>], m[kRows];
    store(totals, sum_each<C, kRows>(sum));
    for (int r = 0; r < kRows; ++r) m[r] = totals[r] / static_cast<C>(n);
    for (int r = 0; r < kRows; ++r)
      deviations_of_chunk<kParts>(row_at(first + r), n, m[r], &sum[r], &sum2[r]);
    store(totals, sum_each<C, kRows>(sum));
    store(totals2, sum_each<C, kRows>(sum2));

    double mean[kRows], rstd[kRows], spread[kRows];
    for (int r = 0; r < kRows; ++r)
      spread[r] = statistics_of<C>(m[r], totals[r], totals2[r], n, f.epsilon, &mean[r], &rstd[r]);
    for (int64_t r = 0; r < count; ++r) {
      const T* x = row_at(first + r);
      const T* next = row_at(first + r + kRows);
      T* y = a.y + (first + r) * n;
      if (in_range(C(), spread[r])) {
        const Row<C> row = row_of<C>(mean[r], rstd[r]);
        sum[r] = normalise_chunk<kParts, kStreaming>(x, gamma, beta, n, row, y, next);
      } else {
        normalise_in_double(x, gamma, beta, n, 1, f.epsilon, y, &mean[r], &rstd[r]);
        sum[r] = sum_of_chunk<kParts>(next, n);
      }
    }
    for (int64_t r = 0; r < count; ++r) {
      f.mean[first + r] = mean[r];
      f.rstd[first + r] = rstd[r];
    }
  }
  if (kStreaming) end_streaming();
}

template <class T>
void forward_rows(const Forward& f, int64_t begin, int64_t end) {
  constexpr int kMany = kLanes<Compute<T>>, kFew = kMany < 4 ? kMany : 4;
  if (f.streaming) return forward_groups<T, kFew, true>(f, begin, end);
  if (f.n <= kShort) return forward_groups<T, kMany, false>(f, begin, end);
  forward_groups<T, kFew, false>(f, begin, end);
}

// Any length, chunk by chunk.
template <class T>
INLINE void normalise(const Forward& f, const ForwardOf<T>& a, int64_t row, int64_t begin,
                      int64_t end) {
  using C = Compute<T>;
  const Row<C> constants = row_of<C>(f.mean[row], f.rstd[row]);
  const Stand<C> ones(1, a.gamma ? 0 : kChunk), zeros(0, a.beta ? 0 : kChunk);
  for (int64_t j = begin; j < end; j += kChunk) {
    const T* x = a.x + row * f.n + j;
    T* y = a.y + row * f.n + j;
    const C* gamma = a.gamma ? a.gamma + j : ones.chunk;
    const C* beta = a.beta ? a.beta + j : zeros.chunk;
    if (f.streaming) {
      normalise_chunk<4, true>(x, gamma, beta, smaller(kChunk, end - j), constants, y, x);
    } else {
      normalise_chunk<4, false>(x, gamma, beta, smaller(kChunk, end - j), constants, y, x);
    }
  }
}

// A long row whole, by one thread: its segments in order.
template <class T>
void forward_long_rows(const Forward& f, int64_t begin, int64_t end) {
  using C = Compute<T>;
  const ForwardOf<T> a(f);
  const int64_t n = f.n;
  for (int64_t row = begin; row < end; ++row) {
    const T* x = a.x + row * n;
    double sum = 0, sum_d = 0, sum_d2 = 0;
    for (int64_t j = 0; j < n; j += kSegment) sum += sum_of(x + j, smaller(kSegment, n - j));
    const C m = static_cast<C>(sum / n);
    for (int64_t j = 0; j < n; j += kSegment) {
      double part, part2;
      deviations_of(x + j, smaller(kSegment, n - j), m, &part, &part2);
      sum_d += part;
      sum_d2 += part2;
    }
    if (in_range(C(), statistics_of(m, sum_d, sum_d2, n, f.epsilon, &f.mean[row], &f.rstd[row]))) {
      normalise(f, a, row, 0, n);
    } else {
      normalise_in_double(x, a.gamma, a.beta, n, 1, f.epsilon, a.y + row * n, &f.mean[row],
                          &f.rstd[row]);
    }
  }
  if (f.streaming) end_streaming();
}

// A few long rows, by all threads, in steps: the same sums in the same order. partial holds, for
// each row, the segments' sum(x), then their sum(d) and sum(d^2).
template <class T>
void long_sum(const Forward& f, int64_t begin, int64_t end) {
  const int64_t segments = ceil_div(f.n, kSegment);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t row = task / segments, s = task % segments;
    const T* x = ForwardOf<T>(f).x + row * f.n + s * kSegment;
    f.partial[row * 2 * segments + s] = sum_of(x, smaller(kSegment, f.n - s * kSegment));
  }
}

INLINE double sum_of_parts(const double* part, int64_t segments) {
  double total = 0;
  for (int64_t s = 0; s < segments; ++s) total += part[s];
  return total;
}

// Leaves the first mean, a C, in mean.
template <class T>
void long_mean(const Forward& f, int64_t begin, int64_t end) {
  const int64_t segments = ceil_div(f.n, kSegment);
  for (int64_t row = begin; row < end; ++row)
    f.mean[row] =
        static_cast<Compute<T>>(sum_of_parts(f.partial + row * 2 * segments, segments) / f.n);
}

template <class T>
void long_deviations(const Forward& f, int64_t begin, int64_t end) {
  const int64_t segments = ceil_div(f.n, kSegment);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t row = task / segments, s = task % segments;
    const T* x = ForwardOf<T>(f).x + row * f.n + s * kSegment;
    double* part = f.partial + row * 2 * segments;
    deviations_of(x, smaller(kSegment, f.n - s * kSegment), static_cast<Compute<T>>(f.mean[row]),
                  part + s, part + segments + s);
  }
}

// Does the rows that float cannot hold, and marks them: a NaN in partial.
template <class T>
void long_statistics(const Forward& f, int64_t begin, int64_t end) {
  const ForwardOf<T> a(f);
  const int64_t segments = ceil_div(f.n, kSegment);
  for (int64_t row = begin; row < end; ++row) {
    double* part = f.partial + row * 2 * segments;
    const double sum_d = sum_of_parts(part, segments);
    const double sum_d2 = sum_of_parts(part + segments, segments);
    using C = Compute<T>;
    const bool held = in_range(C(), statistics_of(static_cast<C>(f.mean[row]), sum_d, sum_d2, f.n,
                                                  f.epsilon, &f.mean[row], &f.rstd[row]));
    part[0] = held ? 0 : __builtin_nan("");
    if (!held)
      normalise_in_double(a.x + row * f.n, a.gamma, a.beta, f.n, 1, f.epsilon, a.y + row * f.n,
                          &f.mean[row], &f.rstd[row]);
  }
}

template <class T>
void long_normalise(const Forward& f, int64_t begin, int64_t end) {
  const ForwardOf<T> a(f);
  const int64_t segments = ceil_div(f.n, kSegment);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t row = task / segments, j = task % segments * kSegment;
    if (f.partial[row * 2 * segments] == 0) normalise(f, a, row, j, smaller(f.n, j + kSegment));
  }
  if (f.streaming) end_streaming();
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
