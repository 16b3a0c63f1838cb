// A small pool of threads that share out the tasks of one call.
//
// Each thread has a share of its own, and takes its tasks in blocks; whoever is done takes blocks of
// the others' shares, so that a thread whose processor is busy with something else does fewer. The
// caller takes part. Idle threads spin for some microseconds, in
// case the next call follows at once, then sleep. One call at a time has the pool: another that
// comes meanwhile does its tasks alone. A forked child makes itself a new pool.
#pragma once

#include <cstdint>

#include "kernel.h"

namespace py_layernorm {

using Task = void (*)(const void* argument, std::int64_t begin, std::int64_t end);

// Calls task(argument, begin, end) for pieces that make up [0, tasks), of at most `block` each where
// more than one thread takes part: of our own pool's, or of the lent ones.
void parallel_for(std::int64_t tasks, std::int64_t block, Task task, const void* argument,
                  const PyLayernormThreads* lent);

// Threads that one call uses at most, the caller's own included.
int thread_count(const PyLayernormThreads* lent);

int thread_count();
void set_thread_count(int threads);

// While it lives, the thread neither flushes denormals nor rounds other than to nearest, so that
// results do not depend on the caller's mode (TensorFlow's threads flush).
class DefaultFloatMode {
 public:
  DefaultFloatMode();
  ~DefaultFloatMode();
  DefaultFloatMode(const DefaultFloatMode&) = delete;
  DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

 private:
  std::uint64_t saved_;
};

}  // namespace py_layernorm
