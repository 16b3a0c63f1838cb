// The C interface: checks the arguments and picks the instruction set.
#include <cstdlib>
#include <cstring>

#include "kernel.h"
#include "pool.h"
#include "tasks.h"

#ifndef PY_LAYERNORM_VERSION
#define PY_LAYERNORM_VERSION "unknown"
#endif

namespace py_layernorm {
namespace {

using std::int64_t;

// A call that reads and writes more than this uses non-temporal stores: half the output would be
// evicted before it is read.
constexpr int64_t kStreamBytes = 30 << 20;

struct Isa {
  const char* name;
  PyLayernormStatus (*forward)(const Forward&);
  PyLayernormStatus (*backward)(const Backward&);
};

// The best instruction set that this processor has, or the lower one in PY_LAYERNORM_ISA.
Isa choose_isa() {
#if defined(__x86_64__)
  const char* text = std::getenv("PY_LAYERNORM_ISA");
  const auto asked_for = [text](const char* name) { return text && std::strcmp(text, name) == 0; };
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (asked_for("baseline")) return {"baseline", baseline::forward, baseline::backward};
  if (has_avx512 && !asked_for("avx2")) return {"avx512", avx512::forward, avx512::backward};
  if (has_avx2) return {"avx2", avx2::forward, avx2::backward};
#endif
  return {"baseline", baseline::forward, baseline::backward};
}

const Isa& isa() {
  static const Isa chosen = choose_isa();
  return chosen;
}

// Whether the output, which is not to overwrite an input, is written with non-temporal stores.
// `arrays` is the number of arrays of that size that the call reads and writes.
bool streams(PyLayernormDtype dtype, int64_t outer, int64_t n, int64_t inner, int arrays,
             const void* output, const void* input) {
  const int64_t size = element_size(dtype), stride = (inner > 1 ? inner : n) * size;
  const bool aligned = reinterpret_cast<std::uintptr_t>(output) % 64 == 0 && stride % 64 == 0;
  return arrays * outer * n * inner * size > kStreamBytes && aligned && output != input;
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
  if (!x || !y || !mean != !rstd) return PY_LAYERNORM_INVALID;
  if (!mean) {  // the passes keep them between their steps
    const int64_t rows = outer * inner;
    const Scratch statistics(2 * rows);
    if (!statistics.get()) return PY_LAYERNORM_NO_MEMORY;
    return py_layernorm_forward(dtype, outer, n, inner, x, gamma, beta, epsilon, y,
                                statistics.get(), statistics.get() + rows);
  }
  Forward f = {};
  f.lent = lent;
  f.dtype = static_cast<PyLayernormDtype>(dtype);
  f.outer = outer;
  f.n = n;
  f.inner = inner;
  f.x = x;
  f.gamma = gamma;
  f.beta = beta;
  f.epsilon = epsilon;
  f.y = y;
  f.mean = mean;
  f.rstd = rstd;
  f.streaming = streams(f.dtype, outer, n, inner, 2, y, x);
  const DefaultFloatMode mode;
  return isa().forward(f);
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
  Backward b = {};
  b.lent = lent;
  b.dtype = static_cast<PyLayernormDtype>(dtype);
  b.outer = outer;
  b.n = n;
  b.inner = inner;
  b.dy = dy;
  b.x = x;
  b.gamma = gamma;
  b.mean = mean;
  b.rstd = rstd;
  b.dx = dx;
  b.dgamma = dgamma;
  b.dbeta = dbeta;
  b.streaming = streams(b.dtype, outer, n, inner, 3, dx, dy);
  const DefaultFloatMode mode;
  return isa().backward(b);
}

const char* py_layernorm_isa(void) { return isa().name; }
int py_layernorm_get_threads(void) { return thread_count(); }
int py_layernorm_set_threads(int threads) {
  if (threads < 1 || threads > PY_LAYERNORM_MOST_THREADS) return PY_LAYERNORM_INVALID;
  set_thread_count(threads);
  return PY_LAYERNORM_OK;
}
const char* py_layernorm_version(void) { return PY_LAYERNORM_VERSION; }
