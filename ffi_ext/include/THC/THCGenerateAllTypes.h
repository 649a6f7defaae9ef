/* Includes THC_GENERIC_FILE for every type, half among them. */
#ifndef THC_GENERIC_FILE
#error "define THC_GENERIC_FILE before including THCGenerateAllTypes.h"
#endif

#define THCGenerateAllTypes
#include "THCGenerateByteType.h"
#include "THCGenerateCharType.h"
#include "THCGenerateShortType.h"
#include "THCGenerateIntType.h"
#include "THCGenerateLongType.h"
#include "THCGenerateHalfType.h"
#include "THCGenerateFloatType.h"
#include "THCGenerateDoubleType.h"
#undef THCGenerateAllTypes
#undef THC_GENERIC_FILE
