/* The maths of CUDA tensors. */
#ifndef THC_TENSOR_MATH_INC
#define THC_TENSOR_MATH_INC

#include "THCTensor.h"

#ifdef FFI_EXT_DECLARED
#include "declared/THCTensorMath.h"
#else
#define THC_FUNCTION(NAME, PARAMETERS, CODES, ...) THC_API void THCTensor_(NAME) PARAMETERS;
#define THC_VALUE(RETURN, NAME, PARAMETERS, CODES, ...) THC_API RETURN THCTensor_(NAME) PARAMETERS;
#define THC_EXTREME(NAME) THC_API real THCTensor_(NAME)(THCState *state, THCTensor *self);
#define THC_GENERIC_FILE "THC/generic/THCTensorMath.h"
#include "THCGenerateAllTypes.h"
#endif

#endif
