/* What CUDA sources of 2017 call and newer toolkits took away; nvcc includes it before each source. */
#ifndef FFI_EXT_CUDA_SHIMS_H
#define FFI_EXT_CUDA_SHIMS_H

#include <cuda_runtime.h>

#if CUDART_VERSION >= 13000 /* CUDA 12 has them still */
static inline cudaError_t cudaThreadSynchronize(void) { return cudaDeviceSynchronize(); }
static inline cudaError_t cudaThreadExit(void) { return cudaDeviceReset(); }
static inline cudaError_t cudaThreadGetLimit(size_t *value, enum cudaLimit limit) {
  return cudaDeviceGetLimit(value, limit);
}
static inline cudaError_t cudaThreadSetLimit(enum cudaLimit limit, size_t value) {
  return cudaDeviceSetLimit(limit, value);
}
static inline cudaError_t cudaThreadGetCacheConfig(enum cudaFuncCache *config) {
  return cudaDeviceGetCacheConfig(config);
}
static inline cudaError_t cudaThreadSetCacheConfig(enum cudaFuncCache config) {
  return cudaDeviceSetCacheConfig(config);
}
#endif
#if CUDART_VERSION >= 11000 && defined(FFI_EXT_MEMORY_TYPE)
#define memoryType type /* of cudaPointerAttributes */
#endif

/* The warp functions of before Volta, which had no mask: all threads that get there together take part.
 * Templates, so that a toolkit's or a source's own functions of these names win where they exist. */
#if defined(__CUDACC__) && CUDART_VERSION >= 9000
#define FFI_EXT_SHUFFLE(name, lanes)                                            \
  template <typename T>                                                         \
  static __device__ __forceinline__ T name(T value, lanes, int width = 32) {    \
    return (T)name##_sync(__activemask(), value, lane, width);                  \
  }
FFI_EXT_SHUFFLE(__shfl, int lane)
FFI_EXT_SHUFFLE(__shfl_up, unsigned int lane)
FFI_EXT_SHUFFLE(__shfl_down, unsigned int lane)
FFI_EXT_SHUFFLE(__shfl_xor, int lane)
#undef FFI_EXT_SHUFFLE
#ifdef FFI_EXT_VOTES /* macros, since toolkits still declare these functions */
#define __any(predicate) __any_sync(__activemask(), predicate)
#define __all(predicate) __all_sync(__activemask(), predicate)
#define __ballot(predicate) __ballot_sync(__activemask(), predicate)
#endif
#endif

/* What Thrust 3 has no more, for sources that name one of them. */
#if defined(FFI_EXT_THRUST_FUNCTIONS) && defined(__CUDACC__) && __has_include(<thrust/version.h>)
#include <thrust/version.h>
#if THRUST_VERSION >= 300000
namespace thrust {
template <typename Argument, typename Result>
struct unary_function {
  typedef Argument argument_type;
  typedef Result result_type;
};
template <typename First, typename Second, typename Result>
struct binary_function {
  typedef First first_argument_type;
  typedef Second second_argument_type;
  typedef Result result_type;
};
template <typename T>
struct identity : unary_function<T, T> {
  __host__ __device__ const T &operator()(const T &value) const { return value; }
};
}  // namespace thrust
#endif
#endif

/* A source with an atomicAdd of doubles or halves of its own, from when CUDA had none: its function gets
 * another name, and the calls find either. */
#if defined(FFI_EXT_OWN_ATOMIC_ADD) && defined(__CUDACC__)
#include <cuda_fp16.h>
template <typename T, typename U>
static inline __device__ T ffi_ext_atomic_add(T *address, U value) {
  return atomicAdd(address, (T)value);
}
#define atomicAdd ffi_ext_atomic_add
#endif

/* A source with a copy of THCUNN's half arithmetic, which clashes with what CUDA has had itself since: ours comes
 * first, under the same guard, and the copy is left out. */
#if defined(FFI_EXT_OWN_HALF_NUMERICS) && defined(__CUDACC__)
#include "THCUNN/THCHalfAutoNumerics.cuh"
#endif

#endif
