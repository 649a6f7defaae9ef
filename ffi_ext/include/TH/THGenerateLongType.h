/* Includes TH_GENERIC_FILE with real = int64_t. */
#define real int64_t
#define accreal int64_t
#define Real Long
#define THInf LONG_MAX
#define TH_REAL_IS_LONG
#include "THGenerateType.h"
#undef TH_REAL_IS_LONG
