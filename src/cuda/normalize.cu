/* Image normalisation on a GPU, uint8 HWC -> float CHW: src/normalize.c's twin. */
#include "elementwise.cuh"
#include "tensors.cuh"

/* Axis i of 3, counted as NumPy counts shapes that are padded with ones on the left. A tensor
 * without dimensions is torch's shape (0,). */
template <typename Tensor>
int64_t padded_size(const Tensor *t, int axis) {
  if (t->nDimension == 0) return axis == 2 ? 0 : 1;
  const int own = axis - (3 - t->nDimension);
  return own < 0 ? 1 : t->size[own];
}

/* The stride along the same axis; 0 where one group of values is repeated. */
template <typename Tensor>
int64_t padded_stride(const Tensor *t, int axis) {
  const int own = axis - (3 - t->nDimension);
  return t->nDimension == 0 || own < 0 || t->size[own] == 1 ? 0 : t->stride[own];
}

/* shape[axis] of the broadcast result, or an error that names the axis and the rule. */
inline void broadcast_size(int64_t *shape, int64_t size, int axis, int argument, const char *name) {
  static const char *const axis_names[3] = {"H", "W", "C"};
  REQUIRE(size == *shape || size == 1 || *shape == 1, argument,
          "%s does not broadcast against the image: axis %d (%s) has length %lld where %lld or 1 "
          "is needed "
          "(an axis fits if it is equal or 1)",
          name, axis, axis_names[axis], (long long)size, (long long)*shape);
  if (*shape == 1) *shape = size;
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
  enum { IMAGE, MEAN, STD, OUT, OPERANDS };
  walk<OPERANDS, 3> w;
  w.axes = 3;
  for (int axis = 0; axis < 3; axis++) {
    w.size[axis] = image->size[axis];
    w.stride[IMAGE][axis] = padded_stride(image, axis);
    w.stride[MEAN][axis] = padded_stride(mean, axis);
    w.stride[STD][axis] = padded_stride(std, axis);
    broadcast_size(&w.size[axis], padded_size(mean, axis), axis, 2, "mean");
    broadcast_size(&w.size[axis], padded_size(std, axis), axis, 3, "std");
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
