/* Includes THC_GENERIC_FILE for CudaByte tensors: real as in THByteTensor. */
#ifndef THC_GENERIC_FILE
#error "define THC_GENERIC_FILE before including THCGenerateByteType.h"
#endif

#define CReal CudaByte
#define THC_REAL_IS_BYTE
#define TH_GENERIC_FILE THC_GENERIC_FILE
#include "TH/THGenerateByteType.h"
#undef CReal
#undef THC_REAL_IS_BYTE

#if !defined(THCGenerateAllTypes) && !defined(THCGenerateFloatTypes)
#undef THC_GENERIC_FILE
#endif
