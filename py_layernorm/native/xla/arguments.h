// The arguments, results and attributes of one custom call, checked: what the kernel reads or writes
// is there, in the shape and dtype that it takes.
#pragma once

#include <cstring>
#include <string>
#include <type_traits>

#include "../kernel.h"
#include "ffi.h"

namespace py_layernorm_xla {

using std::int64_t;
using namespace xla_ffi;

// Why a call is refused.
struct Invalid {
  std::string message;
};

struct Shape {
  const int64_t* dims;
  int64_t rank;
  int64_t operator[](int64_t axis) const { return dims[axis]; }
};

inline std::string text(const int64_t* dims, int64_t rank) {
  std::string s = "[";
  for (int64_t a = 0; a < rank; ++a) s += (a ? ", " : "") + std::to_string(dims[a]);
  return s + "]";
}

constexpr int64_t kMostRank = 64;

// A shape that is put together from parts of another.
struct Due {
  int64_t dims[kMostRank + 1];
  int64_t rank = 0;
  Due& add(const Shape& x, int64_t begin, int64_t end) {
    for (int64_t a = begin; a < end; ++a) dims[rank++] = x[a];
    return *this;
  }
  Due& add(int64_t length) {
    dims[rank++] = length;
    return *this;
  }
};

struct Call {
  const Frame& frame;
  int64_t next_argument = 0, next_result = 0;

  template <class T>
  T attribute(const char* name, int dtype) const {
    const Attributes& all = frame.attributes;
    for (int64_t i = 0; i < all.count; ++i) {
      if (all.names[i]->length != std::strlen(name) ||
          std::memcmp(all.names[i]->data, name, all.names[i]->length) != 0)
        continue;
      const Scalar* scalar = static_cast<const Scalar*>(all.at[i]);
      if (all.types[i] != kScalar || scalar->dtype != dtype)
        throw Invalid{std::string("the attribute ") + name + " has the wrong type"};
      return *static_cast<const T*>(scalar->value);
    }
    throw Invalid{std::string("there is no attribute ") + name};
  }
  int64_t number(const char* name) const { return attribute<int64_t>(name, kS64); }
  bool flag(const char* name) const { return attribute<unsigned char>(name, kPred) != 0; }

  const Buffer& argument(const char* name) { return take(frame.arguments, &next_argument, name); }
  const Buffer& result(const char* name) { return take(frame.results, &next_result, name); }

  // The next buffer, checked: what the kernel reads or writes there must be there.
  void* argument(const char* name, int dtype, const Due& shape) {
    return checked(argument(name), name, dtype, shape);
  }
  void* result(const char* name, int dtype, const Due& shape) {
    return checked(result(name), name, dtype, shape);
  }

  void done() const {
    if (next_argument != frame.arguments.count || next_result != frame.results.count)
      throw Invalid{"the call must have " + std::to_string(next_argument) + " arguments and " +
                    std::to_string(next_result) + " results. Received: " +
                    std::to_string(frame.arguments.count) + " and " +
                    std::to_string(frame.results.count)};
  }

 private:
  static const Buffer& take(const Buffers& all, int64_t* next, const char* name) {
    if (*next >= all.count || all.types[*next] != kBuffer)
      throw Invalid{std::string(name) + " is missing"};
    return *static_cast<const Buffer*>(all.at[(*next)++]);
  }
  static void* checked(const Buffer& b, const char* name, int dtype, const Due& due) {
    if (b.dtype != dtype) throw Invalid{std::string(name) + " has the wrong dtype"};
    if (b.rank != due.rank || std::memcmp(b.dims, due.dims, due.rank * sizeof(int64_t)) != 0)
      throw Invalid{std::string(name) + " must have the shape " + text(due.dims, due.rank) +
                    ". Received: shape " + text(b.dims, b.rank)};
    return b.data;
  }
};

// x seen as [batch, outer, n, inner], and the shapes of all that goes with it.
struct Geometry {
  int dtype, kernel_dtype, weight_dtype;
  int64_t batch = 1, outer = 1, n = 1, inner = 1;
  int64_t element, weight;  // bytes
  Due x, rows, params;

  Geometry(const Call& call, const Buffer& b) : dtype(b.dtype) {
    switch (dtype) {
      case kF32: kernel_dtype = PY_LAYERNORM_FLOAT32, element = 4; break;
      case kF64: kernel_dtype = PY_LAYERNORM_FLOAT64, element = 8; break;
      case kBF16: kernel_dtype = PY_LAYERNORM_BFLOAT16, element = 2; break;
      case kF16: kernel_dtype = PY_LAYERNORM_FLOAT16, element = 2; break;
      default:
        throw Invalid{"x must be float16, bfloat16, float32 or float64. Received: XLA's type " +
                      std::to_string(dtype)};
    }
    weight_dtype = dtype == kF64 ? kF64 : kF32;
    weight = dtype == kF64 ? 8 : 4;

    const Shape shape = {b.dims, b.rank};
    const int64_t begin = call.number("axis_begin"), end = call.number("axis_end");
    const int64_t batch_axes = call.number("batch");
    if (b.rank > kMostRank || batch_axes < 0 || batch_axes > begin || begin >= end || end > b.rank)
      throw Invalid{
          "the axes must be 0 <= batch <= axis_begin < axis_end <= the rank of x, at most " +
          std::to_string(kMostRank) + ". Received: batch=" + std::to_string(batch_axes) +
          ", axis_begin=" + std::to_string(begin) + ", axis_end=" + std::to_string(end) +
          ", x of shape " + text(b.dims, b.rank)};
    for (int64_t a = 0; a < b.rank; ++a) {
      int64_t& part = a < batch_axes ? batch : a < begin ? outer : a < end ? n : inner;
      // Where one length is 0 the others may be of any size.
      if (__builtin_mul_overflow(part, shape[a], &part) || part < 0 || part > kMost) too_large(b);
    }
    if (outer > 0 && inner > kMost / outer) too_large(b);
    x.add(shape, 0, b.rank);
    rows.add(shape, 0, begin).add(shape, end, b.rank).add(2);
    params.add(shape, 0, batch_axes).add(shape, begin, end);
  }

  bool empty() const { return outer == 0 || n == 0 || inner == 0; }

 private:
  static constexpr int64_t kMost = int64_t{1} << 59;  // whose bytes a size still holds
  static void too_large(const Buffer& b) {
    throw Invalid{"x must have at most 2^59 rows of at most 2^59 elements. Received: x of shape " +
                  text(b.dims, b.rank)};
  }
};

// The part of an array that belongs to one element of the batch; null stays null.
template <class T>
T* part(T* data, int64_t index, int64_t bytes) {
  using Byte = std::conditional_t<std::is_const<T>::value, const char, char>;
  return data ? reinterpret_cast<T*>(reinterpret_cast<Byte*>(data) + index * bytes) : nullptr;
}

}  // namespace py_layernorm_xla
