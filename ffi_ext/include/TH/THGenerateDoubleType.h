/* Includes TH_GENERIC_FILE with real = double. */
#define real double
#define accreal double
#define Real Double
#define THInf DBL_MAX
#define TH_REAL_IS_DOUBLE
#include "THGenerateType.h"
#undef TH_REAL_IS_DOUBLE
