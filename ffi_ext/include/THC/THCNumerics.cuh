/* THCNumerics<T>: comparisons and arithmetic by name, and conversions between element types. */
#ifndef THC_NUMERICS_INC
#define THC_NUMERICS_INC

#include <float.h>
#include <limits.h>
#include <math.h>

#include "THCHalf.h"

template <typename T>
struct THCNumerics {
  static inline __host__ __device__ T min(); /* the least number, and the greatest */
  static inline __host__ __device__ T max();
  static inline __host__ __device__ bool lt(T a, T b) { return a < b; }
  static inline __host__ __device__ bool le(T a, T b) { return a <= b; }
  static inline __host__ __device__ bool gt(T a, T b) { return a > b; }
  static inline __host__ __device__ bool ge(T a, T b) { return a >= b; }
  static inline __host__ __device__ bool eq(T a, T b) { return a == b; }
  static inline __host__ __device__ bool ne(T a, T b) { return a != b; }
  static inline __host__ __device__ T neg(T a) { return -a; }
  static inline __host__ __device__ T add(T a, T b) { return a + b; }
  static inline __host__ __device__ T sub(T a, T b) { return a - b; }
  static inline __host__ __device__ T mul(T a, T b) { return a * b; }
  static inline __host__ __device__ T div(T a, T b) { return a / b; }
  static inline __host__ __device__ T abs(T a) { return a < T(0) ? -a : a; }
  static inline __host__ __device__ T exp(T a) { return ::exp(a); }
  static inline __host__ __device__ T log(T a) { return ::log(a); }
  static inline __host__ __device__ T log1p(T a) { return ::log1p(a); }
  static inline __host__ __device__ T sqrt(T a) { return ::sqrt(a); }
  static inline __host__ __device__ T rsqrt(T a) { return T(1) / ::sqrt(a); }
  static inline __host__ __device__ T tanh(T a) { return ::tanh(a); }
  static inline __host__ __device__ T floor(T a) { return ::floor(a); }
  static inline __host__ __device__ T ceil(T a) { return ::ceil(a); }
  static inline __host__ __device__ T pow(T a, T b) { return ::pow(a, b); }
  static inline __host__ __device__ T cinv(T a) { return T(1) / a; }
};

#define FFI_EXT_LIMITS(T, LEAST, GREATEST)                                                       \
  template <>                                                                                    \
  inline __host__ __device__ T THCNumerics<T>::min() { return LEAST; }                           \
  template <>                                                                                    \
  inline __host__ __device__ T THCNumerics<T>::max() { return GREATEST; }
FFI_EXT_LIMITS(uint8_t, 0, UCHAR_MAX)
FFI_EXT_LIMITS(int8_t, SCHAR_MIN, SCHAR_MAX)
FFI_EXT_LIMITS(char, CHAR_MIN, CHAR_MAX)
FFI_EXT_LIMITS(int16_t, SHRT_MIN, SHRT_MAX)
FFI_EXT_LIMITS(int32_t, INT_MIN, INT_MAX)
FFI_EXT_LIMITS(int64_t, INT64_MIN, INT64_MAX)
FFI_EXT_LIMITS(half, __float2half(-65504.0f), __float2half(65504.0f))
FFI_EXT_LIMITS(float, -FLT_MAX, FLT_MAX)
FFI_EXT_LIMITS(double, -DBL_MAX, DBL_MAX)
#undef FFI_EXT_LIMITS

template <typename In, typename Out>
struct ScalarConvert {
  static inline __host__ __device__ Out to(const In v) { return (Out)v; }
};
template <typename T, typename S>
struct ScalarInv {
  static inline __host__ __device__ T to(const S v) { return T(1) / T(v); }
};

#endif
