// Registers the kernel with TensorFlow as two ops, through the C API only. Loading this library
// (tf.load_op_library) registers them.
//
//   PyLayernorm(x: T, params: P * W) -> (y: T, mean: double, rstd: double)
//   PyLayernormGrad(dy: T, x: T, gamma: P * W, mean: double, rstd: double)
//       -> (dx: T, dgamma: G, dbeta: G)
//
// They normalise over the axes [axis_begin, axis_end) of x. W and G are double if T is double, and
// float otherwise; G is not W because TensorFlow infers W from the params, of which there may be
// none. gamma, beta, dgamma and dbeta have the shape of the normalised axes; without `scale`,
// dgamma is empty, and without `center`, dbeta is. mean and rstd have rank 1, with one element for
// each row. epsilon_bits are the bits of a double, because a float would lose a small epsilon.
#include <cstdio>
#include <cstring>
#include <new>

#include "kernel.h"
#include "tensorflow/handles.h"

namespace {

int kernel_dtype(TF_DataType type) {
  switch (type) {
    case TF_DOUBLE:
      return PY_LAYERNORM_FLOAT64;
    case TF_BFLOAT16:
      return PY_LAYERNORM_BFLOAT16;
    case TF_HALF:
      return PY_LAYERNORM_FLOAT16;
    default:
      return PY_LAYERNORM_FLOAT32;
  }
}

// The attributes of a node.
struct Attributes {
  TF_DataType type, weight_type;
  int64_t params, axis_begin, axis_end;
  bool scale, center;
  double epsilon;
};

bool read(TF_OpKernelConstruction* c, bool gradient, Attributes* a, const Status& status) {
  int64_t epsilon_bits = 0;
  unsigned char scale = 0, center = 0;
  TF_Status* s = status.get();
  TF_OpKernelConstruction_GetAttrType(c, "T", &a->type, s);
  if (ok(status)) TF_OpKernelConstruction_GetAttrType(c, "W", &a->weight_type, s);
  if (ok(status)) TF_OpKernelConstruction_GetAttrInt64(c, "P", &a->params, s);
  if (ok(status)) TF_OpKernelConstruction_GetAttrInt64(c, "axis_begin", &a->axis_begin, s);
  if (ok(status)) TF_OpKernelConstruction_GetAttrInt64(c, "axis_end", &a->axis_end, s);
  if (ok(status)) TF_OpKernelConstruction_GetAttrInt64(c, "epsilon_bits", &epsilon_bits, s);
  if (ok(status)) TF_OpKernelConstruction_GetAttrBool(c, "scale", &scale, s);
  if (ok(status)) TF_OpKernelConstruction_GetAttrBool(c, "center", &center, s);
  TF_DataType gradient_type = a->weight_type;
  if (ok(status) && gradient) TF_OpKernelConstruction_GetAttrType(c, "G", &gradient_type, s);
  if (!ok(status)) return false;
  a->scale = scale;
  a->center = center;
  std::memcpy(&a->epsilon, &epsilon_bits, sizeof a->epsilon);

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
    return invalid(status, "params must hold gamma if scale, then beta if center. Received: " +
                               std::to_string(a->params) + " tensors");
  if (gradient && a->params > 1)
    return invalid(status, "gamma must be one tensor or none. Received: " +
                               std::to_string(a->params) + " tensors");
  if (!(a->epsilon >= 0))
    return invalid(
        status, "epsilon must be a number >= 0. Received: epsilon=" + std::to_string(a->epsilon));
  return true;
}

template <bool kGradient>
void* create(TF_OpKernelConstruction* c) {
  const Status status(TF_NewStatus());
  try {
    std::unique_ptr<Attributes> attributes(new Attributes);
    if (read(c, kGradient, attributes.get(), status)) return attributes.release();
  } catch (const std::bad_alloc&) {
    TF_SetStatus(status.get(), TF_RESOURCE_EXHAUSTED, "out of memory in layer normalisation");
  }
  TF_OpKernelConstruction_Failure(c, status.get());
  return nullptr;
}

void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

// x seen as [outer, n, inner].
struct Geometry {
  int64_t outer = 1, n = 1, inner = 1;
  Shape normalised;  // the shape of the axes that make up n
};

bool geometry_of(const Attributes& a, const Shape& x, Geometry* g, const Status& status) {
  const int64_t rank = static_cast<int64_t>(x.size());
  if (a.axis_end > rank)
    return invalid(status, "the axes [" + std::to_string(a.axis_begin) + ", " +
                               std::to_string(a.axis_end) + ") are out of range for x of shape " +
                               text(x));
  // Where one length is 0 the others may be of any size, and their product, too large for a
  // tensor of weights or statistics, would end the process in TensorFlow.
  const int64_t most = int64_t{1} << 59;  // whose bytes a size still holds
  for (int64_t axis = 0; axis < rank; ++axis) {
    int64_t& part = axis < a.axis_begin ? g->outer : axis < a.axis_end ? g->n : g->inner;
    if (__builtin_mul_overflow(part, x[axis], &part) || part > most)
      return invalid(status,
                     "x must have at most 2^59 rows of at most 2^59 elements. Received: x "
                     "of shape " +
                         text(x));
  }
  if (g->inner > 0 && g->outer > most / g->inner)
    return invalid(status, "x must have at most 2^59 rows. Received: x of shape " + text(x));
  g->normalised.assign(x.begin() + a.axis_begin, x.begin() + a.axis_end);
  return true;
}

bool check(int kernel_status, const Status& status) {
  if (kernel_status == PY_LAYERNORM_OK) return true;
  const bool memory = kernel_status == PY_LAYERNORM_NO_MEMORY;
  TF_SetStatus(status.get(), memory ? TF_RESOURCE_EXHAUSTED : TF_INVALID_ARGUMENT,
               memory ? "out of memory in layer normalisation" : "invalid layer normalisation");
  return false;
}

bool forward(const Attributes& a, TF_OpKernelContext* c, const Status& status) {
  Tensor x = input(c, 0, status);
  if (!ok(status)) return false;
  const Shape shape = shape_of(x);
  Geometry g;
  if (!geometry_of(a, shape, &g, status)) return false;
  if (!check(x, "x", a.type, shape, status)) return false;

  Tensor gamma, beta;
  int next = 1;
  if (a.scale) {
    gamma = input(c, next++, status);
    if (!ok(status) || !check(gamma, "gamma", a.weight_type, g.normalised, status)) return false;
  }
  if (a.center) {
    beta = input(c, next++, status);
    if (!ok(status) || !check(beta, "beta", a.weight_type, g.normalised, status)) return false;
  }

  // The context keeps the buffer of x alive. It is forwarded to y only if no other reference is
  // held, so ours goes first.
  const void* x_data = TF_TensorData(x.get());
  x.reset();
  const Tensor y = output_in_place(c, shape, status);
  if (!ok(status)) return false;
  const Shape rows = {g.outer * g.inner};
  const Tensor mean = output(c, 1, TF_DOUBLE, rows, status);
  if (!ok(status)) return false;
  const Tensor rstd = output(c, 2, TF_DOUBLE, rows, status);
  if (!ok(status)) return false;
  double* means = static_cast<double*>(TF_TensorData(mean.get()));
  double* rstds = static_cast<double*>(TF_TensorData(rstd.get()));
  if (g.n == 0)
    for (int64_t r = 0; r < rows[0]; ++r) means[r] = rstds[r] = 0;
  return check(py_layernorm_forward(kernel_dtype(a.type), g.outer, g.n, g.inner, x_data,
                                    gamma ? TF_TensorData(gamma.get()) : nullptr,
                                    beta ? TF_TensorData(beta.get()) : nullptr, a.epsilon,
                                    TF_TensorData(y.get()), means, rstds),
               status);
}

bool backward(const Attributes& a, TF_OpKernelContext* c, const Status& status) {
  Tensor dy = input(c, 0, status);
  if (!ok(status)) return false;
  const Tensor x = input(c, 1, status);
  if (!ok(status)) return false;
  const Shape shape = shape_of(x);
  Geometry g;
  if (!geometry_of(a, shape, &g, status)) return false;
  if (!check(dy, "dy", a.type, shape, status) || !check(x, "x", a.type, shape, status))
    return false;

  Tensor gamma;
  int next = 2;
  if (a.params) {
    gamma = input(c, next++, status);
    if (!ok(status) || !check(gamma, "gamma", a.weight_type, g.normalised, status)) return false;
  }
  const Shape rows = {g.outer * g.inner};
  const Tensor mean = input(c, next++, status);
  if (!ok(status) || !check(mean, "mean", TF_DOUBLE, rows, status)) return false;
  const Tensor rstd = input(c, next++, status);
  if (!ok(status) || !check(rstd, "rstd", TF_DOUBLE, rows, status)) return false;

  const void* dy_data = TF_TensorData(dy.get());
  dy.reset();  // like x in the forward pass
  const Tensor dx = output_in_place(c, shape, status);
  if (!ok(status)) return false;
  const Shape none = {0};
  const Tensor dgamma = output(c, 1, a.weight_type, a.scale ? g.normalised : none, status);
  if (!ok(status)) return false;
  const Tensor dbeta = output(c, 2, a.weight_type, a.center ? g.normalised : none, status);
  if (!ok(status)) return false;
  return check(py_layernorm_backward(
                   kernel_dtype(a.type), g.outer, g.n, g.inner, dy_data, TF_TensorData(x.get()),
                   gamma ? TF_TensorData(gamma.get()) : nullptr,
                   static_cast<const double*>(TF_TensorData(mean.get())),
                   static_cast<const double*>(TF_TensorData(rstd.get())), TF_TensorData(dx.get()),
                   a.scale ? TF_TensorData(dgamma.get()) : nullptr,
                   a.center ? TF_TensorData(dbeta.get()) : nullptr),
               status);
}

template <bool (*kPass)(const Attributes&, TF_OpKernelContext*, const Status&)>
void compute(void* attributes, TF_OpKernelContext* c) {
  const Status status(TF_NewStatus());
  bool done = false;
  try {
    done = kPass(*static_cast<const Attributes*>(attributes), c, status);
  } catch (const std::bad_alloc&) {
    TF_SetStatus(status.get(), TF_RESOURCE_EXHAUSTED, "out of memory in layer normalisation");
  }
  if (!done) TF_OpKernelContext_Failure(c, status.get());
}

// The shapes that are known without the axes, which the C API does not let a shape function read.
// Every output must be set, or the graph optimizers fail.
void infer_forward(TF_ShapeInferenceContext* c, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(c, status);
  if (TF_GetCode(status) == TF_OK) copy_shape(c, 0, 0, status);
  const size_t unknown = static_cast<size_t>(-1);  // TensorFlow's number for an unknown length
  for (int i = 1; i < 3 && TF_GetCode(status) == TF_OK; ++i) {
    const ShapeHandle vector(TF_ShapeInferenceContextVectorFromSize(c, unknown));
    TF_ShapeInferenceContextSetOutput(c, i, vector.get(), status);
  }
}

void infer_backward(TF_ShapeInferenceContext* c, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(c, status);
  if (TF_GetCode(status) == TF_OK) copy_shape(c, 1, 0, status);
}

void add_attributes(TF_OpDefinitionBuilder* op) {
  for (const char* spec :
       {"T: {float, double, bfloat16, half}", "W: {float, double} = DT_FLOAT", "P: int >= 0",
        "scale: bool", "center: bool", "axis_begin: int", "axis_end: int", "epsilon_bits: int"})
    TF_OpDefinitionBuilderAddAttr(op, spec);
}

void report(const Status& status) {
  if (!ok(status)) std::fprintf(stderr, "py_layernorm: %s\n", TF_Message(status.get()));
}

void define_ops() {
  const Status status(TF_NewStatus());
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder("PyLayernorm");
  add_attributes(op);
  for (const char* spec : {"x: T", "params: P * W"}) TF_OpDefinitionBuilderAddInput(op, spec);
  for (const char* spec : {"y: T", "mean: double", "rstd: double"})
    TF_OpDefinitionBuilderAddOutput(op, spec);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, infer_forward);
  TF_RegisterOpDefinition(op, status.get());
  report(status);

  op = TF_NewOpDefinitionBuilder("PyLayernormGrad");
  add_attributes(op);
  TF_OpDefinitionBuilderAddAttr(op, "G: {float, double}");
  for (const char* spec : {"dy: T", "x: T", "gamma: P * W", "mean: double", "rstd: double"})
    TF_OpDefinitionBuilderAddInput(op, spec);
  for (const char* spec : {"dx: T", "dgamma: G", "dbeta: G"})
    TF_OpDefinitionBuilderAddOutput(op, spec);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, infer_backward);
  TF_RegisterOpDefinition(op, status.get());
  report(status);
}

void register_kernel(const char* op, TF_DataType type, void* (*create)(TF_OpKernelConstruction*),
                     void (*compute)(void*, TF_OpKernelContext*)) {
  const Status status(TF_NewStatus());
  TF_KernelBuilder* builder = TF_NewKernelBuilder(op, "CPU", create, compute, destroy);
  TF_KernelBuilder_TypeConstraint(builder, "T", type, status.get());
  if (ok(status)) TF_RegisterKernelBuilder(op, builder, status.get());
  report(status);
}

__attribute__((constructor)) void register_all() {
  define_ops();
  for (const TF_DataType type : {TF_FLOAT, TF_DOUBLE, TF_BFLOAT16, TF_HALF}) {
    register_kernel("PyLayernorm", type, create<false>, compute<forward>);
    register_kernel("PyLayernormGrad", type, create<true>, compute<backward>);
  }
}

}  // namespace
