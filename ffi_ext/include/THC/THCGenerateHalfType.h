/* Includes THC_GENERIC_FILE for CudaHalf tensors: real as in THHalfTensor. */
#ifndef THC_GENERIC_FILE
#error "define THC_GENERIC_FILE before including THCGenerateHalfType.h"
#endif

#include "THCHalf.h"
#ifdef __CUDACC__ /* kernels compute with CUDA's own type, of the same bits */
#define THHalf half
#endif
#define CReal CudaHalf
#define THC_REAL_IS_HALF
#define TH_GENERIC_FILE THC_GENERIC_FILE
#include "TH/THGenerateHalfType.h"
#undef CReal
#ifdef __CUDACC__
#undef THHalf
#endif
#undef THC_REAL_IS_HALF

#if !defined(THCGenerateAllTypes) && !defined(THCGenerateFloatTypes)
#undef THC_GENERIC_FILE
#endif
