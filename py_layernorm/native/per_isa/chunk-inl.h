// Sums over a chunk of a row, at most kChunk elements in the compute type, and over a segment of
// chunks in double; and y of a chunk.
#pragma once

#include "per_isa/call-inl.h"
#include "per_isa/row-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// Rows that are done side by side: they share the loads of gamma and beta, the additions of one row
// overlap with the loads of the next, and the lanes of their sums are added crosswise.
template <class C>
constexpr int kTogether = kLanes<C> < 4 ? kLanes<C> : 4;

// Stands in for gamma or beta where there is none: a chunk of ones or of zeros.
template <class C>
struct Stand {
  alignas(64) C chunk[kChunk];
  explicit Stand(C value, int64_t n) {
    for (int64_t j = 0; j < smaller(n, kChunk); ++j) chunk[j] = value;
  }
};

// step(j, elements) for each vector of n elements, the last of which may be partial. `elements` is
// a constant in the others, so that they compile to plain loads and stores.
template <int64_t kWidth, class Step>
INLINE void for_vectors(int64_t n, const Step& step) {
  int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth) step(j, kWidth);
  if (j < n) step(j, n - j);
}

// A sum in kParts parts, because each addition has to wait for the one before it in its part. Four
// for long rows; one where many short rows are in flight and adding up the parts would cost time.
template <class C, int kParts>
struct Sum {
  Vec<C> part[kParts] = {};
  INLINE Vec<C> total() const {
    if constexpr (kParts == 1)
      return part[0];
    else
      return (part[0] + part[1]) + (part[2] + part[3]);
  }
};

// step(part, j, elements): for_vectors, which goes round the parts of a Sum.
template <int64_t kWidth, int kParts, class Step>
INLINE void for_parts(int64_t n, const Step& step) {
  int64_t j = 0;
  for (; j + 4 * kWidth <= n; j += 4 * kWidth)
    for (int u = 0; u < 4; ++u) step(u % kParts, j + u * kWidth, kWidth);
  for_vectors<kWidth>(n - j, [&](int64_t i, int64_t left) { step(0, j + i, left); });
}

// sum(x) of a chunk.
template <int kParts, class T>
INLINE Vec<Compute<T>> sum_of_chunk(const T* x, int64_t n) {
  using C = Compute<T>;
  Sum<C, kParts> sum;
  for_parts<kLanes<C>, kParts>(
      n, [&](int u, int64_t j, int64_t left) { sum.part[u] += load(x + j, left); });
  return sum.total();
}

// sum(d) and sum(d^2) of a chunk, d = x - m.
template <int kParts, class T>
INLINE void deviations_of_chunk(const T* x, int64_t n, Compute<T> m, Vec<Compute<T>>* sum_d,
                                Vec<Compute<T>>* sum_d2) {
  using C = Compute<T>;
  Sum<C, kParts> sum, sum2;
  for_parts<kLanes<C>, kParts>(n, [&](int u, int64_t j, int64_t left) {
    const Vec<C> difference = load(x + j, left) - m;
    const Vec<C> d = left < kLanes<C> ? first_lanes<C>(difference, left) : difference;
    sum.part[u] += d;
    sum2.part[u] += d * d;
  });
  *sum_d = sum.total();
  *sum_d2 = sum2.total();
}

// The same sums of a segment: chunk by chunk, in double.
template <class T>
INLINE double sum_of(const T* x, int64_t n) {
  Doubles total = {};
  for (int64_t j = 0; j < n; j += kChunk)
    total += fold(sum_of_chunk<4>(x + j, smaller(kChunk, n - j)));
  return sum_lanes(total);
}
template <class T>
INLINE void deviations_of(const T* x, int64_t n, Compute<T> m, double* sum_d, double* sum_d2) {
  Doubles total = {}, total2 = {};
  for (int64_t j = 0; j < n; j += kChunk) {
    Vec<Compute<T>> sum, sum2;
    deviations_of_chunk<4>(x + j, smaller(kChunk, n - j), m, &sum, &sum2);
    total += fold(sum);
    total2 += fold(sum2);
  }
  *sum_d = sum_lanes(total);
  *sum_d2 = sum_lanes(total2);
}

// y = xhat * gamma + beta of a chunk. Returns sum(next) of the chunk that comes later: writing one
// chunk while reading another keeps memory busy in both directions.
template <int kParts, bool kStreaming, class T>
INLINE Vec<Compute<T>> normalise_chunk(const T* x, const Compute<T>* gamma, const Compute<T>* beta,
                                       int64_t n, const Row<Compute<T>>& row, T* y, const T* next) {
  using C = Compute<T>;
  Sum<C, kParts> sum;
  for_parts<kLanes<C>, kParts>(n, [&](int u, int64_t j, int64_t left) {
    const Vec<C> xhat = xhat_of(load(x + j, left), row);
    sum.part[u] += load(next + j, left);
    write<kStreaming>(y + j, xhat * load(gamma + j, left) + load(beta + j, left), left);
  });
  return sum.total();
}

// step(begin, end) for each run of rows in [0, count) that are in range: one run if `all` are. A
// test for each row instead would make a loop over short rows a tenth slower.
template <class InRange, class Step>
INLINE void for_runs(int64_t count, bool all, const InRange& row_in_range, const Step& step) {
  for (int64_t begin = 0, end; begin < count; begin = end) {
    end = begin + 1;
    if (all) {
      end = count;
    } else if (!row_in_range(begin)) {
      continue;
    } else {
      while (end < count && row_in_range(end)) ++end;
    }
    step(begin, end);
  }
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
