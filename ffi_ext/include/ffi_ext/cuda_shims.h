/* What CUDA sources of 2017 call and newer toolkits took away; nvcc includes it before each source. */
#ifndef FFI_EXT_CUDA_SHIMS_H
#define FFI_EXT_CUDA_SHIMS_H

#include <cuda_runtime.h>

#if CUDART_VERSION >= 12000
static inline cudaError_t cudaThreadSynchronize(void) { return cudaDeviceSynchronize(); }
static inline cudaError_t cudaThreadExit(void) { return cudaDeviceReset(); }
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
