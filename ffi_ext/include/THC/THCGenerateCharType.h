/* Includes THC_GENERIC_FILE for CudaChar tensors: real as in THCharTensor. */
#ifndef THC_GENERIC_FILE
#error "define THC_GENERIC_FILE before including THCGenerateCharType.h"
#endif

#define CReal CudaChar
#define THC_REAL_IS_CHAR
#define TH_GENERIC_FILE THC_GENERIC_FILE
#include "TH/THGenerateCharType.h"
#undef CReal
#undef THC_REAL_IS_CHAR

#if !defined(THCGenerateAllTypes) && !defined(THCGenerateFloatTypes)
#undef THC_GENERIC_FILE
#endif
