/* Includes TH_GENERIC_FILE with real = THHalf. */
#include "THHalf.h"

#define real THHalf
#define accreal float
#define TH_CONVERT_REAL_TO_ACCREAL(_val) TH_half2float(_val)
#define TH_CONVERT_ACCREAL_TO_REAL(_val) TH_float2half(_val)
#define Real Half
#define THInf TH_HALF_INF
#define TH_REAL_IS_HALF
#include "THGenerateType.h"
#undef TH_REAL_IS_HALF
