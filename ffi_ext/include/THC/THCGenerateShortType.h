/* Includes THC_GENERIC_FILE for CudaShort tensors: real as in THShortTensor. */
#ifndef THC_GENERIC_FILE
#error "define THC_GENERIC_FILE before including THCGenerateShortType.h"
#endif

#define CReal CudaShort
#define THC_REAL_IS_SHORT
#define TH_GENERIC_FILE THC_GENERIC_FILE
#include "TH/THGenerateShortType.h"
#undef CReal
#undef THC_REAL_IS_SHORT

#if !defined(THCGenerateAllTypes) && !defined(THCGenerateFloatTypes)
#undef THC_GENERIC_FILE
#endif
