// Registers the kernel with TensorFlow as two ops, through the C API only. Loading this library
// (tf.load_op_library) registers them.
//
//   PyLayernorm(x: T, params: P * W) -> (y: T, stats: S * double)
//   PyLayernormGrad(dy: T, x: T, gamma: P * W, stats: double)
//       -> (dx: T, dgamma: G, dbeta: G)
//
// They normalise over the axes [axis_begin, axis_end) of x. W and G are double if T is double, and
// float otherwise; G is not W because TensorFlow infers W from the params, of which there may be
// none. params are gamma if `scale`, and then beta if there is one more. gamma, beta, dgamma and
// dbeta have the shape of the normalised axes; without `scale`, dgamma is empty, and without
// `center`, dbeta is. stats, of shape [2, rows], are mean and rstd of each row: one output for the
// gradient, or, with S = 0, none. `settings` are axis_begin, axis_end, the bits of epsilon as a
// double, because a float attribute would lose a small one, and scale, which is 0 or 1.
//
// TensorFlow runs an eager op as a function of its own, in which each input, output and attribute
// has its cost: so there are few.
#include <cstdio>
#include <new>

#include "kernel.h"
#include "tensorflow/attributes.h"

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
  const int64_t most = int64_t{1} << 58;  // two doubles of each: their bytes an int64 still holds
  for (int64_t axis = 0; axis < rank; ++axis) {
    int64_t& part = axis < a.axis_begin ? g->outer : axis < a.axis_end ? g->n : g->inner;
    if (__builtin_mul_overflow(part, x[axis], &part) || part > most)
      return invalid(status,
                     "x must have at most 2^58 rows of at most 2^58 elements. Received: x "
                     "of shape " +
                         text(x));
  }
  if (g->inner > 0 && g->outer > most / g->inner)
    return invalid(status, "x must have at most 2^58 rows. Received: x of shape " + text(x));
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
  const int64_t rows = g.outer * g.inner;
  Tensor stats;
  double* mean = nullptr;
  if (a.stats) {
    stats = output(c, 1, TF_DOUBLE, {2, rows}, status);
    if (!ok(status)) return false;
    mean = static_cast<double*>(TF_TensorData(stats.get()));
    if (g.n == 0)
      for (int64_t r = 0; r < 2 * rows; ++r) mean[r] = 0;
  }
  return check(py_layernorm_forward(kernel_dtype(a.type), g.outer, g.n, g.inner, x_data,
                                    gamma ? TF_TensorData(gamma.get()) : nullptr,
                                    beta ? TF_TensorData(beta.get()) : nullptr, a.epsilon,
                                    TF_TensorData(y.get()), mean, mean ? mean + rows : nullptr),
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
  const int64_t rows = g.outer * g.inner;
  const Tensor stats = input(c, next++, status);
  if (!ok(status) || !check(stats, "stats", TF_DOUBLE, {2, rows}, status)) return false;
  const double* mean = static_cast<const double*>(TF_TensorData(stats.get()));

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
                   gamma ? TF_TensorData(gamma.get()) : nullptr, mean, mean + rows,
                   TF_TensorData(dx.get()), a.scale ? TF_TensorData(dgamma.get()) : nullptr,
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
}

void infer_backward(TF_ShapeInferenceContext* c, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(c, status);
  if (TF_GetCode(status) == TF_OK) copy_shape(c, 1, 0, status);
}

void add_attributes(TF_OpDefinitionBuilder* op) {
  for (const char* spec : {"T: {float, double, bfloat16, half}", "W: {float, double} = DT_FLOAT",
                           "P: int >= 0", "settings: list(int)"})
    TF_OpDefinitionBuilderAddAttr(op, spec);
}

void report(const Status& status) {
  if (!ok(status)) std::fprintf(stderr, "py_layernorm: %s\n", TF_Message(status.get()));
}

void define_ops() {
  const Status status(TF_NewStatus());
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder("PyLayernorm");
  add_attributes(op);
  TF_OpDefinitionBuilderAddAttr(op, "S: int >= 0 = 0");
  for (const char* spec : {"x: T", "params: P * W"}) TF_OpDefinitionBuilderAddInput(op, spec);
  for (const char* spec : {"y: T", "stats: S * double"}) TF_OpDefinitionBuilderAddOutput(op, spec);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, infer_forward);
  TF_RegisterOpDefinition(op, status.get());
  report(status);

  op = TF_NewOpDefinitionBuilder("PyLayernormGrad");
  add_attributes(op);
  for (const char* spec : {"G: {float, double}", "center: bool"})
    TF_OpDefinitionBuilderAddAttr(op, spec);
  for (const char* spec : {"dy: T", "x: T", "gamma: P * W", "stats: double"})
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
