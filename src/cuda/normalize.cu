/* Image normalisation on a GPU, uint8 HWC -> float CHW: src/normalize.c's twin. */
#include "broadcasting.h"
#include "elementwise.cuh"
#include "tensors.cuh"

template <typename Tensor>
void normalize(const THCudaByteTensor *image, const Tensor *mean, const Tensor *std,
               int reverse_channels, Tensor *output) {
  typedef element<Tensor> real;
  REQUIRE(image->nDimension == 3, 1, "image must have 3 dimensions (H, W, C), got %d",
          image->nDimension);
  REQUIRE(mean->nDimension <= 3, 2, "mean must have at most 3 dimensions (H, W, C), got %d",
          mean->nDimension);
  REQUIRE(std->nDimension <= 3, 3, "std must have at most 3 dimensions (H, W, C), got %d",
          std->nDimension);
  enum { IMAGE, MEAN, STD, OUT, OPERANDS };
  walk<OPERANDS, 3> w;
  w.axes = 3;
  for (int axis = 0; axis < 3; axis++) {
    w.size[axis] = image->size[axis];
    w.stride[IMAGE][axis] = padded_stride(image->nDimension, image->size, image->stride, axis, 3);
    w.stride[MEAN][axis] = padded_stride(mean->nDimension, mean->size, mean->stride, axis, 3);
    w.stride[STD][axis] = padded_stride(std->nDimension, std->size, std->stride, axis, 3);
    broadcast_size(&w.size[axis], padded_size(mean->nDimension, mean->size, axis, 3), axis, 2,
                   "mean");
    broadcast_size(&w.size[axis], padded_size(std->nDimension, std->size, axis, 3), axis, 3, "std");
  }
  resize_if_needed(output, {w.size[2], w.size[0], w.size[1]});
  if (w.count() == 0) return;
  for (int axis = 0; axis < 3; axis++)
    w.stride[OUT][axis] = output->stride[axis == 2 ? 0 : axis + 1];
  const uint8_t *in = data_of(image);
  if (reverse_channels) {
    in += (image->size[2] - 1) * w.stride[IMAGE][2];
    w.stride[IMAGE][2] = -w.stride[IMAGE][2];
  }
  const real *mean_data = data_of(mean), *std_data = data_of(std);
  real *out = data_of(output);
  w.simplify(OUT);
  parallel(current_stream(), w.count(), [=] DEVICE(int64_t i) {
    int64_t at[OPERANDS];
    w.place(i, at);
    out[at[OUT]] = ((real)in[at[IMAGE]] - mean_data[at[MEAN]]) / std_data[at[STD]];
  });
  finish();
}

#define DEFINE(name, Tensor)                                                                    \
  void normalize_image_##name##_cuda(const THCudaByteTensor *image, const Tensor *mean,         \
                                     const Tensor *std, int reverse_channels, Tensor *output) { \
    normalize(image, mean, std, reverse_channels, output);                                      \
  }
DEFINE(float, THCudaTensor)
DEFINE(double, THCudaDoubleTensor)
