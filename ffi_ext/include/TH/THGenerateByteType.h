/* Includes TH_GENERIC_FILE with real = uint8_t. */
#define real uint8_t
#define accreal int64_t
#define TH_CONVERT_REAL_TO_ACCREAL(_val) (int64_t)(_val)
#define TH_CONVERT_ACCREAL_TO_REAL(_val) (uint8_t)(_val)
#define Real Byte
#define THInf UCHAR_MAX
#define TH_REAL_IS_BYTE
#include "THGenerateType.h"
#undef TH_REAL_IS_BYTE
