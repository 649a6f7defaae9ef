/* ROIPool, forward and backward, by torchvision's definition. The file includes itself once per
 * precision. */
#ifndef TH_GENERIC_FILE

#include "roi_pool.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

/* Channels that are computed together: four vectors of AVX2, so that some have work while the
 * others wait for their comparisons. (The masks of AVX-512's comparisons take a fifth longer.) */
#define BLOCK_BYTES 128

/* Channels that are worth a copy, which has the lanes of a whole block; less than half a block only
 * where the map's copy takes no more bytes than that, since the pages of a larger one are new in
 * each call. */
#define LEAST_COPIED 8
#define LARGEST_COPY (16 << 20)

/* Channels whose gradients are summed together. */
#define BACKWARD_CHANNELS 8

#define TH_GENERIC_FILE "roi_pool.c"
#include <TH/THGenerateFloatTypes.h>

#else

#include "rois.h"

#define roi_pool_forward TH_CONCAT_2(roi_pool_forward_, real)
#define roi_pool_backward TH_CONCAT_2(roi_pool_backward_, real)
#define region TH_CONCAT_2(roi_pool_region_, real)
#define region_of TH_CONCAT_2(roi_pool_region_of_, real)
#define bin_pixels TH_CONCAT_2(roi_pool_bin_pixels_, real)
#define window_of TH_CONCAT_2(roi_pool_window_of_, real)
#define place TH_CONCAT_2(roi_pool_place_, real)
#define pool_vectors TH_CONCAT_2(roi_pool_pool_vectors_, real)
#define scatter_places TH_CONCAT_2(roi_pool_scatter_places_, real)
#define pool_strided TH_CONCAT_2(roi_pool_pool_strided_, real)

/* An integer as wide as real, so that a vector of one has the lanes of the other, and what moves
 * the one moves the other. */
#ifdef TH_REAL_IS_FLOAT
typedef int32_t place __attribute__((may_alias));
#else
typedef int64_t place __attribute__((may_alias));
#endif

/* One region on the feature map: index 0 is the vertical axis, 1 the horizontal one. */
typedef struct {
  int64_t batch;
  int64_t start[2];
  real bin[2];
} region;

static region region_of(const real *roi, int64_t stride, real spatial_scale, const int *pooled) {
  region r;
  r.batch = (int64_t)roi[0];
  for (int axis = 0; axis < 2; axis++) {
    const int64_t first = (int64_t)round((double)(roi[(2 - axis) * stride] * spatial_scale));
    const int64_t last = (int64_t)round((double)(roi[(4 - axis) * stride] * spatial_scale));
    const int64_t length = last - first + 1 > 1 ? last - first + 1 : 1;
    r.start[axis] = first;
    r.bin[axis] = (real)length / (real)pooled[axis];
  }
  return r;
}

/* The pixels [first, last) of a bin of an axis. */
static void bin_pixels(const region *r, int axis, int64_t bin, int64_t size, int64_t *first,
                       int64_t *last) {
  *first = (int64_t)floor((double)((real)bin * r->bin[axis])) + r->start[axis];
  *last = (int64_t)ceil((double)((real)(bin + 1) * r->bin[axis])) + r->start[axis];
  if (*first < 0) *first = 0;
  if (*last > size) *last = size;
}

/* The pixels of an axis that a region's bins lie in; none is a length of 0. */
static void window_of(const region *r, int axis, int bins, int64_t size, int64_t *first,
                      int64_t *length) {
  int64_t inner, end;
  bin_pixels(r, axis, 0, size, first, &inner);
  bin_pixels(r, axis, bins - 1, size, &inner, &end);
  *length = end > *first ? end - *first : 0;
}

/* tile[bin][c], where[bin][c] = maximum and place for the BLOCK channels that are neighbours at
 * map, which begins with pixel (first[0], first[1]). */
KERNEL_CLONES_256
static void pool_vectors(const real *map, int64_t row_stride, int64_t column_stride,
                         const int64_t *first, const int64_t *size, const region *r,
                         const int *pooled, real *restrict tile, place *restrict where) {
  for (int py = 0; py < pooled[0]; py++)
    for (int px = 0; px < pooled[1]; px++, tile += BLOCK, where += BLOCK) {
      int64_t y0, y1, x0, x1;
      bin_pixels(r, 0, py, size[2], &y0, &y1);
      bin_pixels(r, 1, px, size[3], &x0, &x1);
      const int empty = y0 >= y1 || x0 >= x1;
      const real *corner = map + (y0 - first[0]) * row_stride + (x0 - first[1]) * column_stride;
      for (int64_t c = 0; c < BLOCK; c++) {
        tile[c] = empty ? 0 : corner[c];
        where[c] = empty ? -1 : (place)(y0 * size[3] + x0);
      }
      for (int64_t y = y0; y < y1; y++)
        for (int64_t x = x0; x < x1; x++) {
          const real *v = map + (y - first[0]) * row_stride + (x - first[1]) * column_stride;
          const place here = (place)(y * size[3] + x);
#pragma omp simd
          for (int64_t c = 0; c < BLOCK; c++) {
            const int better = (v[c] > tile[c]) | (v[c] != v[c]);
            tile[c] = better ? v[c] : tile[c];
            where[c] = better ? here : where[c];
          }
        }
    }
}

/* The same for `block` channels that lie anywhere. */
static void pool_strided(const real *map, const int64_t *stride, const int64_t *size,
                         const region *r, const int *pooled, int64_t block, real *tile,
                         place *where) {
  for (int py = 0; py < pooled[0]; py++)
    for (int px = 0; px < pooled[1]; px++, tile += BLOCK, where += BLOCK) {
      int64_t y0, y1, x0, x1;
      bin_pixels(r, 0, py, size[2], &y0, &y1);
      bin_pixels(r, 1, px, size[3], &x0, &x1);
      const int empty = y0 >= y1 || x0 >= x1;
      for (int64_t c = 0; c < block; c++) {
        const real *plane = map + c * stride[1];
        real best = empty ? 0 : plane[y0 * stride[2] + x0 * stride[3]];
        place at = empty ? -1 : (place)(y0 * size[3] + x0);
        for (int64_t y = y0; y < y1; y++)
          for (int64_t x = x0; x < x1; x++) {
            const real value = plane[y * stride[2] + x * stride[3]];
            if (value > best || value != value) {
              best = value;
              at = (place)(y * size[3] + x);
            }
          }
        tile[c] = best;
        where[c] = at;
      }
    }
}

/* argmax[c][py][px] = where[py][px][c] for the channels [0, block). */
static void scatter_places(const place *where, int *argmax, const int64_t *stride,
                           const int64_t *size, int64_t block) {
#ifdef TH_REAL_IS_FLOAT
  scatter_slab((const real *)where, (real *)argmax, stride, size, block);
#else
  for (int64_t c = 0; c < block; c++)
    for (int64_t py = 0; py < size[2]; py++)
      for (int64_t px = 0; px < size[3]; px++)
        argmax[c * stride[1] + py * stride[2] + px * stride[3]] =
            (int)where[(py * size[3] + px) * BLOCK + c];
#endif
}

void roi_pool_forward(const THTensor *input, const THTensor *rois, double spatial_scale,
                      int pooled_height, int pooled_width, THTensor *output, THIntTensor *argmax) {
  const int pooled[2] = {pooled_height, pooled_width};
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
  const int64_t *size = input->size, *in_stride = input->stride;
  REQUIRE(count == 0 || channels == 0 || (size[2] > 0 && size[3] > 0), 1,
          "input must have pixels to sample, got %s", THTensor_(sizeDesc)(input).str);
  REQUIRE(size[2] == 0 || size[3] <= INT32_MAX / size[2], 1,
          "input must have less than 2^31 pixels in a plane, got %s",
          THTensor_(sizeDesc)(input).str);
  check_rois(rois, size[0], (real)spatial_scale);
  const int64_t wanted[4] = {count, channels, pooled_height, pooled_width};
  RESIZE_IF_NEEDED(THTensor, output, 6, 4, wanted, input, rois);
  RESIZE_IF_NEEDED(THIntTensor, argmax, 7, 4, wanted, input, rois);
  if (count == 0 || channels == 0) return;

  const real *map = THTensor_(data)(input), *roi = THTensor_(data)(rois);
  real *out = THTensor_(data)(output);
  int *arg = THIntTensor_data(argmax);
  const int64_t *os = output->stride, *as = argmax->stride;
  const int64_t bins = (int64_t)pooled_height * pooled_width, pixels = size[2] * size[3];
  const int64_t blocks = (channels + BLOCK - 1) / BLOCK;
  const int threads = count * channels * bins > 1024 ? MAX_THREADS : 1;
  /* Channels that are no neighbours are copied to a slab: those of the map once for all regions, or
   * those of each region's window where that is less. */
  const int last = in_stride[1] == 1;
  const int copied =
      channels >= BLOCK / 2 || (channels >= LEAST_COPIED && pixels * BLOCK_BYTES <= LARGEST_COPY);
  int64_t windows = 0, largest = 0;
  for (int64_t k = 0; copied && k < count; k++) {
    const region r =
        region_of(roi + k * rois->stride[0], rois->stride[1], (real)spatial_scale, pooled);
    int64_t begin[2], length[2];
    for (int axis = 0; axis < 2; axis++)
      window_of(&r, axis, pooled[axis], size[2 + axis], &begin[axis], &length[axis]);
    windows += length[0] * length[1];
    if (length[0] * length[1] > largest) largest = length[0] * length[1];
  }
  const int slabs = (double)windows > (last ? LAST_GAIN : WINDOW_GAIN) *
                                          (double)((count < size[0] ? count : size[0]) * pixels);
  const int64_t units = slabs ? size[0] * blocks : 1;
  const int64_t parts = slabs ? (threads + units - 1) / units : count;

  const size_t slab_elements = (size_t)((slabs ? pixels : largest) * BLOCK);
  const size_t tile_elements = (size_t)(bins * BLOCK);
  real *room =
      THAlloc((ptrdiff_t)((size_t)threads * (slab_elements + 2 * tile_elements) * sizeof(real)));
#pragma omp parallel for num_threads(threads) collapse(2) schedule(dynamic)
  for (int64_t unit = 0; unit < units; unit++)
    for (int64_t part = 0; part < parts; part++) {
      real *tile = room + (size_t)THREAD * (slab_elements + 2 * tile_elements);
      place *where = (place *)(tile + tile_elements);
      real *slab = tile + 2 * tile_elements;
      const int64_t only = slabs ? unit / blocks : -1; /* the image of this slab */
      int filled = 0;
      for (int64_t k = count * part / parts; k < count * (part + 1) / parts; k++) {
        const region r =
            region_of(roi + k * rois->stride[0], rois->stride[1], (real)spatial_scale, pooled);
        if (slabs && r.batch != only) continue;
        int64_t begin[2], length[2];
        for (int axis = 0; axis < 2; axis++)
          window_of(&r, axis, pooled[axis], size[2 + axis], &begin[axis], &length[axis]);
        const int64_t corner = begin[0] * in_stride[2] + begin[1] * in_stride[3];
        for (int64_t b = slabs ? unit % blocks : 0; b < blocks; b++) {
          const int64_t first = b * BLOCK;
          const int64_t block = channels - first < BLOCK ? channels - first : BLOCK;
          const real *from = map + r.batch * in_stride[0] + first * in_stride[1];
          if (slabs) {
            if (!filled) gather_slab(from, in_stride, size[2], size[3], block, slab);
            filled = 1;
            pool_vectors(slab + (begin[0] * size[3] + begin[1]) * BLOCK, size[3] * BLOCK, BLOCK,
                         begin, size, &r, pooled, tile, where);
          } else if (last && block == BLOCK) {
            pool_vectors(from + corner, in_stride[2], in_stride[3], begin, size, &r, pooled, tile,
                         where);
          } else if (copied) {
            gather_slab(from + corner, in_stride, length[0], length[1], block, slab);
            pool_vectors(slab, length[1] * BLOCK, BLOCK, begin, size, &r, pooled, tile, where);
          } else {
            pool_strided(from, in_stride, size, &r, pooled, block, tile, where);
          }
          scatter_slab(tile, out + k * os[0] + first * os[1], os, wanted, block);
          scatter_places(where, arg + k * as[0] + first * as[1], as, wanted, block);
          if (slabs) break;
        }
      }
    }
  THFree(room);
}

void roi_pool_backward(const THTensor *grad_output, const THTensor *rois, const THIntTensor *argmax,
                       THTensor *grad_input) {
  REQUIRE(grad_output->nDimension == 4, 1,
          "grad_output must be (K, C, pooled height, pooled width), got %s",
          THTensor_(sizeDesc)(grad_output).str);
  const int64_t count = grad_output->size[0], channels = grad_output->size[1];
  REQUIRE(rois->nDimension == 2 && rois->size[0] == count && rois->size[1] == 5, 2,
          "rois must be (K, 5) with a row per region of grad_output %s, got %s",
          THTensor_(sizeDesc)(grad_output).str, THTensor_(sizeDesc)(rois).str);
  REQUIRE(argmax->nDimension == 4 && !memcmp(argmax->size, grad_output->size, 4 * sizeof(int64_t)),
          3, "argmax must have grad_output's shape %s, got %s",
          THTensor_(sizeDesc)(grad_output).str, THIntTensor_sizeDesc(argmax).str);
  REQUIRE(grad_input->nDimension == 4 && grad_input->size[1] == channels, 4,
          "grad_input must have the shape of forward's input (N, %lld, H, W), got %s",
          (long long)channels, THTensor_(sizeDesc)(grad_input).str);
  check_rois(rois, grad_input->size[0], 0); /* how far they reach, forward has seen */
  if (THTensor_(nElement)(grad_input) == 0) return;
  THTensor_(zero)(grad_input);

  const real *g = THTensor_(data)(grad_output), *roi = THTensor_(data)(rois);
  const int *arg = THIntTensor_data(argmax);
  real *map = THTensor_(data)(grad_input);
  const int64_t *gs = grad_output->stride, *as = argmax->stride, *is = grad_input->stride;
  const int64_t rows = grad_output->size[2], columns = grad_output->size[3];
  const int64_t width = grad_input->size[3], pixels = grad_input->size[2] * width;
  int64_t outside = 0;
  /* Regions overlap, channels do not: no sum depends on the number of threads. Some channels at a
   * time, whose planes stay in the second-level cache while all regions are read, each in one
   * piece. */
  const int64_t blocks = (channels + BACKWARD_CHANNELS - 1) / BACKWARD_CHANNELS;
  const int whole = is[3] == 1 && is[2] == width; /* a pixel's number is its place in the plane */
  const int flat = gs[3] == 1 && gs[2] == columns && as[3] == 1 && as[2] == columns;
#pragma omp parallel for reduction(+ : outside) if (count * channels * rows * columns > \
                                                        PARALLEL_ELEMENTS)
  for (int64_t b = 0; b < blocks; b++)
    for (int64_t k = 0; k < count; k++) {
      const int64_t first = b * BACKWARD_CHANNELS, last = first + BACKWARD_CHANNELS;
      for (int64_t c = first; c < last && c < channels; c++) {
        real *plane = map + (int64_t)roi[k * rois->stride[0]] * is[0] + c * is[1];
        const real *from = g + k * gs[0] + c * gs[1];
        const int *at = arg + k * as[0] + c * as[1];
        if (whole && flat) {
          for (int64_t i = 0; i < rows * columns; i++) {
            const int64_t pixel = at[i];
            if (pixel >= pixels)
              outside++;
            else if (pixel >= 0)
              plane[pixel] += from[i];
          }
          continue;
        }
        for (int64_t y = 0; y < rows; y++)
          for (int64_t x = 0; x < columns; x++) {
            const int64_t pixel = at[y * as[2] + x * as[3]];
            if (pixel < 0) continue;
            if (pixel >= pixels) {
              outside++;
              continue;
            }
            const int64_t to = pixel / width * is[2] + pixel % width * is[3];
            plane[to] += from[y * gs[2] + x * gs[3]];
          }
      }
    }
  REQUIRE(outside == 0, 3, "argmax must hold pixels of grad_input %s, %lld lie beyond it",
          THTensor_(sizeDesc)(grad_input).str, (long long)outside);
}

#endif
