/* Includes THC_GENERIC_FILE for CudaChar tensors: real as in THCharTensor. */
#define CReal CudaChar
#define THC_REAL_IS_CHAR
#define FFI_EXT_TH_TYPE "TH/THGenerateCharType.h"
#include "THCGenerateType.h"
#undef THC_REAL_IS_CHAR
