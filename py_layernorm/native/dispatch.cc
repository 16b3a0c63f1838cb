// The plain C interface: picks the instruction set, cuts a call into tasks, shares them out.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "kernel.h"
#include "pool.h"
#include "tasks.h"

#ifndef PY_LAYERNORM_VERSION
#define PY_LAYERNORM_VERSION "unknown"
#endif

namespace py_layernorm {
namespace {

using std::int64_t;

// Below this, waking another thread costs more than it saves.
constexpr int64_t kAloneBytes = 192 << 10;
// What a thread takes at a time: large against the taking, small against the call, of which it is
// one of kPieces where these bounds allow.
constexpr int64_t kLeastPieceBytes = 32 << 10;
constexpr int64_t kMostPieceBytes = 128 << 10;
constexpr int64_t kPieces = 8;
// Where a call reads and writes more than this, floats are written past the cache: half of them
// would not be there when read.
constexpr int64_t kStreamBytes = 30 << 20;
// Long rows are done backward this many bytes of dy and x at a time, which the last-level cache
// still holds when dx is computed.
constexpr int64_t kLongBytes = 8 << 20;
// Blocks of rows with sums of their own for dgamma and dbeta: at most so many, and of at least so
// many rows and bytes, for adding up the blocks' sums costs too.
constexpr int64_t kMostBlocks = 64;
constexpr int64_t kLeastBlockRows = 32;
constexpr int64_t kLeastBlockBytes = 96 << 10;

struct Isa {
  const char* name;
  const Kernels& (*kernels)(int dtype);
};

// The best that this processor has, or the lower one that PY_LAYERNORM_ISA asks for.
Isa choose_isa() {
#if defined(__x86_64__)
  const char* asked = std::getenv("PY_LAYERNORM_ISA");
  const auto allowed = [asked](const char* name) {
    return !asked || !*asked || std::strcmp(asked, name) == 0;
  };
  __builtin_cpu_init();
  if (allowed("avx512") && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return {"avx512", avx512::kernels};
  const bool no_more_than_avx2 = allowed("avx2") || (asked && std::strcmp(asked, "avx512") == 0);
  if (no_more_than_avx2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {"avx2", avx2::kernels};
#endif
  return {"baseline", baseline::kernels};
}

const Isa& isa() {
  static const Isa chosen = choose_isa();
  return chosen;
}

int64_t element_size(int dtype) {
  return dtype == PY_LAYERNORM_FLOAT64 ? 8 : dtype == PY_LAYERNORM_FLOAT32 ? 4 : 2;
}

// Does tasks that read or write about `bytes` each.
template <class Arguments>
void share_out(const PyLayernormThreads* lent, const Arguments& arguments,
               void (*task)(const Arguments&, int64_t, int64_t), int64_t tasks, int64_t bytes) {
  if (tasks * bytes <= kAloneBytes) return task(arguments, 0, tasks);
  struct Call {
    const Arguments& arguments;
    void (*task)(const Arguments&, int64_t, int64_t);
  };
  const Call call{arguments, task};
  int64_t piece = tasks * bytes / kPieces;
  if (piece < kLeastPieceBytes) piece = kLeastPieceBytes;
  if (piece > kMostPieceBytes) piece = kMostPieceBytes;
  const int64_t block = bytes < piece ? piece / bytes : 1;
  parallel_for(
      tasks, block,
      [](const void* c, int64_t begin, int64_t end) {
        const Call& call = *static_cast<const Call*>(c);
        call.task(call.arguments, begin, end);
      },
      &call, lent);
}

bool aligned(const void* p, int64_t row_bytes) {
  return reinterpret_cast<std::uintptr_t>(p) % 64 == 0 && row_bytes % 64 == 0;
}

using Scratch = std::unique_ptr<double[]>;
Scratch scratch(int64_t doubles) {
  return Scratch(new (std::nothrow) double[static_cast<size_t>(doubles)]);
}

int forward(const PyLayernormThreads* lent, int dtype, Forward f) {
  const Kernels& kernels = isa().kernels(dtype);
  const int64_t rows = f.outer * f.inner;
  const int64_t row_bytes = f.n * element_size(dtype);
  const int64_t stride = (f.inner > 1 ? f.inner : f.n) * element_size(dtype);
  f.streaming = 2 * rows * row_bytes > kStreamBytes && aligned(f.y, stride) && f.y != f.x;
  if (f.inner > 1) {
    const int64_t strips = (f.inner + kStrip - 1) / kStrip;
    share_out(lent, f, kernels.strips, f.outer * strips, 2 * row_bytes * f.inner / strips);
    return PY_LAYERNORM_OK;
  }
  if (f.n <= kChunk) {
    share_out(lent, f, kernels.rows, rows, 2 * row_bytes);
    return PY_LAYERNORM_OK;
  }
  const int threads = thread_count(lent);
  if (rows >= 4 * threads || threads == 1) {
    share_out(lent, f, kernels.long_rows, rows, 2 * row_bytes);
    return PY_LAYERNORM_OK;
  }
  const int64_t segments = ceil_div(f.n, kSegment);
  const int64_t bytes = 2 * row_bytes / segments;
  const Scratch partial = scratch(rows * 2 * segments);
  if (!partial) return PY_LAYERNORM_NO_MEMORY;
  f.partial = partial.get();
  share_out(lent, f, kernels.long_sum, rows * segments, bytes);
  kernels.long_mean(f, 0, rows);
  share_out(lent, f, kernels.long_deviations, rows * segments, bytes);
  kernels.long_statistics(f, 0, rows);
  share_out(lent, f, kernels.long_normalise, rows * segments, bytes);
  return PY_LAYERNORM_OK;
}

// The blocks' sums, in order, into dgamma or dbeta of type C.
struct Combine {
  const double* sums;  // [blocks, 2, padded n]
  int64_t blocks, n;
  void* dgamma;
  void* dbeta;
};
template <class C>
void combine(const Combine& c, int64_t begin, int64_t end) {
  const int64_t stride = 2 * padded(c.n);
  for (int which = 0; which < 2; ++which) {
    C* out = static_cast<C*>(which ? c.dbeta : c.dgamma);
    if (!out) continue;
    constexpr int64_t kColumns = 64;
    for (int64_t first = begin; first < end; first += kColumns) {
      const int64_t count = end - first < kColumns ? end - first : kColumns;
      double total[kColumns] = {};
      const double* sums = c.sums + which * padded(c.n) + first;
      for (int64_t b = 0; b < c.blocks; ++b, sums += stride)
        for (int64_t j = 0; j < count; ++j) total[j] += sums[j];
      for (int64_t j = 0; j < count; ++j) out[first + j] = static_cast<C>(total[j]);
    }
  }
}

// Each row's sums over the tiles, in order, into the first tile's place.
void add_tiles(const Backward& b) {
  const int64_t tiles = ceil_div(b.n, kTile);
  for (int64_t i = 0; i < 2 * (b.last - b.first); ++i) {
    double* part = b.partial + i * tiles;
    for (int64_t t = 1; t < tiles; ++t) part[0] += part[t];
  }
}

int backward(const PyLayernormThreads* lent, int dtype, Backward b, void* dgamma, void* dbeta) {
  const Kernels& kernels = isa().kernels(dtype);
  const int64_t rows = b.outer * b.inner;
  const int64_t row_bytes = b.n * element_size(dtype);
  const int64_t stride = (b.inner > 1 ? b.inner : b.n) * element_size(dtype);
  b.streaming = 3 * rows * row_bytes > kStreamBytes && aligned(b.dx, stride) && b.dx != b.dy;

  // The blocks depend on the shape alone, so that the sums do not depend on the threads.
  const bool in_strips = b.inner > 1, in_tiles = !in_strips && b.n > kSegment;
  const int64_t strips = in_strips ? ceil_div(b.inner, kStrip) : 1;
  const int64_t units = b.outer * strips, unit_rows = in_strips ? b.inner / strips : 1;
  b.block = ceil_div(units, kMostBlocks);
  int64_t least_rows = ceil_div(kLeastBlockBytes, 3 * row_bytes);
  if (least_rows < kLeastBlockRows) least_rows = kLeastBlockRows;
  if (b.block * unit_rows < least_rows) b.block = ceil_div(least_rows, unit_rows);
  const int64_t blocks = in_tiles ? 1 : ceil_div(units, b.block);

  const int64_t doubles = blocks * 2 * padded(b.n);
  const Scratch sums = scratch(doubles);
  if (!sums) return PY_LAYERNORM_NO_MEMORY;
  b.sums = sums.get();
  if (in_tiles) {
    const int64_t together = 4;
    int64_t most = kLongBytes / (2 * row_bytes) / together * together;
    if (most < together) most = together;
    if (most > rows) most = rows;
    const int64_t tiles = ceil_div(b.n, kTile);
    const Scratch partial = scratch(most * 2 * tiles);
    if (!partial) return PY_LAYERNORM_NO_MEMORY;
    b.partial = partial.get();
    std::memset(b.sums, 0, doubles * sizeof(double));
    for (b.first = 0; b.first < rows; b.first = b.last) {
      b.last = b.first + most < rows ? b.first + most : rows;
      share_out(lent, b, kernels.long_sums, tiles, 2 * (b.last - b.first) * row_bytes / tiles);
      add_tiles(b);
      share_out(lent, b, kernels.long_dx, tiles * (b.last - b.first), 3 * row_bytes / tiles);
    }
  } else {
    share_out(lent, b, in_strips ? kernels.block_strips : kernels.block_rows, blocks,
              3 * row_bytes * unit_rows * b.block);
  }
  if (dgamma || dbeta) {
    const Combine c{b.sums, blocks, b.n, dgamma, dbeta};
    share_out(lent, c, dtype == PY_LAYERNORM_FLOAT64 ? combine<double> : combine<float>, b.n,
              blocks * 16);
  }
  return PY_LAYERNORM_OK;
}

bool valid(int dtype, int64_t outer, int64_t n, int64_t inner) {
  return dtype >= PY_LAYERNORM_FLOAT32 && dtype <= PY_LAYERNORM_FLOAT16 && outer >= 0 && n >= 0 &&
         inner >= 0;
}

void clear(void* p, int dtype, int64_t n) {
  if (p) std::memset(p, 0, n * (dtype == PY_LAYERNORM_FLOAT64 ? 8 : 4));
}

}  // namespace
}  // namespace py_layernorm

using namespace py_layernorm;

int py_layernorm_forward(int dtype, int64_t outer, int64_t n, int64_t inner, const void* x,
                         const void* gamma, const void* beta, double epsilon, void* y, double* mean,
                         double* rstd) {
  return py_layernorm_forward_on(nullptr, dtype, outer, n, inner, x, gamma, beta, epsilon, y, mean,
                                 rstd);
}

int py_layernorm_forward_on(const PyLayernormThreads* lent, int dtype, int64_t outer, int64_t n,
                            int64_t inner, const void* x, const void* gamma, const void* beta,
                            double epsilon, void* y, double* mean, double* rstd) {
  if (!valid(dtype, outer, n, inner)) return PY_LAYERNORM_INVALID;
  if (outer == 0 || n == 0 || inner == 0) return PY_LAYERNORM_OK;
  if (!x || !y || !mean || !rstd) return PY_LAYERNORM_INVALID;
  const DefaultFloatMode mode;
  return forward(lent, dtype,
                 {outer, n, inner, x, gamma, beta, epsilon, y, mean, rstd, false, nullptr});
}

int py_layernorm_backward(int dtype, int64_t outer, int64_t n, int64_t inner, const void* dy,
                          const void* x, const void* gamma, const double* mean, const double* rstd,
                          void* dx, void* dgamma, void* dbeta) {
  return py_layernorm_backward_on(nullptr, dtype, outer, n, inner, dy, x, gamma, mean, rstd, dx,
                                  dgamma, dbeta);
}

int py_layernorm_backward_on(const PyLayernormThreads* lent, int dtype, int64_t outer, int64_t n,
                             int64_t inner, const void* dy, const void* x, const void* gamma,
                             const double* mean, const double* rstd, void* dx, void* dgamma,
                             void* dbeta) {
  if (!valid(dtype, outer, n, inner)) return PY_LAYERNORM_INVALID;
  if (outer == 0 || n == 0 || inner == 0) {
    clear(dgamma, dtype, n);
    clear(dbeta, dtype, n);
    return PY_LAYERNORM_OK;
  }
  if (!dy || !x || !mean || !rstd || !dx) return PY_LAYERNORM_INVALID;
  const DefaultFloatMode mode;
  Backward b = {};
  b.outer = outer;
  b.n = n;
  b.inner = inner;
  b.dy = dy;
  b.x = x;
  b.gamma = gamma;
  b.mean = mean;
  b.rstd = rstd;
  b.dx = dx;
  return backward(lent, dtype, b, dgamma, dbeta);
}

const char* py_layernorm_isa(void) { return isa().name; }
int py_layernorm_get_threads(void) { return thread_count(); }
void py_layernorm_set_threads(int threads) { set_thread_count(threads); }
const char* py_layernorm_version(void) { return PY_LAYERNORM_VERSION; }
