/* What every THC source uses: the state, streams, memory, checks. */
#ifndef THC_GENERAL_INC
#define THC_GENERAL_INC

#include "TH/THAllocator.h"
#include "TH/THGeneral.h"

#define THC_API TH_API
#define THC_CLASS /* of what a library exports */
#define THC_EXTERNC TH_EXTERNC

#if defined(__has_include)
/* What pip installs beside torch has cuda_runtime.h, but not the crt/ that it includes. */
#if __has_include(<cuda_runtime.h>) && __has_include(<crt/host_config.h>) && !defined(FFI_EXT_NO_CUDA_HEADERS)
#define FFI_EXT_CUDA_HEADERS
#endif
#endif
#ifdef FFI_EXT_CUDA_HEADERS
#if !defined(__CUDACC__) && !defined(__NV_NO_HOST_COMPILER_CHECK)
#define __NV_NO_HOST_COMPILER_CHECK 1 /* of what nvcc takes: it has no part in this */
#endif
#include <cuda.h> /* CUDA_VERSION */
#include <cuda_runtime.h>
#include "ffi_ext/cuda_shims.h" /* for C sources, too: cudaThreadSynchronize() ... */
#else /* without the toolkit: enough for headers, and for sources that call no CUDA function */
typedef struct CUstream_st *cudaStream_t;
typedef int cudaError_t;
#ifndef __CUDACC__ /* the toolkit's, too, say nothing to a C compiler: prototypes of kernels have them */
#define __global__
#define __device__
#define __host__
#endif
#endif
#if defined(FFI_EXT_CUDA_HEADERS) && __has_include(<cublas_v2.h>)
#include <cublas_v2.h>
#elif !defined(CUBLAS_V2_H_)
typedef struct cublasContext *cublasHandle_t;
#endif
#if defined(FFI_EXT_CUDA_HEADERS) && __has_include(<cusparse.h>)
#ifdef __GNUC__ /* it warns of its own functions */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif
#include <cusparse.h>
#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif
#else
typedef struct cusparseContext *cusparseHandle_t;
#endif

/* Numbers of the element types, which generic files compare: THCTypeIdx_(Real). */
#define THCTypeIdxByte 1
#define THCTypeIdxChar 2
#define THCTypeIdxShort 3
#define THCTypeIdxInt 4
#define THCTypeIdxLong 5
#define THCTypeIdxFloat 6
#define THCTypeIdxDouble 7
#define THCTypeIdxHalf 8
#define THCTypeIdx_(T) TH_CONCAT_2(THCTypeIdx, T)

/* torch's state is the process's: sources declare `extern THCState *state;` and hand it on. */
typedef struct THCState THCState;

THC_API cudaStream_t THCState_getCurrentStream(THCState *state);
THC_API cudaStream_t THCState_getCurrentStreamOnDevice(THCState *state, int device);
THC_API cublasHandle_t THCState_getCurrentBlasHandle(THCState *state);
THC_API cusparseHandle_t THCState_getCurrentSparseHandle(THCState *state);
THC_API int THCState_getNumDevices(THCState *state);
THC_API int THCState_getPeerToPeerAccess(THCState *state, int device, int other);

/* From torch's caching allocator. */
THC_API cudaError_t THCudaMalloc(THCState *state, void **pointer, size_t size);
THC_API cudaError_t THCudaFree(THCState *state, void *pointer);
THC_API cudaError_t THCudaMemGetInfo(THCState *state, size_t *free_bytes, size_t *total_bytes);
THC_API cudaError_t THCudaMemGetInfoCached(THCState *state, size_t *free_bytes, size_t *total_bytes,
                                           size_t *largest_block);
THC_API void THCHeapUpdate(THCState *state, ptrdiff_t size);
/* Memory of a storage that is not torch's; realloc (old size, new size), emptyCache and cacheInfo
 * may be NULL. The first argument of malloc, realloc and free is the storage's context. */
typedef struct _THCDeviceAllocator {
  cudaError_t (*malloc)(void *, void **, size_t, cudaStream_t);
  cudaError_t (*realloc)(void *, void **, size_t, size_t, cudaStream_t);
  cudaError_t (*free)(void *, void *);
  cudaError_t (*emptyCache)(void *);
  cudaError_t (*cacheInfo)(void *, int, size_t *, size_t *);
  void *state;
} THCDeviceAllocator;

/* torch's caching allocator, which no other can replace. */
THC_API int THCState_isCachingAllocatorEnabled(THCState *state);
THC_API THCDeviceAllocator *THCCachingAllocator_get(void);
THC_API THCDeviceAllocator *THCState_getDeviceAllocator(THCState *state);
THC_API void THCState_setDeviceAllocator(THCState *state, THCDeviceAllocator *allocator);
THC_API cudaError_t THCCachingAllocator_emptyCache(void);

/* Pinned memory of the CPU. */
THC_API void *THCudaHostAlloc(THCState *state, size_t size);
THC_API void THCudaHostFree(THCState *state, void *pointer);
THC_API void THCudaHostRecord(THCState *state, void *pointer);
THC_API THAllocator *THCState_getCudaHostAllocator(THCState *state);

/* A small buffer of the current GPU. */
THC_API void *THCState_getCurrentDeviceScratchSpace(THCState *state);
THC_API size_t THCState_getCurrentDeviceScratchSpaceSize(THCState *state);
THC_API void *THCState_getDeviceScratchSpace(THCState *state, int device, int stream);
THC_API size_t THCState_getDeviceScratchSpaceSize(THCState *state, int device);

/* The process has one state and torch has set it up; streams and handles have no numbers any more. */
THC_API THCState *THCState_alloc(void);
THC_API void THCState_free(THCState *state);
THC_API void THCudaInit(THCState *state);
THC_API void THCudaShutdown(THCState *state);
THC_API void THCState_reserveStreams(THCState *state, int count, int non_blocking);
THC_API void THCState_reserveBlasHandles(THCState *state, int count);
THC_API void THCState_reserveSparseHandles(THCState *state, int count);
THC_API int THCState_getNumStreams(THCState *state);
THC_API int THCState_getNumBlasHandles(THCState *state);
THC_API int THCState_getNumSparseHandles(THCState *state);
THC_API int THCState_getCurrentStreamIndex(THCState *state);
THC_API int THCState_getCurrentBlasHandleIndex(THCState *state);
THC_API int THCState_getCurrentSparseHandleIndex(THCState *state);
THC_API void THCState_setCurrentStreamIndex(THCState *state, int stream);
THC_API void THCState_setCurrentBlasHandleIndex(THCState *state, int handle);
THC_API void THCState_setCurrentSparseHandleIndex(THCState *state, int handle);
THC_API cudaStream_t THCState_getDeviceStream(THCState *state, int device, int stream);
THC_API cublasHandle_t THCState_getDeviceBlasHandle(THCState *state, int device, int handle);
THC_API cusparseHandle_t THCState_getDeviceSparseHandle(THCState *state, int device, int handle);

THC_API void THCMagma_init(THCState *state);

/* Whether the source's own kernels read the memory of other GPUs: kept for it, and used by nothing
 * else. */
THC_API int THCState_getKernelPeerToPeerAccessEnabled(THCState *state);
THC_API void THCState_setKernelPeerToPeerAccessEnabled(THCState *state, int value);

/* Keeps the current stream busy for so many cycles of the GPU's clock. */
THC_API void THC_sleep(THCState *state, int64_t cycles);

THC_API void __THCudaCheck(cudaError_t error, const char *file, const int line);
THC_API void __THCudaCheckWarn(cudaError_t error, const char *file, const int line);
THC_API void __THCusparseCheck(int status, const char *file, const int line);
THC_API void __THCublasCheck(int status, const char *file, const int line);

#define THCudaCheck(error) __THCudaCheck(error, __FILE__, __LINE__)
#define THCudaCheckWarn(error) __THCudaCheckWarn(error, __FILE__, __LINE__)
#define THCublasCheck(status) __THCublasCheck((int)(status), __FILE__, __LINE__)
#define THCusparseCheck(status) __THCusparseCheck((int)(status), __FILE__, __LINE__)
#define THCAssertSameGPU(expression)                                                             \
  do {                                                                                           \
    if (!(expression)) THError("arguments are located on different GPUs; move them to a single one"); \
  } while (0)

#ifdef FFI_EXT_CUDA_HEADERS
/* Through the toolkit that compiles the source: the struct differs between its versions. */
static inline struct cudaDeviceProp *THCState_getDeviceProperties(THCState *state, int device) {
  static struct cudaDeviceProp properties[16];
  static char known[16];
  (void)state;
  THArgCheck(device >= 0 && device < 16, 2, "device %d", device);
  if (!known[device]) {
    THCudaCheck(cudaGetDeviceProperties(&properties[device], device));
    known[device] = 1;
  }
  return &properties[device];
}

static inline struct cudaDeviceProp *THCState_getCurrentDeviceProperties(THCState *state) {
  int device = 0;
  THCudaCheck(cudaGetDevice(&device));
  return THCState_getDeviceProperties(state, device);
}
#endif

#endif
