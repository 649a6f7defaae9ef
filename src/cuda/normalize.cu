/* Image normalisation on a GPU, uint8 HWC -> float CHW: src/normalize.c's twin. */
#include "broadcasting.h"
#include "elementwise.cuh"
#include "tensors.cuh"

enum { IMAGE, MEAN, STD, OUT, OPERANDS };

/* The bytes of neighbouring pixels, wherever they lie. */
struct bytes_apart {
  static constexpr int CHANNELS = 0; /* any number */
  const uint8_t *first;
  int64_t next, step;

  BOTH bytes_apart(const uint8_t *pixel, int64_t to_next, int64_t to_channel)
      : first(pixel), next(to_next), step(to_channel) {}
  BOTH int at(int lane, int64_t c) const { return first[lane * next + c * step]; }
};

/* Of four pixels of three channels, one behind the other: read as words, since byte by byte the
 * instructions take a GPU longer than the memory does. */
struct bytes_together {
  static constexpr int CHANNELS = 3;
  uint32_t word[3];

  BOTH bytes_together(const uint8_t *pixel, int64_t, int64_t) {
    for (int k = 0; k < 3; k++) word[k] = ((const uint32_t *)pixel)[k];
  }
  BOTH int at(int lane, int64_t c) const {
    const int byte = 3 * lane + (int)c;
    return (int)(word[byte / 4] >> 8 * (byte % 4) & 255);
  }
};

/* An index computes N neighbouring pixels in all channels: the image is read once, and a plane gets
 * them by one instruction. channel[k] is the stride of operand k from channel to channel. */
template <int N, typename Bytes, typename real>
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
    const Bytes bytes(image + at[IMAGE], next, image_step);
    for (int64_t c = 0; c < (Bytes::CHANNELS ? Bytes::CHANNELS : channels); c++) {
      const real m = mean[at[MEAN] + c * mean_step], s = std[at[STD] + c * std_step];
      pack<real, N> value;
#pragma unroll
      for (int lane = 0; lane < N; lane++) value.lane[lane] = ((real)bytes.at(lane, c) - m) / s;
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

/* Whether four neighbouring pixels of three channels are three words. */
inline int are_together(const walk<OPERANDS, 2> &w, int64_t channels, int64_t step,
                        const uint8_t *image) {
  const int last = w.axes - 1;
  return channels == 3 && step == 1 && w.stride[IMAGE][last] == 3 &&
         (last == 0 || w.stride[IMAGE][0] % 4 == 0) && (uintptr_t)image % 4 == 0;
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
  walk<OPERANDS, 2> w = {2, {size[0], size[1]}, {}};
  int64_t channel[OPERANDS];
  for (int k = 0; k < OPERANDS; k++) {
    w.stride[k][0] = stride[k][0];
    w.stride[k][1] = stride[k][1];
    channel[k] = stride[k][2];
  }
  const real *means = data_of(mean), *stds = data_of(std);
  real *out = data_of(output);
  if (reverse_channels) { /* channel c of the image is the last one but c of all else */
    means += (size[2] - 1) * channel[MEAN];
    stds += (size[2] - 1) * channel[STD];
    out += (size[2] - 1) * channel[OUT];
    for (int k = MEAN; k <= OUT; k++) channel[k] = -channel[k];
  }
  w.simplify(OUT);
  constexpr int N = 16 / sizeof(real);
  auto launch = normalize_pixels<1, bytes_apart, real>;
  if (in_packs<N>(w, channel[OUT], out)) launch = normalize_pixels<N, bytes_apart, real>;
  if (in_packs<4>(w, channel[OUT], out) && are_together(w, size[2], channel[IMAGE], in))
    launch = normalize_pixels<4, bytes_together, real>;
  launch(w, size[2], channel, in, means, stds, out);
}

#define DEFINE(name, Tensor)                                                                    \
  void normalize_image_##name##_cuda(const THCudaByteTensor *image, const Tensor *mean,         \
                                     const Tensor *std, int reverse_channels, Tensor *output) { \
    normalize(image, mean, std, reverse_channels, output);                                      \
  }
DEFINE(float, THCudaTensor)
DEFINE(double, THCudaDoubleTensor)
