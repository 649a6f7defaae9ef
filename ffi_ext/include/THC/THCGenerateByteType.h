/* Includes THC_GENERIC_FILE for CudaByte tensors: real as in THByteTensor. */
#define CReal CudaByte
#define THC_REAL_IS_BYTE
#define FFI_EXT_TH_TYPE "TH/THGenerateByteType.h"
#include "THCGenerateType.h"
#undef THC_REAL_IS_BYTE
