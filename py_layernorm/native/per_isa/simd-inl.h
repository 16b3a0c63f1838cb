// The vectors of one instruction set, with the compiler's vector extensions.
//
// per_isa/ is compiled once for each instruction set, in a namespace of its own. It must not
// instantiate functions of the standard library: the linker would share one instruction set's copy
// with the others.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))

namespace py_layernorm {
namespace ISA {
namespace {

using std::int64_t;

#if defined(ISA_AVX512)
constexpr int kBytes = 64;
#elif defined(ISA_AVX2)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <class E>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(kBytes)));
  typedef std::int32_t mask __attribute__((vector_size(kBytes)));
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(kBytes)));
  typedef std::int64_t mask __attribute__((vector_size(kBytes)));
};

template <class E>
using Vec = typename VectorOf<E>::type;
template <class E>
using Mask = typename VectorOf<E>::mask;
template <class E>
constexpr int kLanes = kBytes / static_cast<int>(sizeof(E));

using Doubles = Vec<double>;
constexpr int kDoubles = kLanes<double>;

template <class E>
INLINE Vec<E> splat(E value) {
  return value - Vec<E>{};
}

template <class V>
INLINE V load_bits(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class E>
INLINE Mask<E> lanes_below(int64_t count) {
  Mask<E> lane;
  for (int l = 0; l < kLanes<E>; ++l) lane[l] = l;
  return lane < static_cast<decltype(lane[0] + 0)>(count);
}

// The first `count` lanes of v, then zeros.
template <class E>
INLINE Vec<E> first_lanes(Vec<E> v, int64_t count) {
  return lanes_below<E>(count) ? v : Vec<E>{};
}

// How many vectors of doubles hold the lanes of one vector.
template <class E>
constexpr int kWide = static_cast<int>(sizeof(double) / sizeof(E));

// Intrinsics, because GCC would use a dozen instructions instead of two.
INLINE void widen(Vec<float> v, Doubles out[2]) {
#if defined(ISA_AVX512)
  const __m512 f = (__m512)v;
  out[0] = (Doubles)_mm512_cvtps_pd(_mm512_castps512_ps256(f));
  out[1] = (Doubles)_mm512_cvtps_pd(_mm512_extractf32x8_ps(f, 1));
#elif defined(ISA_AVX2)
  const __m256 f = (__m256)v;
  out[0] = (Doubles)_mm256_cvtps_pd(_mm256_castps256_ps128(f));
  out[1] = (Doubles)_mm256_cvtps_pd(_mm256_extractf128_ps(f, 1));
#elif defined(__SSE2__)
  const __m128 f = (__m128)v;
  out[0] = (Doubles)_mm_cvtps_pd(f);
  out[1] = (Doubles)_mm_cvtps_pd(_mm_movehl_ps(f, f));
#else
  for (int l = 0; l < kDoubles; ++l) {
    out[0][l] = v[l];
    out[1][l] = v[kDoubles + l];
  }
#endif
}
INLINE void widen(Vec<double> v, Doubles out[1]) { out[0] = v; }

// kDoubles lanes stored to memory as floats or doubles, and loaded from there.
typedef float HalfFloats __attribute__((vector_size(kBytes / 2)));
INLINE void narrow(float* p, Doubles v) {
  const HalfFloats half = __builtin_convertvector(v, HalfFloats);
  std::memcpy(p, &half, sizeof half);
}
INLINE void narrow(double* p, Doubles v) { std::memcpy(p, &v, sizeof v); }
INLINE Doubles widen_half(const float* p) {
  return __builtin_convertvector(load_bits<HalfFloats>(p), Doubles);
}
INLINE Doubles widen_half(const double* p) { return load_bits<Doubles>(p); }

// Intrinsics, because GCC has no other square root of a vector.
INLINE Doubles square_root(Doubles v) {
#if defined(ISA_AVX512)
  return (Doubles)_mm512_sqrt_pd((__m512d)v);
#elif defined(ISA_AVX2)
  return (Doubles)_mm256_sqrt_pd((__m256d)v);
#elif defined(__SSE2__)
  return (Doubles)_mm_sqrt_pd((__m128d)v);
#else
  for (int l = 0; l < kDoubles; ++l) v[l] = __builtin_sqrt(v[l]);
  return v;
#endif
}
INLINE double square_root(double v) { return __builtin_sqrt(v); }

INLINE bool all_of(Mask<double> mask) {
  for (int l = 1; l < kDoubles; ++l) mask[0] &= mask[l];
  return mask[0] != 0;
}

// total[0..lanes) += v.
template <class E>
INLINE void add_lanes(double* total, Vec<E> v) {
  Doubles wide[kWide<E>];
  widen(v, wide);
  for (int h = 0; h < kWide<E>; ++h) {
    const Doubles sum = load_bits<Doubles>(total + h * kDoubles) + wide[h];
    std::memcpy(total + h * kDoubles, &sum, sizeof sum);
  }
}

// The sum of the lanes, as kDoubles partial sums.
INLINE Doubles fold(Vec<float> v) {
  Doubles half[2];
  widen(v, half);
  return half[0] + half[1];
}
INLINE Doubles fold(Vec<double> v) { return v; }

#if defined(__clang__)
#define SHUFFLE(a, b, V, M, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, V, M, ...) __builtin_shuffle(a, b, M{__VA_ARGS__})
#endif

// One step of adding lanes crosswise: each lane is added to its neighbour across bit `Bit`, in a
// for the lanes in which that bit is 0, in b for the others.
template <class E, int Bit, int... Lane>
INLINE Vec<E> sum_across(Vec<E> a, Vec<E> b, std::integer_sequence<int, Lane...>) {
  const Vec<E> own = SHUFFLE(a, b, Vec<E>, Mask<E>, (Lane & Bit ? kLanes<E> + Lane : Lane)...);
  const Vec<E> other =
      SHUFFLE(a, b, Vec<E>, Mask<E>, ((Lane & Bit ? kLanes<E> : 0) + (Lane ^ Bit))...);
  return own + other;
}

// The sum of the lanes of each of kRows vectors, a power of two. That of row r is in lane r (and in
// every lane l with l % kRows == r).
template <class E, int kRows, int Bit = 1>
INLINE Vec<E> sum_each(const Vec<E>* rows) {
  if constexpr (Bit == kLanes<E>) {
    return rows[0];
  } else {
    constexpr int kLeft = kRows > 1 ? kRows / 2 : 1;
    Vec<E> sums[kLeft];
    for (int i = 0; i < kLeft; ++i)
      sums[i] = sum_across<E, Bit>(rows[2 * i], rows[kRows > 1 ? 2 * i + 1 : 0],
                                   std::make_integer_sequence<int, kLanes<E>>());
    return sum_each<E, kLeft, 2 * Bit>(sums);
  }
}

INLINE double sum_lanes(Doubles v) { return sum_each<double, 1>(&v)[0]; }

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t larger(int64_t a, int64_t b) { return a < b ? b : a; }

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
