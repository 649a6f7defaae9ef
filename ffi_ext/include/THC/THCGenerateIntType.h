/* Includes THC_GENERIC_FILE for CudaInt tensors: real as in THIntTensor. */
#define CReal CudaInt
#define THC_REAL_IS_INT
#define FFI_EXT_TH_TYPE "TH/THGenerateIntType.h"
#include "THCGenerateType.h"
#undef THC_REAL_IS_INT
