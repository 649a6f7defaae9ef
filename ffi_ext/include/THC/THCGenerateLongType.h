/* Includes THC_GENERIC_FILE for CudaLong tensors: real as in THLongTensor. */
#ifndef THC_GENERIC_FILE
#error "define THC_GENERIC_FILE before including THCGenerateLongType.h"
#endif

#define CReal CudaLong
#define THC_REAL_IS_LONG
#define TH_GENERIC_FILE THC_GENERIC_FILE
#include "TH/THGenerateLongType.h"
#undef CReal
#undef THC_REAL_IS_LONG

#if !defined(THCGenerateAllTypes) && !defined(THCGenerateFloatTypes)
#undef THC_GENERIC_FILE
#endif
