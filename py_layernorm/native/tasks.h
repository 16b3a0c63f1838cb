// What the dispatcher hands to the kernels of one instruction set: the arguments of a call, and a
// table of functions, each of which does the tasks [begin, end) of one kind.
#pragma once

#include <cstdint>

namespace py_layernorm {

// Rows of up to this many elements are done several at a time.
constexpr std::int64_t kChunk = 1024;

// Rows longer than that are cut into segments of this length, so that few long rows can be shared
// out. A row's sums run over its segments in order, however they are shared out.
constexpr std::int64_t kSegment = 8192;

// The same of the backward pass, which sums some rows' columns tile by tile.
constexpr std::int64_t kTile = 2048;

// Columns of a strip (inner > 1): 256 bytes of float32 side by side, four cache lines.
constexpr std::int64_t kStrip = 64;

struct Forward {
  std::int64_t outer, n, inner;
  const void* x;
  const void* gamma;
  const void* beta;
  double epsilon;
  void* y;
  double* mean;
  double* rstd;
  bool streaming;   // y is too large for the cache: write past it
  double* partial;  // [rows, 2, segments], for segments shared out
};

struct Backward {
  std::int64_t outer, n, inner;
  const void* dy;
  const void* x;
  const void* gamma;
  const double* mean;
  const double* rstd;
  void* dx;
  bool streaming;

  // Blocks of `block` rows (or strips) each have their own sums for dgamma and dbeta, in double.
  std::int64_t block;
  double* sums;  // [blocks, 2, padded n]

  // Long rows: the rows [first, last) at a time.
  std::int64_t first, last;
  double* partial;  // [last - first, 2, tiles]: sum(g), sum(g * xhat)
};

using ForwardTask = void (*)(const Forward&, std::int64_t begin, std::int64_t end);
using BackwardTask = void (*)(const Backward&, std::int64_t begin, std::int64_t end);

struct Kernels {
  ForwardTask rows;       // a task is a row of at most kChunk elements
  ForwardTask long_rows;  // a task is a row of more than that
  ForwardTask long_sum, long_deviations, long_normalise;  // a task is a segment of a row
  ForwardTask long_mean, long_statistics;                 // a task is a row
  ForwardTask strips;                                     // a task is a strip of columns
  BackwardTask block_rows;                                // a task is a block of rows
  BackwardTask long_sums;     // a task is a tile of columns, of the rows [first, last)
  BackwardTask long_dx;       // a task is a tile of a row of [first, last)
  BackwardTask block_strips;  // a task is a block of strips
};

// For dtype 0..3, as kernel.h numbers them.
namespace avx512 {
const Kernels& kernels(int dtype);
}
namespace avx2 {
const Kernels& kernels(int dtype);
}
namespace baseline {
const Kernels& kernels(int dtype);
}

// Internal linkage, here and below: the linker must not share what was compiled for one instruction
// set with another.
static inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Room for n sums, so that whole vectors can be stored and blocks do not share a cache line.
static inline std::int64_t padded(std::int64_t n) { return ceil_div(n, 16) * 16; }

}  // namespace py_layernorm
