/* Includes THC_GENERIC_FILE for CudaShort tensors: real as in THShortTensor. */
#define CReal CudaShort
#define THC_REAL_IS_SHORT
#define FFI_EXT_TH_TYPE "TH/THGenerateShortType.h"
#include "THCGenerateType.h"
#undef THC_REAL_IS_SHORT
