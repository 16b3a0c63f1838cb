// Layer normalisation on the CPU: the mathematics behind a plain C interface.
//
// An array of `outer * n * inner` elements is seen as [outer, n, inner], element (o, k, i) at
// ((o * n) + k) * inner + i. Each pair (o, i) is a row: it is normalised over its n elements.
// inner == 1 is the contiguous case. There are rows = outer * inner of them, and what belongs to
// row (o, i) is kept at o * inner + i.
//
// Every row's result depends on that row alone, bit for bit: not on the other rows, on where a
// batch is cut, on the number of threads, or on the caller's floating-point mode.
#pragma once

#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

#define PY_LAYERNORM_API __attribute__((visibility("default")))

// Of x, y, dy, dx. gamma, beta, dgamma and dbeta are float, or double where x is double.
enum PyLayernormDtype {
  PY_LAYERNORM_FLOAT32 = 0,
  PY_LAYERNORM_FLOAT64 = 1,
  PY_LAYERNORM_BFLOAT16 = 2,
  PY_LAYERNORM_FLOAT16 = 3,
};

enum PyLayernormStatus {
  PY_LAYERNORM_OK = 0,
  PY_LAYERNORM_INVALID = 1,    // a negative size, an unknown dtype, or a null where none may be
  PY_LAYERNORM_NO_MEMORY = 2,  // the scratch memory could not be had; nothing was written
};

// y = (x - mean) * rstd * gamma + beta, with mean = sum(x) / n, var = sum((x - mean)^2) / n and
// rstd = 1 / sqrt(var + epsilon) of each row.
//
//   x, y         [outer, n, inner]; y may be x itself, else they must not overlap
//   gamma, beta  [n], or null
//   mean, rstd   [outer * inner], always double: what the backward pass needs to keep its digits
//
// Empty input (any size 0) writes nothing.
PY_LAYERNORM_API int py_layernorm_forward(int dtype, int64_t outer, int64_t n, int64_t inner,
                                          const void* x, const void* gamma, const void* beta,
                                          double epsilon, void* y, double* mean, double* rstd);

// With xhat = (x - mean) * rstd and g = dy * gamma:
//   dx = (g - sum(g) / n - xhat * sum(g * xhat) / n) * rstd    sums over the row
//   dgamma = sum(dy * xhat), dbeta = sum(dy)                   sums over all rows
//
//   dy, x, dx      [outer, n, inner]; dx may be dy itself, else they must not overlap
//   gamma          [n], or null
//   mean, rstd     [outer * inner], as the forward pass left them
//   dgamma, dbeta  [n], or null where not wanted
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
  // Has one of them call task(data), perhaps only when the call has ended. 0: it never will.
  int (*schedule)(void* context, void (*task)(void* data), void* data);
};

// The same two passes on lent threads. `threads` may be null, for our own pool; it and what its
// context points to need only last as long as the call.
PY_LAYERNORM_API int py_layernorm_forward_on(const struct PyLayernormThreads* threads, int dtype,
                                             int64_t outer, int64_t n, int64_t inner, const void* x,
                                             const void* gamma, const void* beta, double epsilon,
                                             void* y, double* mean, double* rstd);
PY_LAYERNORM_API int py_layernorm_backward_on(const struct PyLayernormThreads* threads, int dtype,
                                              int64_t outer, int64_t n, int64_t inner,
                                              const void* dy, const void* x, const void* gamma,
                                              const double* mean, const double* rstd, void* dx,
                                              void* dgamma, void* dbeta);

// The instruction set in use: "avx512", "avx2" or "baseline". The environment variable
// PY_LAYERNORM_ISA asks for a lower one; one that this processor lacks is not taken.
PY_LAYERNORM_API const char* py_layernorm_isa(void);

// Threads that one call uses at most, the caller's own included. To begin with: the environment
// variable PY_LAYERNORM_THREADS, else the processors that this process may run on.
PY_LAYERNORM_API int py_layernorm_get_threads(void);
PY_LAYERNORM_API void py_layernorm_set_threads(int threads);

PY_LAYERNORM_API const char* py_layernorm_version(void);

#if defined(__cplusplus)
}
#endif
