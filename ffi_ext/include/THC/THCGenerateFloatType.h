/* Includes THC_GENERIC_FILE for Cuda tensors: real as in THFloatTensor. */
#define CReal Cuda
#define THC_REAL_IS_FLOAT
#define FFI_EXT_TH_TYPE "TH/THGenerateFloatType.h"
#include "THCGenerateType.h"
#undef THC_REAL_IS_FLOAT
