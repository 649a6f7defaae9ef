/* Half precision in CUDA's sources: CUDA's own type, or, for C compilers, one of the same bits. */
#ifndef THC_HALF_INC
#define THC_HALF_INC

#include "TH/THHalf.h"
#include "THCGeneral.h"

#ifdef FFI_EXT_CUDA_HEADERS
#define CUDA_HALF_TENSOR
#ifdef __cplusplus
#include <cuda_fp16.h>
#ifdef __CUDACC__
static inline __host__ __device__ float THC_half2float(half value) { return __half2float(value); }
static inline __host__ __device__ half THC_float2half(float value) { return __float2half(value); }
#else /* a repository's own cuda_fp16.h of CUDA 8 has __half2float for the device only */
#include <string.h>
static inline float THC_half2float(half value) {
  THHalf bits;
  memcpy(&bits, &value, sizeof bits);
  return TH_half2float(bits);
}
static inline half THC_float2half(float value) {
  half result;
  THHalf bits = TH_float2half(value);
  memcpy((void *)&result, &bits, sizeof bits);
  return result;
}
#endif
#else
typedef THHalf half;
#endif
#endif

/* What the functions of CudaHalf tensors take and give: as in THCGenerateHalfType.h. */
#ifdef __CUDACC__
#define FFI_EXT_CUDA_HALF half
#else
#define FFI_EXT_CUDA_HALF THHalf
#endif

#endif
