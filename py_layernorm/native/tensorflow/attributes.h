// The attributes of the ops that op.cc registers, read and checked.
#pragma once

#include <cstring>
#include <string>

#include "tensorflow/handles.h"

namespace {

// The attributes of a node.
struct Attributes {
  TF_DataType type, weight_type;
  int64_t params, stats, axis_begin, axis_end;
  bool scale, center;
  double epsilon;
};

inline bool read(TF_OpKernelConstruction* c, bool gradient, Attributes* a, const Status& status) {
  constexpr int kSettings = 4;
  int64_t settings[kSettings] = {};
  std::int32_t count = 0, total = 0;
  unsigned char center = 0;
  TF_Status* s = status.get();
  TF_OpKernelConstruction_GetAttrType(c, "T", &a->type, s);
  if (ok(status)) TF_OpKernelConstruction_GetAttrType(c, "W", &a->weight_type, s);
  if (ok(status)) TF_OpKernelConstruction_GetAttrInt64(c, "P", &a->params, s);
  if (ok(status)) TF_OpKernelConstruction_GetAttrSize(c, "settings", &count, &total, s);
  if (ok(status) && count != kSettings)
    return invalid(status, "settings must be 4 numbers. Received: " + std::to_string(count));
  if (ok(status)) TF_OpKernelConstruction_GetAttrInt64List(c, "settings", settings, kSettings, s);
  TF_DataType gradient_type = a->weight_type;
  if (gradient) {
    if (ok(status)) TF_OpKernelConstruction_GetAttrType(c, "G", &gradient_type, s);
    if (ok(status)) TF_OpKernelConstruction_GetAttrBool(c, "center", &center, s);
  } else if (ok(status)) {
    TF_OpKernelConstruction_GetAttrInt64(c, "S", &a->stats, s);
  }
  if (!ok(status)) return false;
  a->axis_begin = settings[0];
  a->axis_end = settings[1];
  std::memcpy(&a->epsilon, &settings[2], sizeof a->epsilon);
  if (settings[3] != 0 && settings[3] != 1)
    return invalid(status, "scale must be 0 or 1. Received: scale=" + std::to_string(settings[3]));
  a->scale = settings[3];
  a->center = gradient ? center : a->params > a->scale;

  const TF_DataType due = a->type == TF_DOUBLE ? TF_DOUBLE : TF_FLOAT;
  if ((a->params > 0 && a->weight_type != due) || (gradient && gradient_type != due))
    return invalid(status,
                   "gamma, beta and their gradients must be double where x is double, "
                   "and float elsewhere");
  a->weight_type = due;
  if (a->axis_begin < 0 || a->axis_end <= a->axis_begin)
    return invalid(status, "the axes must be 0 <= axis_begin < axis_end. Received: axis_begin=" +
                               std::to_string(a->axis_begin) +
                               ", axis_end=" + std::to_string(a->axis_end));
  if (!gradient && a->params != a->scale + a->center)
    return invalid(status, "params must be gamma if scale, then beta or nothing. Received: " +
                               std::to_string(a->params) + " tensors");
  if (!gradient && a->stats > 1)
    return invalid(status,
                   "stats must be one tensor or none. Received: S=" + std::to_string(a->stats));
  if (gradient && a->params > 1)
    return invalid(status, "gamma must be one tensor or none. Received: " +
                               std::to_string(a->params) + " tensors");
  if (!(a->epsilon >= 0))
    return invalid(
        status, "epsilon must be a number >= 0. Received: epsilon=" + std::to_string(a->epsilon));
  return true;
}

}  // namespace
