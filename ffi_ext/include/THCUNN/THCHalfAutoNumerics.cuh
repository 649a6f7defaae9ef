/* Arithmetic of a half with other numbers, and its functions, as generic kernels have them:
 * cuda_fp16.h's own operators are for two halves, and ambiguous for one. */
#ifndef THC_HALF_AUTO_NUMERICS_INC
#define THC_HALF_AUTO_NUMERICS_INC

#include "THC/THCHalf.h"
#include "THC/THCNumerics.cuh"

#define FFI_EXT_HALF_OPERATOR(RESULT, OP, T)                            \
  __host__ __device__ __forceinline__ RESULT operator OP(half a, T b) { \
    return __half2float(a) OP b;                                        \
  }                                                                     \
  __host__ __device__ __forceinline__ RESULT operator OP(T a, half b) { \
    return a OP __half2float(b);                                        \
  }
#define FFI_EXT_HALF_OPERATORS(T, RESULT) \
  FFI_EXT_HALF_OPERATOR(RESULT, +, T)     \
  FFI_EXT_HALF_OPERATOR(RESULT, -, T)     \
  FFI_EXT_HALF_OPERATOR(RESULT, *, T)     \
  FFI_EXT_HALF_OPERATOR(RESULT, /, T)     \
  FFI_EXT_HALF_OPERATOR(bool, ==, T)      \
  FFI_EXT_HALF_OPERATOR(bool, !=, T)      \
  FFI_EXT_HALF_OPERATOR(bool, <, T)       \
  FFI_EXT_HALF_OPERATOR(bool, <=, T)      \
  FFI_EXT_HALF_OPERATOR(bool, >, T)       \
  FFI_EXT_HALF_OPERATOR(bool, >=, T)
FFI_EXT_HALF_OPERATORS(float, float)
FFI_EXT_HALF_OPERATORS(double, double)
FFI_EXT_HALF_OPERATORS(int, float)
#undef FFI_EXT_HALF_OPERATORS
#undef FFI_EXT_HALF_OPERATOR

__host__ __device__ __forceinline__ float &operator+=(float &a, half b) { return a += __half2float(b); }
__host__ __device__ __forceinline__ float &operator-=(float &a, half b) { return a -= __half2float(b); }

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 530 && CUDART_VERSION < 12020
/* Those of two halves, which CUDA before 12.2 has for later GPUs alone. */
#define FFI_EXT_TWO_HALVES(RESULT, OP)                            \
  __device__ __forceinline__ RESULT operator OP(half a, half b) { \
    return __half2float(a) OP __half2float(b);                    \
  }
#define FFI_EXT_HALF_CHANGED(OP) \
  FFI_EXT_TWO_HALVES(half, OP)   \
  __device__ __forceinline__ half &operator OP## = (half & a, half b) { return a = a OP b; }
FFI_EXT_HALF_CHANGED(+)
FFI_EXT_HALF_CHANGED(-)
FFI_EXT_HALF_CHANGED(*)
FFI_EXT_HALF_CHANGED(/)
FFI_EXT_TWO_HALVES(bool, ==)
FFI_EXT_TWO_HALVES(bool, !=)
FFI_EXT_TWO_HALVES(bool, <)
FFI_EXT_TWO_HALVES(bool, <=)
FFI_EXT_TWO_HALVES(bool, >)
FFI_EXT_TWO_HALVES(bool, >=)
#undef FFI_EXT_HALF_CHANGED
#undef FFI_EXT_TWO_HALVES
#endif

#define FFI_EXT_HALF_FUNCTION(NAME)                       \
  __host__ __device__ __forceinline__ half NAME(half a) { \
    return __float2half(::NAME(__half2float(a)));         \
  }
FFI_EXT_HALF_FUNCTION(exp)
FFI_EXT_HALF_FUNCTION(log)
FFI_EXT_HALF_FUNCTION(log1p)
FFI_EXT_HALF_FUNCTION(sqrt)
FFI_EXT_HALF_FUNCTION(tanh)
#undef FFI_EXT_HALF_FUNCTION
__host__ __device__ __forceinline__ half abs(half a) {
  return __float2half(::fabsf(__half2float(a)));
}
__host__ __device__ __forceinline__ half pow(half a, half b) {
  return __float2half(::powf(__half2float(a), __half2float(b)));
}

__host__ __device__ __forceinline__ half fmaxType(half a, half b) {
  return __half2float(a) >= __half2float(b) ? a : b;
}
__host__ __device__ __forceinline__ float fmaxType(float a, half b) {
  return ::fmaxf(a, __half2float(b));
}
__host__ __device__ __forceinline__ float fmaxType(float a, float b) { return ::fmaxf(a, b); }
__host__ __device__ __forceinline__ double fmaxType(double a, double b) { return ::fmax(a, b); }

#endif
