#include "pool.h"

#include "lent_threads.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#include "kernel.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace py_layernorm {
namespace {

// How long an idle thread looks for work before it sleeps, and how long a caller waits for the
// others before it yields its processor.
constexpr std::chrono::microseconds kIdleSpin(50);
constexpr int kSpinsToYield = 2000;

constexpr int kMostThreads = PY_LAYERNORM_MOST_THREADS;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int within_limits(int threads) {
  return threads < 1 ? 1 : threads < kMostThreads ? threads : kMostThreads;
}

// 0 if there is none in range.
int threads_in_environment() {
  const char* text = std::getenv("PY_LAYERNORM_THREADS");
  int threads = 0;
  for (; text && *text; ++text) {
    if (*text < '0' || *text > '9') return 0;
    threads = threads * 10 + (*text - '0');
    if (threads > kMostThreads) return 0;
  }
  return threads;
}

int default_thread_count() {
  if (const int threads = threads_in_environment()) return threads;
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
    return within_limits(CPU_COUNT(&allowed));
#endif
  return within_limits(static_cast<int>(std::thread::hardware_concurrency()));
}

class Pool {
 public:
  // Returns false, having done nothing, if the pool is taken or has no threads.
  bool run(std::int64_t tasks, std::int64_t block, int threads, Task task, const void* argument) {
    std::unique_lock<std::mutex> mine(in_use_, std::try_to_lock);
    if (!mine.owns_lock()) return false;
    hire(threads - 1);
    if (workers_ == 0) return false;

    task_ = task;
    argument_ = argument;
    block_ = block;
    // Whole blocks, so that the number of threads does not change where they are cut.
    const std::int64_t blocks = (tasks + block - 1) / block;
    shares_in_use_ = threads < blocks ? threads : static_cast<int>(blocks);
    for (int s = 0; s < shares_in_use_; ++s) {
      const std::int64_t end = blocks * (s + 1) / shares_in_use_ * block;
      shares_[s].next.store(blocks * s / shares_in_use_ * block, std::memory_order_relaxed);
      shares_[s].end = end < tasks ? end : tasks;
    }
    open_.store(true);
    calls_.fetch_add(1);
    if (asleep_.load() > 0) {
      {
        std::lock_guard<std::mutex> lock(sleep_);
      }
      wake_.notify_all();
    }
    take_blocks(0);

    // A thread that enters after this sees a closed call. Wait for those that entered before.
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
        std::thread([this, number = workers_ + 1] { work(number); }).detach();
      } catch (const std::exception&) {  // out of threads or of memory
        return;
      }
      ++workers_;
    }
  }

  void work(int number) {
    const DefaultFloatMode mode;
    std::uint64_t seen = 0;
    for (;;) {
      seen = wait_for_call(seen);
      inside_.fetch_add(1);
      if (open_.load() && number < shares_in_use_) take_blocks(number);
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

  // The thread's own share first, then what the others have left. In the next call of the same size
  // a thread gets the same share, and finds in its cache what it wrote there.
  void take_blocks(int own) {
    for (int s = 0; s < shares_in_use_; ++s) {
      Share& share = shares_[(own + s) % shares_in_use_];
      for (;;) {
        const std::int64_t begin = share.next.fetch_add(block_, std::memory_order_relaxed);
        if (begin >= share.end) break;
        const std::int64_t end = begin + block_;
        task_(argument_, begin, end < share.end ? end : share.end);
      }
    }
  }

  std::mutex in_use_;  // locked by the call that has the pool
  int workers_ = 0;

  Task task_ = nullptr;
  const void* argument_ = nullptr;
  std::int64_t block_ = 1;
  int shares_in_use_ = 0;
  struct alignas(64) Share {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };
  Share shares_[kMostThreads];
  alignas(64) std::atomic<std::uint64_t> calls_{0};
  std::atomic<bool> open_{false};
  alignas(64) std::atomic<int> inside_{0};

  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<int> asleep_{0};
};

// Never deleted: its threads run until the process ends, and the library stays loaded.
std::atomic<Pool*> the_pool{nullptr};
std::atomic<int> threads_setting{0};

// A child has none of the threads, and may have locks that nobody will release.
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

void set_thread_count(int threads) { threads_setting.store(threads); }

int thread_count(const PyLayernormThreads* lent) {
  if (!lent) return thread_count();
  return lent->count < thread_count() ? lent->count + 1 : thread_count();
}

void parallel_for(std::int64_t tasks, std::int64_t block, Task task, const void* argument,
                  const PyLayernormThreads* lent) {
  const std::int64_t blocks = (tasks + block - 1) / block;
  const int most = thread_count(lent);
  const int threads = static_cast<int>(blocks < most ? blocks : most);
  if (threads > 1) {
    if (lent) {
      if (run_on(*lent, threads, tasks, block, task, argument)) return;
    } else {
      Pool* shared = pool();
      if (shared && shared->run(tasks, block, threads, task, argument)) return;
    }
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
