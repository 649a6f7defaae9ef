/* Includes THC_GENERIC_FILE for CudaHalf tensors: real as in THHalfTensor. */
#include "THCHalf.h"
#ifdef __CUDACC__ /* kernels compute with CUDA's own type, of the same bits */
#define THHalf half
#endif
#define CReal CudaHalf
#define THC_REAL_IS_HALF
#define FFI_EXT_TH_TYPE "TH/THGenerateHalfType.h"
#include "THCGenerateType.h"
#undef THC_REAL_IS_HALF
#ifdef __CUDACC__
#undef THHalf
#endif
