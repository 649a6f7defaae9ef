/* Includes THC_GENERIC_FILE for half, float and double. */
#ifndef THC_GENERIC_FILE
#error "define THC_GENERIC_FILE before including THCGenerateFloatTypes.h"
#endif

#define THCGenerateFloatTypes
#include "THCGenerateHalfType.h"
#include "THCGenerateFloatType.h"
#include "THCGenerateDoubleType.h"
#undef THCGenerateFloatTypes
#undef THC_GENERIC_FILE
