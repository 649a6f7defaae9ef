/* ROIAlign, forward and backward, by torchvision's definition. The file includes itself once per
 * precision. */
#ifndef TH_GENERIC_FILE

#include "roi_align.h"

#include <math.h>

#include "kernels.h"

/* Channels that are summed up together: the samples' places and weights are worked out once for all
 * of them, and the sums stay in the first-level cache without any allocation. */
#define CHANNEL_BLOCK 64

/* Beyond 2^24 a float cannot tell neighbouring pixels apart. */
#define LARGEST_COORDINATE 16777216.0

#define TH_GENERIC_FILE "roi_align.c"
#include <TH/THGenerateFloatTypes.h>

#else

#define roi_align_forward TH_CONCAT_2(roi_align_forward_, real)
#define roi_align_backward TH_CONCAT_2(roi_align_backward_, real)
#define region TH_CONCAT_2(roi_region_, real)
#define region_of TH_CONCAT_2(roi_region_of_, real)
#define tap TH_CONCAT_2(roi_tap_, real)
#define tap_at TH_CONCAT_2(roi_tap_at_, real)
#define samples_inside TH_CONCAT_2(roi_samples_inside_, real)
#define check_rois TH_CONCAT_2(roi_check_, real)
#define add_samples TH_CONCAT_2(roi_add_samples_, real)
#define spread_samples TH_CONCAT_2(roi_spread_samples_, real)

/* One region on the feature map: index 0 is the vertical axis, 1 the horizontal one. */
typedef struct {
  int64_t batch;
  real start[2], bin[2];
  int64_t grid[2]; /* samples per bin */
  real count;      /* samples of a bin, at least 1 */
} region;

static region region_of(const real *roi, int64_t stride, real spatial_scale, const int *pooled,
                        int sampling_ratio, int aligned) {
  const real offset = aligned ? (real)0.5 : 0;
  region r;
  r.batch = (int64_t)roi[0];
  for (int axis = 0; axis < 2; axis++) {
    const real first = roi[(2 - axis) * stride] * spatial_scale - offset; /* y1, x1 */
    const real last = roi[(4 - axis) * stride] * spatial_scale - offset;  /* y2, x2 */
    real length = last - first;
    if (!aligned && length < 1) length = 1;
    r.start[axis] = first;
    r.bin[axis] = length / (real)pooled[axis];
    r.grid[axis] =
        sampling_ratio > 0 ? sampling_ratio : (int64_t)ceil((double)(length / (real)pooled[axis]));
  }
  const int64_t samples = r.grid[0] * r.grid[1];
  r.count = samples > 1 ? (real)samples : 1;
  return r;
}

/* Where a coordinate falls between two pixels of an axis. */
typedef struct {
  int inside; /* not more than a pixel outside of the map */
  int64_t low, high;
  real low_weight, high_weight;
} tap;

static tap tap_at(const region *r, int axis, int64_t bin, int64_t sample, int64_t size) {
  real at = r->start[axis] + (real)bin * r->bin[axis] +
            ((real)sample + (real)0.5) * r->bin[axis] / (real)r->grid[axis];
  tap t = {at >= -1 && at <= (real)size, 0, 0, 0, 0};
  if (!t.inside) return t;
  if (at < 0) at = 0;
  t.low = (int64_t)at;
  if (t.low >= size - 1) {
    t.low = t.high = size - 1;
    at = (real)t.low;
  } else {
    t.high = t.low + 1;
  }
  t.high_weight = at - (real)t.low;
  t.low_weight = 1 - t.high_weight;
  return t;
}

/* The samples [first, last) of a bin that can lie on the map, with room for rounding: a region that
 * is far larger than the map has millions of samples of which almost all count as 0. */
static void samples_inside(const region *r, int axis, int64_t bin, int64_t size, int64_t *first,
                           int64_t *last) {
  *first = 0;
  *last = r->grid[axis];
  const double step = (double)r->bin[axis] / (double)r->grid[axis];
  if (*last <= 64 || !(step > 0)) return;
  const double start = (double)r->start[axis] + (double)bin * (double)r->bin[axis];
  const double low = (-8 - start) / step - 1, high = ((double)size + 8 - start) / step + 1;
  if (low > 0) *first = low < (double)*last ? (int64_t)low : *last;
  if (high < (double)*last) *last = high > 0 ? (int64_t)high : 0;
}

static void check_rois(const THTensor *rois, int64_t batch, real spatial_scale) {
  const real *data = THTensor_(data)(rois);
  static const char *const names[5] = {"batch index", "x1", "y1", "x2", "y2"};
  for (int64_t k = 0; k < rois->size[0]; k++) {
    const real *roi = data + k * rois->stride[0];
    const real index = roi[0];
    REQUIRE(index >= 0 && index < (real)batch && index == (real)(int64_t)index, 2,
            "the batch index of ROI %lld must be one of 0..%lld, got %g", (long long)k,
            (long long)batch - 1, (double)index);
    for (int i = 1; i < 5; i++) {
      const double at = (double)(roi[i * rois->stride[1]] * spatial_scale);
      REQUIRE(fabs(at) <= LARGEST_COORDINATE, 2,
              "%s of ROI %lld must be a finite number of at most 2^24 pixels on the feature map, "
              "got %g (times "
              "spatial_scale %g)",
              names[i], (long long)k, (double)roi[i * rois->stride[1]], (double)spatial_scale);
    }
  }
}

/* sum[c] += the samples of bin (py, px), over the channels [0, block) of map, which start at `map`.
 */
KERNEL_CLONES
static void add_samples(const real *map, const int64_t *stride, const int64_t *size,
                        const region *r, int64_t py, int64_t px, int64_t block,
                        real *restrict sum) {
  int64_t y_first, y_last, x_first, x_last;
  samples_inside(r, 0, py, size[2], &y_first, &y_last);
  samples_inside(r, 1, px, size[3], &x_first, &x_last);
  for (int64_t iy = y_first; iy < y_last; iy++) {
    const tap y = tap_at(r, 0, py, iy, size[2]);
    if (!y.inside) continue;
    for (int64_t ix = x_first; ix < x_last; ix++) {
      const tap x = tap_at(r, 1, px, ix, size[3]);
      if (!x.inside) continue;
      const real w1 = y.low_weight * x.low_weight, w2 = y.low_weight * x.high_weight;
      const real w3 = y.high_weight * x.low_weight, w4 = y.high_weight * x.high_weight;
      const real *v1 = map + y.low * stride[2] + x.low * stride[3],
                 *v2 = map + y.low * stride[2] + x.high * stride[3];
      const real *v3 = map + y.high * stride[2] + x.low * stride[3];
      const real *v4 = map + y.high * stride[2] + x.high * stride[3];
      if (stride[1] == 1)
        for (int64_t c = 0; c < block; c++)
          sum[c] += w1 * v1[c] + w2 * v2[c] + w3 * v3[c] + w4 * v4[c];
      else
        for (int64_t c = 0, at = 0; c < block; c++, at += stride[1])
          sum[c] += w1 * v1[at] + w2 * v2[at] + w3 * v3[at] + w4 * v4[at];
    }
  }
}

void roi_align_forward(const THTensor *input, const THTensor *rois, double spatial_scale,
                       int pooled_height, int pooled_width, int sampling_ratio, int aligned,
                       THTensor *output) {
  REQUIRE(input->nDimension == 4, 1, "input must have 4 dimensions (N, C, H, W), got %s",
          THTensor_(sizeDesc)(input).str);
  REQUIRE(rois->nDimension == 2 && rois->size[1] == 5, 2,
          "rois must be (K, 5) with rows of batch index, x1, y1, x2, y2, got %s",
          THTensor_(sizeDesc)(rois).str);
  REQUIRE(spatial_scale > 0 && spatial_scale <= LARGEST_COORDINATE, 3,
          "spatial_scale must be a positive number, got %g", spatial_scale);
  REQUIRE(pooled_height > 0 && pooled_width > 0, 4, "the pooled size must be positive, got %d x %d",
          pooled_height, pooled_width);
  const int64_t count = rois->size[0], channels = input->size[1];
  REQUIRE(count == 0 || channels == 0 || (input->size[2] > 0 && input->size[3] > 0), 1,
          "input must have pixels to sample, got %s", THTensor_(sizeDesc)(input).str);
  if (count > 0) check_rois(rois, input->size[0], (real)spatial_scale);
  if (output->nDimension != 4 || output->size[0] != count || output->size[1] != channels ||
      output->size[2] != pooled_height || output->size[3] != pooled_width)
    THTensor_(resize4d)(output, count, channels, pooled_height, pooled_width);
  if (count == 0 || channels == 0) return;

  const int pooled[2] = {pooled_height, pooled_width};
  const real *map = THTensor_(data)(input), *roi = THTensor_(data)(rois);
  real *out = THTensor_(data)(output);
  const int64_t *in_stride = input->stride, *out_stride = output->stride;
  const int64_t blocks = (channels + CHANNEL_BLOCK - 1) / CHANNEL_BLOCK;
#pragma omp parallel for collapse(2) \
    schedule(dynamic) if (count * channels * pooled_height * pooled_width > 1024)
  for (int64_t k = 0; k < count; k++)
    for (int64_t b = 0; b < blocks; b++) {
      const region r = region_of(roi + k * rois->stride[0], rois->stride[1], (real)spatial_scale,
                                 pooled, sampling_ratio, aligned);
      const int64_t start = b * CHANNEL_BLOCK;
      const int64_t block = channels - start < CHANNEL_BLOCK ? channels - start : CHANNEL_BLOCK;
      const real *block_map = map + r.batch * in_stride[0] + start * in_stride[1];
      real *block_out = out + k * out_stride[0] + start * out_stride[1];
      for (int64_t py = 0; py < pooled_height; py++)
        for (int64_t px = 0; px < pooled_width; px++) {
          real sum[CHANNEL_BLOCK] = {0};
          add_samples(block_map, in_stride, input->size, &r, py, px, block, sum);
          real *bin = block_out + py * out_stride[2] + px * out_stride[3];
          for (int64_t c = 0; c < block; c++) bin[c * out_stride[1]] = sum[c] / r.count;
        }
    }
}

/* The adjoint of add_samples: share[c] goes to the pixels that the samples of bin (py, px) were
 * taken from. */
static void spread_samples(real *map, const int64_t *stride, const int64_t *size, const region *r,
                           int64_t py, int64_t px, int64_t block, const real *restrict share) {
  int64_t y_first, y_last, x_first, x_last;
  samples_inside(r, 0, py, size[2], &y_first, &y_last);
  samples_inside(r, 1, px, size[3], &x_first, &x_last);
  for (int64_t iy = y_first; iy < y_last; iy++) {
    const tap y = tap_at(r, 0, py, iy, size[2]);
    if (!y.inside) continue;
    for (int64_t ix = x_first; ix < x_last; ix++) {
      const tap x = tap_at(r, 1, px, ix, size[3]);
      if (!x.inside) continue;
      const real w1 = y.low_weight * x.low_weight, w2 = y.low_weight * x.high_weight;
      const real w3 = y.high_weight * x.low_weight, w4 = y.high_weight * x.high_weight;
      for (int64_t c = 0; c < block; c++) {
        real *plane = map + c * stride[1];
        plane[y.low * stride[2] + x.low * stride[3]] += w1 * share[c];
        plane[y.low * stride[2] + x.high * stride[3]] += w2 * share[c];
        plane[y.high * stride[2] + x.low * stride[3]] += w3 * share[c];
        plane[y.high * stride[2] + x.high * stride[3]] += w4 * share[c];
      }
    }
  }
}

void roi_align_backward(const THTensor *grad_output, const THTensor *rois, double spatial_scale,
                        int pooled_height, int pooled_width, int sampling_ratio, int aligned,
                        THTensor *grad_input) {
  REQUIRE(rois->nDimension == 2 && rois->size[1] == 5, 2,
          "rois must be (K, 5) with rows of batch index, x1, y1, x2, y2, got %s",
          THTensor_(sizeDesc)(rois).str);
  REQUIRE(spatial_scale > 0 && spatial_scale <= LARGEST_COORDINATE, 3,
          "spatial_scale must be a positive number, got %g", spatial_scale);
  REQUIRE(pooled_height > 0 && pooled_width > 0, 4, "the pooled size must be positive, got %d x %d",
          pooled_height, pooled_width);
  REQUIRE(grad_input->nDimension == 4, 8,
          "grad_input must have the shape of forward's input (N, C, H, W), got %s",
          THTensor_(sizeDesc)(grad_input).str);
  const int64_t count = rois->size[0], channels = grad_input->size[1];
  REQUIRE(
      grad_output->nDimension == 4 && grad_output->size[0] == count &&
          grad_output->size[1] == channels && grad_output->size[2] == pooled_height &&
          grad_output->size[3] == pooled_width,
      1,
      "grad_output must be (K, C, pooled_height, pooled_width) = [%lld x %lld x %d x %d], got %s",
      (long long)count, (long long)channels, pooled_height, pooled_width,
      THTensor_(sizeDesc)(grad_output).str);
  REQUIRE(count == 0 || channels == 0 || (grad_input->size[2] > 0 && grad_input->size[3] > 0), 8,
          "grad_input must have pixels, got %s", THTensor_(sizeDesc)(grad_input).str);
  if (count > 0) check_rois(rois, grad_input->size[0], (real)spatial_scale);
  if (THTensor_(nElement)(grad_input) == 0) return;
  THTensor_(zero)(grad_input);
  if (count == 0) return;

  const int pooled[2] = {pooled_height, pooled_width};
  const real *g = THTensor_(data)(grad_output), *roi = THTensor_(data)(rois);
  real *map = THTensor_(data)(grad_input);
  const int64_t *in_stride = grad_input->stride, *g_stride = grad_output->stride;
  const int64_t blocks = (channels + 7) / 8;
  /* Regions overlap, channels do not: threads share the work by channels, and no sum depends on
   * their number. */
#pragma omp parallel for if (count * channels * pooled_height * pooled_width > 1024)
  for (int64_t b = 0; b < blocks; b++) {
    const int64_t start = b * 8, block = channels - start < 8 ? channels - start : 8;
    for (int64_t k = 0; k < count; k++) {
      const region r = region_of(roi + k * rois->stride[0], rois->stride[1], (real)spatial_scale,
                                 pooled, sampling_ratio, aligned);
      for (int64_t py = 0; py < pooled_height; py++)
        for (int64_t px = 0; px < pooled_width; px++) {
          real share[8];
          for (int64_t c = 0; c < block; c++)
            share[c] = g[k * g_stride[0] + (start + c) * g_stride[1] + py * g_stride[2] +
                         px * g_stride[3]] /
                       r.count;
          spread_samples(map + r.batch * in_stride[0] + start * in_stride[1], in_stride,
                         grad_input->size, &r, py, px, block, share);
        }
    }
  }
}

#undef roi_align_forward
#undef roi_align_backward
#undef region
#undef region_of
#undef tap
#undef tap_at
#undef samples_inside
#undef check_rois
#undef add_samples
#undef spread_samples

#endif
