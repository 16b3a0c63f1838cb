// The backward pass over contiguous rows.
//
// dx = ((g - k1) - xhat * k2) * r, with g = dy * gamma, k1 = sum(g) / n, k2 = sum(g * xhat) / n.
#pragma once

#include "statistics.h"

namespace py_layernorm {
namespace ISA {
namespace {

template <class T>
struct BackwardOf {
  using C = Compute<T>;
  explicit BackwardOf(const Backward& b)
      : dy(static_cast<const T*>(b.dy)),
        x(static_cast<const T*>(b.x)),
        gamma(static_cast<const C*>(b.gamma)),
        dx(static_cast<T*>(b.dx)) {}
  const T* dy;
  const T* x;
  const C* gamma;
  T* dx;
};

// Rows whose contributions to dgamma and dbeta are summed before the sums are stored.
template <class C>
constexpr int kTogether = kLanes<C> < 4 ? kLanes<C> : 4;

// Rows that are summed in C before the sums are folded into double.
constexpr int64_t kFoldRows = 32;

// Sums over rows for dgamma and dbeta of up to kColumns columns: in C, which is folded into the
// double sums of the caller.
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

// A chunk of n columns of kRows rows: adds to dgamma and dbeta, and gives sum(g) and sum(g * xhat)
// of each row.
template <class T, int kRows>
INLINE void add_chunk(const T* const* dy, const T* const* x, const Row<Compute<T>>* row,
                      const Compute<T>* gamma, int64_t n, Compute<T>* dgamma_sum,
                      Compute<T>* dbeta_sum, Vec<Compute<T>>* sum_g, Vec<Compute<T>>* sum_gx) {
  using V = Vec<Compute<T>>;
  for (int r = 0; r < kRows; ++r) sum_g[r] = sum_gx[r] = V{};
  for_vectors<kLanes<Compute<T>>>(n, [&](int64_t j, int64_t left) {
    const V scale = load(gamma + j, left);
    V dgamma = load(dgamma_sum + j), dbeta = load(dbeta_sum + j);
    for (int r = 0; r < kRows; ++r) {
      const V d = load(dy[r] + j, left);
      const V xhat = (load(x[r] + j, left) - row[r].m) * row[r].r - row[r].cr;
      const V g = d * scale;
      dgamma += d * xhat;
      dbeta += d;
      sum_g[r] += g;
      sum_gx[r] += g * xhat;
    }
    store(dgamma_sum + j, dgamma);
    store(dbeta_sum + j, dbeta);
  });
}

// The same of any number of columns, chunk by chunk, with the sums in double.
template <class T, int kRows>
INLINE void add_columns(const T* const* dy, const T* const* x, const Row<Compute<T>>* row,
                        const Compute<T>* gamma, const Compute<T>* ones, int64_t n,
                        Compute<T>* dgamma_sum, Compute<T>* dbeta_sum, double* sum_g,
                        double* sum_gx) {
  using C = Compute<T>;
  if (n <= kChunk) {
    Vec<C> g[kRows], gx[kRows];
    C g_total[kLanes<C>], gx_total[kLanes<C>];
    add_chunk<T, kRows>(dy, x, row, gamma ? gamma : ones, n, dgamma_sum, dbeta_sum, g, gx);
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
    Vec<C> g[kRows], gx[kRows];
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

// A row's constants for dx: k1 in two parts, as the mean is.
template <class C>
struct Slope {
  C k1, k1_rest, k2;
};

template <class C>
INLINE Slope<C> slope_of(double sum_g, double sum_gx, double n) {
  const double k1 = sum_g / n;
  const C upper = static_cast<C>(k1);
  return {upper, static_cast<C>(k1 - static_cast<double>(upper)), static_cast<C>(sum_gx / n)};
}

template <bool kStreaming, class T>
INLINE void write_dx_chunk(const T* dy, const T* x, const Compute<T>* gamma, int64_t n,
                           Row<Compute<T>> row, Slope<Compute<T>> slope, T* dx) {
  using V = Vec<Compute<T>>;
  for_vectors<kLanes<Compute<T>>>(n, [&](int64_t j, int64_t left) {
    const V g = load(dy + j, left) * load(gamma + j, left);
    const V xhat = (load(x + j, left) - row.m) * row.r - row.cr;
    const V out = ((g - slope.k1) - (xhat * slope.k2 + slope.k1_rest)) * row.r;
    write<kStreaming>(dx + j, out, left);
  });
}
template <class T>
INLINE void write_dx(const T* dy, const T* x, const Compute<T>* gamma, const Compute<T>* ones,
                     int64_t n, Row<Compute<T>> row, Slope<Compute<T>> slope, T* dx,
                     bool streaming) {
  for (int64_t j = 0; j < n; j += kChunk) {
    const int64_t count = smaller(kChunk, n - j);
    const Compute<T>* scale = gamma ? gamma + j : ones;
    if (streaming) {
      write_dx_chunk<true>(dy + j, x + j, scale, count, row, slope, dx + j);
    } else {
      write_dx_chunk<false>(dy + j, x + j, scale, count, row, slope, dx + j);
    }
  }
}

// The row of n elements, `stride` apart, whose rstd C cannot hold or that is not finite: plainly,
// in double. First its sums, then, given those, its dx.
template <class T>
void add_in_double(const T* dy, const T* x, const Compute<T>* gamma, int64_t n, int64_t stride,
                   double mean, double rstd, double* dgamma, double* dbeta, double* sum_g,
                   double* sum_gx) {
  *sum_g = *sum_gx = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double d = load_one(dy + k * stride);
    const double xhat = (load_one(x + k * stride) - mean) * rstd;
    const double g = gamma ? d * gamma[k] : d;
    dgamma[k] += d * xhat;
    dbeta[k] += d;
    *sum_g += g;
    *sum_gx += g * xhat;
  }
}
template <class T>
void write_dx_in_double(const T* dy, const T* x, const Compute<T>* gamma, int64_t n,
                        int64_t stride, double mean, double rstd, double k1, double k2, T* dx) {
  for (int64_t k = 0; k < n; ++k) {
    const double d = load_one(dy + k * stride);
    const double xhat = (load_one(x + k * stride) - mean) * rstd;
    const double g = gamma ? d * gamma[k] : d;
    store_one(dx + k * stride, (g - k1 - xhat * k2) * rstd);
  }
}

// kRows rows, start to end; `index` are their numbers.
template <class T, int kRows>
INLINE void backward_together(const Backward& b, const int64_t* index, const Compute<T>* ones,
                              ColumnSums<Compute<T>, kSegment>& sums) {
  using C = Compute<T>;
  const BackwardOf<T> a(b);
  const int64_t n = b.n;
  const T* dy[kRows];
  const T* x[kRows];
  Row<C> row[kRows];
  for (int r = 0; r < kRows; ++r) {
    dy[r] = a.dy + index[r] * n;
    x[r] = a.x + index[r] * n;
    row[r] = row_of<C>(b.mean[index[r]], b.rstd[index[r]]);
  }
  double sum_g[kRows], sum_gx[kRows];
  add_columns<T, kRows>(dy, x, row, a.gamma, ones, n, sums.dgamma, sums.dbeta, sum_g, sum_gx);
  for (int r = 0; r < kRows; ++r)
    write_dx(dy[r], x[r], a.gamma, ones, n, row[r], slope_of<C>(sum_g[r], sum_gx[r], n),
             a.dx + index[r] * n, b.streaming);
  sums.count(kRows);
}

template <class T>
void backward_block_rows(const Backward& b, int64_t begin, int64_t end) {
  using C = Compute<T>;
  const BackwardOf<T> a(b);
  const int64_t n = b.n;
  const Stand<C> ones(1, a.gamma ? 0 : n);
  for (int64_t block = begin; block < end; ++block) {
    double* dgamma = b.sums + block * 2 * padded(n);
    double* dbeta = dgamma + padded(n);
    for (int64_t j = 0; j < 2 * padded(n); ++j) dgamma[j] = 0;
    ColumnSums<C, kSegment> sums(dgamma, dbeta, n);
    int64_t waiting[kTogether<C>];
    int count = 0;
    const int64_t last = smaller(b.outer, (block + 1) * b.block);
    for (int64_t row = block * b.block; row < last; ++row) {
      if (rstd_in_range(C(), b.rstd[row])) {
        waiting[count++] = row;
        if (count < kTogether<C>) continue;
        backward_together<T, kTogether<C>>(b, waiting, ones.chunk, sums);
        count = 0;
      } else {
        const T* dy = a.dy + row * n;
        const T* x = a.x + row * n;
        double sum_g, sum_gx;
        add_in_double(dy, x, a.gamma, n, 1, b.mean[row], b.rstd[row], dgamma, dbeta, &sum_g,
                      &sum_gx);
        write_dx_in_double(dy, x, a.gamma, n, 1, b.mean[row], b.rstd[row], sum_g / n, sum_gx / n,
                           a.dx + row * n);
      }
    }
    for (int i = 0; i < count; ++i) backward_together<T, 1>(b, waiting + i, ones.chunk, sums);
    sums.fold();
  }
  if (b.streaming) end_streaming();
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
