/* Includes THC_GENERIC_FILE for CudaLong tensors: real as in THLongTensor. */
#define CReal CudaLong
#define THC_REAL_IS_LONG
#define FFI_EXT_TH_TYPE "TH/THGenerateLongType.h"
#include "THCGenerateType.h"
#undef THC_REAL_IS_LONG
