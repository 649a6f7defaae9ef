/* ROIAlign, forward and backward, by torchvision's definition. The file includes itself once per
 * precision. */
#ifndef TH_GENERIC_FILE

#include "roi_align.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

/* Channels that are computed together: a vector of AVX-512. */
#define BLOCK_BYTES 64

#define TH_GENERIC_FILE "roi_align.c"
#include <TH/THGenerateFloatTypes.h>

#else

#include "rois.h"

#define roi_align_forward TH_CONCAT_2(roi_align_forward_, real)
#define roi_align_backward TH_CONCAT_2(roi_align_backward_, real)
#define region TH_CONCAT_2(roi_region_, real)
#define region_of TH_CONCAT_2(roi_region_of_, real)
#define tap TH_CONCAT_2(roi_tap_, real)
#define tap_at TH_CONCAT_2(roi_tap_at_, real)
#define pull TH_CONCAT_2(roi_pull_, real)
#define plan TH_CONCAT_2(roi_plan_, real)
#define plan_regions TH_CONCAT_2(roi_plan_regions_, real)
#define make_plan TH_CONCAT_2(roi_make_plan_, real)
#define axis_pulls TH_CONCAT_2(roi_axis_pulls_, real)
#define window_pixels TH_CONCAT_2(roi_window_pixels_, real)
#define samples_inside TH_CONCAT_2(roi_samples_inside_, real)
#define pool_vectors TH_CONCAT_2(roi_pool_vectors_, real)
#define pool_strided TH_CONCAT_2(roi_pool_strided_, real)
#define spread_vectors TH_CONCAT_2(roi_spread_vectors_, real)
#define spread_strided TH_CONCAT_2(roi_spread_strided_, real)
#define check_settings TH_CONCAT_2(roi_check_settings_, real)

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

/* What a bin takes of one pixel of an axis, over all of the bin's samples: the mean over samples of
 * bilinear interpolations is separable, so bin (py, px) is the sum over pulls y of py and pulls x
 * of px of weight y * weight x * map[y][x]. */
typedef struct {
  int64_t pixel;
  real weight;
} pull;

/* The pulls of one axis of a region: those of bin b are pulls[start[b]] .. pulls[start[b + 1] - 1].
 * Returns their number. With pulls == NULL nothing is written, and the result is an upper bound. */
static int64_t axis_pulls(const region *r, int axis, int bins, int64_t size, real divisor,
                          pull *pulls, int64_t *start) {
  int64_t count = 0;
  for (int64_t bin = 0; bin < bins; bin++) {
    int64_t first, last;
    samples_inside(r, axis, bin, size, &first, &last);
    if (!pulls) {
      const int64_t most = last > first ? 2 * (last - first) : 0;
      count += most < size ? most : size;
      continue;
    }
    const int64_t begin = start[bin] = count;
    for (int64_t i = first; i < last; i++) {
      const tap t = tap_at(r, axis, bin, i, size);
      if (!t.inside) continue;
      const int64_t pixels[2] = {t.low, t.high};
      const real weights[2] = {t.low_weight / divisor, t.high_weight / divisor};
      for (int side = 0; side < 2; side++) {
        if (weights[side] == 0) continue;
        /* samples follow each other along the axis, so an equal pixel is among the last three */
        int64_t at = count;
        while (at > begin && count - at < 4 && pulls[at - 1].pixel != pixels[side]) at--;
        if (at > begin && count - at < 4) {
          pulls[at - 1].weight += weights[side];
        } else {
          pulls[count].pixel = pixels[side];
          pulls[count++].weight = weights[side];
        }
      }
    }
  }
  if (pulls) start[bins] = count;
  return count;
}

/* What a region takes of the two axes, and the window [first, first + size) of pixels in which all
 * of that lies: pulls count pixels from its first one. */
typedef struct {
  pull *pulls[2];
  int64_t *start[2], first[2], size[2];
} plan;

/* About the number of pixels of a region's window. */
static double window_pixels(const region *r, const int *pooled, const int64_t *size) {
  double pixels = 1;
  for (int axis = 0; axis < 2; axis++) {
    const double last = (double)size[2 + axis], start = (double)r->start[axis];
    const double end = start + pooled[axis] * (double)r->bin[axis];
    pixels *= fabs(fmax(fmin(end, last), 0) - fmax(fmin(start, last), 0)) + 2;
  }
  return pixels;
}

static void make_plan(plan *p, const region *r, const int *pooled, const int64_t *size) {
  for (int axis = 0; axis < 2; axis++) {
    pull *pulls = p->pulls[axis];
    const int64_t count = axis_pulls(r, axis, pooled[axis], size[2 + axis], axis ? 1 : r->count,
                                     pulls, p->start[axis]);
    int64_t first = count ? pulls[0].pixel : 0, last = count ? first : -1;
    for (int64_t i = 0; i < count; i++) {
      if (pulls[i].pixel < first) first = pulls[i].pixel;
      if (pulls[i].pixel > last) last = pulls[i].pixel;
    }
    for (int64_t i = 0; i < count; i++) pulls[i].pixel -= first;
    p->first[axis] = first;
    p->size[axis] = last - first + 1;
  }
}

/* Makes the plans of all regions where they may take the room, else room for one of each thread.
 * Sets *plans and *tiles, which is to be freed and has (pooled height * width, BLOCK) for each
 * thread. Returns whether the plans are made. */
static int plan_regions(plan **plans, real **tiles, int threads, const THTensor *rois,
                        real spatial_scale, const int *pooled, int sampling_ratio, int aligned,
                        const int64_t *size) {
  int64_t most[2] = {0, 0};
  const real *roi = THTensor_(data)(rois);
  for (int64_t k = 0; k < rois->size[0]; k++) {
    const region r = region_of(roi + k * rois->stride[0], rois->stride[1], spatial_scale, pooled,
                               sampling_ratio, aligned);
    for (int axis = 0; axis < 2; axis++) {
      const int64_t count = axis_pulls(&r, axis, pooled[axis], size[2 + axis], 1, NULL, NULL);
      if (count > most[axis]) most[axis] = count;
    }
  }
  const size_t tile = (size_t)pooled[0] * (size_t)pooled[1] * (size_t)BLOCK * sizeof(real);
  const size_t starts = (size_t)(pooled[0] + 1 + pooled[1] + 1) * sizeof(int64_t);
  const size_t pulls = (size_t)(most[0] + most[1]) * sizeof(pull);
  const size_t each = (sizeof(plan) + starts + pulls + 63) / 64 * 64;
  const int all = rois->size[0] * (int64_t)each <= LARGEST_PLANS;
  const int64_t count = all ? rois->size[0] : threads;
  char *at = THAlloc((ptrdiff_t)(tile * (size_t)threads + each * (size_t)count));
  *tiles = (real *)at;
  *plans = (plan *)(at += tile * (size_t)threads);
  at += (size_t)count * sizeof(plan);
  for (int64_t i = 0; i < count; i++, at += each - sizeof(plan)) {
    plan *p = &(*plans)[i];
    p->start[0] = (int64_t *)at;
    p->start[1] = p->start[0] + pooled[0] + 1;
    p->pulls[0] = (pull *)(at + starts);
    p->pulls[1] = p->pulls[0] + most[0];
  }
  if (!all) return 0;
#pragma omp parallel for num_threads(threads)
  for (int64_t k = 0; k < count; k++) {
    const region r = region_of(roi + k * rois->stride[0], rois->stride[1], spatial_scale, pooled,
                               sampling_ratio, aligned);
    make_plan(&(*plans)[k], &r, pooled, size);
  }
  return 1;
}

/* tile[bin][c] = the bins of a planned region, for the BLOCK channels that are neighbours at map.
 */
KERNEL_CLONES_FMA
static void pool_vectors(const real *map, int64_t row_stride, int64_t column_stride, const plan *p,
                         const int *pooled, real *to) {
  vector *tile = (vector *)to;
  for (int py = 0; py < pooled[0]; py++)
    for (int px = 0; px < pooled[1]; px++) {
      vector sum = {0};
      for (int64_t i = p->start[0][py]; i < p->start[0][py + 1]; i++) {
        const real *row = map + p->pulls[0][i].pixel * row_stride;
        vector line = {0};
        for (int64_t j = p->start[1][px]; j < p->start[1][px + 1]; j++)
          line +=
              p->pulls[1][j].weight * *(const vector *)(row + p->pulls[1][j].pixel * column_stride);
        sum += p->pulls[0][i].weight * line;
      }
      *tile++ = sum;
    }
}

/* The same for `block` channels that lie stride[1] apart: neighbours together, others one after the
 * other, since each lies in pages of its own. */
static void pool_strided(const real *map, const int64_t *stride, int64_t block, const plan *p,
                         const int *pooled, real *tile) {
  const int64_t together = stride[1] == 1 ? block : 1;
  for (int64_t first = 0; first < block; first += together) {
    real *to = tile;
    for (int py = 0; py < pooled[0]; py++)
      for (int px = 0; px < pooled[1]; px++, to += BLOCK)
        for (int64_t c = first; c < first + together; c++) {
          real sum = 0;
          for (int64_t i = p->start[0][py]; i < p->start[0][py + 1]; i++) {
            const real *row = map + c * stride[1] + p->pulls[0][i].pixel * stride[2];
            real line = 0;
            for (int64_t j = p->start[1][px]; j < p->start[1][px + 1]; j++)
              line += p->pulls[1][j].weight * row[p->pulls[1][j].pixel * stride[3]];
            sum += p->pulls[0][i].weight * line;
          }
          to[c] = sum;
        }
  }
}

static void check_settings(const THTensor *rois, double spatial_scale, const int *pooled,
                           int sampling_ratio) {
  REQUIRE(rois->nDimension == 2 && rois->size[1] == 5, 2,
          "rois must be (K, 5) with rows of batch index, x1, y1, x2, y2, got %s",
          THTensor_(sizeDesc)(rois).str);
  REQUIRE(spatial_scale > 0 && spatial_scale <= LARGEST_COORDINATE, 3,
          "spatial_scale must be a positive number, got %g", spatial_scale);
  REQUIRE(pooled[0] > 0 && pooled[1] > 0, 4, "the pooled size must be positive, got %d x %d",
          pooled[0], pooled[1]);
  REQUIRE(sampling_ratio <= LARGEST_SAMPLES, 6,
          "sampling_ratio must be at most %d samples per bin and axis, got %d", LARGEST_SAMPLES,
          sampling_ratio);
}

void roi_align_forward(const THTensor *input, const THTensor *rois, double spatial_scale,
                       int pooled_height, int pooled_width, int sampling_ratio, int aligned,
                       THTensor *output) {
  const int pooled[2] = {pooled_height, pooled_width};
  REQUIRE(input->nDimension == 4, 1, "input must have 4 dimensions (N, C, H, W), got %s",
          THTensor_(sizeDesc)(input).str);
  check_settings(rois, spatial_scale, pooled, sampling_ratio);
  const int64_t count = rois->size[0], batch = input->size[0], channels = input->size[1];
  REQUIRE(count == 0 || channels == 0 || (input->size[2] > 0 && input->size[3] > 0), 1,
          "input must have pixels to sample, got %s", THTensor_(sizeDesc)(input).str);
  check_rois(rois, batch, (real)spatial_scale);
  const int64_t wanted[4] = {count, channels, pooled_height, pooled_width};
  RESIZE_IF_NEEDED(THTensor, output, 8, 4, wanted, input, rois);
  if (count == 0 || channels == 0) return;

  const real *map = THTensor_(data)(input), *roi = THTensor_(data)(rois);
  real *out = THTensor_(data)(output);
  const int64_t *in_stride = input->stride, *out_stride = output->stride, *size = input->size;
  const int64_t bins = (int64_t)pooled_height * pooled_width, pixels = size[2] * size[3];
  const int64_t blocks = (channels + BLOCK - 1) / BLOCK;
  const int threads = count * channels * bins > 1024 ? MAX_THREADS : 1;
  /* Channels that are no neighbours are copied to a slab: those of the map once for all regions, or
   * those of each region's window where that is less. */
  const int last = in_stride[1] == 1, copied = channels >= BLOCK / 2;
  const int64_t largest = bins * SLAB_GAIN < pixels ? bins * SLAB_GAIN : pixels;
  double windows = 0;
  for (int64_t k = 0; copied && k < count; k++) {
    const region r = region_of(roi + k * rois->stride[0], rois->stride[1], (real)spatial_scale,
                               pooled, sampling_ratio, aligned);
    windows += fmin(window_pixels(&r, pooled, size), (double)largest);
  }
  const int slabs = windows > (last ? LAST_GAIN : WINDOW_GAIN) *
                                  (double)((count < batch ? count : batch) * pixels);
  /* Threads that have no block of their own share the regions of one. */
  const int64_t units = slabs ? batch * blocks : 1;
  const int64_t parts = slabs ? (threads + units - 1) / units : count;

  plan *plans;
  real *tiles;
  const int made = plan_regions(&plans, &tiles, threads, rois, (real)spatial_scale, pooled,
                                sampling_ratio, aligned, size);
  const int64_t slab_pixels = slabs ? pixels : largest;
  real *slab_room =
      copied ? THAlloc((ptrdiff_t)((size_t)(threads * slab_pixels * BLOCK) * sizeof(real))) : NULL;
#pragma omp parallel for num_threads(threads) collapse(2) schedule(dynamic)
  for (int64_t unit = 0; unit < units; unit++)
    for (int64_t part = 0; part < parts; part++) {
      real *tile = tiles + THREAD * bins * BLOCK;
      real *slab = copied ? slab_room + THREAD * slab_pixels * BLOCK : NULL;
      const int64_t only = slabs ? unit / blocks : -1; /* the image of this slab */
      int filled = 0;
      for (int64_t k = count * part / parts; k < count * (part + 1) / parts; k++) {
        const region r = region_of(roi + k * rois->stride[0], rois->stride[1], (real)spatial_scale,
                                   pooled, sampling_ratio, aligned);
        if (slabs && r.batch != only) continue;
        plan *p = &plans[made ? k : THREAD];
        if (!made) make_plan(p, &r, pooled, size);
        const int64_t corner = p->first[0] * in_stride[2] + p->first[1] * in_stride[3];
        for (int64_t b = slabs ? unit % blocks : 0; b < blocks; b++) {
          const int64_t first = b * BLOCK;
          const int64_t block = channels - first < BLOCK ? channels - first : BLOCK;
          const real *from = map + r.batch * in_stride[0] + first * in_stride[1];
          if (slabs) {
            if (!filled) gather_slab(from, in_stride, size[2], size[3], block, slab);
            filled = 1;
            pool_vectors(slab + (p->first[0] * size[3] + p->first[1]) * BLOCK, size[3] * BLOCK,
                         BLOCK, p, pooled, tile);
          } else if (last && block == BLOCK) {
            pool_vectors(from + corner, in_stride[2], in_stride[3], p, pooled, tile);
          } else if (copied && p->size[0] * p->size[1] <= largest) {
            gather_slab(from + corner, in_stride, p->size[0], p->size[1], block, slab);
            pool_vectors(slab, p->size[1] * BLOCK, BLOCK, p, pooled, tile);
          } else {
            pool_strided(from + corner, in_stride, block, p, pooled, tile);
          }
          scatter_slab(tile, out + k * out_stride[0] + first * out_stride[1], out_stride,
                       output->size, block);
          if (slabs) break;
        }
      }
    }
  THFree(slab_room);
  THFree(tiles); /* and the plans behind them */
}

/* The adjoint of pool_vectors: each bin of the tile goes to the pixels that it was taken from. */
KERNEL_CLONES_FMA
static void spread_vectors(real *map, int64_t row_stride, int64_t column_stride, const plan *p,
                           const int *pooled, const real *from) {
  const vector *tile = (const vector *)from;
  for (int py = 0; py < pooled[0]; py++)
    for (int px = 0; px < pooled[1]; px++, tile++) {
      const vector share = *tile;
      for (int64_t i = p->start[0][py]; i < p->start[0][py + 1]; i++) {
        real *row = map + p->pulls[0][i].pixel * row_stride;
        const real weight = p->pulls[0][i].weight;
        for (int64_t j = p->start[1][px]; j < p->start[1][px + 1]; j++)
          *(vector *)(row + p->pulls[1][j].pixel * column_stride) +=
              weight * p->pulls[1][j].weight * share;
      }
    }
}

/* The same for `block` channels that lie anywhere. */
static void spread_strided(real *map, const int64_t *stride, int64_t block, const plan *p,
                           const int *pooled, const real *tile) {
  for (int py = 0; py < pooled[0]; py++)
    for (int px = 0; px < pooled[1]; px++, tile += BLOCK)
      for (int64_t i = p->start[0][py]; i < p->start[0][py + 1]; i++)
        for (int64_t j = p->start[1][px]; j < p->start[1][px + 1]; j++)
          for (int64_t c = 0; c < block; c++)
            map[c * stride[1] + p->pulls[0][i].pixel * stride[2] +
                p->pulls[1][j].pixel * stride[3]] +=
                p->pulls[0][i].weight * p->pulls[1][j].weight * tile[c];
}

void roi_align_backward(const THTensor *grad_output, const THTensor *rois, double spatial_scale,
                        int pooled_height, int pooled_width, int sampling_ratio, int aligned,
                        THTensor *grad_input) {
  const int pooled[2] = {pooled_height, pooled_width};
  check_settings(rois, spatial_scale, pooled, sampling_ratio);
  REQUIRE(grad_input->nDimension == 4, 8,
          "grad_input must have the shape of forward's input (N, C, H, W), got %s",
          THTensor_(sizeDesc)(grad_input).str);
  const int64_t count = rois->size[0], batch = grad_input->size[0], channels = grad_input->size[1];
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
  check_rois(rois, batch, (real)spatial_scale);
  if (THTensor_(nElement)(grad_input) == 0) return;

  const real *g = THTensor_(data)(grad_output), *roi = THTensor_(data)(rois);
  real *map = THTensor_(data)(grad_input);
  const int64_t *in_stride = grad_input->stride, *g_stride = grad_output->stride;
  const int64_t *size = grad_input->size;
  const int64_t bins = (int64_t)pooled_height * pooled_width, pixels = size[2] * size[3];
  const int64_t blocks = (channels + BLOCK - 1) / BLOCK;
  const int threads =
      count * channels * bins + batch * channels * pixels > PARALLEL_ELEMENTS ? MAX_THREADS : 1;
  const int slabs = in_stride[1] != 1 && channels >= BLOCK / 2 &&
                    count * bins * SLAB_GAIN > (count < batch ? count : batch) * pixels;
  if (!slabs) THTensor_(zero)(grad_input); /* of no regions, too */
  if (count == 0) return;

  plan *plans;
  real *tiles;
  const int made = plan_regions(&plans, &tiles, threads, rois, (real)spatial_scale, pooled,
                                sampling_ratio, aligned, size);
  real *slab_room =
      slabs ? THAlloc((ptrdiff_t)((size_t)(threads * pixels * BLOCK) * sizeof(real))) : NULL;
  /* Regions overlap, channels do not: threads share the work by images and channels, and no sum
   * depends on their number. */
#pragma omp parallel for num_threads(threads) collapse(2) schedule(dynamic)
  for (int64_t n = 0; n < batch; n++)
    for (int64_t b = 0; b < blocks; b++) {
      real *tile = tiles + THREAD * bins * BLOCK;
      const int64_t first = b * BLOCK;
      const int64_t block = channels - first < BLOCK ? channels - first : BLOCK;
      real *to = map + n * in_stride[0] + first * in_stride[1];
      real *slab = slabs ? slab_room + THREAD * pixels * BLOCK : NULL;
      if (slabs) memset(slab, 0, (size_t)(pixels * BLOCK) * sizeof(real));
      for (int64_t k = 0; k < count; k++) {
        const region r = region_of(roi + k * rois->stride[0], rois->stride[1], (real)spatial_scale,
                                   pooled, sampling_ratio, aligned);
        if (r.batch != n) continue;
        plan *p = &plans[made ? k : THREAD];
        if (!made) make_plan(p, &r, pooled, size);
        const int64_t corner = p->first[0] * in_stride[2] + p->first[1] * in_stride[3];
        gather_slab(g + k * g_stride[0] + first * g_stride[1], g_stride, pooled[0], pooled[1],
                    block, tile);
        if (slabs)
          spread_vectors(slab + (p->first[0] * size[3] + p->first[1]) * BLOCK, size[3] * BLOCK,
                         BLOCK, p, pooled, tile);
        else if (in_stride[1] == 1 && block == BLOCK)
          spread_vectors(to + corner, in_stride[2], in_stride[3], p, pooled, tile);
        else
          spread_strided(to + corner, in_stride, block, p, pooled, tile);
      }
      if (slabs) scatter_slab(slab, to, in_stride, size, block);
    }
  THFree(slab_room);
  THFree(tiles); /* and the plans behind them */
}

#endif
