/* Includes TH_GENERIC_FILE with real = double. */
#define real double
#define accreal double
#define TH_CONVERT_REAL_TO_ACCREAL(_val) (double)(_val)
#define TH_CONVERT_ACCREAL_TO_REAL(_val) (double)(_val)
#define Real Double
#define THInf DBL_MAX
#define TH_REAL_IS_DOUBLE
#include "THGenerateType.h"
#undef TH_REAL_IS_DOUBLE
