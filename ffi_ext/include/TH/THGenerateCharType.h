/* Includes TH_GENERIC_FILE with real = int8_t. */
#define real int8_t
#define accreal int64_t
#define TH_CONVERT_REAL_TO_ACCREAL(_val) (int64_t)(_val)
#define TH_CONVERT_ACCREAL_TO_REAL(_val) (int8_t)(_val)
#define Real Char
#define THInf SCHAR_MAX
#define TH_REAL_IS_CHAR
#include "THGenerateType.h"
#undef TH_REAL_IS_CHAR
