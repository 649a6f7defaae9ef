/* Includes TH_GENERIC_FILE with real = uint8_t. */
#define real uint8_t
#define accreal int64_t
#define Real Byte
#define THInf UCHAR_MAX
#define TH_REAL_IS_BYTE
#include "THGenerateType.h"
#undef TH_REAL_IS_BYTE
