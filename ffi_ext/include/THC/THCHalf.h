/* Half precision in CUDA sources: CUDA's own type. */
#ifndef THC_HALF_INC
#define THC_HALF_INC

#include "THCGeneral.h"

#if defined(FFI_EXT_CUDA_HEADERS) && defined(__cplusplus)
#include <cuda_fp16.h>
#define CUDA_HALF_TENSOR
static inline __host__ __device__ float THC_half2float(half value) { return __half2float(value); }
static inline __host__ __device__ half THC_float2half(float value) { return __float2half(value); }
#endif

#endif
