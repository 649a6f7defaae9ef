/* Includes TH_GENERIC_FILE for float and double. */
#ifndef TH_GENERIC_FILE
#error "define TH_GENERIC_FILE before including THGenerateFloatTypes.h"
#endif

#ifndef THGenerateManyTypes
#define THGenerateFloatTypesHere
#define THGenerateManyTypes
#endif

#include "THGenerateFloatType.h"
#include "THGenerateDoubleType.h"

#ifdef THGenerateFloatTypesHere
#undef THGenerateFloatTypesHere
#undef THGenerateManyTypes
#undef TH_GENERIC_FILE
#endif
