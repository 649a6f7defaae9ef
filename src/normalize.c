/* Image normalisation: uint8 HWC -> float CHW. The file includes itself once per precision (TH's
 * generic mechanism). */
#ifndef TH_GENERIC_FILE

#include "normalize.h"

#include "broadcasting.h"

#define TH_GENERIC_FILE "normalize.c"
#include <TH/THGenerateFloatTypes.h>

#else

#define normalize_image TH_CONCAT_2(normalize_image_, real)
#define normalize_row TH_CONCAT_2(normalize_row_, real)
#define normalize_row_rgb TH_CONCAT_2(normalize_row_rgb_, real)

/* One row of one channel; every stride may be 0. */
static void normalize_row(const uint8_t *in, int64_t in_stride, const real *mean,
                          int64_t mean_stride, const real *std, int64_t std_stride, real *out,
                          int64_t out_stride, int64_t width) {
  for (int64_t x = 0; x < width; x++)
    out[x * out_stride] = ((real)in[x * in_stride] - mean[x * mean_stride]) / std[x * std_stride];
}

/* One row of interleaved pixels (width, 3), one mean and std per channel; out[c] is the row of
 * channel c. */
KERNEL_CLONES
static void normalize_row_rgb(const uint8_t *restrict in, const real *mean, const real *std,
                              real *restrict out0, real *restrict out1, real *restrict out2,
                              int64_t width) {
  const real m0 = mean[0], m1 = mean[1], m2 = mean[2], s0 = std[0], s1 = std[1], s2 = std[2];
  for (int64_t x = 0; x < width; x++) {
    out0[x] = ((real)in[3 * x] - m0) / s0;
    out1[x] = ((real)in[3 * x + 1] - m1) / s1;
    out2[x] = ((real)in[3 * x + 2] - m2) / s2;
  }
}

void normalize_image(const THByteTensor *image, const THTensor *mean, const THTensor *std,
                     int reverse_channels, THTensor *output) {
  REQUIRE(image->nDimension == 3, 1, "image must have 3 dimensions (H, W, C), got %d",
          image->nDimension);
  REQUIRE(mean->nDimension <= 3, 2, "mean must have at most 3 dimensions (H, W, C), got %d",
          mean->nDimension);
  REQUIRE(std->nDimension <= 3, 3, "std must have at most 3 dimensions (H, W, C), got %d",
          std->nDimension);
  int64_t shape[3], in_stride[3], mean_stride[3], std_stride[3];
  for (int axis = 0; axis < 3; axis++) {
    shape[axis] = image->size[axis];
    in_stride[axis] = padded_stride(3, image->size, image->stride, axis, 3);
    mean_stride[axis] = padded_stride(mean->nDimension, mean->size, mean->stride, axis, 3);
    std_stride[axis] = padded_stride(std->nDimension, std->size, std->stride, axis, 3);
    broadcast_size(&shape[axis], padded_size(mean->nDimension, mean->size, axis, 3), axis, 2,
                   "mean");
    broadcast_size(&shape[axis], padded_size(std->nDimension, std->size, axis, 3), axis, 3, "std");
  }
  const int64_t height = shape[0], width = shape[1], channels = shape[2];
  const int64_t wanted[3] = {channels, height, width};
  RESIZE_IF_NEEDED(THTensor, output, 5, 3, wanted, mean, std);
  if (height == 0 || width == 0 || channels == 0) return;

  const uint8_t *in = THByteTensor_data(image);
  const real *mean_data = THTensor_(data)(mean), *std_data = THTensor_(data)(std);
  real *out = THTensor_(data)(output);
  const int64_t *out_stride = output->stride;
  if (reverse_channels) {
    in += (image->size[2] - 1) * in_stride[2];
    in_stride[2] = -in_stride[2];
  }

  const int interleaved =
      channels == 3 && in_stride[1] == 3 && (in_stride[2] == 1 || in_stride[2] == -1);
  const int per_channel =
      mean_stride[0] == 0 && mean_stride[1] == 0 && std_stride[0] == 0 && std_stride[1] == 0;
  if (interleaved && per_channel && out_stride[2] == 1) {
    /* in order of memory: the channel that comes first in a pixel, its mean, its std, its plane */
    const int first = reverse_channels ? 2 : 0, step = reverse_channels ? -1 : 1;
    const uint8_t *pixels = in - (reverse_channels ? 2 : 0);
    real m[3], s[3], *planes[3];
    for (int i = 0; i < 3; i++) {
      const int c = first + i * step;
      m[i] = mean_data[c * mean_stride[2]];
      s[i] = std_data[c * std_stride[2]];
      planes[i] = out + c * out_stride[0];
    }
#pragma omp parallel for if (height * width * 3 > PARALLEL_ELEMENTS)
    for (int64_t y = 0; y < height; y++)
      normalize_row_rgb(pixels + y * in_stride[0], m, s, planes[0] + y * out_stride[1],
                        planes[1] + y * out_stride[1], planes[2] + y * out_stride[1], width);
    return;
  }

#pragma omp parallel for collapse(2) if (height * width * channels > PARALLEL_ELEMENTS)
  for (int64_t c = 0; c < channels; c++)
    for (int64_t y = 0; y < height; y++)
      normalize_row(in + c * in_stride[2] + y * in_stride[0], in_stride[1],
                    mean_data + c * mean_stride[2] + y * mean_stride[0], mean_stride[1],
                    std_data + c * std_stride[2] + y * std_stride[0], std_stride[1],
                    out + c * out_stride[0] + y * out_stride[1], out_stride[2], width);
}

#endif
