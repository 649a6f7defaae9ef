/* Includes TH_GENERIC_FILE for float, double and the five integer types. */
#ifndef TH_GENERIC_FILE
#error "define TH_GENERIC_FILE before including THGenerateAllTypes.h"
#endif

#ifndef THGenerateManyTypes
#define THGenerateAllTypesHere
#define THGenerateManyTypes
#endif

#include "THGenerateFloatTypes.h"
#include "THGenerateIntTypes.h"

#ifdef THGenerateAllTypesHere
#undef THGenerateAllTypesHere
#undef THGenerateManyTypes
#undef TH_GENERIC_FILE
#endif
