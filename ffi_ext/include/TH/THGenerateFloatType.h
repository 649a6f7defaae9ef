/* Includes TH_GENERIC_FILE with real = float. */
#define real float
#ifdef THC_REAL_IS_FLOAT /* on GPUs, where doubles are slow, 0.3.1 summed floats in float */
#define accreal float
#else
#define accreal double
#endif
#define Real Float
#define THInf FLT_MAX
#define TH_REAL_IS_FLOAT
#include "THGenerateType.h"
#undef TH_REAL_IS_FLOAT
