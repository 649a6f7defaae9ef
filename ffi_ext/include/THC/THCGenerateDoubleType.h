/* Includes THC_GENERIC_FILE for CudaDouble tensors: real as in THDoubleTensor. */
#define CReal CudaDouble
#define THC_REAL_IS_DOUBLE
#define FFI_EXT_TH_TYPE "TH/THGenerateDoubleType.h"
#include "THCGenerateType.h"
#undef THC_REAL_IS_DOUBLE
