/* THCuda<Type>Tensor and Storage, for every element type: the lists of the THC headers become
 * functions. */
#define FFI_EXT_NO_CUDA_HEADERS
#include "THC/THC.h"

#include <stdarg.h>
#include <stdio.h>

#include "th_core.h"

/* A CUDA record differs from a CPU record in nothing but where its memory is, which functions on
 * its shape do not touch. */
#define FFI_EXT_DEFINE_THC
#define THC_FORWARD(RETURN, NAME, PARAMETERS, ARGUMENTS) \
  RETURN THCTensor_(NAME) PARAMETERS { return (RETURN)THTensor_(NAME) ARGUMENTS; }
#define THC_FORWARD_STORAGE(RETURN, NAME, PARAMETERS, ARGUMENTS) \
  RETURN THCStorage_(NAME) PARAMETERS { return (RETURN)THStorage_(NAME) ARGUMENTS; }
#define THC_STORAGE_COPY(NAME, FROM)                                        \
  void THCStorage_(NAME)(THCState * state, THCStorage * self, FROM * src) { \
    ffi_th_copy_storage((ffi_storage *)self, (ffi_storage *)src);           \
  }
#define THC_STORAGE_COPY_TO_CPU(NAME, FROM)                               \
  void THStorage_(NAME)(THCState * state, THStorage * self, FROM * src) { \
    ffi_th_copy_storage((ffi_storage *)self, (ffi_storage *)src);         \
  }
#define THC_COPY(NAME, TO, FROM)                                   \
  void THCTensor_(NAME)(THCState * state, TO * self, FROM * src) { \
    ffi_th_torch("copy", "tt", self, src);                         \
  }
#define THC_COPY_TO_CPU(NAME, TO, FROM)                           \
  void THTensor_(NAME)(THCState * state, TO * self, FROM * src) { \
    ffi_th_torch("copy", "tt", self, src);                        \
  }
#define THC_FUNCTION(NAME, PARAMETERS, CODES, ...) \
  void THCTensor_(NAME) PARAMETERS { ffi_th_torch(#NAME, CODES, __VA_ARGS__); }
/* The number comes back through a tensor on the CPU, a double's or an int64_t's. */
#define THC_VALUE(RETURN, NAME, PARAMETERS, CODES, ...)                                \
  RETURN THCTensor_(NAME) PARAMETERS {                                                 \
    const int whole = (RETURN)0.5 == 0;                                                \
    ffi_tensor *number FFI_HELD = ffi_tensor_alloc(whole ? FFI_Long : FFI_Double);     \
    ffi_th_torch(#NAME, "w" CODES, number, __VA_ARGS__);                               \
    const void *data = number->storage->data;                                          \
    return whole ? (RETURN) * (const int64_t *)data : (RETURN) * (const double *)data; \
  }
/* A result of the element type, which may be half. */
#define THC_EXTREME(NAME)                                        \
  real THCTensor_(NAME)(THCState * state, THCTensor * self) {    \
    ffi_tensor *number FFI_HELD = ffi_tensor_alloc(TYPE_NUMBER); \
    ffi_th_torch(#NAME, "wt", number, self);                     \
    return *(const real *)number->storage->data;                 \
  }

#define THC_GENERIC_FILE "THC/generic/THCStorage.h"
#include "THC/THCGenerateAllTypes.h"

#define THC_GENERIC_FILE "THC/generic/THCStorageCopy.h"
#include "THC/THCGenerateAllTypes.h"

#define THC_GENERIC_FILE "THC/generic/THCTensor.h"
#include "THC/THCGenerateAllTypes.h"

#define THC_GENERIC_FILE "THC/generic/THCTensorCopy.h"
#include "THC/THCGenerateAllTypes.h"

#define THC_GENERIC_FILE "THC/generic/THCTensorMath.h"
#include "THC/THCGenerateAllTypes.h"

#define THC_GENERIC_FILE "../../csrc/generic/thc_tensor.c"
#include "THC/THCGenerateAllTypes.h"
