// What both passes know of a row, and the mathematics of one row at a time.
#pragma once

#include "per_isa/dtype-inl.h"
#include "tasks.h"

namespace py_layernorm {
namespace ISA {
namespace {

// How a row is normalised: xhat = (x - m) * r - cr. The mean is carried in two parts, m + c,
// because a float m alone is off by up to half a unit in its last place, which is most of the
// spread of a row whose mean is a million times its spread.
template <class C>
struct Row {
  C m, r, cr;
};

// m is the mean rounded, whatever was subtracted to get the sums: so a constant row's xhat is 0.
template <class C>
INLINE Row<C> row_of(double mean, double rstd) {
  const C m = static_cast<C>(mean);
  const double c = mean - static_cast<double>(m);
  return {m, static_cast<C>(rstd), static_cast<C>(c * rstd)};
}

// Whether C can hold the squares of a row of this spread, which is d^2's mean plus epsilon; not so
// for NaN. Of a double, or of a vector of them.
template <class D>
INLINE auto in_range(float, D spread) {
  return (spread >= 1e-30) & (spread <= 1e38);
}
template <class D>
INLINE auto in_range(double, D spread) {
  return (spread >= 1e-280) & (spread <= 1e300);
}

// The same, told from rstd.
INLINE bool rstd_in_range(float, double rstd) { return rstd >= 1e-36 && rstd <= 1e36; }
INLINE bool rstd_in_range(double, double rstd) { return rstd >= 1e-280 && rstd <= 1e280; }

// A row, or a vector of them, from the sums of d = x - m and of d^2: its mean is m + c. Unless the
// spread is in range, the row is to be done again by normalise_in_double.
//
// Here and in plane_of, no difference of two products: which of them the compiler fuses with the
// subtraction could differ from one copy of the code to another, and with it a row's last bit.
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

// step(begin, end) for each run of rows in [0, count) that are in range; of all of them, if `all`.
// Runs, and not a question at each row, because that costs a loop over short rows a tenth.
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

// Rows that are done side by side: so that they share what is read of gamma and beta, one row's
// sums are on their way while the next row is read, and the sums are added crosswise.
template <class C>
constexpr int kTogether = kLanes<C> < 4 ? kLanes<C> : 4;

// What stands in for gamma or beta where there is none: a chunk of ones, or of zeros.
template <class C>
struct Stand {
  alignas(64) C chunk[kChunk];
  explicit Stand(C value, int64_t n) {
    for (int64_t j = 0; j < smaller(n, kChunk); ++j) chunk[j] = value;
  }
};

// step(j, elements) for vectors of n elements, the last perhaps not full. `elements` is a constant
// in the others, so that they are loaded and stored plainly.
template <int64_t kWidth, class Step>
INLINE void for_vectors(int64_t n, const Step& step) {
  int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth) step(j, kWidth);
  if (j < n) step(j, n - j);
}

// A sum in kParts parts: each addition waits for the one before it in its part. Four for long rows;
// one for short rows, of which many are under way at a time, and where adding the parts would cost.
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

// step(part, j, elements): for_vectors, with the parts of a Sum by turns.
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

// The same sums of a segment, chunk by chunk, in double.
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

// y = ((x - m) * r - cr) * gamma + beta of a chunk. Gives sum(next) of the chunk that comes later:
// writing one and reading the other at the same time keeps memory busy both ways.
template <int kParts, bool kStreaming, class T>
INLINE Vec<Compute<T>> normalise_chunk(const T* x, const Compute<T>* gamma, const Compute<T>* beta,
                                       int64_t n, Row<Compute<T>> row, T* y, const T* next) {
  using C = Compute<T>;
  Sum<C, kParts> sum;
  for_parts<kLanes<C>, kParts>(n, [&](int u, int64_t j, int64_t left) {
    const Vec<C> xhat = (load(x + j, left) - row.m) * row.r - row.cr;
    sum.part[u] += load(next + j, left);
    write<kStreaming>(y + j, xhat * load(gamma + j, left) + load(beta + j, left), left);
  });
  return sum.total();
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
