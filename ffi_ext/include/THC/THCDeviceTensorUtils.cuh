/* toDeviceTensor<T, Dim>(state, tensor): a THCDeviceTensor on a THCuda<Type>Tensor. */
#ifndef THC_DEVICE_TENSOR_UTILS_INC
#define THC_DEVICE_TENSOR_UTILS_INC

#include "THC.h"
#include "THCDeviceTensor.cuh"

#define FFI_EXT_TO_DEVICE_TENSOR(TENSOR, TYPE)                                                       \
  template <typename T, int Dim, typename IndexT, template <typename U> class PtrTraits>             \
  THCDeviceTensor<T, Dim, IndexT, PtrTraits> toDeviceTensor(THCState *state, TENSOR *t) {            \
    if (TENSOR##_nDimension(state, t) != Dim)                                                        \
      THError("toDeviceTensor: %d dimensions expected, got %d", Dim, TENSOR##_nDimension(state, t)); \
    IndexT size[Dim], stride[Dim];                                                                   \
    int64_t reach = 0;                                                                               \
    for (int i = 0; i < Dim; i++) {                                                                  \
      reach += (TENSOR##_size(state, t, i) - 1) * TENSOR##_stride(state, t, i);                      \
      size[i] = (IndexT)TENSOR##_size(state, t, i);                                                  \
      stride[i] = (IndexT)TENSOR##_stride(state, t, i);                                              \
    }                                                                                                \
    if (reach > (int64_t)(IndexT)reach)                                                              \
      THError("toDeviceTensor: the last element lies %lld behind the first, more than the index "    \
              "type of %d bytes counts", (long long)reach, (int)sizeof(IndexT));                     \
    return THCDeviceTensor<T, Dim, IndexT, PtrTraits>((T *)TENSOR##_data(state, t), size, stride);   \
  }                                                                                                  \
  template <typename T, int Dim, typename IndexT>                                                    \
  THCDeviceTensor<T, Dim, IndexT, DefaultPtrTraits> toDeviceTensor(THCState *state, TENSOR *t) {     \
    return toDeviceTensor<T, Dim, IndexT, DefaultPtrTraits>(state, t);                               \
  }                                                                                                  \
  template <typename T, int Dim>                                                                     \
  THCDeviceTensor<T, Dim, int, DefaultPtrTraits> toDeviceTensor(THCState *state, TENSOR *t) {        \
    return toDeviceTensor<T, Dim, int, DefaultPtrTraits>(state, t);                                  \
  }

FFI_EXT_TO_DEVICE_TENSOR(THCudaByteTensor, uint8_t)
FFI_EXT_TO_DEVICE_TENSOR(THCudaCharTensor, int8_t)
FFI_EXT_TO_DEVICE_TENSOR(THCudaShortTensor, int16_t)
FFI_EXT_TO_DEVICE_TENSOR(THCudaIntTensor, int32_t)
FFI_EXT_TO_DEVICE_TENSOR(THCudaLongTensor, int64_t)
FFI_EXT_TO_DEVICE_TENSOR(THCudaTensor, float)
FFI_EXT_TO_DEVICE_TENSOR(THCudaDoubleTensor, double)
FFI_EXT_TO_DEVICE_TENSOR(THCudaHalfTensor, half)
#undef FFI_EXT_TO_DEVICE_TENSOR

#endif
