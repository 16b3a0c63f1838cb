// The forward pass over an axis that is not the last (inner > 1), in strips of neighbouring
// columns. Each lane of a vector holds an element of a row of its own.
#pragma once

#include "per_isa/call-inl.h"
#include "per_isa/in_double-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

// Elements of a column that are summed in float before the sum is added to a double.
constexpr int64_t kColumnChunk = 32;

// `columns` columns, of kVectors vectors, from column i of outer index o on; only a single vector
// may be partial. Prefetches the columns `ahead` elements further on, whose stride the processor
// does not predict.
template <class T, int kVectors>
void normalise_columns(const Forward& f, int64_t o, int64_t i, int64_t columns, int64_t ahead) {
  using C = Compute<T>;
  using V = Vec<C>;
  constexpr int kWidth = kLanes<C>;
  constexpr int kColumns = kVectors * kWidth;
  const ForwardOf<T> a(f);
  const int64_t n = f.n, inner = f.inner;
  const double one_nth = 1 / static_cast<double>(n);
  const T* x = a.x + o * n * inner + i;
  T* y = a.y + o * n * inner + i;

  const int64_t left = kVectors > 1 ? kWidth : columns;  // elements of a vector
  double sum[kColumns] = {}, sum2[kColumns] = {};
  for (int64_t k = 0; k < n;) {
    const int64_t end = smaller(n, k + kColumnChunk);
    V part[kVectors] = {};
    for (; k < end; ++k)
      for (int v = 0; v < kVectors; ++v) part[v] += load(x + k * inner + v * kWidth, left);
    for (int v = 0; v < kVectors; ++v) add_lanes<C>(sum + v * kWidth, part[v]);
  }
  C m[kColumns];
  V mv[kVectors];
  for (int c = 0; c < kColumns; ++c) {
    m[c] = static_cast<C>(sum[c] * one_nth);
    sum[c] = 0;
  }
  for (int v = 0; v < kVectors; ++v) mv[v] = load(m + v * kWidth);
  for (int64_t k = 0; k < n;) {
    const int64_t end = smaller(n, k + kColumnChunk);
    V part[kVectors] = {}, part2[kVectors] = {};
    for (; k < end; ++k)
      for (int v = 0; v < kVectors; ++v) {
        const V d = load(x + k * inner + v * kWidth, left) - mv[v];
        part[v] += d;
        part2[v] += d * d;
        __builtin_prefetch(x + k * inner + v * kWidth + ahead);
      }
    for (int v = 0; v < kVectors; ++v) {
      add_lanes<C>(sum + v * kWidth, part[v]);
      add_lanes<C>(sum2 + v * kWidth, part2[v]);
    }
  }

  double mean[kColumns], rstd[kColumns];
  C r[kColumns], cr[kColumns], held[kColumns];
  bool all_held = true;
  for (int c = 0; c < kColumns; ++c) {
    const Statistics<double> s = statistics_of(sum[c], sum2[c], one_nth, f.epsilon);
    mean[c] = m[c] + s.c;
    rstd[c] = s.rstd;
    const Row<C> row = row_of<C>(mean[c], rstd[c]);
    m[c] = row.m;
    r[c] = row.r;
    cr[c] = row.cr;
    held[c] = in_range(C(), s.spread);
    all_held &= c >= columns || in_range(C(), s.spread);
  }
  for (int64_t c = 0; c < columns; ++c) {
    if (!all_held && held[c] == 0)
      normalise_in_double(x + c, a.gamma, a.beta, n, inner, f.epsilon, y + c, &mean[c], &rstd[c]);
    f.mean[o * inner + i + c] = mean[c];
    f.rstd[o * inner + i + c] = rstd[c];
  }

  Row<V> rows[kVectors];
  for (int v = 0; v < kVectors; ++v)
    rows[v] = {load(m + v * kWidth), load(r + v * kWidth), load(cr + v * kWidth)};
  for (int64_t k = 0; k < n; ++k) {
    const C gamma = a.gamma ? a.gamma[k] : 1;
    const C beta = a.beta ? a.beta[k] : 0;
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = k * inner + v * kWidth;
      V out = xhat_of(load(x + at, left), rows[v]) * gamma + beta;
      // Keep what was done in double.
      if (!all_held) out = load(held + v * kWidth) != 0 ? out : load(y + at, left);
      if (kStreams<T> && f.streaming && left == kWidth) {
        write<kStreams<T>>(y + at, out, left);
      } else {
        store(y + at, out, left);
      }
    }
  }
}

// A task is a strip.
template <class T>
void normalise_strips(const Forward& f, int64_t begin, int64_t end) {
  constexpr int64_t kWidth = kLanes<Compute<T>>;
  const int64_t strips = ceil_div(f.inner, kStrip);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t o = task / strips;
    int64_t i = task % strips * kStrip;
    const int64_t last = smaller(f.inner, i + kStrip);
    for (; i + 4 * kWidth <= last; i += 4 * kWidth)
      normalise_columns<T, 4>(f, o, i, 4 * kWidth, 4 * kWidth);
    for (; i < last; i += kWidth)
      normalise_columns<T, 1>(f, o, i, smaller(kWidth, last - i), kWidth);
  }
  if (f.streaming) end_streaming();
}

template <class T>
PyLayernormStatus forward_strips(const Forward& f) {
  const int64_t strips = ceil_div(f.inner, kStrip), row_bytes = f.n * kSize<T>;
  share_out(f, normalise_strips<T>, f.outer * strips, 2 * row_bytes * f.inner / strips);
  return PY_LAYERNORM_OK;
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
