/* Includes TH_GENERIC_FILE with real = int64_t. */
#define real int64_t
#define accreal int64_t
#define TH_CONVERT_REAL_TO_ACCREAL(_val) (int64_t)(_val)
#define TH_CONVERT_ACCREAL_TO_REAL(_val) (int64_t)(_val)
#define Real Long
#define THInf LONG_MAX
#define TH_REAL_IS_LONG
#include "THGenerateType.h"
#undef TH_REAL_IS_LONG
