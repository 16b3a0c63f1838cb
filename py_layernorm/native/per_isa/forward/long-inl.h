// The forward pass over long rows, in segments: each row by one thread, or by all.
#pragma once

#include "per_isa/forward/rows-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

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
    if (kStreams<T> && f.streaming) {
      normalise_chunk<4, kStreams<T>>(x, gamma, beta, smaller(kChunk, end - j), constants, y, x);
    } else {
      normalise_chunk<4, false>(x, gamma, beta, smaller(kChunk, end - j), constants, y, x);
    }
  }
}

// Leaves the row's mean and rstd. Whether it is in range.
template <class C>
INLINE bool finish_long(const Forward& f, int64_t row, C m, double sum_d, double sum_d2) {
  const Statistics<double> s = statistics_of(sum_d, sum_d2, 1 / static_cast<double>(f.n), f.epsilon);
  f.mean[row] = m + s.c;
  f.rstd[row] = s.rstd;
  return in_range(C(), s.spread);
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
    if (finish_long(f, row, m, sum_d, sum_d2)) {
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
    const bool held = finish_long(f, row, static_cast<Compute<T>>(f.mean[row]), sum_d, sum_d2);
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
