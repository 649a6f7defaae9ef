/* Includes THC_GENERIC_FILE for CudaInt tensors: real as in THIntTensor. */
#ifndef THC_GENERIC_FILE
#error "define THC_GENERIC_FILE before including THCGenerateIntType.h"
#endif

#define CReal CudaInt
#define THC_REAL_IS_INT
#define TH_GENERIC_FILE THC_GENERIC_FILE
#include "TH/THGenerateIntType.h"
#undef CReal
#undef THC_REAL_IS_INT

#if !defined(THCGenerateAllTypes) && !defined(THCGenerateFloatTypes)
#undef THC_GENERIC_FILE
#endif
