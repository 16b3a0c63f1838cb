#include "pool.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace py_layernorm {
namespace {

// How long an idle thread looks for work before it sleeps, and a caller for the others to end
// before it lets them have its processor.
constexpr std::chrono::microseconds kIdleSpin(50);
constexpr int kSpinsToYield = 2000;

// More threads than this are not worth their upkeep.
constexpr int kMostThreads = 256;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int default_thread_count() {
  if (const char* text = std::getenv("PY_LAYERNORM_THREADS")) {
    const int threads = std::atoi(text);
    if (threads > 0) return threads < kMostThreads ? threads : kMostThreads;
  }
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
#endif
  const unsigned processors = std::thread::hardware_concurrency();
  return processors > 0 ? static_cast<int>(processors) : 1;
}

class Pool {
 public:
  // False: the pool is taken, or has no threads, and nothing was done.
  bool run(std::int64_t tasks, std::int64_t block, int threads, Task task, const void* argument) {
    std::unique_lock<std::mutex> mine(in_use_, std::try_to_lock);
    if (!mine.owns_lock()) return false;
    hire(threads - 1);
    if (workers_ == 0) return false;

    task_ = task;
    argument_ = argument;
    tasks_ = tasks;
    block_ = block;
    next_.store(0, std::memory_order_relaxed);
    places_.store(threads - 1, std::memory_order_relaxed);
    open_.store(true);
    calls_.fetch_add(1);
    if (asleep_.load() > 0) {
      { std::lock_guard<std::mutex> lock(sleep_); }
      wake_.notify_all();
    }
    take_blocks();

    // Whoever comes in after this sees a closed call. Whoever came in before is waited for.
    open_.store(false);
    for (int spins = 0; inside_.load() > 0; ++spins) {
      if (spins < kSpinsToYield) {
        relax();
      } else {
        std::this_thread::yield();
      }
    }
    return true;
  }

 private:
  void hire(int wanted) {
    while (workers_ < wanted) {
      try {
        std::thread([this] { work(); }).detach();
      } catch (const std::system_error&) {
        return;
      }
      ++workers_;
    }
  }

  void work() {
    const DefaultFloatMode mode;
    std::uint64_t seen = 0;
    for (;;) {
      seen = wait_for_call(seen);
      inside_.fetch_add(1);
      if (open_.load() && places_.fetch_sub(1) > 0) take_blocks();
      inside_.fetch_sub(1);
    }
  }

  std::uint64_t wait_for_call(std::uint64_t seen) {
    const auto until = std::chrono::steady_clock::now() + kIdleSpin;
    do {
      for (int i = 0; i < 64; ++i) {
        if (calls_.load() != seen) return calls_.load();
        relax();
      }
    } while (std::chrono::steady_clock::now() < until);
    std::unique_lock<std::mutex> lock(sleep_);
    asleep_.fetch_add(1);
    wake_.wait(lock, [&] { return calls_.load() != seen; });
    asleep_.fetch_sub(1);
    return calls_.load();
  }

  void take_blocks() {
    for (;;) {
      const std::int64_t begin = next_.fetch_add(block_, std::memory_order_relaxed);
      if (begin >= tasks_) return;
      task_(argument_, begin, begin + block_ < tasks_ ? begin + block_ : tasks_);
    }
  }

  std::mutex in_use_;  // held by the call that has the pool
  int workers_ = 0;

  Task task_ = nullptr;
  const void* argument_ = nullptr;
  std::int64_t tasks_ = 0, block_ = 1;
  alignas(64) std::atomic<std::int64_t> next_{0};
  alignas(64) std::atomic<std::uint64_t> calls_{0};
  std::atomic<bool> open_{false};
  std::atomic<int> places_{0};  // workers that may still join
  alignas(64) std::atomic<int> inside_{0};

  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<int> asleep_{0};
};

// Never deleted: its threads run until the process ends, and the library is linked to stay loaded.
std::atomic<Pool*> the_pool{nullptr};
std::atomic<int> threads_setting{0};

// A child has none of the threads, and perhaps locks that nobody will open.
void forget_pool() { the_pool.store(nullptr); }

Pool* pool() {
  Pool* present = the_pool.load();
  if (present) return present;
  static const bool registered = pthread_atfork(nullptr, nullptr, forget_pool) == 0;
  if (!registered) return nullptr;
  Pool* made = new (std::nothrow) Pool;
  if (!the_pool.compare_exchange_strong(present, made)) {
    delete made;
    return present;
  }
  return made;
}

}  // namespace

int thread_count() {
  int threads = threads_setting.load();
  if (threads == 0) {
    threads = default_thread_count();
    threads_setting.store(threads);
  }
  return threads;
}

void set_thread_count(int threads) {
  threads_setting.store(threads < 1 ? 1 : threads < kMostThreads ? threads : kMostThreads);
}

void parallel_for(std::int64_t tasks, std::int64_t block, Task task, const void* argument) {
  const std::int64_t blocks = (tasks + block - 1) / block;
  const int threads = static_cast<int>(blocks < thread_count() ? blocks : thread_count());
  if (threads > 1) {
    Pool* shared = pool();
    if (shared && shared->run(tasks, block, threads, task, argument)) return;
  }
  if (tasks > 0) task(argument, 0, tasks);
}

#if defined(__x86_64__)
constexpr unsigned kDefaultMode = 0x1f80;  // all exceptions masked, to nearest, no flushing
DefaultFloatMode::DefaultFloatMode() : saved_(_mm_getcsr()) { _mm_setcsr(kDefaultMode); }
DefaultFloatMode::~DefaultFloatMode() { _mm_setcsr(static_cast<unsigned>(saved_)); }
#elif defined(__aarch64__)
DefaultFloatMode::DefaultFloatMode() {
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" : : "r"(std::uint64_t{0}));
}
DefaultFloatMode::~DefaultFloatMode() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }
#else
DefaultFloatMode::DefaultFloatMode() : saved_(0) {}
DefaultFloatMode::~DefaultFloatMode() {}
#endif

}  // namespace py_layernorm
