/* Image normalisation on a GPU, uint8 HWC -> float CHW: src/normalize.c's twin. */
#include "broadcasting.h"
#include "elementwise.cuh"
#include "tensors.cuh"

enum { IMAGE, MEAN, STD, OUT, OPERANDS };

/* An index computes N neighbouring pixels in all channels: the image is read once, and a plane gets
 * them by one instruction. channel[k] is the stride of operand k from channel to channel. */
template <int N, typename real>
void normalize_pixels(walk<OPERANDS, 2> w, int64_t channels, const int64_t *channel,
                      const uint8_t *image, const real *mean, const real *std, real *out) {
  const int last = w.axes - 1;
  const int64_t next = w.stride[IMAGE][last];
  const int64_t image_step = channel[IMAGE], mean_step = channel[MEAN], std_step = channel[STD];
  const int64_t plane = channel[OUT];
  w.size[last] /= N;
  for (int k = 0; k < OPERANDS; k++) w.stride[k][last] *= N;
  parallel(current_stream(), w.count(), [=] DEVICE(int64_t i) {
    int64_t at[OPERANDS];
    w.place(i, at);
    for (int64_t c = 0; c < channels; c++) {
      const uint8_t *pixel = image + at[IMAGE] + c * image_step;
      const real m = mean[at[MEAN] + c * mean_step], s = std[at[STD] + c * std_step];
      pack<real, N> value;
#pragma unroll
      for (int lane = 0; lane < N; lane++) value.lane[lane] = ((real)pixel[lane * next] - m) / s;
      *(pack<real, N> *)(out + at[OUT] + c * plane) = value;
    }
  });
  finish();
}

/* Whether N neighbouring pixels are neighbours in each plane, aligned, and have one mean and std.
 */
template <int N, typename real>
int in_packs(const walk<OPERANDS, 2> &w, int64_t plane, const real *out) {
  const int last = w.axes - 1;
  return w.size[last] % N == 0 && w.stride[OUT][last] == 1 && w.stride[MEAN][last] == 0 &&
         w.stride[STD][last] == 0 && (last == 0 || w.stride[OUT][0] % N == 0) && plane % N == 0 &&
         (uintptr_t)out % (N * sizeof(real)) == 0;
}

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
  int64_t size[3], stride[OPERANDS][3];
  for (int axis = 0; axis < 3; axis++) {
    size[axis] = image->size[axis];
    stride[IMAGE][axis] = padded_stride(image->nDimension, image->size, image->stride, axis, 3);
    stride[MEAN][axis] = padded_stride(mean->nDimension, mean->size, mean->stride, axis, 3);
    stride[STD][axis] = padded_stride(std->nDimension, std->size, std->stride, axis, 3);
    broadcast_size(&size[axis], padded_size(mean->nDimension, mean->size, axis, 3), axis, 2,
                   "mean");
    broadcast_size(&size[axis], padded_size(std->nDimension, std->size, axis, 3), axis, 3, "std");
  }
  resize_if_needed(output, 5, {size[2], size[0], size[1]}, {mean, std});
  if (size[0] == 0 || size[1] == 0 || size[2] == 0) return;
  for (int axis = 0; axis < 3; axis++) stride[OUT][axis] = output->stride[axis == 2 ? 0 : axis + 1];
  const uint8_t *in = data_of(image);
  if (reverse_channels) {
    in += (image->size[2] - 1) * stride[IMAGE][2];
    stride[IMAGE][2] = -stride[IMAGE][2];
  }
  walk<OPERANDS, 2> w = {2, {size[0], size[1]}, {}};
  int64_t channel[OPERANDS];
  for (int k = 0; k < OPERANDS; k++) {
    w.stride[k][0] = stride[k][0];
    w.stride[k][1] = stride[k][1];
    channel[k] = stride[k][2];
  }
  w.simplify(OUT);
  constexpr int N = 16 / sizeof(real);
  const int packs = in_packs<N>(w, channel[OUT], data_of(output));
  auto launch = packs ? normalize_pixels<N, real> : normalize_pixels<1, real>;
  launch(w, size[2], channel, in, data_of(mean), data_of(std), data_of(output));
}

#define DEFINE(name, Tensor)                                                                    \
  void normalize_image_##name##_cuda(const THCudaByteTensor *image, const Tensor *mean,         \
                                     const Tensor *std, int reverse_channels, Tensor *output) { \
    normalize(image, mean, std, reverse_channels, output);                                      \
  }
DEFINE(float, THCudaTensor)
DEFINE(double, THCudaDoubleTensor)
