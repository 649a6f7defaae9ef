/* Includes TH_GENERIC_FILE for the five integer types. */
#ifndef TH_GENERIC_FILE
#error "define TH_GENERIC_FILE before including THGenerateIntTypes.h"
#endif

#ifndef THGenerateManyTypes
#define THGenerateIntTypesHere
#define THGenerateManyTypes
#endif

#include "THGenerateByteType.h"
#include "THGenerateCharType.h"
#include "THGenerateShortType.h"
#include "THGenerateIntType.h"
#include "THGenerateLongType.h"

#ifdef THGenerateIntTypesHere
#undef THGenerateIntTypesHere
#undef THGenerateManyTypes
#undef TH_GENERIC_FILE
#endif
