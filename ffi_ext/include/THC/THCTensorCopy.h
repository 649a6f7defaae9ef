/* Copies between CUDA tensors, and to and from the CPU. */
#ifndef THC_TENSOR_COPY_INC
#define THC_TENSOR_COPY_INC

#include "THCTensor.h"

#ifdef FFI_EXT_DECLARED
#include "declared/THCTensorCopy.h"
#else
#define THC_COPY(NAME, TO, FROM) THC_API void THCTensor_(NAME)(THCState *, TO *self, FROM *src);
#define THC_COPY_TO_CPU(NAME, TO, FROM) THC_API void THTensor_(NAME)(THCState *, TO *self, FROM *src);
#define THC_GENERIC_FILE "THC/generic/THCTensorCopy.h"
#include "THCGenerateAllTypes.h"
#endif

#endif
