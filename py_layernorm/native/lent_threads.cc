#include "lent_threads.h"

#include <atomic>
#include <new>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace py_layernorm {
namespace {

// How long the caller looks for the others' end before it lets them have its processor.
constexpr int kSpinsToYield = 2000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A framework's thread may come when all is done, or when the framework has long forgotten the
// call. So the call is counted: the last of the caller and those that were asked deletes it.
class Call {
 public:
  Call(std::int64_t tasks, std::int64_t block, Task task, const void* argument)
      : tasks_(tasks), block_(block), task_(task), argument_(argument) {}

  void ask(const PyLayernormThreads& lent) {
    users_.fetch_add(1);
    if (!lent.schedule(lent.context, help, this)) users_.fetch_sub(1);
  }

  void take_blocks() {
    for (;;) {
      const std::int64_t begin = next_.fetch_add(block_, std::memory_order_relaxed);
      if (begin >= tasks_) return;
      const std::int64_t end = begin + block_;
      task_(argument_, begin, end < tasks_ ? end : tasks_);
    }
  }

  // Whoever comes in after this sees a closed call. Whoever came in before is waited for.
  void finish() {
    open_.store(false);
    for (int spins = 0; inside_.load() > 0; ++spins) {
      if (spins < kSpinsToYield) {
        relax();
      } else {
        std::this_thread::yield();
      }
    }
    leave();
  }

 private:
  static void help(void* data) {
    Call* call = static_cast<Call*>(data);
    call->inside_.fetch_add(1);
    if (call->open_.load()) {
      const DefaultFloatMode mode;
      call->take_blocks();
    }
    call->inside_.fetch_sub(1);
    call->leave();
  }

  void leave() {
    if (users_.fetch_sub(1) == 1) delete this;
  }

  const std::int64_t tasks_, block_;
  const Task task_;
  const void* const argument_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> open_{true};
  std::atomic<int> inside_{0};
  std::atomic<int> users_{1};
};

}  // namespace

bool run_on(const PyLayernormThreads& lent, int threads, std::int64_t tasks, std::int64_t block,
            Task task, const void* argument) {
  Call* call = new (std::nothrow) Call(tasks, block, task, argument);
  if (!call) return false;
  for (int t = 1; t < threads; ++t) call->ask(lent);
  call->take_blocks();
  call->finish();
  return true;
}

}  // namespace py_layernorm
