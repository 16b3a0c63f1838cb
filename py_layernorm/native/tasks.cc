#include "tasks.h"

#include <new>

#include "pool.h"

namespace py_layernorm {
namespace {

using std::int64_t;

// Below this, waking another thread costs more than it saves.
constexpr int64_t kAloneBytes = 192 << 10;

// What a thread takes at a time: one of kPieces, within bounds that are large enough to amortise
// scheduling and small enough to balance.
constexpr int64_t kPieces = 8;
constexpr int64_t kLeastPieceBytes = 32 << 10;
constexpr int64_t kMostPieceBytes = 128 << 10;

// Blocks of rows with their own sums for dgamma and dbeta: at most this many, and of at least this
// many rows and bytes, because adding up their sums costs time too.
constexpr int64_t kMostBlocks = 64;
constexpr int64_t kLeastBlockRows = 32;
constexpr int64_t kLeastBlockBytes = 96 << 10;

template <class Call>
void share_out_call(const PyLayernormThreads* lent, const Call& call,
                    void (*task)(const Call&, int64_t, int64_t), int64_t tasks, int64_t bytes) {
  if (tasks * bytes <= kAloneBytes) return task(call, 0, tasks);
  struct Bound {
    const Call& call;
    void (*task)(const Call&, int64_t, int64_t);
  };
  const Bound bound{call, task};
  int64_t piece = tasks * bytes / kPieces;
  if (piece < kLeastPieceBytes) piece = kLeastPieceBytes;
  if (piece > kMostPieceBytes) piece = kMostPieceBytes;
  parallel_for(
      tasks, bytes < piece ? piece / bytes : 1,
      [](const void* argument, int64_t begin, int64_t end) {
        const Bound& bound = *static_cast<const Bound*>(argument);
        bound.task(bound.call, begin, end);
      },
      &bound, lent);
}

// A call of its own: a task is a column. C is the type of dgamma and dbeta.
struct Combine {
  const Backward& b;
  int64_t blocks;
};
template <class C>
void combine(const Combine& c, int64_t begin, int64_t end) {
  constexpr int64_t kColumns = 64;
  const int64_t stride = 2 * padded(c.b.n);
  for (int which = 0; which < 2; ++which) {
    C* out = static_cast<C*>(which ? c.b.dbeta : c.b.dgamma);
    if (!out) continue;
    for (int64_t first = begin; first < end; first += kColumns) {
      const int64_t count = end - first < kColumns ? end - first : kColumns;
      double total[kColumns] = {};
      const double* sums = c.b.sums + which * padded(c.b.n) + first;
      for (int64_t block = 0; block < c.blocks; ++block, sums += stride)
        for (int64_t j = 0; j < count; ++j) total[j] += sums[j];
      for (int64_t j = 0; j < count; ++j) out[first + j] = static_cast<C>(total[j]);
    }
  }
}

}  // namespace

void share_out(const Forward& f, ForwardTask task, int64_t tasks, int64_t bytes) {
  share_out_call(f.lent, f, task, tasks, bytes);
}

void share_out(const Backward& b, BackwardTask task, int64_t tasks, int64_t bytes) {
  share_out_call(b.lent, b, task, tasks, bytes);
}

PyLayernormStatus share_out_blocks(Backward b, BackwardTask task, int64_t units,
                                   int64_t unit_rows) {
  // The blocks depend on the shape alone: so the sums do not depend on the number of threads.
  const int64_t row_bytes = 3 * b.n * element_size(b.dtype);
  int64_t least_rows = ceil_div(kLeastBlockBytes, row_bytes);
  if (least_rows < kLeastBlockRows) least_rows = kLeastBlockRows;
  b.units = units;
  b.block = ceil_div(units, kMostBlocks);
  if (b.block * unit_rows < least_rows) b.block = ceil_div(least_rows, unit_rows);
  const int64_t blocks = ceil_div(units, b.block);

  const Scratch sums(blocks * 2 * padded(b.n));
  if (!sums.get()) return PY_LAYERNORM_NO_MEMORY;
  b.sums = sums.get();
  share_out(b, task, blocks, row_bytes * unit_rows * b.block);
  write_dgamma_dbeta(b, blocks);
  return PY_LAYERNORM_OK;
}

void write_dgamma_dbeta(const Backward& b, int64_t blocks) {
  if (!b.dgamma && !b.dbeta) return;
  const Combine c{b, blocks};
  share_out_call(b.lent, c,
                 b.dtype == PY_LAYERNORM_FLOAT64 ? combine<double> : combine<float>, b.n,
                 blocks * 16);
}

Scratch::Scratch(int64_t doubles)
    : memory_(new (std::nothrow) double[static_cast<std::size_t>(doubles)]) {}
Scratch::~Scratch() { delete[] memory_; }

}  // namespace py_layernorm
