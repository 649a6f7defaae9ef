/* CUDA tensors of every element type. */
#ifndef THC_TENSOR_INC
#define THC_TENSOR_INC

#include "TH/THTensor.h"
#include "THCStorage.h"

#define THCTensor TH_CONCAT_3(TH, CReal, Tensor)
#define THCTensor_(NAME) TH_CONCAT_4(TH, CReal, Tensor_, NAME)
#define THC_DESC_BUFF_LEN 64
typedef struct THCDescBuff {
  char str[THC_DESC_BUFF_LEN];
} THCDescBuff;

#ifdef FFI_EXT_DECLARED
#include "declared/THCTensor.h"
#else
#define THC_FORWARD(RETURN, NAME, PARAMETERS, ARGUMENTS) \
  THC_API RETURN THCTensor_(NAME) PARAMETERS;
#define THC_GENERIC_FILE "THC/generic/THCTensor.h"
#include "THCGenerateAllTypes.h"
#endif

#ifdef FFI_EXT_CUDA_HEADERS
#include <string.h>
#define THC_GENERIC_FILE "THC/generic/THCTexture.h"
#include "THCGenerateAllTypes.h"
#endif

#endif
