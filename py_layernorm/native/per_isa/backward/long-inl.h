// The backward pass over contiguous rows of more than kSegment elements, too long for the cache of
// one thread: first the sums, tile by tile of columns over some rows at a time; then dx, tile by
// tile of each row.
#pragma once

#include "per_isa/backward/rows-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// dy and x that are read for the sums, in bytes: the last-level cache still holds them for dx.
constexpr int64_t kLongBytes = 8 << 20;

// Step 1, a task is a tile of the columns of the rows [first, last): the sums.
template <class T>
void sum_tiles(const Backward& b, int64_t begin, int64_t end) {
  using C = Compute<T>;
  const BackwardOf<T> a(b);
  const Stand<C> ones(1, a.gamma ? 0 : kChunk);
  const int64_t tiles = ceil_div(b.n, kTile);
  for (int64_t tile = begin; tile < end; ++tile) {
    const int64_t j = tile * kTile, n = smaller(kTile, b.n - j);
    const C* gamma = a.gamma ? a.gamma + j : nullptr;
    double* dgamma = b.sums + j;
    double* dbeta = b.sums + padded(b.n) + j;
    ColumnSums<C, kTile> sums(dgamma, dbeta, n);
    for (int64_t row = b.first; row < b.last;) {
      const T* dy[kTogether<C>];
      const T* x[kTogether<C>];
      Row<C> rows[kTogether<C>];
      double sum_g[kTogether<C>], sum_gx[kTogether<C>];
      int count = 0;
      for (; row + count < b.last && count < kTogether<C>; ++count) {
        const int64_t i = row + count;
        if (!rstd_in_range(C(), b.rstd[i])) break;
        dy[count] = a.dy + i * b.n + j;
        x[count] = a.x + i * b.n + j;
        rows[count] = row_of<C>(b.mean[i], b.rstd[i]);
      }
      double* part = b.partial + (row - b.first) * 2 * tiles + tile;
      if (count == 0) {
        add_in_double(a.dy + row * b.n + j, a.x + row * b.n + j, gamma, n, 1, b.mean[row],
                      b.rstd[row], dgamma, dbeta, part, part + tiles);
        ++row;
        continue;
      }
      if (count == kTogether<C>) {
        add_columns<T, kTogether<C>>(dy, x, rows, gamma, ones.chunk, n, sums.dgamma, sums.dbeta,
                                     sum_g, sum_gx);
      } else {
        for (int r = 0; r < count; ++r)
          add_columns<T, 1>(dy + r, x + r, rows + r, gamma, ones.chunk, n, sums.dgamma, sums.dbeta,
                            sum_g + r, sum_gx + r);
      }
      for (int r = 0; r < count; ++r, part += 2 * tiles) {
        part[0] = sum_g[r];
        part[tiles] = sum_gx[r];
      }
      row += count;
      sums.count(count);
    }
    sums.fold();
  }
}

// Step 2: the sums of each row over its tiles, in order, in the place of its first tile.
INLINE void add_tiles(const Backward& b) {
  const int64_t tiles = ceil_div(b.n, kTile);
  for (int64_t i = 0; i < 2 * (b.last - b.first); ++i) {
    double* part = b.partial + i * tiles;
    for (int64_t t = 1; t < tiles; ++t) part[0] += part[t];
  }
}

// Step 3, a task is a tile of one of the rows [first, last): dx.
template <class T>
void write_dx_tiles(const Backward& b, int64_t begin, int64_t end) {
  using C = Compute<T>;
  const BackwardOf<T> a(b);
  const Stand<C> ones(1, a.gamma ? 0 : kChunk);
  const int64_t tiles = ceil_div(b.n, kTile);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t i = task / tiles, row = b.first + i, j = task % tiles * kTile;
    const int64_t n = smaller(kTile, b.n - j), at = row * b.n + j;
    const C* gamma = a.gamma ? a.gamma + j : nullptr;
    const double sum_g = b.partial[i * 2 * tiles], sum_gx = b.partial[i * 2 * tiles + tiles];
    if (rstd_in_range(C(), b.rstd[row])) {
      write_dx(a.dy + at, a.x + at, gamma, ones.chunk, n,
               plane_of(row_of<C>(b.mean[row], b.rstd[row]), sum_g, sum_gx,
                        1 / static_cast<double>(b.n)),
               a.dx + at, b.streaming, kChunk);
    } else {
      write_dx_in_double(a.dy + at, a.x + at, gamma, n, 1, b.mean[row], b.rstd[row], sum_g / b.n,
                         sum_gx / b.n, a.dx + at);
    }
  }
  if (b.streaming) end_streaming();
}

template <class T>
PyLayernormStatus backward_long(Backward b) {
  constexpr int64_t kRows = 4;  // a multiple of the rows that are done side by side
  const int64_t rows = b.outer, row_bytes = b.n * kSize<T>, tiles = ceil_div(b.n, kTile);
  const int64_t most = larger(kLongBytes / (2 * row_bytes) / kRows * kRows, kRows);
  const int64_t at_a_time = smaller(most, rows);
  const Scratch sums(2 * padded(b.n)), partial(at_a_time * 2 * tiles);
  if (!sums.get() || !partial.get()) return PY_LAYERNORM_NO_MEMORY;
  b.sums = sums.get();
  b.partial = partial.get();
  for (int64_t j = 0; j < 2 * padded(b.n); ++j) b.sums[j] = 0;
  for (b.first = 0; b.first < rows; b.first = b.last) {
    b.last = smaller(b.first + at_a_time, rows);
    share_out(b, sum_tiles<T>, tiles, 2 * (b.last - b.first) * row_bytes / tiles);
    add_tiles(b);
    share_out(b, write_dx_tiles<T>, tiles * (b.last - b.first), 3 * row_bytes / tiles);
  }
  write_dgamma_dbeta(b, 1);
  return PY_LAYERNORM_OK;
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
