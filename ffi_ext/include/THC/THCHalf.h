/* Half precision in CUDA sources: CUDA's own type. */
#ifndef THC_HALF_INC
#define THC_HALF_INC

#include "THCGeneral.h"

#if defined(FFI_EXT_CUDA_HEADERS) && defined(__cplusplus)
#include <cuda_fp16.h>
#define CUDA_HALF_TENSOR
#endif

#endif
