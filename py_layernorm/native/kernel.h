// Layer normalisation on the CPU: the C interface of the kernel. plain.h says the same in code.
//
// An array of `outer * n * inner` elements is seen as [outer, n, inner]: element (o, k, i) is at
// (o * n + k) * inner + i. Each pair (o, i) is a row, which is normalised over its n elements.
// There are outer * inner rows; mean and rstd of row (o, i) are at o * inner + i. With inner == 1,
// rows are contiguous.
//
// The result for a row depends on that row alone, bit for bit: not on the other rows, on where a
// batch is cut, on the number of threads, or on the caller's floating-point mode.
#pragma once

#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

#define PY_LAYERNORM_API __attribute__((visibility("default")))

// The dtype of x, y, dy and dx. gamma, beta, dgamma and dbeta are float, or double if x is double.
enum PyLayernormDtype {
  PY_LAYERNORM_FLOAT32 = 0,
  PY_LAYERNORM_FLOAT64 = 1,
  PY_LAYERNORM_BFLOAT16 = 2,
  PY_LAYERNORM_FLOAT16 = 3,
};

enum PyLayernormStatus {
  PY_LAYERNORM_OK = 0,
  PY_LAYERNORM_INVALID = 1,    // an argument out of range, or null where that is not allowed
  PY_LAYERNORM_NO_MEMORY = 2,  // no scratch memory; nothing was written
};

// y = (x - mean) * rstd * gamma + beta, with mean = sum(x) / n, var = sum((x - mean)^2) / n and
// rstd = 1 / sqrt(var + epsilon) of each row.
//
//   x, y         [outer, n, inner]; y may be x, otherwise they must not overlap
//   gamma, beta  [n], or null
//   mean, rstd   [outer * inner], always double, so that the backward pass loses no digits; or both
//                null if not wanted
//
// Empty input (any size 0) writes nothing.
PY_LAYERNORM_API int py_layernorm_forward(int dtype, int64_t outer, int64_t n, int64_t inner,
                                          const void* x, const void* gamma, const void* beta,
                                          double epsilon, void* y, double* mean, double* rstd);

// With xhat = (x - mean) * rstd and g = dy * gamma:
//   dx = (g - sum(g) / n - xhat * sum(g * xhat) / n) * rstd    sums over the row
//   dgamma = sum(dy * xhat), dbeta = sum(dy)                   sums over all rows
//
//   dy, x, dx      [outer, n, inner]; dx may be dy, otherwise they must not overlap
//   gamma          [n], or null
//   mean, rstd     [outer * inner], from the forward pass
//   dgamma, dbeta  [n], or null if not wanted
//
// Empty input (outer or inner 0) writes zeros to dgamma and dbeta.
PY_LAYERNORM_API int py_layernorm_backward(int dtype, int64_t outer, int64_t n, int64_t inner,
                                           const void* dy, const void* x, const void* gamma,
                                           const double* mean, const double* rstd, void* dx,
                                           void* dgamma, void* dbeta);

// Threads that a framework lends to one call, which then leaves our own pool alone.
struct PyLayernormThreads {
  int count;  // how many there are besides the caller's
  void* context;
  // Has one of them call task(data), possibly after the call has returned. Returns 0 if none will.
  int (*schedule)(void* context, void (*task)(void* data), void* data);
};

// The same two passes on lent threads, or on our own if `threads` is null. `threads`, and what its
// context points to, need to last only as long as the call.
PY_LAYERNORM_API int py_layernorm_forward_on(const struct PyLayernormThreads* threads, int dtype,
                                             int64_t outer, int64_t n, int64_t inner, const void* x,
                                             const void* gamma, const void* beta, double epsilon,
                                             void* y, double* mean, double* rstd);
PY_LAYERNORM_API int py_layernorm_backward_on(const struct PyLayernormThreads* threads, int dtype,
                                              int64_t outer, int64_t n, int64_t inner,
                                              const void* dy, const void* x, const void* gamma,
                                              const double* mean, const double* rstd, void* dx,
                                              void* dgamma, void* dbeta);

// The instruction set in use: "avx512", "avx2" or "baseline", the best that this processor has. The
// environment variable PY_LAYERNORM_ISA, read at the first use, asks for a lower one. Any other
// value is ignored; engines/kernel.py refuses it.
PY_LAYERNORM_API const char* py_layernorm_isa(void);

// How many threads one call uses at most, its own included: from 1 to PY_LAYERNORM_MOST_THREADS.
// Initially the number in the environment variable PY_LAYERNORM_THREADS, read at the first use, or
// else the number of processors that this process may run on. A value that is out of range or not
// written in decimal digits is ignored; engines/kernel.py refuses it. Setting a number that is out
// of range returns PY_LAYERNORM_INVALID and changes nothing.
#define PY_LAYERNORM_MOST_THREADS 256
PY_LAYERNORM_API int py_layernorm_get_threads(void);
PY_LAYERNORM_API int py_layernorm_set_threads(int threads);

PY_LAYERNORM_API const char* py_layernorm_version(void);

#if defined(__cplusplus)
}
#endif
