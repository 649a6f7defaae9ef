/* THCNumerics<T>: comparisons and arithmetic by name, and conversions between element types. */
#ifndef THC_NUMERICS_INC
#define THC_NUMERICS_INC

#include <limits.h>
#include <math.h>

#include "THCHalf.h"

template <typename T>
struct THCNumerics {
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

template <typename In, typename Out>
struct ScalarConvert {
  static inline __host__ __device__ Out to(const In v) { return (Out)v; }
};
template <typename T, typename S>
struct ScalarInv {
  static inline __host__ __device__ T to(const S v) { return T(1) / T(v); }
};

#endif
