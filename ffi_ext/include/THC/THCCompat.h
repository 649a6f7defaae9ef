/* What sources of PyTorch 0.4.1 write otherwise: THCudaMalloc(state, size), which returns the memory,
 * and in C++ TH's functions on the shape of a CUDA tensor, which was no type of its own. */
#ifndef THC_COMPAT_INC
#define THC_COMPAT_INC

#include "THCGeneral.h"
#include "THCTensor.h"

static inline void *ffi_ext_thc_malloc(THCState *state, size_t size) {
  void *memory = NULL;
  THCudaCheck(THCudaMalloc(state, &memory, size));
  return memory;
}

#ifndef __cplusplus
#define FFI_EXT_THC_MALLOC(FIRST, SECOND, THIRD, NAME, ...) NAME
#define THCudaMalloc(...) \
  FFI_EXT_THC_MALLOC(__VA_ARGS__, THCudaMalloc, ffi_ext_thc_malloc, )(__VA_ARGS__)
#else
extern "C++" {
static inline void *THCudaMalloc(THCState *state, size_t size) {
  return ffi_ext_thc_malloc(state, size);
}

#define FFI_EXT_THC_AS_TH(TENSOR, RETURN, NAME)                                  \
  template <typename T, typename... Rest>                                        \
  RETURN TENSOR##_##NAME(const T *tensor, Rest... rest) {                        \
    return TENSOR##_##NAME(reinterpret_cast<const TENSOR *>(tensor), rest...);   \
  }
#define FFI_EXT_THC_SHAPES_AS_TH(TENSOR)            \
  FFI_EXT_THC_AS_TH(TENSOR, int, nDimension)        \
  FFI_EXT_THC_AS_TH(TENSOR, int64_t, size)          \
  FFI_EXT_THC_AS_TH(TENSOR, int64_t, stride)        \
  FFI_EXT_THC_AS_TH(TENSOR, ptrdiff_t, nElement)    \
  FFI_EXT_THC_AS_TH(TENSOR, ptrdiff_t, storageOffset) \
  FFI_EXT_THC_AS_TH(TENSOR, int, isContiguous)
FFI_EXT_THC_SHAPES_AS_TH(THFloatTensor)
FFI_EXT_THC_SHAPES_AS_TH(THDoubleTensor)
FFI_EXT_THC_SHAPES_AS_TH(THLongTensor)
FFI_EXT_THC_SHAPES_AS_TH(THIntTensor)
FFI_EXT_THC_SHAPES_AS_TH(THShortTensor)
FFI_EXT_THC_SHAPES_AS_TH(THCharTensor)
FFI_EXT_THC_SHAPES_AS_TH(THByteTensor)
FFI_EXT_THC_SHAPES_AS_TH(THHalfTensor)
#undef FFI_EXT_THC_AS_TH
#undef FFI_EXT_THC_SHAPES_AS_TH
}
#endif

#endif
