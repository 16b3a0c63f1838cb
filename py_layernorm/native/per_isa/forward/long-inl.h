// The forward pass over contiguous rows of more than kChunk elements, in segments: a row by one
// thread or, where there are few rows, by all.
#pragma once

#include "per_isa/chunk-inl.h"
#include "per_isa/in_double-inl.h"
#include "pool.h"

namespace py_layernorm {
namespace ISA {
namespace {

// y of the elements [begin, end) of a row, chunk by chunk.
template <class T>
INLINE void normalise_part(const Forward& f, const ForwardOf<T>& a, int64_t row, int64_t begin,
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

// Writes the row's mean and rstd. Returns whether it is in range.
template <class C>
INLINE bool finish_long(const Forward& f, int64_t row, C m, double sum_d, double sum_d2) {
  const Statistics<double> s =
      statistics_of(sum_d, sum_d2, 1 / static_cast<double>(f.n), f.epsilon);
  f.mean[row] = m + s.c;
  f.rstd[row] = s.rstd;
  return in_range(C(), s.spread);
}

// Whole rows, each by one thread: a task is a row.
template <class T>
void normalise_long_rows(const Forward& f, int64_t begin, int64_t end) {
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
      normalise_part(f, a, row, 0, n);
    } else {
      normalise_in_double(x, a.gamma, a.beta, n, 1, f.epsilon, a.y + row * n, &f.mean[row],
                          &f.rstd[row]);
    }
  }
  if (f.streaming) end_streaming();
}

// A few rows, by all threads, in five steps: the same sums in the same order. partial holds sum(x)
// of each segment, for each row, and later sum(d) and sum(d^2).
//
// Step 1, a task is a segment: sum(x).
template <class T>
void sum_segments(const Forward& f, int64_t begin, int64_t end) {
  const int64_t segments = ceil_div(f.n, kSegment);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t row = task / segments, s = task % segments;
    const T* x = ForwardOf<T>(f).x + row * f.n + s * kSegment;
    f.partial[row * 2 * segments + s] = sum_of(x, smaller(kSegment, f.n - s * kSegment));
  }
}

INLINE double add_parts(const double* part, int64_t segments) {
  double total = 0;
  for (int64_t s = 0; s < segments; ++s) total += part[s];
  return total;
}

// Step 2, a task is a row: stores in mean what is subtracted from x, which is of type C.
template <class T>
void add_up_sums(const Forward& f, int64_t begin, int64_t end) {
  const int64_t segments = ceil_div(f.n, kSegment);
  for (int64_t row = begin; row < end; ++row)
    f.mean[row] =
        static_cast<Compute<T>>(add_parts(f.partial + row * 2 * segments, segments) / f.n);
}

// Step 3, a task is a segment: sum(d) and sum(d^2).
template <class T>
void sum_deviations(const Forward& f, int64_t begin, int64_t end) {
  const int64_t segments = ceil_div(f.n, kSegment);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t row = task / segments, s = task % segments;
    const T* x = ForwardOf<T>(f).x + row * f.n + s * kSegment;
    double* part = f.partial + row * 2 * segments;
    deviations_of(x, smaller(kSegment, f.n - s * kSegment), static_cast<Compute<T>>(f.mean[row]),
                  part + s, part + segments + s);
  }
}

// Step 4, a task is a row: mean and rstd. Rows that are not in range are done here, and marked by a
// NaN in partial.
template <class T>
void finish_rows(const Forward& f, int64_t begin, int64_t end) {
  const ForwardOf<T> a(f);
  const int64_t segments = ceil_div(f.n, kSegment);
  for (int64_t row = begin; row < end; ++row) {
    double* part = f.partial + row * 2 * segments;
    const double sum_d = add_parts(part, segments);
    const double sum_d2 = add_parts(part + segments, segments);
    const bool held = finish_long(f, row, static_cast<Compute<T>>(f.mean[row]), sum_d, sum_d2);
    part[0] = held ? 0 : __builtin_nan("");
    if (!held)
      normalise_in_double(a.x + row * f.n, a.gamma, a.beta, f.n, 1, f.epsilon, a.y + row * f.n,
                          &f.mean[row], &f.rstd[row]);
  }
}

// Step 5, a task is a segment: y.
template <class T>
void normalise_segments(const Forward& f, int64_t begin, int64_t end) {
  const ForwardOf<T> a(f);
  const int64_t segments = ceil_div(f.n, kSegment);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t row = task / segments, j = task % segments * kSegment;
    if (f.partial[row * 2 * segments] == 0)
      normalise_part(f, a, row, j, smaller(f.n, j + kSegment));
  }
  if (f.streaming) end_streaming();
}

template <class T>
PyLayernormStatus forward_long(Forward f) {
  const int64_t rows = f.outer, row_bytes = 2 * f.n * kSize<T>;
  const int threads = thread_count(f.lent);
  if (rows >= 4 * threads || threads == 1) {
    share_out(f, normalise_long_rows<T>, rows, row_bytes);
    return PY_LAYERNORM_OK;
  }
  const int64_t segments = ceil_div(f.n, kSegment), segment_bytes = row_bytes / segments;
  const Scratch partial(rows * 2 * segments);
  if (!partial.get()) return PY_LAYERNORM_NO_MEMORY;
  f.partial = partial.get();
  share_out(f, sum_segments<T>, rows * segments, segment_bytes);
  add_up_sums<T>(f, 0, rows);
  share_out(f, sum_deviations<T>, rows * segments, segment_bytes);
  finish_rows<T>(f, 0, rows);
  share_out(f, normalise_segments<T>, rows * segments, segment_bytes);
  return PY_LAYERNORM_OK;
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
