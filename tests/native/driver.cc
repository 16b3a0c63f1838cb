// Takes the kernel through all of its paths, on buffers that end where the array ends, while a
// sanitizer or valgrind watches. scripts/test_native.sh builds and runs it.
//
//   driver           everything
//   driver --small   what takes a tool that is fifty times slower a minute or two
//   driver --break   a deliberate fault, which the tool must report
//   driver --before, driver --after  with an inaccessible page before or after each array
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "call.h"
#include "kernel.h"

namespace {

// --- allocations that fail on demand --------------------------------------------------------

thread_local long allocations_left = -1;  // before one fails; negative: none does

void* allocate(std::size_t bytes) noexcept {
  if (allocations_left == 0) return nullptr;
  if (allocations_left > 0) --allocations_left;
  return std::malloc(bytes ? bytes : 1);
}

}  // namespace

void* operator new(std::size_t bytes) {
  if (void* p = allocate(bytes)) return p;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return operator new(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes); }
// noinline: where GCC inlines one of the pair alone, it warns of a mismatch.
__attribute__((noinline)) void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { operator delete(p); }
void operator delete[](void* p) noexcept { operator delete(p); }
void operator delete[](void* p, std::size_t) noexcept { operator delete(p); }

namespace {

// --- what is run ------------------------------------------------------------------------------

// Lengths at and next to each vector width, chunk, segment and tile; one row, a few, and more than
// a block; less and more than one strip; empty arrays.
std::vector<Case> geometries(bool small) {
  std::vector<Case> all;
  for (const int rows : {1, 2, 5, 17})
    for (const int n : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 257})
      if (!small || rows == 5) all.push_back({rows, n, 1});
  for (const int n : {768, 1023, 1024, 1025, 2047, 2049, 4097, 8191, 8192, 8193, 20001})
    for (const int rows : {1, 6})
      if (!small || rows == 1 + 5 * (n < 2000)) all.push_back({rows, n, 1});
  for (const int inner : {2, 3, 4, 5, 8, 15, 16, 17, 31, 63, 64, 65, 97, 130})
    for (const int n : {1, 3, 17, 33})
      if (!small || n == 17) all.push_back({2, n, inner});
  all.insert(all.end(),
             {{300, 40, 1}, {70, 3, 70}, {1, 2100, 40}, {0, 5, 1}, {3, 0, 1}, {2, 5, 0}});
  if (!small) all.insert(all.end(), {{3, 65537, 1}, {1, 200003, 1}, {40, 9000, 1}, {1, 9000, 70}});
  return all;
}

void every_path(bool small) {
  for (const int threads : small ? std::vector<int>{1, 3} : std::vector<int>{1, 2, 3, 7}) {
    py_layernorm_set_threads(threads);
    for (Case c : geometries(small))
      for (c.dtype = 0; c.dtype < 4; ++c.dtype) {
        must(c);
        for (int options = 0; options < 4; ++options) {
          Case d = c;
          d.gamma = options & 1;
          d.beta = options & 2;
          d.extremes = options % 2 == 0;
          d.in_place = options > 1;
          d.skew = options;
          if (!small || options == 1 || options == 2) must(d);
        }
      }
  }
  py_layernorm_set_threads(2);
}

// Large enough for non-temporal stores: aligned or not, rows of whole cache lines or not.
void large(bool small) {
  for (const int dtype : small ? std::vector<int>{0} : std::vector<int>{0, 1, 2, 3})
    for (Case c : std::vector<Case>{{5500, 768, 1}, {65, 65536, 1}, {66, 1024, 64}, {5600, 750, 1}})
      for (c.skew = 0; c.skew < (small ? 1 : 2); ++c.skew) {
        c.outer *= dtype >= 2 ? 2 : 1;
        c.dtype = dtype;
        c.check = false;
        must(c);
      }
}

void several_callers() {
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([i] {
      for (int round = 0; round < 10; ++round) {
        must({200, 300, 1, i});
        must({2, 20001, 1, i});
        must({3, 60, 70, i});
        if (i == 0) py_layernorm_set_threads(1 + round % 4);
      }
    });
  for (std::thread& caller : callers) caller.join();
}

[[maybe_unused]] void child_after_use() {
  must({200, 300, 1});
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    must({200, 300, 1});
    must({2, 20001, 1});
    _exit(0);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail("the forked child failed");
  must({200, 300, 1});
}

// Each allocation of a call fails in turn. The call must return an error or, if it can do without,
// the right result. In a child process, because this one has started its threads already.
[[maybe_unused]] void failed_allocations() {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    int errors = 0;
    for (const Case& c :
         std::vector<Case>{{400, 300, 1}, {1, 200003, 1}, {9, 9000, 1}, {3, 60, 70}})
      for (long allowed = 0; allowed < 12; ++allowed) {
        py_layernorm_set_threads(2 + static_cast<int>(allowed));
        Case unchecked = c;
        unchecked.check = false;  // the check allocates too
        int status = 0;
        try {
          allocations_left = allowed;
          status = run(unchecked);
          allocations_left = -1;
        } catch (const std::bad_alloc&) {
          allocations_left = -1;
          fail("an exception crossed the C interface: " + text(c));
        }
        if (status != 0 && status != PY_LAYERNORM_NO_MEMORY) fail("the wrong status: " + text(c));
        errors += status != 0;
        must(c);
      }
    if (errors == 0) fail("no allocation failed");
    _exit(0);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail("failed allocations: see above");
}

void bad_arguments() {
  double d[4] = {};
  float f[4] = {};
  const auto forward = [&](int dtype, std::int64_t outer, const void* x, double* mean) {
    return py_layernorm_forward(dtype, outer, 2, 1, x, nullptr, nullptr, 0, f, mean, d + 2);
  };
  if (forward(0, 2, f, d) != PY_LAYERNORM_OK || forward(4, 2, f, d) != PY_LAYERNORM_INVALID ||
      forward(-1, 2, f, d) != PY_LAYERNORM_INVALID ||
      forward(0, -2, f, d) != PY_LAYERNORM_INVALID ||
      forward(0, 2, nullptr, d) != PY_LAYERNORM_INVALID ||
      forward(0, 2, f, nullptr) != PY_LAYERNORM_INVALID)
    fail("bad arguments");
}

#if defined(__SANITIZE_THREAD__)
// Two threads write to the same y.
int deliberate_fault() {
  Array x(0, 1 << 16), y(0, 1 << 16), statistics(1, 256);
  fill(x);
  const auto call = [&] {
    double* mean = static_cast<double*>(statistics.data());
    py_layernorm_forward(0, 128, 512, 1, x.data(), nullptr, nullptr, 1e-3, y.data(), mean,
                         mean + 128);
  };
  std::thread other(call);
  call();
  other.join();
  return 0;
}
#else
// Reads one element past the end of x.
int deliberate_fault() {
  Array x(0, 15), y(0, 16), mean(1, 1), rstd(1, 1);
  fill(x);
  py_layernorm_forward(0, 1, 16, 1, x.data(), nullptr, nullptr, 1e-3, y.data(),
                       static_cast<double*>(mean.data()), static_cast<double*>(rstd.data()));
  return std::isnan(static_cast<double>(y.get(0)));
}
#endif

}  // namespace

int main(int argc, char** argv) {
  bool small = false, broken = false;
  for (const std::string& option : std::vector<std::string>(argv + 1, argv + argc)) {
    small |= option == "--small";
    broken |= option == "--break";
    if (option == "--before") guard = Guard::kBefore;
    if (option == "--after") guard = Guard::kAfter;
  }
  if (broken) return deliberate_fault();
  bad_arguments();
  every_path(small);
  large(small);
  several_callers();
#if !defined(__SANITIZE_THREAD__)  // the thread sanitizer does not support fork with threads
  child_after_use();
  failed_allocations();
#endif
  std::printf("driver: %s, all paths done\n", py_layernorm_isa());
}
