/* THCNumerics<T>: comparisons and arithmetic by name, and conversions between element types. */
#ifndef THC_NUMERICS_INC
#define THC_NUMERICS_INC

#include <float.h>
#include <limits.h>
#include <math.h>

#include "THCHalf.h"

/* What CUDA's functions take: they have none of a half that its many conversions do not make ambiguous. */
template <typename T>
static inline __host__ __device__ T ffi_ext_computed(T a) { return a; }
static inline __host__ __device__ float ffi_ext_computed(half a) { return __half2float(a); }

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
  static inline __host__ __device__ T exp(T a) { return T(::exp(ffi_ext_computed(a))); }
  static inline __host__ __device__ T log(T a) { return T(::log(ffi_ext_computed(a))); }
  static inline __host__ __device__ T log1p(T a) { return T(::log1p(ffi_ext_computed(a))); }
  static inline __host__ __device__ T sqrt(T a) { return T(::sqrt(ffi_ext_computed(a))); }
  static inline __host__ __device__ T rsqrt(T a) { return T(1 / ::sqrt(ffi_ext_computed(a))); }
  static inline __host__ __device__ T tanh(T a) { return T(::tanh(ffi_ext_computed(a))); }
  static inline __host__ __device__ T floor(T a) { return T(::floor(ffi_ext_computed(a))); }
  static inline __host__ __device__ T ceil(T a) { return T(::ceil(ffi_ext_computed(a))); }
  static inline __host__ __device__ T pow(T a, T b) { return T(::pow(ffi_ext_computed(a), ffi_ext_computed(b))); }
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
