// Arrays of any element type, whose elements are read and written as long double.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "kernel.h"

namespace {

using Real = long double;

const char* const kNames[] = {"float32", "float64", "bfloat16", "float16"};
int size_of(int dtype) { return dtype == 0 ? 4 : dtype == 1 ? 8 : 2; }
int weight_type(int dtype) { return dtype == PY_LAYERNORM_FLOAT64 ? 1 : 0; }

// Where an inaccessible page lies, for accesses that the tools do not check. Without one the memory
// comes from the allocator, which the tools watch on both sides.
enum class Guard { kNone, kBefore, kAfter };
Guard guard = Guard::kNone;

// An array of n elements whose memory ends with the last one. It is misaligned by `skew` elements,
// unless a guard page decides where it lies.
class Array {
 public:
  Array(int dtype, std::int64_t n, int skew = 0) : dtype_(dtype), n_(n) {
    const std::size_t offset = static_cast<std::size_t>(skew * size_of(dtype));
    if (guard == Guard::kNone) {
      if (posix_memalign(&memory_, 64, offset + bytes())) std::abort();
      data_ = static_cast<char*>(memory_) + offset;
      return;
    }
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t room = (bytes() + page - 1) / page * page;
    mapped_ = page + room;
    memory_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) std::abort();
    char* const start = static_cast<char*>(memory_);
    const bool before = guard == Guard::kBefore;
    if (mprotect(before ? start : start + room, page, PROT_NONE)) std::abort();
    data_ = before ? start + page : start + room - bytes();
  }
  ~Array() {
    if (mapped_) {
      munmap(memory_, mapped_);
    } else {
      std::free(memory_);
    }
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  void* data() const { return data_; }
  std::int64_t size() const { return n_; }
  std::size_t bytes() const { return static_cast<std::size_t>(n_ * size_of(dtype_)); }

  Real get(std::int64_t i) const {
    if (dtype_ == 0) return at<float>(i);
    if (dtype_ == 1) return at<double>(i);
    if (dtype_ == 3) return at<_Float16>(i);
    const std::uint32_t bits = std::uint32_t{at<std::uint16_t>(i)} << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  }
  void set(std::int64_t i, Real value) {
    if (dtype_ == 0) return put(i, static_cast<float>(value));
    if (dtype_ == 1) return put(i, static_cast<double>(value));
    if (dtype_ == 3) return put(i, static_cast<_Float16>(static_cast<float>(value)));
    const float single = static_cast<float>(value);
    std::uint32_t bits;
    std::memcpy(&bits, &single, 4);
    put(i, static_cast<std::uint16_t>(bits >> 16));
  }

 private:
  template <class T>
  T at(std::int64_t i) const {
    T value;
    std::memcpy(&value, data_ + i * sizeof(T), sizeof(T));
    return value;
  }
  template <class T>
  void put(std::int64_t i, T value) {
    std::memcpy(data_ + i * sizeof(T), &value, sizeof(T));
  }
  int dtype_;
  std::int64_t n_;
  void* memory_ = nullptr;
  std::size_t mapped_ = 0;
  char* data_;
};

Real random_real() {  // in [-1, 1)
  static thread_local std::uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<Real>(static_cast<std::int64_t>(state) >> 11) / (Real{1} * (1ll << 52));
}

void fill(Array& a, Real offset = 0) {
  for (std::int64_t i = 0; i < a.size(); ++i) a.set(i, random_real() + offset);
}

}  // namespace
