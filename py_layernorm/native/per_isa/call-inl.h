// A call: the lengths that it is cut into, and its pointers with the types of their elements.
#pragma once

#include "per_isa/dtype-inl.h"
#include "tasks.h"

namespace py_layernorm {
namespace ISA {
namespace {

// Contiguous rows of up to this many vectors are short: they are held in registers.
constexpr int kShortVectors = 4;

// Contiguous rows of up to this many elements are normalised several at a time.
constexpr int64_t kChunk = 1024;

// Longer rows are cut into segments of this length, so that a few long rows can be shared out. The
// sums of a row run over its segments in order, whichever thread computed them.
constexpr int64_t kSegment = 8192;

// The backward pass sums the columns of long rows in tiles of this many columns.
constexpr int64_t kTile = 2048;

// Columns in a strip (inner > 1): 256 bytes of float32, which is four cache lines.
constexpr int64_t kStrip = 64;

template <class T>
constexpr int64_t kSize = sizeof(T);

template <class T>
struct ForwardOf {
  using C = Compute<T>;
  explicit ForwardOf(const Forward& f)
      : x(static_cast<const T*>(f.x)),
        gamma(static_cast<const C*>(f.gamma)),
        beta(static_cast<const C*>(f.beta)),
        y(static_cast<T*>(f.y)) {}
  const T* x;
  const C* gamma;
  const C* beta;
  T* y;
};

template <class T>
struct BackwardOf {
  using C = Compute<T>;
  explicit BackwardOf(const Backward& b)
      : dy(static_cast<const T*>(b.dy)),
        x(static_cast<const T*>(b.x)),
        gamma(static_cast<const C*>(b.gamma)),
        dx(static_cast<T*>(b.dx)) {}
  const T* dy;
  const T* x;
  const C* gamma;
  T* dx;
};

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
