// Both passes for one instruction set.
#pragma once

#include "per_isa/choose-inl.h"

namespace py_layernorm {
namespace ISA {

PyLayernormStatus forward(const Forward& f) {
  switch (f.dtype) {
    case PY_LAYERNORM_FLOAT32:
      return forward_of<float>(f);
    case PY_LAYERNORM_FLOAT64:
      return forward_of<double>(f);
    case PY_LAYERNORM_BFLOAT16:
      return forward_of<bfloat16>(f);
    case PY_LAYERNORM_FLOAT16:
      return forward_of<float16>(f);
  }
  return PY_LAYERNORM_INVALID;
}

PyLayernormStatus backward(const Backward& b) {
  switch (b.dtype) {
    case PY_LAYERNORM_FLOAT32:
      return backward_of<float>(b);
    case PY_LAYERNORM_FLOAT64:
      return backward_of<double>(b);
    case PY_LAYERNORM_BFLOAT16:
      return backward_of<bfloat16>(b);
    case PY_LAYERNORM_FLOAT16:
      return backward_of<float16>(b);
  }
  return PY_LAYERNORM_INVALID;
}

}  // namespace ISA
}  // namespace py_layernorm
