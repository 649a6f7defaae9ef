/* Includes TH_GENERIC_FILE with real = int32_t. */
#define real int32_t
#define accreal int64_t
#define TH_CONVERT_REAL_TO_ACCREAL(_val) (int64_t)(_val)
#define TH_CONVERT_ACCREAL_TO_REAL(_val) (int32_t)(_val)
#define Real Int
#define THInf INT_MAX
#define TH_REAL_IS_INT
#include "THGenerateType.h"
#undef TH_REAL_IS_INT
