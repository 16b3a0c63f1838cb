// The backward pass over an axis that is not the last (inner > 1), in strips of neighbouring
// columns. Each lane of a vector holds an element of a row of its own.
#pragma once

#include "per_isa/backward/rows-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// `columns` columns, of kVectors vectors, from column i of outer index o on; only a single vector
// may be partial. Writes their dx, and adds to the dgamma and dbeta of the block, [n] each.
// Prefetches the columns `ahead` elements further on.
template <class T, int kVectors>
void columns_of_block(const Backward& b, int64_t o, int64_t i, int64_t columns, int64_t ahead,
                      double* dgamma, double* dbeta) {
  using C = Compute<T>;
  using V = Vec<C>;
  constexpr int kWidth = kLanes<C>;
  constexpr int kColumns = kVectors * kWidth;
  const BackwardOf<T> a(b);
  const int64_t n = b.n, inner = b.inner;
  const T* dy = a.dy + o * n * inner + i;
  const T* x = a.x + o * n * inner + i;
  T* dx = a.dx + o * n * inner + i;

  // Columns whose rstd is not in range are done first, in double, and then left alone.
  C m[kColumns] = {}, r[kColumns] = {}, cr[kColumns] = {}, use[kColumns] = {};
  bool all_held = true;
  for (int64_t c = 0; c < columns; ++c) {
    const double mean = b.mean[o * inner + i + c], rstd = b.rstd[o * inner + i + c];
    if (rstd_in_range(C(), rstd)) {
      const Row<C> row = row_of<C>(mean, rstd);
      m[c] = row.m;
      r[c] = row.r;
      cr[c] = row.cr;
      use[c] = 1;
    } else {
      all_held = false;
      double sum_g, sum_gx;
      add_in_double(dy + c, x + c, a.gamma, n, inner, mean, rstd, dgamma, dbeta, &sum_g, &sum_gx);
      write_dx_in_double(dy + c, x + c, a.gamma, n, inner, mean, rstd, sum_g / n, sum_gx / n,
                         dx + c);
    }
  }
  Row<V> rows[kVectors];
  Mask<C> held[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    rows[v] = {load(m + v * kWidth), load(r + v * kWidth), load(cr + v * kWidth)};
    held[v] = load(use + v * kWidth) != 0;
  }
  const int64_t left = kVectors > 1 ? kWidth : columns;
  const auto read = [&](const T* p, int64_t k, int v) {
    const V value = load(p + k * inner + v * kWidth, left);
    return all_held ? value : (held[v] ? value : V{});
  };
  // Lanes past `columns` have x = 0 and r = 0, and so xhat = 0.
  double sum_g[kColumns] = {}, sum_gx[kColumns] = {};
  for (int64_t k = 0; k < n;) {
    // kWidth elements of each column at a time: their sums over the columns are added crosswise.
    const int64_t count = smaller(kWidth, n - k);
    V g_part[kVectors] = {}, gx_part[kVectors] = {};
    V across_dgamma[kWidth] = {}, across_dbeta[kWidth] = {};
    for (int64_t l = 0; l < count; ++l) {
      const C gamma = a.gamma ? a.gamma[k + l] : 1;
      V dgamma_k = {}, dbeta_k = {};
      for (int v = 0; v < kVectors; ++v) {
        const V d = read(dy, k + l, v);
        const V xhat = xhat_of(read(x, k + l, v), rows[v]);
        const V product = d * xhat;
        dgamma_k += product;
        dbeta_k += d;
        g_part[v] += d * gamma;
        gx_part[v] += product * gamma;
      }
      across_dgamma[l] = dgamma_k;
      across_dbeta[l] = dbeta_k;
    }
    C sums[2][kWidth];
    store(sums[0], sum_each<C, kWidth>(across_dgamma));
    store(sums[1], sum_each<C, kWidth>(across_dbeta));
    for (int64_t l = 0; l < count; ++l) {
      dgamma[k + l] += sums[0][l];
      dbeta[k + l] += sums[1][l];
    }
    for (int v = 0; v < kVectors; ++v) {
      add_lanes<C>(sum_g + v * kWidth, g_part[v]);
      add_lanes<C>(sum_gx + v * kWidth, gx_part[v]);
    }
    k += count;
  }

  C upper[kColumns], lower[kColumns], slope[kColumns];
  for (int c = 0; c < kColumns; ++c) {
    const Row<C> row = {m[c], r[c], cr[c]};
    const Plane<C> plane = plane_of(row, sum_g[c], sum_gx[c], 1 / static_cast<double>(n));
    upper[c] = plane.upper;
    lower[c] = plane.lower;
    slope[c] = plane.slope;
  }
  for (int64_t k = 0; k < n; ++k) {
    const C gamma = a.gamma ? a.gamma[k] : 1;
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = k * inner + v * kWidth, c = v * kWidth;
      const Plane<V> plane = {rows[v].m, load(upper + c), load(lower + c), load(slope + c),
                              rows[v].r};
      V out = dx_of(read(dy, k, v) * gamma, read(x, k, v), plane);
      __builtin_prefetch(dy + at + ahead);
      __builtin_prefetch(x + at + ahead);
      if (!all_held) out = held[v] ? out : load(dx + at, left);
      if (kStreams<T> && b.streaming && left == kWidth) {
        write<kStreams<T>>(dx + at, out, left);
      } else {
        store(dx + at, out, left);
      }
    }
  }
}

// The strips [first, last), which are a block.
template <class T>
void strips_of_block(const Backward& b, int64_t first, int64_t last, double* dgamma,
                     double* dbeta) {
  constexpr int64_t kWidth = kLanes<Compute<T>>;
  const int64_t strips = ceil_div(b.inner, kStrip);
  for (int64_t strip = first; strip < last; ++strip) {
    const int64_t o = strip / strips;
    int64_t i = strip % strips * kStrip;
    const int64_t end = smaller(b.inner, i + kStrip);
    for (; i + 4 * kWidth <= end; i += 4 * kWidth)
      columns_of_block<T, 4>(b, o, i, 4 * kWidth, 4 * kWidth, dgamma, dbeta);
    for (; i < end; i += kWidth)
      columns_of_block<T, 1>(b, o, i, smaller(kWidth, end - i), kWidth, dgamma, dbeta);
  }
}

template <class T>
PyLayernormStatus backward_strips(const Backward& b) {
  const int64_t strips = ceil_div(b.inner, kStrip);
  return share_out_blocks(b, do_blocks<T, strips_of_block<T>>, b.outer * strips, b.inner / strips);
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
