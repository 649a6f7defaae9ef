/* Includes THC_GENERIC_FILE for CudaDouble tensors: real as in THDoubleTensor. */
#ifndef THC_GENERIC_FILE
#error "define THC_GENERIC_FILE before including THCGenerateDoubleType.h"
#endif

#define CReal CudaDouble
#define THC_REAL_IS_DOUBLE
#define TH_GENERIC_FILE THC_GENERIC_FILE
#include "TH/THGenerateDoubleType.h"
#undef CReal
#undef THC_REAL_IS_DOUBLE

#if !defined(THCGenerateAllTypes) && !defined(THCGenerateFloatTypes)
#undef THC_GENERIC_FILE
#endif
