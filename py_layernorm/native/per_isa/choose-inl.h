// Picks the path of a call, for both passes.
//
//   path    axis      rows of              a task is
//   short   last      at most 4 vectors    a row; backward: a block of rows
//   rows    last      medium length        a row; backward: a block of rows
//   long    last      more than `most`     a row, or a segment or tile of one
//   strips  not last  any length           a strip of columns; backward: a block of strips
//
// The shape alone decides: how a row is summed must not depend on how many rows or threads there
// are.
#pragma once

#include "per_isa/backward/long-inl.h"
#include "per_isa/backward/rows-inl.h"
#include "per_isa/backward/short-inl.h"
#include "per_isa/backward/strips-inl.h"
#include "per_isa/forward/long-inl.h"
#include "per_isa/forward/rows-inl.h"
#include "per_isa/forward/short-inl.h"
#include "per_isa/forward/strips-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

enum class Path { kShort, kRows, kLong, kStrips };

template <class T>
Path choose(int64_t n, int64_t inner, int64_t most) {
  if (inner > 1) return Path::kStrips;
  if (n <= kShortVectors * kLanes<Compute<T>>) return Path::kShort;
  return n <= most ? Path::kRows : Path::kLong;
}

template <class T>
PyLayernormStatus forward_of(const Forward& f) {
  switch (choose<T>(f.n, f.inner, kChunk)) {
    case Path::kShort:
      return forward_short<T>(f);
    case Path::kRows:
      return forward_rows<T>(f);
    case Path::kLong:
      return forward_long<T>(f);
    case Path::kStrips:
      return forward_strips<T>(f);
  }
  return PY_LAYERNORM_INVALID;
}

template <class T>
PyLayernormStatus backward_of(const Backward& b) {
  switch (choose<T>(b.n, b.inner, kSegment)) {
    case Path::kShort:
      return backward_short<T>(b);
    case Path::kRows:
      return backward_rows<T>(b);
    case Path::kLong:
      return backward_long<T>(b);
    case Path::kStrips:
      return backward_strips<T>(b);
  }
  return PY_LAYERNORM_INVALID;
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
