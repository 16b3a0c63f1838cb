// The element types: loads and stores that convert to and from the compute type, which is double
// for double and float for the others. 16-bit results are rounded once, to nearest even.
#pragma once

#include "per_isa/simd-inl.h"

namespace py_layernorm {
namespace ISA {
namespace {

struct bfloat16 {
  std::uint16_t bits;
};
struct float16 {
  std::uint16_t bits;
};

template <class T>
struct ComputeType {
  using type = float;
};
template <>
struct ComputeType<double> {
  using type = double;
};
template <class T>
using Compute = typename ComputeType<T>::type;

typedef std::uint32_t Words __attribute__((vector_size(kBytes)));
typedef std::uint16_t Halves __attribute__((vector_size(kBytes / 2)));

INLINE Words bits_of(Vec<float> v) { return load_bits<Words>(&v); }
INLINE Vec<float> floats_of(Words w) { return load_bits<Vec<float>>(&w); }

INLINE Vec<float> load(const float* p) { return load_bits<Vec<float>>(p); }
INLINE Vec<double> load(const double* p) { return load_bits<Vec<double>>(p); }
INLINE void store(float* p, Vec<float> v) { std::memcpy(p, &v, sizeof v); }
INLINE void store(double* p, Vec<double> v) { std::memcpy(p, &v, sizeof v); }

// 16-bit integers to and from the low halves of 32-bit integers. Intrinsics where there is one,
// because GCC widens in two halves.
INLINE Words widen(Halves h) {
#if defined(ISA_AVX512)
  return (Words)_mm512_cvtepu16_epi32((__m256i)h);
#elif defined(ISA_AVX2)
  return (Words)_mm256_cvtepu16_epi32((__m128i)h);
#else
  return __builtin_convertvector(h, Words);
#endif
}
INLINE Halves narrow(Words w) {
#if defined(ISA_AVX512)
  return (Halves)_mm512_cvtepi32_epi16((__m512i)w);
#else
  return __builtin_convertvector(w, Halves);
#endif
}

// A bfloat16 is the upper half of a float.
INLINE Vec<float> load(const bfloat16* p) { return floats_of(widen(load_bits<Halves>(p)) << 16); }
INLINE void store(bfloat16* p, Vec<float> v) {
  const Words w = bits_of(v);
  const Words even = w + 0x7fff + ((w >> 16) & 1);
  const Words rounded = v == v ? even : (w | 0x400000);  // a NaN stays a NaN
  const Halves h = narrow(rounded >> 16);
  std::memcpy(p, &h, sizeof h);
}

#if defined(ISA_AVX512)
INLINE Vec<float> load(const float16* p) {
  return (Vec<float>)_mm512_cvtph_ps(load_bits<__m256i>(p));
}
INLINE void store(float16* p, Vec<float> v) {
  const __m256i h = _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  std::memcpy(p, &h, sizeof h);
}
#elif defined(ISA_AVX2)
INLINE Vec<float> load(const float16* p) {
  return (Vec<float>)_mm256_cvtph_ps(load_bits<__m128i>(p));
}
INLINE void store(float16* p, Vec<float> v) {
  const __m128i h = _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
  std::memcpy(p, &h, sizeof h);
}
#else
// Without an instruction for it: exponent and mantissa are moved to their places in a float, and a
// multiplication by a power of two corrects the exponent's bias, also of subnormals.
INLINE Vec<float> load(const float16* p) {
  const Words h = widen(load_bits<Halves>(p));
  const Words sign = (h & 0x8000) << 16;
  const Vec<float> small = floats_of((h & 0x7fff) << 13) * 0x1p112f;
  const Words magnitude = bits_of(small);
  const Words special = (h & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000 : magnitude;
  return floats_of(special | sign);
}
INLINE void store(float16* p, Vec<float> v) {
  const Words w = bits_of(v);
  const Words magnitude = w & 0x7fffffff;
  // Normal results: rebias, and round to nearest even at the 13 bits that are dropped.
  const Words normal = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Subnormal results: adding 0.5 makes the addition round at the right bit.
  const Words subnormal = bits_of(floats_of(magnitude) + 0.5f) - bits_of(splat(0.5f));
  const Words finite = magnitude < (113u << 23) ? subnormal : normal;
  const Words infinite = magnitude > 0x7f800000 ? Words{} + 0x7e00 : Words{} + 0x7c00;
  const Words h = (magnitude >= 0x477ff000 ? infinite : finite) | ((w >> 16) & 0x8000);
  const Halves out = narrow(h);
  std::memcpy(p, &out, sizeof out);
}
#endif

// Non-temporal stores, which do not read the cache line that they overwrite. GCC has no portable
// way to ask for one, hence the intrinsics. p must be aligned to the size of a vector. Only for
// floats: other types have no streaming code.
#if defined(__SSE2__)
template <class T>
constexpr bool kStreams = sizeof(Compute<T>) == sizeof(T) && sizeof(T) == sizeof(float);
#else
template <class T>
constexpr bool kStreams = false;
#endif
INLINE void stream(float* p, Vec<float> v) {
#if defined(ISA_AVX512)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(ISA_AVX2)
  _mm256_stream_ps(p, (__m256)v);
#elif defined(__SSE2__)
  _mm_stream_ps(p, (__m128)v);
#else
  store(p, v);
#endif
}
INLINE void end_streaming() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// A vector of which at most `left` elements are in memory. The lanes past them are loaded as 0.
#if defined(ISA_AVX512)
// Intrinsics: one element at a time would take longer than the rest of a short row.
INLINE unsigned lanes_in_use(int64_t left, int lanes) {
  return left >= lanes ? ~0u : (1u << left) - 1;
}
INLINE Vec<float> load(const float* p, int64_t left) {
  return (Vec<float>)_mm512_maskz_loadu_ps(lanes_in_use(left, 16), p);
}
INLINE Vec<double> load(const double* p, int64_t left) {
  return (Vec<double>)_mm512_maskz_loadu_pd(lanes_in_use(left, 8), p);
}
INLINE void store(float* p, Vec<float> v, int64_t left) {
  _mm512_mask_storeu_ps(p, lanes_in_use(left, 16), (__m512)v);
}
INLINE void store(double* p, Vec<double> v, int64_t left) {
  _mm512_mask_storeu_pd(p, lanes_in_use(left, 8), (__m512d)v);
}
#endif
template <class T>
INLINE Vec<Compute<T>> load(const T* p, int64_t left) {
  constexpr int kWidth = kLanes<Compute<T>>;
  if (left >= kWidth) return load(p);
  T part[kWidth] = {};
  for (int64_t i = 0; i < left; ++i) part[i] = p[i];
  return load(part);
}
template <class T>
INLINE void store(T* p, Vec<Compute<T>> v, int64_t left) {
  constexpr int kWidth = kLanes<Compute<T>>;
  if (left >= kWidth) return store(p, v);
  T part[kWidth];
  store(part, v);
  for (int64_t i = 0; i < left; ++i) p[i] = part[i];
}

// To y, with non-temporal stores or without. Rows that are streamed are whole vectors.
template <bool kStreaming, class T>
INLINE void write(T* y, Vec<Compute<T>> v, int64_t left) {
  if constexpr (kStreaming && kStreams<T>) {
    stream(y, v);
  } else {
    store(y, v, left);
  }
}

// One element, by way of a vector, so that each conversion exists once.
INLINE double load_one(const float* p) { return *p; }
INLINE double load_one(const double* p) { return *p; }
template <class T>
INLINE double load_one(const T* p) {
  return load(p, 1)[0];
}
INLINE void store_one(float* p, double value) { *p = static_cast<float>(value); }
INLINE void store_one(double* p, double value) { *p = value; }
template <class T>
INLINE void store_one(T* p, double value) {
  store(p, splat(static_cast<float>(value)), 1);
}

}  // namespace
}  // namespace ISA
}  // namespace py_layernorm
