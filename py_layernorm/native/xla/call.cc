// The kernel as two custom calls of XLA, for JAX and for TensorFlow under XLA.
//
//   forward(x, [gamma], [beta]) -> (y, mean, rstd)
//   backward(dy, x, mean, rstd, [gamma]) -> (dx, [dgamma], [dbeta])
//
// They normalise over the axes [axis_begin, axis_end) of x. gamma, beta and their gradients have
// the shape of those axes, preceded by the first `batch` axes of x: along these, which vmap makes,
// each has values of its own. They are double where x is double, else float. Which of them there
// are is told by the attributes scale and center, dgamma and dbeta.
//
// mean and rstd have one double for each row: the shape of x without the normalised axes, and two
// uint32 for the halves of the double, because JAX has no double unless it is asked for.
#include <new>

#include "arguments.h"

namespace {

using namespace py_layernorm_xla;

constexpr int kMajor = 0, kMinor = 3;  // the newest interface whose layouts are known to fit

Error* error(const Api* api, ErrorCode code, const char* message) {
  ErrorCreate create = {sizeof create, nullptr, message, code};
  return api->error_create(&create);
}

// XLA's own threads, where it lends them.
class Threads {
 public:
  explicit Threads(const Frame& frame) : frame_(frame) {
    int64_t count = 1;
    ThreadPoolNumThreads ask = {sizeof ask, nullptr, frame.context, &count};
    if (forget(frame.api->thread_pool_num_threads(&ask))) count = 1;
    lent_ = {static_cast<int>(count < 1 ? 0 : count < 1024 ? count - 1 : 1023), this, schedule};
  }
  const PyLayernormThreads* lent() const { return &lent_; }

 private:
  static int schedule(void* context, void (*task)(void*), void* data) {
    const Threads& threads = *static_cast<const Threads*>(context);
    ThreadPoolSchedule ask = {sizeof ask, nullptr, threads.frame_.context, task, data};
    return !threads.forget(threads.frame_.api->thread_pool_schedule(&ask));
  }
  bool forget(Error* error) const {
    if (!error) return false;
    ErrorDestroy destroy = {sizeof destroy, nullptr, error};
    frame_.api->error_destroy(&destroy);
    return true;
  }

  const Frame& frame_;
  PyLayernormThreads lent_;
};

int forward(Call& call) {
  const bool scale = call.flag("scale"), center = call.flag("center");
  const double epsilon = call.attribute<double>("epsilon", kF64);
  if (!(epsilon >= 0))
    throw Invalid{"epsilon must be a number >= 0. Received: epsilon=" + std::to_string(epsilon)};
  const Buffer& x = call.argument("x");
  const Geometry g(call, x);
  const void* gamma = scale ? call.argument("gamma", g.weight_dtype, g.params) : nullptr;
  const void* beta = center ? call.argument("beta", g.weight_dtype, g.params) : nullptr;
  void* y = call.result("y", g.dtype, g.x);
  double* mean = static_cast<double*>(call.result("mean", kU32, g.rows));
  double* rstd = static_cast<double*>(call.result("rstd", kU32, g.rows));
  call.done();

  const int64_t rows = g.outer * g.inner, bytes = rows * g.n * g.element;
  if (g.n == 0) {
    std::memset(mean, 0, g.batch * rows * sizeof(double));
    std::memset(rstd, 0, g.batch * rows * sizeof(double));
  }
  if (g.empty()) return PY_LAYERNORM_OK;
  const Threads threads(call.frame);
  int status = PY_LAYERNORM_OK;
  for (int64_t i = 0; i < g.batch && status == PY_LAYERNORM_OK; ++i)
    status = py_layernorm_forward_on(
        threads.lent(), g.kernel_dtype, g.outer, g.n, g.inner,
        part(static_cast<const void*>(x.data), i, bytes), part(gamma, i, g.n * g.weight),
        part(beta, i, g.n * g.weight), epsilon, part(y, i, bytes), mean + i * rows,
        rstd + i * rows);
  return status;
}

int backward(Call& call) {
  const bool scale = call.flag("scale");
  const bool wants_dgamma = call.flag("dgamma"), wants_dbeta = call.flag("dbeta");
  const Buffer& dy = call.argument("dy");
  const Geometry g(call, dy);
  const void* x = call.argument("x", g.dtype, g.x);
  const double* mean = static_cast<const double*>(call.argument("mean", kU32, g.rows));
  const double* rstd = static_cast<const double*>(call.argument("rstd", kU32, g.rows));
  const void* gamma = scale ? call.argument("gamma", g.weight_dtype, g.params) : nullptr;
  void* dx = call.result("dx", g.dtype, g.x);
  void* dgamma = wants_dgamma ? call.result("dgamma", g.weight_dtype, g.params) : nullptr;
  void* dbeta = wants_dbeta ? call.result("dbeta", g.weight_dtype, g.params) : nullptr;
  call.done();

  const int64_t rows = g.outer * g.inner, bytes = rows * g.n * g.element;
  const Threads threads(call.frame);
  int status = PY_LAYERNORM_OK;
  for (int64_t i = 0; i < g.batch && status == PY_LAYERNORM_OK; ++i)
    status = py_layernorm_backward_on(
        threads.lent(), g.kernel_dtype, g.outer, g.n, g.inner,
        part(static_cast<const void*>(dy.data), i, bytes), part(x, i, bytes),
        part(gamma, i, g.n * g.weight), mean + i * rows, rstd + i * rows, part(dx, i, bytes),
        part(dgamma, i, g.n * g.weight), part(dbeta, i, g.n * g.weight));
  return status;
}

bool fits(const Api* api) {
  return api->size >= sizeof(Api) && api->version.major_version == kMajor;
}

// XLA asks for the version when the call is registered, and refuses one that it does not take: old
// ones all but their own, and they give no api then; newer ones those beyond their own.
bool answered(const Frame& frame) {
  for (Extension* e = frame.extensions; e; e = e->next) {
    if (e->type != kMetadata) continue;
    Version& version = reinterpret_cast<MetadataExtension*>(e)->metadata->version;
    const int theirs = frame.api ? frame.api->version.minor_version : 1;
    version.major_version = frame.api && !fits(frame.api) ? -1 : kMajor;
    version.minor_version = theirs < kMinor ? theirs : kMinor;
    return true;
  }
  return false;
}

template <int (*kPass)(Call&)>
Error* handle(Frame* frame) {
  if (answered(*frame)) return nullptr;
  const Api* api = frame->api;
  try {
    Call call = {*frame};
    const int status = kPass(call);
    if (status == PY_LAYERNORM_OK) return nullptr;
    if (status == PY_LAYERNORM_INVALID)
      return error(api, kInvalidArgument, "invalid layer normalisation");
  } catch (const Invalid& invalid) {
    return error(api, kInvalidArgument, ("layer normalisation: " + invalid.message).c_str());
  } catch (const std::bad_alloc&) {
  }
  return error(api, kResourceExhausted, "out of memory in layer normalisation");
}

}  // namespace

extern "C" {

PY_LAYERNORM_API Error* py_layernorm_xla_forward(Frame* frame) { return handle<forward>(frame); }
PY_LAYERNORM_API Error* py_layernorm_xla_backward(Frame* frame) { return handle<backward>(frame); }

// Registers `call`, one of the two, as `name` with the XLA that `api` belongs to. Returns 0, or 1
// and the reason in `message`.
PY_LAYERNORM_API int py_layernorm_xla_register(const Api* api, const char* name, Handler call,
                                               char* message, std::size_t room) {
  const auto refuse = [&](const char* why) {
    std::strncpy(message, why, room - 1);
    message[room - 1] = '\0';
    return 1;
  };
  // The size comes first and is the one thing that every version has in the same place.
  if (!fits(api)) return refuse("the interface of this XLA is another one than the adapter's");
  HandlerRegister ask = {};
  ask.size = sizeof ask;
  ask.name = {name, std::strlen(name)};
  ask.platform = {"Host", 4};
  ask.execute = call;
  Error* failed = api->handler_register(&ask);
  if (!failed) return 0;
  ErrorGetMessage get = {sizeof get, nullptr, failed, nullptr};
  api->error_get_message(&get);
  const int result = refuse(get.message);
  ErrorDestroy destroy = {sizeof destroy, nullptr, failed};
  api->error_destroy(&destroy);
  return result;
}

}  // extern "C"
