// What the code that is compiled once (tasks.cc) and the code that is compiled once for each
// instruction set (per_isa/) know about each other.
//
// A call is cut into tasks, numbered from 0. A task function does the tasks [begin, end).
#pragma once

#include <cstdint>

#include "kernel.h"

namespace py_layernorm {

struct Forward {
  const PyLayernormThreads* lent;  // null for our own
  PyLayernormDtype dtype;
  std::int64_t outer, n, inner;
  const void* x;
  const void* gamma;
  const void* beta;
  double epsilon;
  void* y;
  double* mean;
  double* rstd;
  bool streaming;   // y exceeds the cache: write it with non-temporal stores
  double* partial;  // [rows, 2, segments]: the sums of segments that are shared out
};

struct Backward {
  const PyLayernormThreads* lent;
  PyLayernormDtype dtype;
  std::int64_t outer, n, inner;
  const void* dy;
  const void* x;
  const void* gamma;
  const double* mean;
  const double* rstd;
  void* dx;
  void* dgamma;
  void* dbeta;
  bool streaming;  // as in Forward, for dx

  // The units, which are rows or strips, are cut into blocks of `block`. Each block has its own
  // sums for dgamma and dbeta.
  std::int64_t units, block;
  double* sums;  // [blocks, 2, padded(n)]

  // Long rows are done [first, last) at a time.
  std::int64_t first, last;
  double* partial;  // [last - first, 2, tiles]: sum(g), sum(g * xhat)
};

using ForwardTask = void (*)(const Forward&, std::int64_t begin, std::int64_t end);
using BackwardTask = void (*)(const Backward&, std::int64_t begin, std::int64_t end);

// Does all `tasks`, each of which reads or writes about `bytes`, on as many threads as pay off.
void share_out(const Forward& f, ForwardTask task, std::int64_t tasks, std::int64_t bytes);
void share_out(const Backward& b, BackwardTask task, std::int64_t tasks, std::int64_t bytes);

// Cuts `units` (rows, or strips of `unit_rows` rows) into blocks, does them, a block a task, and
// adds up their sums.
PyLayernormStatus share_out_blocks(Backward b, BackwardTask task, std::int64_t units,
                                   std::int64_t unit_rows);

// dgamma and dbeta, where wanted, from the sums of the blocks, which are added in order.
void write_dgamma_dbeta(const Backward& b, std::int64_t blocks);

// Uninitialised memory. get() is null if there was none.
class Scratch {
 public:
  explicit Scratch(std::int64_t doubles);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  double* get() const { return memory_; }

 private:
  double* memory_;
};

// Both passes, for each instruction set. Sizes are positive, and no pointer is null that kernel.h
// does not allow to be.
namespace avx512 {
PyLayernormStatus forward(const Forward& f);
PyLayernormStatus backward(const Backward& b);
}  // namespace avx512
namespace avx2 {
PyLayernormStatus forward(const Forward& f);
PyLayernormStatus backward(const Backward& b);
}  // namespace avx2
namespace baseline {
PyLayernormStatus forward(const Forward& f);
PyLayernormStatus backward(const Backward& b);
}  // namespace baseline

// static: the linker must not share code that was compiled for one instruction set with another.
static inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Room for n sums: whole vectors can be stored, and blocks share no cache line.
static inline std::int64_t padded(std::int64_t n) { return ceil_div(n, 16) * 16; }

static inline std::int64_t element_size(PyLayernormDtype dtype) {
  return dtype == PY_LAYERNORM_FLOAT64 ? 8 : dtype == PY_LAYERNORM_FLOAT32 ? 4 : 2;
}

}  // namespace py_layernorm
