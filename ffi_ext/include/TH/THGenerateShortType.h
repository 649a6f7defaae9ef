/* Includes TH_GENERIC_FILE with real = int16_t. */
#define real int16_t
#define accreal int64_t
#define Real Short
#define THInf SHRT_MAX
#define TH_REAL_IS_SHORT
#include "THGenerateType.h"
#undef TH_REAL_IS_SHORT
