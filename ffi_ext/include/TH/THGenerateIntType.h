/* Includes TH_GENERIC_FILE with real = int32_t. */
#define real int32_t
#define accreal int64_t
#define Real Int
#define THInf INT_MAX
#define TH_REAL_IS_INT
#include "THGenerateType.h"
#undef TH_REAL_IS_INT
