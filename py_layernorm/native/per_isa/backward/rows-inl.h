// The backward pass over contiguous rows of at most kSegment elements, a few side by side.
#pragma once

#include "per_isa/chunk-inl.h"
#include "per_isa/in_double-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// Rows whose sums for dgamma and dbeta are added in C before they are added to doubles.
constexpr int64_t kFoldRows = 32;

// Sums over rows, for dgamma and dbeta of up to kColumns columns: in C, and from time to time added
// to the caller's doubles.
template <class C, int64_t kColumns>
struct ColumnSums {
  alignas(64) C dgamma[kColumns];
  alignas(64) C dbeta[kColumns];
  double* total_dgamma;
  double* total_dbeta;
  int64_t n;
  int64_t rows = 0;

  ColumnSums(double* total_dgamma, double* total_dbeta, int64_t n)
      : total_dgamma(total_dgamma), total_dbeta(total_dbeta), n(n) {
    clear();
  }
  void clear() {
    for (int64_t j = 0; j < padded(n); ++j) dgamma[j] = dbeta[j] = 0;
    rows = 0;
  }
  void fold() {
    for (int64_t j = 0; j < n; ++j) {
      total_dgamma[j] += static_cast<double>(dgamma[j]);
      total_dbeta[j] += static_cast<double>(dbeta[j]);
    }
    clear();
  }
  void count(int64_t more) {
    rows += more;
    if (rows >= kFoldRows) fold();
  }
};

// The whole vectors of n columns of kRows rows: adds to dgamma and dbeta, and to sum(g) and
// sum(g * xhat) of each row. Plain loops over local arrays, or GCC keeps the sums in memory.
template <class T, int kRows>
INLINE void add_vectors(const T* const* dy, const T* const* x, const Row<Compute<T>>* row,
                        const Compute<T>* gamma, int64_t n, Compute<T>* dgamma_sum,
                        Compute<T>* dbeta_sum, Vec<Compute<T>>* sum_g, Vec<Compute<T>>* sum_gx) {
  using V = Vec<Compute<T>>;
  constexpr int64_t kWidth = kLanes<Compute<T>>;
  V g[kRows], gx[kRows];
  for (int r = 0; r < kRows; ++r) g[r] = gx[r] = V{};
  for (int64_t j = 0; j + kWidth <= n; j += kWidth) {
    const V scale = load(gamma + j);
    V dgamma = load(dgamma_sum + j), dbeta = load(dbeta_sum + j);
    for (int r = 0; r < kRows; ++r) {
      const V d = load(dy[r] + j);
      const V product = d * xhat_of(load(x[r] + j), row[r]);
      dgamma += product;
      dbeta += d;
      g[r] += d * scale;
      gx[r] += product * scale;
    }
    store(dgamma_sum + j, dgamma);
    store(dbeta_sum + j, dbeta);
  }
  for (int r = 0; r < kRows; ++r) {
    sum_g[r] += g[r];
    sum_gx[r] += gx[r];
  }
}

// A chunk of n columns. A partial last vector is copied and padded with zeros.
template <class T, int kRows>
INLINE void add_chunk(const T* const* dy, const T* const* x, const Row<Compute<T>>* row,
                      const Compute<T>* gamma, int64_t n, Compute<T>* dgamma_sum,
                      Compute<T>* dbeta_sum, Vec<Compute<T>>* sum_g, Vec<Compute<T>>* sum_gx) {
  using C = Compute<T>;
  constexpr int64_t kWidth = kLanes<C>;
  for (int r = 0; r < kRows; ++r) sum_g[r] = sum_gx[r] = Vec<C>{};
  add_vectors<T, kRows>(dy, x, row, gamma, n, dgamma_sum, dbeta_sum, sum_g, sum_gx);
  const int64_t left = n % kWidth, j = n - left;
  if (left == 0) return;
  T dy_end[kRows][kWidth] = {}, x_end[kRows][kWidth] = {};
  C gamma_end[kWidth] = {};
  const T* dy_ends[kRows];
  const T* x_ends[kRows];
  for (int64_t i = 0; i < left; ++i) gamma_end[i] = gamma[j + i];
  for (int r = 0; r < kRows; ++r) {
    for (int64_t i = 0; i < left; ++i) {
      dy_end[r][i] = dy[r][j + i];
      x_end[r][i] = x[r][j + i];
    }
    dy_ends[r] = dy_end[r];
    x_ends[r] = x_end[r];
  }
  add_vectors<T, kRows>(dy_ends, x_ends, row, gamma_end, kWidth, dgamma_sum + j, dbeta_sum + j,
                        sum_g, sum_gx);
}

// The same for any number of columns, chunk by chunk, with the sums in double.
template <class T, int kRows>
INLINE void add_columns(const T* const* dy, const T* const* x, const Row<Compute<T>>* row,
                        const Compute<T>* gamma, const Compute<T>* ones, int64_t n,
                        Compute<T>* dgamma_sum, Compute<T>* dbeta_sum, double* sum_g,
                        double* sum_gx) {
  using C = Compute<T>;
  Vec<C> g[kRows], gx[kRows];
  if (n <= kChunk) {
    add_chunk<T, kRows>(dy, x, row, gamma ? gamma : ones, n, dgamma_sum, dbeta_sum, g, gx);
    C g_total[kLanes<C>], gx_total[kLanes<C>];
    store(g_total, sum_each<C, kRows>(g));
    store(gx_total, sum_each<C, kRows>(gx));
    for (int r = 0; r < kRows; ++r) {
      sum_g[r] = g_total[r];
      sum_gx[r] = gx_total[r];
    }
    return;
  }
  Doubles g_total[kRows] = {}, gx_total[kRows] = {};
  for (int64_t j = 0; j < n; j += kChunk) {
    const T* dy_chunk[kRows];
    const T* x_chunk[kRows];
    for (int r = 0; r < kRows; ++r) {
      dy_chunk[r] = dy[r] + j;
      x_chunk[r] = x[r] + j;
    }
    add_chunk<T, kRows>(dy_chunk, x_chunk, row, gamma ? gamma + j : ones, smaller(kChunk, n - j),
                        dgamma_sum + j, dbeta_sum + j, g, gx);
    for (int r = 0; r < kRows; ++r) {
      g_total[r] += fold(g[r]);
      gx_total[r] += fold(gx[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    sum_g[r] = sum_lanes(g_total[r]);
    sum_gx[r] = sum_lanes(gx_total[r]);
  }
}

// dx of a chunk. Prefetches the rows `ahead` elements further on.
template <bool kStreaming, class T>
INLINE void write_dx_chunk(const T* dy, const T* x, const Compute<T>* gamma, int64_t n,
                           Plane<Compute<T>> p, T* dx, int64_t ahead) {
  using V = Vec<Compute<T>>;
  for_vectors<kLanes<Compute<T>>>(n, [&](int64_t j, int64_t left) {
    const V out = dx_of(load(dy + j, left) * load(gamma + j, left), load(x + j, left), p);
    __builtin_prefetch(dy + j + ahead);
    __builtin_prefetch(x + j + ahead);
    write<kStreaming>(dx + j, out, left);
  });
}
// dx of any number of columns.
template <class T>
INLINE void write_dx(const T* dy, const T* x, const Compute<T>* gamma, const Compute<T>* ones,
                     int64_t n, Plane<Compute<T>> plane, T* dx, bool streaming, int64_t ahead) {
  for (int64_t j = 0; j < n; j += kChunk) {
    const int64_t count = smaller(kChunk, n - j);
    const Compute<T>* scale = gamma ? gamma + j : ones;
    if (kStreams<T> && streaming) {
      write_dx_chunk<kStreams<T>>(dy + j, x + j, scale, count, plane, dx + j, ahead);
    } else {
      write_dx_chunk<false>(dy + j, x + j, scale, count, plane, dx + j, ahead);
    }
  }
}

// The kRows rows from `first` on. Every rstd is in range.
template <class T, int kRows>
INLINE void rows_together(const Backward& b, int64_t first, const Compute<T>* ones,
                          ColumnSums<Compute<T>, kSegment>& sums) {
  using C = Compute<T>;
  const BackwardOf<T> a(b);
  const int64_t n = b.n;
  const double one_nth = 1 / static_cast<double>(n);
  const T* dy[kRows];
  const T* x[kRows];
  Row<C> row[kRows];
  for (int r = 0; r < kRows; ++r) {
    dy[r] = a.dy + (first + r) * n;
    x[r] = a.x + (first + r) * n;
    row[r] = row_of<C>(b.mean[first + r], b.rstd[first + r]);
  }
  double sum_g[kRows], sum_gx[kRows];
  add_columns<T, kRows>(dy, x, row, a.gamma, ones, n, sums.dgamma, sums.dbeta, sum_g, sum_gx);
  Plane<C> plane[kRows];
  for (int r = 0; r < kRows; ++r) plane[r] = plane_of(row[r], sum_g[r], sum_gx[r], one_nth);
  for (int r = 0; r < kRows; ++r)
    write_dx(dy[r], x[r], a.gamma, ones, n, plane[r], a.dx + (first + r) * n, b.streaming,
             kRows * n);
  sums.count(kRows);
}

// A row whose rstd is not in range.
template <class T>
INLINE void row_in_double(const Backward& b, int64_t row, double* dgamma, double* dbeta) {
  const BackwardOf<T> a(b);
  const int64_t n = b.n;
  const double mean = b.mean[row], rstd = b.rstd[row];
  double sum_g, sum_gx;
  add_in_double(a.dy + row * n, a.x + row * n, a.gamma, n, 1, mean, rstd, dgamma, dbeta, &sum_g,
                &sum_gx);
  write_dx_in_double(a.dy + row * n, a.x + row * n, a.gamma, n, 1, mean, rstd, sum_g / n,
                     sum_gx / n, a.dx + row * n);
}

// One row at a time, in C or in double.
template <class T>
__attribute__((noinline)) void rows_singly(const Backward& b, int64_t first, int64_t last,
                                           const Compute<T>* ones,
                                           ColumnSums<Compute<T>, kSegment>& sums) {
  for (int64_t row = first; row < last; ++row) {
    if (rstd_in_range(Compute<T>(), b.rstd[row])) {
      rows_together<T, 1>(b, row, ones, sums);
    } else {
      row_in_double<T>(b, row, sums.total_dgamma, sums.total_dbeta);
    }
  }
}

template <class T>
INLINE bool all_in_range(const Backward& b, int64_t first, int64_t count) {
  bool all = true;
  for (int64_t r = 0; r < count; ++r) all &= rstd_in_range(Compute<T>(), b.rstd[first + r]);
  return all;
}

// The rows [first, last), which are a block: writes dx, and adds to the block's dgamma and dbeta.
template <class T>
void rows_of_block(const Backward& b, int64_t first, int64_t last, double* dgamma, double* dbeta) {
  using C = Compute<T>;
  const Stand<C> ones(1, b.gamma ? 0 : b.n);
  ColumnSums<C, kSegment> sums(dgamma, dbeta, b.n);
  for (int64_t row = first; row < last; row += kTogether<C>) {
    const int64_t count = smaller(kTogether<C>, last - row);
    if (count == kTogether<C> && all_in_range<T>(b, row, count)) {
      rows_together<T, kTogether<C>>(b, row, ones.chunk, sums);
    } else {
      rows_singly<T>(b, row, row + count, ones.chunk, sums);
    }
  }
  sums.fold();
}

// A task is a block. kDoBlock does its rows; its sums start at 0.
template <class T, void (*kDoBlock)(const Backward&, int64_t, int64_t, double*, double*)>
void do_blocks(const Backward& b, int64_t begin, int64_t end) {
  for (int64_t block = begin; block < end; ++block) {
    double* dgamma = b.sums + block * 2 * padded(b.n);
    double* dbeta = dgamma + padded(b.n);
    for (int64_t j = 0; j < 2 * padded(b.n); ++j) dgamma[j] = 0;
    kDoBlock(b, block * b.block, smaller(b.units, (block + 1) * b.block), dgamma, dbeta);
  }
  if (b.streaming) end_streaming();
}

template <class T>
PyLayernormStatus backward_rows(const Backward& b) {
  return share_out_blocks(b, do_blocks<T, rows_of_block<T>>, b.outer, 1);
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
