// A small pool of threads that share the tasks of one call.
//
// Each thread has its own share, of which it takes a block at a time. A thread that is done takes
// blocks from the others' shares, so that a thread whose processor is busy does less. The calling
// thread takes part. Idle threads spin for some microseconds, in case another call follows at once,
// and then sleep. Only one call at a time has the pool; a call that finds it taken does its tasks
// alone. A forked child makes its own pool.
#pragma once

#include <cstdint>

#include "kernel.h"

namespace py_layernorm {

using Task = void (*)(const void* argument, std::int64_t begin, std::int64_t end);

// Calls task(argument, begin, end) for pieces of [0, tasks): of at most `block` each, or one piece
// if one thread does them all. The threads are the lent ones, or the pool's if `lent` is null.
void parallel_for(std::int64_t tasks, std::int64_t block, Task task, const void* argument,
                  const PyLayernormThreads* lent);

// How many threads a call on lent threads uses at most, its own included.
int thread_count(const PyLayernormThreads* lent);

// As py_layernorm_get_threads and py_layernorm_set_threads in kernel.h, for numbers in range.
int thread_count();
void set_thread_count(int threads);

// During its lifetime, the thread keeps denormals and rounds to nearest, so that results do not
// depend on the caller's mode (TensorFlow's threads flush denormals to zero).
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
