/* THC's tensors of several element types under one name for each function, so that a template can
 * use them. */
#ifndef CUDA_TENSORS_CUH
#define CUDA_TENSORS_CUH

#include <initializer_list>
#include <type_traits>

#include "kernels_cuda.h"
#include "kernels.h"
#include "parallel.cuh"

/* An empty tensor on the current device. */
template <typename Tensor>
Tensor *new_tensor();

#define THC_TYPE(Tensor, real)                                                        \
  template <>                                                                         \
  inline Tensor *new_tensor<Tensor>() {                                               \
    return Tensor##_new(state);                                                       \
  }                                                                                   \
  inline real *data_of(const Tensor *t) { return Tensor##_data(state, t); }           \
  inline THCDescBuff desc_of(const Tensor *t) { return Tensor##_sizeDesc(state, t); } \
  inline void resize(Tensor *t, int dimensions, const int64_t *size) {                \
    Tensor##_resizeNd(state, t, dimensions, (int64_t *)size, NULL);                   \
  }                                                                                   \
  inline int64_t elements_of(const Tensor *t) { return Tensor##_nElement(state, t); } \
  inline int is_contiguous(const Tensor *t) { return Tensor##_isContiguous(state, t); }

THC_TYPE(THCudaTensor, float)
THC_TYPE(THCudaDoubleTensor, double)
THC_TYPE(THCudaByteTensor, uint8_t)
THC_TYPE(THCudaShortTensor, int16_t)
THC_TYPE(THCudaIntTensor, int)
THC_TYPE(THCudaLongTensor, int64_t)

/* The element type of a tensor. */
template <typename Tensor>
using element = typename std::remove_pointer<decltype(data_of((Tensor *)0))>::type;

inline int same_shape(int dimensions, const int64_t *size, int other, const int64_t *other_size) {
  return dimensions == other && !memcmp(size, other_size, (size_t)other * sizeof *size);
}

template <typename A, typename B>
int same_size(const A *a, const B *b) {
  return same_shape(a->nDimension, a->size, b->nDimension, b->size);
}

/* Gives a result, which is that argument, its shape; where it has that already, it keeps its memory
 * and strides. Else it must be none of these inputs. */
template <typename Tensor>
void resize_if_needed(Tensor *t, int argument, int dimensions, const int64_t *size,
                      std::initializer_list<const void *> inputs) {
  if (same_shape(t->nDimension, t->size, dimensions, size)) return;
  require_no_input(t, argument, inputs.begin(), inputs.size());
  resize(t, dimensions, size);
}

template <typename Tensor>
void resize_if_needed(Tensor *t, int argument, std::initializer_list<int64_t> size,
                      std::initializer_list<const void *> inputs) {
  resize_if_needed(t, argument, (int)size.size(), size.begin(), inputs);
}

template <typename Tensor, typename Like>
void resize_as_if_needed(Tensor *t, int argument, const Like *like,
                         std::initializer_list<const void *> inputs) {
  resize_if_needed(t, argument, like->nDimension, like->size, inputs);
}

/* The strides of a tensor of 4 dimensions, in a form that kernels can take with them. */
struct strides4 {
  int64_t n, c, y, x;
  BOTH int64_t at(int64_t i, int64_t channel, int64_t row, int64_t column) const {
    return i * n + channel * c + row * y + column * x;
  }
};

template <typename Tensor>
strides4 strides_of(const Tensor *t) {
  return {t->stride[0], t->stride[1], t->stride[2], t->stride[3]};
}

#endif
