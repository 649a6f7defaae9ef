/* Crop, bilinear resize, flip, channel order, normalisation, HWC -> CHW and padding on a GPU:
 * src/image.c's twin. Each pixel of the result is computed from the image by itself. */
#include "image_checks.h"
#include "tensors.cuh"

/* The inputs [first, last] of output i of an axis, in a triangle around its centre, and the sum of
 * its weights, of what does not stick out of the image. */
struct filter {
  int64_t first, last;
  double centre, slope, sum;

  BOTH double weight(int64_t k) const {
    const double w = 1.0 - fabs((double)k - centre) * slope;
    return w > 0.0 ? w : 0.0;
  }
};

inline BOTH filter filter_of(int64_t i, int64_t in, int64_t out, int antialias) {
  const double scale = (double)in / (double)out;
  const double support = antialias && scale > 1.0 ? scale : 1.0;
  filter f;
  f.slope = 1.0 / support;
  f.centre = ((double)i + 0.5) * scale - 0.5; /* counted from the first pixel's centre */
  f.first = (int64_t)floor(f.centre - support) + 1;
  f.last = (int64_t)ceil(f.centre + support) - 1;
  if (f.first < 0) f.first = 0;
  if (f.last > in - 1) f.last = in - 1;
  f.sum = 0.0;
  for (int64_t k = f.first; k <= f.last; k++) f.sum += f.weight(k);
  return f;
}

void prepare_image_cuda(const THCudaByteTensor *image, int64_t top, int64_t left,
                        int64_t crop_height, int64_t crop_width, int64_t height, int64_t width,
                        int antialias, int flip, int reverse_channels, const THCudaTensor *mean,
                        const THCudaTensor *std, THCudaTensor *place) {
  check_prepare_image(LAYOUT_OF(image), top, left, crop_height, crop_width, height, width,
                      LAYOUT_OF(mean), LAYOUT_OF(std), LAYOUT_OF(place));
  const int64_t channels = image->size[2];

  const int64_t row_stride = image->stride[0];
  const uint8_t *pixels = data_of(image) + top * row_stride + left * channels;
  const float *means = data_of(mean), *stds = data_of(std);
  const int64_t mean_stride = mean->nDimension ? mean->stride[0] : 1;
  const int64_t std_stride = std->nDimension ? std->stride[0] : 1;
  float *out = data_of(place);
  const int64_t out_plane = place->stride[0], out_row = place->stride[1];
  const int64_t columns = place->size[2];
  parallel(current_stream(), place->size[1] * columns, [=] DEVICE(int64_t y) {
    const int64_t x = take(&y, columns);
    float *to = out + y * out_row + x;
    float sum[4] = {0, 0, 0, 0};
    const int inside = y < height && x < width;
    if (inside) {
      const filter down = filter_of(flip & 2 ? height - 1 - y : y, crop_height, height, antialias);
      const filter across = filter_of(flip & 1 ? width - 1 - x : x, crop_width, width, antialias);
      for (int64_t k = across.first; k <= across.last; k++) {
        float column[4] = {0, 0, 0, 0};
        for (int64_t j = down.first; j <= down.last; j++) {
          const uint8_t *pixel = pixels + j * row_stride + k * channels;
          const float weight = (float)(down.weight(j) / down.sum);
#pragma unroll
          for (int c = 0; c < 4; c++)
            if (c < channels) column[c] += weight * (float)pixel[c];
        }
        const float weight = (float)(across.weight(k) / across.sum);
#pragma unroll
        for (int c = 0; c < 4; c++) sum[c] += weight * column[c];
      }
    }
#pragma unroll
    for (int c = 0; c < 4; c++) { /* c counts the image's channels */
      if (c >= channels) continue;
      const int64_t plane = reverse_channels ? channels - 1 - c : c;
      const double m = means[plane * mean_stride], s = stds[plane * std_stride];
      to[plane * out_plane] = inside ? sum[c] * (float)(1.0 / s) + (float)(-m / s) : 0.0f;
    }
  });
  finish();
}
