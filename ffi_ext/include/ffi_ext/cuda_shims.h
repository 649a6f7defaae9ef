/* What CUDA sources of 2017 call and newer toolkits took away; nvcc includes it before each source. */
#ifndef FFI_EXT_CUDA_SHIMS_H
#define FFI_EXT_CUDA_SHIMS_H

#include <cuda_runtime.h>

#if CUDART_VERSION >= 12000
static inline cudaError_t cudaThreadSynchronize(void) { return cudaDeviceSynchronize(); }
static inline cudaError_t cudaThreadExit(void) { return cudaDeviceReset(); }
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

#endif
