/* Includes TH_GENERIC_FILE with real = int8_t. */
#define real int8_t
#define accreal int64_t
#define Real Char
#define THInf SCHAR_MAX
#define TH_REAL_IS_CHAR
#include "THGenerateType.h"
#undef TH_REAL_IS_CHAR
