/* Crop, bilinear resize, flip, channel order, normalisation, HWC -> CHW and padding in one pass.
 *
 * Each output row is filtered vertically first, from the uint8 rows of the image to one row of
 * interleaved floats that stays in the first-level cache, and from there horizontally. A pixel is a
 * vector of four floats (its channels, and what follows them), so no tap needs a gather; four
 * pixels are transposed into planes and normalised. Against horizontally first this is as fast
 * where an image grows, and faster where it shrinks. */
#include "image.h"

#include <math.h>
#include <string.h>

#include "image_checks.h"

/* Products and sums may be fused: no formula says where this one rounds. (5% of the time.) */
#pragma GCC optimize("fp-contract=fast")

typedef float float4 __attribute__((vector_size(16)));
/* Lanes of two vectors: clang and gcc 12 have the one function, gcc before 12 the other. */
#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
#endif
#ifndef SHUFFLE
typedef int32_t int4 __attribute__((vector_size(16)));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (int4){__VA_ARGS__})
#endif

/* How one axis is resampled: output i is the sum of weight[i * taps + k] * input[first[i] + k]. */
typedef struct {
  int64_t taps;
  int32_t *first;
  float *weight;
} filter;

/* Half the width of the triangle, in input pixels. */
static double filter_support(int64_t in, int64_t out, int antialias) {
  const double scale = (double)in / (double)out;
  return antialias && scale > 1.0 ? scale : 1.0;
}

/* The most taps that an output needs: pixels whose centres are less than the support away on either
 * side. */
static int64_t filter_taps(int64_t in, int64_t out, int antialias) {
  const int64_t taps = (int64_t)ceil(filter_support(in, out, antialias)) * 2;
  return taps < in ? taps : in;
}

/* Fills f for `out` outputs of `in` inputs. The triangle is centred on the output pixel's centre,
 * and what sticks out of the image is cut off: the weights are scaled to the sum 1. (For two taps
 * that is the same as repeating the border.) */
static void make_filter(filter *f, int64_t in, int64_t out, int antialias, int flip) {
  const double scale = (double)in / (double)out;
  const double support = filter_support(in, out, antialias), slope = 1.0 / support;
  for (int64_t i = 0; i < out; i++) {
    const double centre =
        ((double)i + 0.5) * scale - 0.5; /* counted from the first pixel's centre */
    int64_t first = (int64_t)floor(centre - support) + 1,
            last = (int64_t)ceil(centre + support) - 1;
    if (first < 0) first = 0;
    if (last > in - 1) last = in - 1;
    if (first > in - f->taps) first = in - f->taps;
    if (last > first + f->taps - 1) last = first + f->taps - 1;
    const int64_t place = flip ? out - 1 - i : i;
    float *weight = f->weight + place * f->taps;
    double sum = 0.0;
    for (int64_t k = first; k <= last; k++) {
      const double w = 1.0 - fabs((double)k - centre) * slope;
      sum += w > 0.0 ? w : 0.0;
    }
    for (int64_t k = 0; k < f->taps; k++) {
      const double w = first + k > last ? 0.0 : 1.0 - fabs((double)(first + k) - centre) * slope;
      weight[k] = w > 0.0 ? (float)(w / sum) : 0.0f;
    }
    f->first[place] = (int32_t)first;
  }
}

/* out[i] = sum of weight[k] * rows[k * stride + i], i < n */
KERNEL_CLONES
static void filter_rows(const uint8_t *restrict rows, int64_t stride, const float *weight,
                        int64_t taps, float *restrict out, int64_t n) {
  if (taps == 1) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)rows[i];
    return;
  }
  if (taps == 2) {
    const float w0 = weight[0], w1 = weight[1];
    for (int64_t i = 0; i < n; i++) out[i] = w0 * (float)rows[i] + w1 * (float)rows[stride + i];
    return;
  }
  for (int64_t k = 0; k < taps; k += 4) {
    const uint8_t *row[4];
    float w[4];
    for (int j = 0; j < 4; j++) {
      row[j] = rows + (k + j < taps ? k + j : k) * stride;
      w[j] = k + j < taps ? weight[k + j] : 0.0f;
    }
    const uint8_t *r0 = row[0], *r1 = row[1], *r2 = row[2], *r3 = row[3];
    const float w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
    if (k == 0)
      for (int64_t i = 0; i < n; i++)
        out[i] = w0 * (float)r0[i] + w1 * (float)r1[i] + (w2 * (float)r2[i] + w3 * (float)r3[i]);
    else
      for (int64_t i = 0; i < n; i++)
        out[i] += w0 * (float)r0[i] + w1 * (float)r1[i] + (w2 * (float)r2[i] + w3 * (float)r3[i]);
  }
}

static inline __attribute__((always_inline)) float4 load_pixel(const float *pixel) {
  float4 lanes;
  memcpy(&lanes, pixel, sizeof lanes);
  return lanes;
}

/* Four outputs, from x on, as one vector per channel. A pixel is loaded with what follows it. */
static inline __attribute__((always_inline)) void filter_four(const float *row, const filter *f,
                                                              int64_t x, int64_t taps,
                                                              int64_t channels, float4 *planes) {
  const float *w0 = f->weight + x * taps, *w1 = w0 + taps, *w2 = w1 + taps, *w3 = w2 + taps;
  const float *p0 = row + f->first[x], *p1 = row + f->first[x + 1], *p2 = row + f->first[x + 2],
              *p3 = row + f->first[x + 3];
  float4 sum0 = load_pixel(p0) * w0[0], sum1 = load_pixel(p1) * w1[0],
         sum2 = load_pixel(p2) * w2[0], sum3 = load_pixel(p3) * w3[0];
  for (int64_t k = 1; k < taps; k++) {
    sum0 += load_pixel(p0 + k * channels) * w0[k];
    sum1 += load_pixel(p1 + k * channels) * w1[k];
    sum2 += load_pixel(p2 + k * channels) * w2[k];
    sum3 += load_pixel(p3 + k * channels) * w3[k];
  }
  const float4 low01 = SHUFFLE(sum0, sum1, 0, 4, 1, 5);
  const float4 low23 = SHUFFLE(sum2, sum3, 0, 4, 1, 5);
  const float4 high01 = SHUFFLE(sum0, sum1, 2, 6, 3, 7);
  const float4 high23 = SHUFFLE(sum2, sum3, 2, 6, 3, 7);
  planes[0] = SHUFFLE(low01, low23, 0, 1, 4, 5);
  planes[1] = SHUFFLE(low01, low23, 2, 3, 6, 7);
  planes[2] = SHUFFLE(high01, high23, 0, 1, 4, 5);
  planes[3] = SHUFFLE(high01, high23, 2, 3, 6, 7);
}

/* One row of all planes: `taps` and `channels` are constants where that matters. The filter has
 * entries up to a multiple of four. */
static inline __attribute__((always_inline)) void filter_columns_of(
    const float *row, const filter *f, int64_t taps, int64_t channels, const float *scale,
    const float *shift, float *const *out, int64_t width) {
  float4 planes[4];
  int64_t x = 0;
  for (; x + 4 <= width; x += 4) {
    filter_four(row, f, x, taps, channels, planes);
    for (int64_t c = 0; c < channels; c++) {
      planes[c] = planes[c] * scale[c] + shift[c];
      memcpy(out[c] + x, &planes[c], sizeof planes[c]);
    }
  }
  if (x == width) return;
  filter_four(row, f, x, taps, channels, planes);
  for (int64_t c = 0; c < channels; c++) {
    planes[c] = planes[c] * scale[c] + shift[c];
    memcpy(out[c] + x, &planes[c], (size_t)(width - x) * sizeof(float));
  }
}

KERNEL_CLONES
static void filter_columns(const float *row, const filter *f, int64_t channels, const float *scale,
                           const float *shift, float *const *out, int64_t width) {
  if (channels == 3 && f->taps == 2)
    filter_columns_of(row, f, 2, 3, scale, shift, out, width);
  else if (channels == 3)
    filter_columns_of(row, f, f->taps, 3, scale, shift, out, width);
  else
    filter_columns_of(row, f, f->taps, channels, scale, shift, out, width);
}

void prepare_image(const THByteTensor *image, int64_t top, int64_t left, int64_t crop_height,
                   int64_t crop_width, int64_t height, int64_t width, int antialias, int flip,
                   int reverse_channels, const THFloatTensor *mean, const THFloatTensor *std,
                   THFloatTensor *place) {
  check_prepare_image(LAYOUT_OF(image), top, left, crop_height, crop_width, height, width,
                      LAYOUT_OF(mean), LAYOUT_OF(std), LAYOUT_OF(place));
  const int64_t channels = image->size[2];

  float scale[4], shift[4];
  const float *mean_data = THFloatTensor_data(mean), *std_data = THFloatTensor_data(std);
  float *planes[4], *rows[4];
  for (int64_t c = 0; c < channels; c++) { /* c counts the image's channels */
    const int64_t plane = reverse_channels ? channels - 1 - c : c;
    const double m = mean_data[plane * (mean->nDimension ? mean->stride[0] : 1)];
    const double s = std_data[plane * (std->nDimension ? std->stride[0] : 1)];
    scale[c] = (float)(1.0 / s);
    shift[c] = (float)(-m / s);
    planes[c] = THFloatTensor_data(place) + plane * place->stride[0];
  }

  const int64_t columns = (width + 3) / 4 * 4, n = crop_width * channels;
  filter across = {filter_taps(crop_width, width, antialias), NULL, NULL};
  filter down = {filter_taps(crop_height, height, antialias), NULL, NULL};
  const int64_t weights = columns * across.taps + height * down.taps;
  float *scratch = THAlloc((n + 4 + weights + columns + height) * (int64_t)sizeof(float));
  float *row = scratch;
  across.weight = row + n + 4;
  down.weight = across.weight + columns * across.taps;
  across.first = (int32_t *)(down.weight + height * down.taps);
  down.first = across.first + columns;
  memset(row + n, 0,
         4 * sizeof(float)); /* read beyond the last pixel, into lanes that nobody uses */
  make_filter(&across, crop_width, width, antialias, flip & 1);
  make_filter(&down, crop_height, height, antialias, flip & 2);
  for (int64_t x = 0; x < width; x++) across.first[x] *= (int32_t)channels;
  memset(across.first + width, 0, (size_t)(columns - width) * sizeof(int32_t));
  memset(across.weight + width * across.taps, 0,
         (size_t)((columns - width) * across.taps) * sizeof(float));

  const int64_t stride = image->stride[0];
  const uint8_t *pixels = THByteTensor_data(image) + top * stride + left * channels;
  for (int64_t y = 0; y < height; y++) {
    filter_rows(pixels + down.first[y] * stride, stride, down.weight + y * down.taps, down.taps,
                row, n);
    for (int64_t c = 0; c < channels; c++) rows[c] = planes[c] + y * place->stride[1];
    filter_columns(row, &across, channels, scale, shift, rows, width);
    for (int64_t c = 0; c < channels; c++)
      memset(rows[c] + width, 0, (size_t)(place->size[2] - width) * sizeof(float));
  }
  for (int64_t c = 0; c < channels; c++)
    for (int64_t y = height; y < place->size[1]; y++)
      memset(planes[c] + y * place->stride[1], 0, (size_t)place->size[2] * sizeof(float));
  THFree(scratch);
}
