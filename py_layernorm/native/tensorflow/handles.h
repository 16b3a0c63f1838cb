// Owning handles for TensorFlow's C API, and helpers for shapes, errors, inputs and outputs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tensorflow/c_api.h"

namespace {

using std::int64_t;
using Shape = std::vector<int64_t>;

struct DeleteStatus {
  void operator()(TF_Status* s) const { TF_DeleteStatus(s); }
};
struct DeleteTensor {
  void operator()(TF_Tensor* t) const { TF_DeleteTensor(t); }
};
struct DeleteShape {
  void operator()(TF_ShapeHandle* h) const { TF_DeleteShapeHandle(h); }
};
using Status = std::unique_ptr<TF_Status, DeleteStatus>;
using Tensor = std::unique_ptr<TF_Tensor, DeleteTensor>;
using ShapeHandle = std::unique_ptr<TF_ShapeHandle, DeleteShape>;

inline bool ok(const Status& status) { return TF_GetCode(status.get()) == TF_OK; }

// Sets an error. Returns false, so that a check reads `return invalid(...)`.
inline bool invalid(const Status& status, const std::string& message) {
  TF_SetStatus(status.get(), TF_INVALID_ARGUMENT, message.c_str());
  return false;
}

inline std::string text(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

inline Shape shape_of(const Tensor& t) {
  Shape shape(TF_NumDims(t.get()));
  for (size_t i = 0; i < shape.size(); ++i) shape[i] = TF_Dim(t.get(), static_cast<int>(i));
  return shape;
}

inline int64_t elements(const Shape& shape) {
  int64_t product = 1;
  for (const int64_t length : shape) product *= length;
  return product;
}

inline int64_t size_of(TF_DataType type) {
  return type == TF_DOUBLE ? 8 : type == TF_FLOAT ? 4 : 2;
}

inline Tensor input(TF_OpKernelContext* c, int index, const Status& status) {
  TF_Tensor* t = nullptr;
  TF_GetInput(c, index, &t, status.get());
  return Tensor(t);
}

inline Tensor output(TF_OpKernelContext* c, int index, TF_DataType type, const Shape& shape,
                     const Status& status) {
  return Tensor(TF_AllocateOutput(c, index, type, shape.data(), static_cast<int>(shape.size()),
                                  elements(shape) * size_of(type), status.get()));
}

// Output 0, in the buffer of input 0 if nothing else refers to it.
inline Tensor output_in_place(TF_OpKernelContext* c, const Shape& shape, const Status& status) {
  const int candidate = 0;
  int forwarded = -1;
  return Tensor(TF_ForwardInputOrAllocateOutput(
      c, &candidate, 1, 0, shape.data(), static_cast<int>(shape.size()), &forwarded, status.get()));
}

inline bool check(const Tensor& t, const char* name, TF_DataType type, const Shape& shape,
                  const Status& status) {
  if (TF_TensorType(t.get()) != type)
    return invalid(status, std::string(name) + " has the wrong dtype");
  const Shape own = shape_of(t);
  if (own != shape)
    return invalid(status, std::string(name) + " must have the shape " + text(shape) +
                               ". Received: shape " + text(own));
  return true;
}

inline void copy_shape(TF_ShapeInferenceContext* c, int from, int to, TF_Status* status) {
  const ShapeHandle shape(TF_NewShapeHandle());
  TF_ShapeInferenceContextGetInput(c, from, shape.get(), status);
  if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSetOutput(c, to, shape.get(), status);
}

}  // namespace
