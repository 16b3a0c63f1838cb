// The backward pass over contiguous rows.
//
// dx = (g - k1 - xhat * k2) * r, with g = dy * gamma, k1 = sum(g) / n, k2 = sum(g * xhat) / n.
#pragma once

#include "in_double.h"

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

// Whole vectors of n columns of kRows rows: adds to dgamma and dbeta, and to sum(g) and
// sum(g * xhat) of each row. Plain loops and arrays of its own: else GCC keeps the sums in memory.
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
      const V product = d * ((load(x[r] + j) - row[r].m) * row[r].r - row[r].cr);
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

// A chunk of n columns; what is left over a whole vector is copied beside zeros.
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

// The same of any number of columns, chunk by chunk, and with the sums in double.
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

// A row's constants for dx. With xhat = (x - m) * r - cr, dx is
//   ((g - upper) - ((x - m) * slope + lower)) * r
// where slope = r * k2, and upper + lower = k1 - cr * k2 is carried in two parts, as the mean is.
template <class C>
struct Plane {
  C m, upper, lower, slope, r;
};

template <class C>
INLINE Plane<C> plane_of(Row<C> row, double sum_g, double sum_gx, double one_nth) {
  const double k2 = sum_gx * one_nth;
  const double level = (sum_g - static_cast<double>(row.cr) * sum_gx) * one_nth;
  const C upper = static_cast<C>(level);
  return {row.m, upper, static_cast<C>(level - static_cast<double>(upper)),
          static_cast<C>(row.r * k2), row.r};
}

// Meanwhile the rows `ahead` elements further on are fetched.
template <bool kStreaming, class T>
INLINE void write_dx_chunk(const T* dy, const T* x, const Compute<T>* gamma, int64_t n,
                           Plane<Compute<T>> p, T* dx, int64_t ahead) {
  using V = Vec<Compute<T>>;
  for_vectors<kLanes<Compute<T>>>(n, [&](int64_t j, int64_t left) {
    const V level = load(dy + j, left) * load(gamma + j, left) - p.upper;
    const V out = (level - ((load(x + j, left) - p.m) * p.slope + p.lower)) * p.r;
    __builtin_prefetch(dy + j + ahead);
    __builtin_prefetch(x + j + ahead);
    write<kStreaming>(dx + j, out, left);
  });
}
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

// The kRows rows from `first` on, start to end. All have an rstd in range.
template <class T, int kRows>
INLINE void backward_together(const Backward& b, int64_t first, const Compute<T>* ones,
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

// A row whose rstd C cannot hold.
template <class T>
INLINE void backward_in_double(const Backward& b, int64_t row, double* dgamma, double* dbeta) {
  const BackwardOf<T> a(b);
  const int64_t n = b.n;
  const double mean = b.mean[row], rstd = b.rstd[row];
  double sum_g, sum_gx;
  add_in_double(a.dy + row * n, a.x + row * n, a.gamma, n, 1, mean, rstd, dgamma, dbeta, &sum_g,
                &sum_gx);
  write_dx_in_double(a.dy + row * n, a.x + row * n, a.gamma, n, 1, mean, rstd, sum_g / n,
                     sum_gx / n, a.dx + row * n);
}

// Row by row, each as its rstd allows.
template <class T>
__attribute__((noinline)) void backward_singly(const Backward& b, int64_t first, int64_t last,
                                               const Compute<T>* ones,
                                               ColumnSums<Compute<T>, kSegment>& sums) {
  for (int64_t row = first; row < last; ++row) {
    if (rstd_in_range(Compute<T>(), b.rstd[row])) {
      backward_together<T, 1>(b, row, ones, sums);
    } else {
      backward_in_double<T>(b, row, sums.total_dgamma, sums.total_dbeta);
    }
  }
}

template <class T>
INLINE bool all_in_range(const Backward& b, int64_t first, int64_t count) {
  bool all = true;
  for (int64_t r = 0; r < count; ++r) all &= rstd_in_range(Compute<T>(), b.rstd[first + r]);
  return all;
}

// Rows [first, last), of any length up to kSegment, as a block.
template <class T>
void backward_groups(const Backward& b, int64_t first, int64_t last, double* dgamma,
                     double* dbeta) {
  using C = Compute<T>;
  const Stand<C> ones(1, b.gamma ? 0 : b.n);
  ColumnSums<C, kSegment> sums(dgamma, dbeta, b.n);
  for (int64_t row = first; row < last; row += kTogether<C>) {
    const int64_t count = smaller(kTogether<C>, last - row);
    if (count == kTogether<C> && all_in_range<T>(b, row, count)) {
      backward_together<T, kTogether<C>>(b, row, ones.chunk, sums);
    } else {
      backward_singly<T>(b, row, row + count, ones.chunk, sums);
    }
  }
  sums.fold();
}

// What dx needs of as many rows as a vector has lanes.
template <class C>
struct Planes {
  static constexpr int kRows = kLanes<C>;
  // The rows' m, then their r, their cr, and so on.
  C constants[6 * kRows];
  C* const m = constants;
  C* const r = constants + kRows;
  C* const cr = constants + 2 * kRows;
  C* const upper = constants + 3 * kRows;
  C* const lower = constants + 4 * kRows;
  C* const slope = constants + 5 * kRows;

  Planes() = default;
  Planes(const Planes&) = delete;

  INLINE void begin(const double* mean, const double* rstd, int64_t count) {
    double c[kRows] = {}, scale[kRows] = {};
    std::memcpy(c, mean, count * sizeof(double));
    std::memcpy(scale, rstd, count * sizeof(double));
    for (int i = 0; i < kRows; ++i) {
      m[i] = static_cast<C>(c[i]);
      r[i] = static_cast<C>(scale[i]);
      cr[i] = static_cast<C>((c[i] - static_cast<double>(m[i])) * scale[i]);
    }
  }
  INLINE void finish(Vec<C> sums_g, Vec<C> sums_gx, double one_nth) {
    C sum_g[kRows], sum_gx[kRows];
    store(sum_g, sums_g);
    store(sum_gx, sums_gx);
    // plane_of, written so that the compiler makes vectors of it.
    for (int i = 0; i < kRows; ++i) {
      const double gx = static_cast<double>(sum_gx[i]);
      const double level =
          (static_cast<double>(sum_g[i]) - static_cast<double>(cr[i]) * gx) * one_nth;
      upper[i] = static_cast<C>(level);
      lower[i] = static_cast<C>(level - static_cast<double>(upper[i]));
      slope[i] = static_cast<C>(static_cast<double>(r[i]) * (gx * one_nth));
    }
  }
};

// The rows [first, first + count) whose rstd C cannot hold, in double. Apart from the other rows'
// loops, whose registers a call would cost.
template <class T>
__attribute__((noinline)) void backward_some_in_double(const Backward& b, int64_t first,
                                                       int64_t count, double* dgamma,
                                                       double* dbeta) {
  for (int64_t row = first; row < first + count; ++row)
    if (!rstd_in_range(Compute<T>(), b.rstd[row])) backward_in_double<T>(b, row, dgamma, dbeta);
}

// The same of rows of kVectors vectors, the last perhaps not full, as many at a time as a vector has
// lanes: gamma and their sums for dgamma and dbeta stay in registers, and no loop runs over a row.
template <class T, int kVectors>
void backward_short(const Backward& b, int64_t begin, int64_t end, double* dgamma_sum,
                    double* dbeta_sum) {
  using C = Compute<T>;
  using V = Vec<C>;
  constexpr int kWidth = kLanes<C>, kLast = kVectors - 1;
  const BackwardOf<T> a(b);
  const int64_t n = b.n, left = n - kLast * kWidth;
  const double one_nth = 1 / static_cast<double>(n);
  const auto in_use = [&](int v) { return v < kLast ? kWidth : left; };
  V gamma[kVectors];
  for (int v = 0; v < kVectors; ++v)
    gamma[v] = a.gamma ? load(a.gamma + v * kWidth, in_use(v)) : splat<C>(1);
  V sum_g[kWidth] = {}, sum_gx[kWidth] = {};
  for (int64_t first = begin; first < end; first += kWidth) {
    const int64_t count = smaller(kWidth, end - first);
    Planes<C> planes;
    planes.begin(b.mean + first, b.rstd + first, count);
    const bool all = all_in_range<T>(b, first, count);
    if (!all) backward_some_in_double<T>(b, first, count, dgamma_sum, dbeta_sum);
    const double* rstd = b.rstd + first;
    const auto row_in_range = [&](int64_t r) { return rstd_in_range(C(), rstd[r]); };

    V dgamma[kVectors] = {}, dbeta[kVectors] = {};
    for_runs(count, all, row_in_range, [&](int64_t run, int64_t run_end) {
      const T* x = a.x + (first + run) * n;
      const T* dy = a.dy + (first + run) * n;
      const C* constants = planes.constants + run;
      V* into_g = sum_g + run;
      V* into_gx = sum_gx + run;
      for (const T* const x_end = x + (run_end - run) * n; x != x_end; x += n, dy += n) {
        const V m = splat(constants[0]), r = splat(constants[kWidth]),
                cr = splat(constants[2 * kWidth]);
        ++constants;
        V g = {}, gx = {};
        for (int v = 0; v < kVectors; ++v) {
          const V d = load(dy + v * kWidth, in_use(v));
          V xhat = (load(x + v * kWidth, in_use(v)) - m) * r - cr;
          if (v == kLast) xhat = first_lanes<C>(xhat, left);
          const V product = d * xhat;
          dgamma[v] += product;
          dbeta[v] += d;
          g += d * gamma[v];
          gx += product * gamma[v];
        }
        *into_g++ = g;
        *into_gx++ = gx;
      }
    });
    for (int v = 0; v < kVectors; ++v) {
      add_lanes<C>(dgamma_sum + v * kWidth, dgamma[v]);
      add_lanes<C>(dbeta_sum + v * kWidth, dbeta[v]);
    }
    planes.finish(sum_each<C, kWidth>(sum_g), sum_each<C, kWidth>(sum_gx), one_nth);

    for_runs(count, all, row_in_range, [&](int64_t run, int64_t run_end) {
      const T* x = a.x + (first + run) * n;
      const T* dy = a.dy + (first + run) * n;
      T* dx = a.dx + (first + run) * n;
      const C* constants = planes.constants + run;
      for (const T* const x_end = x + (run_end - run) * n; x != x_end; x += n, dy += n, dx += n) {
        const V m = splat(constants[0]), r = splat(constants[kWidth]),
                upper = splat(constants[3 * kWidth]), lower = splat(constants[4 * kWidth]),
                slope = splat(constants[5 * kWidth]);
        ++constants;
        for (int v = 0; v < kVectors; ++v) {
          const V level = load(dy + v * kWidth, in_use(v)) * gamma[v] - upper;
          const V out = (level - ((load(x + v * kWidth, in_use(v)) - m) * slope + lower)) * r;
          store(dx + v * kWidth, out, in_use(v));
        }
      }
    });
  }
}

template <class T>
void backward_block_rows(const Backward& b, int64_t begin, int64_t end) {
  for (int64_t block = begin; block < end; ++block) {
    const int64_t first = block * b.block, last = smaller(b.outer, first + b.block);
    double* dgamma = b.sums + block * 2 * padded(b.n);
    double* dbeta = dgamma + padded(b.n);
    for (int64_t j = 0; j < 2 * padded(b.n); ++j) dgamma[j] = 0;
    switch (ceil_div(b.n, kLanes<Compute<T>>)) {
      case 1:
        backward_short<T, 1>(b, first, last, dgamma, dbeta);
        break;
      case 2:
        backward_short<T, 2>(b, first, last, dgamma, dbeta);
        break;
      case 3:
        backward_short<T, 3>(b, first, last, dgamma, dbeta);
        break;
      case 4:
        backward_short<T, 4>(b, first, last, dgamma, dbeta);
        break;
      default:
        backward_groups<T>(b, first, last, dgamma, dbeta);
    }
  }
  if (b.streaming) end_streaming();
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
