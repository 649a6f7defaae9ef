/* Includes THC_GENERIC_FILE for Cuda tensors: real as in THFloatTensor. */
#ifndef THC_GENERIC_FILE
#error "define THC_GENERIC_FILE before including THCGenerateFloatType.h"
#endif

#define CReal Cuda
#define THC_REAL_IS_FLOAT
#define TH_GENERIC_FILE THC_GENERIC_FILE
#include "TH/THGenerateFloatType.h"
#undef CReal
#undef THC_REAL_IS_FLOAT

#if !defined(THCGenerateAllTypes) && !defined(THCGenerateFloatTypes)
#undef THC_GENERIC_FILE
#endif
