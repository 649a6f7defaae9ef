/* Deformable position-sensitive ROI pooling, forward and backward. The file includes itself once
 * per precision. */
#ifndef TH_GENERIC_FILE

#include "deform_psroi.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

/* Channels that are computed together: a vector of AVX-512. */
#define BLOCK_BYTES 64

/* The numbers of a call, and how its work is divided. A cell is a (gy, gx) with channels of its
 * own; a unit is one block of a class's channels in one cell of one image. */
typedef struct {
  int64_t regions, batch, size[2]; /* of the map */
  int64_t output_dim, group, pooled, part, samples;
  int64_t classes, class_channels;
  double spatial_scale, trans_std;
  int64_t bins, cells, class_blocks, units;
  int64_t most; /* pulls of a bin and axis */
} geometry;

/* What a unit has: n output channels from `channel` on, and the bins [first, last) of each axis. */
typedef struct {
  int64_t image, block, class_number, channel, n, map_channel;
  int64_t first[2], last[2], size[4]; /* size[2], size[3]: how many bins */
} unit;

static unit unit_at(const geometry *g, int64_t number, int64_t block_channels) {
  unit u;
  const int64_t cell = number % g->cells, blocks = g->classes * g->class_blocks;
  u.block = number / g->cells % blocks;
  u.image = number / g->cells / blocks;
  u.class_number = u.block / g->class_blocks;
  const int64_t inside = u.block % g->class_blocks * block_channels;
  u.channel = u.class_number * g->class_channels + inside;
  u.n = g->class_channels - inside < block_channels ? g->class_channels - inside : block_channels;
  u.map_channel = u.channel * g->cells + cell;
  const int64_t at[2] = {cell / g->group, cell % g->group};
  for (int axis = 0; axis < 2; axis++) { /* bin * group / pooled == at */
    u.first[axis] = (at[axis] * g->pooled + g->group - 1) / g->group;
    u.last[axis] = ((at[axis] + 1) * g->pooled + g->group - 1) / g->group;
    u.size[2 + axis] = u.last[axis] - u.first[axis];
  }
  return u;
}

/* Where region k's bins of unit u begin in a (K, output_dim, pooled, pooled) of these strides. */
static int64_t bins_at(const int64_t *stride, int64_t k, const unit *u) {
  return k * stride[0] + u->channel * stride[1] + u->first[0] * stride[2] + u->first[1] * stride[3];
}

/* The bins of unit u. */
#define FOR_BINS(u, y, x)                              \
  for (int64_t y = (u).first[0]; y < (u).last[0]; y++) \
    for (int64_t x = (u).first[1]; x < (u).last[1]; x++)

#define TH_GENERIC_FILE "deform_psroi.c"
#include <TH/THGenerateFloatTypes.h>

#else

#include "rois.h"

#define deform_psroi_forward TH_CONCAT_2(deform_psroi_forward_, real)
#define deform_psroi_input_backward TH_CONCAT_2(deform_psroi_input_backward_, real)
#define deform_psroi_trans_backward TH_CONCAT_2(deform_psroi_trans_backward_, real)
#define pull TH_CONCAT_2(psroi_pull_, real)
#define plan TH_CONCAT_2(psroi_plan_, real)
#define workshop TH_CONCAT_2(psroi_workshop_, real)
#define check TH_CONCAT_2(psroi_check_, real)
#define check_grad_output TH_CONCAT_2(psroi_check_grad_output_, real)
#define axis_pulls TH_CONCAT_2(psroi_axis_pulls_, real)
#define make_plan TH_CONCAT_2(psroi_make_plan_, real)
#define begin_work TH_CONCAT_2(psroi_begin_work_, real)
#define end_work TH_CONCAT_2(psroi_end_work_, real)
#define plan_of TH_CONCAT_2(psroi_plan_of_, real)
#define tile_of TH_CONCAT_2(psroi_tile_of_, real)
#define slab_of TH_CONCAT_2(psroi_slab_of_, real)
#define image_of TH_CONCAT_2(psroi_image_of_, real)
#define pool_vectors TH_CONCAT_2(psroi_pool_vectors_, real)
#define pool_strided TH_CONCAT_2(psroi_pool_strided_, real)
#define spread_vectors TH_CONCAT_2(psroi_spread_vectors_, real)
#define spread_strided TH_CONCAT_2(psroi_spread_strided_, real)
#define slope_vectors TH_CONCAT_2(psroi_slope_vectors_, real)
#define slope_strided TH_CONCAT_2(psroi_slope_strided_, real)

/* What a bin takes of one pixel of an axis, over all of its samples, and how fast that grows with
 * trans. Whether a sample counts, and its weights, are a product of what they are on either axis,
 * so a bin is the sum over rows y and columns x of weight y * weight x * map[y][x]. */
typedef struct {
  int64_t pixel;
  real weight, slope;
} pull;

/* The pulls of a bin: counts[0] rows from pulls[0] on, counts[1] columns from pulls[most] on. */
typedef struct {
  int64_t counts[2];
  real samples; /* that count */
  pull pulls[];
} plan;

/* What a call works with: where regions and their offsets are read; the plans of all bins, made
 * beforehand, or room for one of each thread; a tile (bins, BLOCK) and perhaps a slab of each
 * thread; and x and y of each block of channels, region and bin, to be summed in one order. */
typedef struct {
  const geometry *g;
  const real *rois, *trans;
  int64_t rois_stride[2], trans_stride[4];
  int threads, made, slabs;
  size_t each; /* bytes of a plan */
  char *plans;
  real *tiles, *slab_room, *sums;
  /* Of the map: how far apart a cell's channels lie; its strides with that in place of its own. */
  int64_t apart, stride[4], pixels;
} workshop;

/* Checks what the functions have in common, and notes it. map is argument number `argument`. */
static geometry check(const THTensor *map, int argument, const THTensor *rois,
                      const THTensor *trans, double spatial_scale, int output_dim, int group_size,
                      int pooled_size, int part_size, int sample_per_part, double trans_std) {
  REQUIRE(map->nDimension == 4, argument, "the map must have 4 dimensions (N, C, H, W), got %s",
          THTensor_(sizeDesc)(map).str);
  REQUIRE(rois->nDimension == 2 && rois->size[1] == 5, 2,
          "rois must be (K, 5) with rows of batch index, x1, y1, x2, y2, got %s",
          THTensor_(sizeDesc)(rois).str);
  REQUIRE(spatial_scale > 0 && spatial_scale <= LARGEST_COORDINATE, 4,
          "spatial_scale must be a positive number, got %g", spatial_scale);
  REQUIRE(output_dim > 0 && group_size > 0 && pooled_size > 0 && part_size > 0, 5,
          "output_dim, group_size, pooled_size and part_size must be positive, got %d, %d, %d, %d",
          output_dim, group_size, pooled_size, part_size);
  REQUIRE(sample_per_part > 0 && sample_per_part <= LARGEST_SAMPLES, 9,
          "sample_per_part must be 1 to %d samples per bin and axis, got %d", LARGEST_SAMPLES,
          sample_per_part);
  REQUIRE(trans_std >= 0 && trans_std <= 1, 10, "trans_std must be a number of 0 to 1, got %g",
          trans_std);
  const int64_t cells = (int64_t)group_size * group_size;
  REQUIRE(map->size[1] % cells == 0 && map->size[1] / cells == output_dim, argument,
          "the map must have output_dim * group_size^2 = %d * %d^2 channels, got %s", output_dim,
          group_size, THTensor_(sizeDesc)(map).str);
  const int64_t count = rois->size[0];
  REQUIRE(!trans || (trans->nDimension == 4 && trans->size[0] == count && trans->size[1] > 0 &&
                     trans->size[1] % 2 == 0 && output_dim % (trans->size[1] / 2) == 0 &&
                     trans->size[2] == part_size && trans->size[3] == part_size),
          3,
          "trans must be NULL or (K, 2 * classes, part_size, part_size) = [%lld x 2 * classes x %d "
          "x %d] with classes that divide output_dim %d, got %s",
          (long long)count, part_size, part_size, output_dim, THTensor_(sizeDesc)(trans).str);
  REQUIRE(count == 0 || (map->size[2] > 0 && map->size[3] > 0), argument,
          "the map must have pixels to sample, got %s", THTensor_(sizeDesc)(map).str);
  check_rois(rois, map->size[0], (real)spatial_scale);

  geometry g = {.regions = count,
                .batch = map->size[0],
                .size = {map->size[2], map->size[3]},
                .output_dim = output_dim,
                .group = group_size,
                .pooled = pooled_size,
                .part = part_size,
                .samples = sample_per_part,
                .classes = trans ? trans->size[1] / 2 : 1,
                .spatial_scale = spatial_scale,
                .trans_std = trans_std,
                .bins = (int64_t)pooled_size * pooled_size,
                .cells = cells,
                .most = 2 * (int64_t)sample_per_part};
  g.class_channels = g.output_dim / g.classes;
  g.class_blocks = (g.class_channels + BLOCK - 1) / BLOCK;
  g.units = g.batch * g.classes * g.class_blocks * cells;
  return g;
}

static void check_grad_output(const THTensor *grad_output, const geometry *g) {
  const int64_t wanted[4] = {g->regions, g->output_dim, g->pooled, g->pooled};
  REQUIRE(grad_output->nDimension == 4 && !memcmp(grad_output->size, wanted, sizeof wanted), 1,
          "grad_output must be (K, output_dim, pooled_size, pooled_size) = [%lld x %lld x %lld x "
          "%lld], got %s",
          (long long)wanted[0], (long long)wanted[1], (long long)wanted[2], (long long)wanted[3],
          THTensor_(sizeDesc)(grad_output).str);
}

/* The pulls of a bin's samples at `at`, at + step ... on an axis; `growth` is what a sample moves
 * by for each 1 of trans. Returns their number, and sets *inside to that of the samples that count.
 */
static int64_t axis_pulls(real at, real step, int64_t samples, int64_t size, real growth,
                          pull *pulls, int64_t *inside) {
  int64_t count = 0;
  *inside = 0;
  for (int64_t i = 0; i < samples; i++) {
    real x = at + (real)i * step;
    if (!(x >= (real)-0.5 && x <= (real)size - (real)0.5)) continue; /* a NaN, too */
    ++*inside;
    if (x < 0) x = 0;
    int64_t low = (int64_t)x;
    real part = x - (real)low;
    if (low >= size - 1) {
      low = size - 1;
      part = 0;
    }
    const real weights[2] = {1 - part, part}, slopes[2] = {-growth, growth};
    for (int side = 0; side < 2; side++) {
      if (weights[side] == 0) continue;
      /* samples follow each other along the axis, so an equal pixel is one of the last two */
      int64_t to = count;
      while (to > 0 && count - to < 2 && pulls[to - 1].pixel != low + side) to--;
      if (to == 0 || pulls[to - 1].pixel != low + side) {
        to = ++count;
        pulls[to - 1] = (pull){low + side, 0, 0};
      }
      pulls[to - 1].weight += weights[side];
      if (part > 0) pulls[to - 1].slope += slopes[side];
    }
  }
  return count;
}

/* The plan of bin (y, x) of region k for a class. */
static void make_plan(const workshop *w, int64_t k, int64_t class_number, int64_t y, int64_t x,
                      plan *p) {
  const geometry *g = w->g;
  const real *roi = w->rois + k * w->rois_stride[0], scale = (real)g->spatial_scale;
  const int64_t bin[2] = {y, x}, *ts = w->trans_stride;
  const int64_t part_y = y * g->part / g->pooled, part_x = x * g->part / g->pooled;
  int64_t inside[2];
  for (int axis = 0; axis < 2; axis++) {
    const real low = (real)round((double)roi[(2 - axis) * w->rois_stride[1]]); /* y1, x1 */
    const real high = (real)round((double)roi[(4 - axis) * w->rois_stride[1]]);
    const real first = low * scale - (real)0.5, last = (high + 1) * scale - (real)0.5;
    const real extent = last - first > (real)0.1 ? last - first : (real)0.1;
    const real length = extent / (real)g->pooled;
    const real growth = (real)g->trans_std * extent;
    real at = (real)bin[axis] * length + first;
    if (w->trans) /* x comes first there */
      at += w->trans[k * ts[0] + (2 * class_number + 1 - axis) * ts[1] + part_y * ts[2] +
                     part_x * ts[3]] *
            growth;
    p->counts[axis] = axis_pulls(at, length / (real)g->samples, g->samples, g->size[axis], growth,
                                 p->pulls + axis * g->most, &inside[axis]);
  }
  p->samples = (real)(inside[0] * inside[1]);
  if (p->samples == 0) p->counts[0] = p->counts[1] = 0;
  for (int64_t i = 0; i < p->counts[0]; i++) {
    p->pulls[i].weight /= p->samples;
    p->pulls[i].slope /= p->samples;
  }
}

/* The room for a call's work. Plans of all bins are made where they are used more than once and may
 * take the room; maps whose channels of a cell do not lie side by side are copied to slabs where
 * that pays. end_work frees it. */
static workshop begin_work(const geometry *g, const THTensor *map, const THTensor *rois,
                           const THTensor *trans, int threads, int64_t sums) {
  workshop w = {.g = g,
                .rois = THTensor_(data)(rois),
                .trans = trans ? THTensor_(data)(trans) : NULL,
                .threads = threads,
                .apart = map->stride[1] * g->cells,
                .pixels = g->size[0] * g->size[1]};
  for (int i = 0; i < 2; i++) w.rois_stride[i] = rois->stride[i];
  for (int i = 0; i < 4; i++) {
    w.trans_stride[i] = trans ? trans->stride[i] : 0;
    w.stride[i] = i == 1 ? w.apart : map->stride[i];
  }
  const int64_t images = g->regions < g->batch ? g->regions : g->batch;
  w.slabs = w.apart != 1 && g->class_channels >= BLOCK / 2 &&
            g->regions * g->bins * SLAB_GAIN > images * w.pixels * g->cells;
  const size_t slab = w.slabs ? (size_t)(w.pixels * BLOCK) : 0, tile = (size_t)(g->bins * BLOCK);
  w.each = sizeof(plan) + 2 * (size_t)g->most * sizeof(pull);
  const int64_t all = g->regions * g->classes * g->bins;
  w.made = g->class_blocks > 1 && all <= LARGEST_PLANS / (int64_t)w.each;
  const size_t reals = (size_t)threads * (slab + tile) + (size_t)sums;
  w.tiles = THAlloc((ptrdiff_t)(reals * sizeof(real) + w.each * (size_t)(w.made ? all : threads)));
  w.slab_room = w.tiles + (size_t)threads * tile;
  w.sums = w.slab_room + (size_t)threads * slab;
  w.plans = (char *)(w.tiles + reals);
  if (!w.made) return w;
#pragma omp parallel for num_threads(threads)
  for (int64_t i = 0; i < all; i++) {
    const int64_t bin = i % g->bins, class_number = i / g->bins % g->classes;
    make_plan(&w, i / g->bins / g->classes, class_number, bin / g->pooled, bin % g->pooled,
              (plan *)(w.plans + (size_t)i * w.each));
  }
  return w;
}

static void end_work(const workshop *w) { THFree(w->tiles); /* and all that lies behind them */ }

static inline real *tile_of(const workshop *w) { return w->tiles + THREAD * w->g->bins * BLOCK; }
static inline real *slab_of(const workshop *w) {
  return w->slabs ? w->slab_room + THREAD * w->pixels * BLOCK : NULL;
}

static const plan *plan_of(const workshop *w, int64_t k, int64_t class_number, int64_t y,
                           int64_t x) {
  const geometry *g = w->g;
  const int64_t number = (k * g->classes + class_number) * g->bins + y * g->pooled + x;
  plan *p = (plan *)(w->plans + (size_t)(w->made ? number : THREAD) * w->each);
  if (!w->made) make_plan(w, k, class_number, y, x, p);
  return p;
}

static inline int64_t image_of(const workshop *w, int64_t k) {
  return (int64_t)w->rois[k * w->rois_stride[0]];
}

/* out[c] = the bin, for the BLOCK channels that are neighbours at map. */
KERNEL_CLONES_FMA
static void pool_vectors(const real *map, int64_t row_stride, int64_t column_stride, const plan *p,
                         int64_t most, real *out) {
  vector sum = {0};
  for (int64_t i = 0; i < p->counts[0]; i++) {
    const real *row = map + p->pulls[i].pixel * row_stride;
    vector line = {0};
    for (const pull *x = p->pulls + most; x < p->pulls + most + p->counts[1]; x++)
      line += x->weight * *(const vector *)(row + x->pixel * column_stride);
    sum += p->pulls[i].weight * line;
  }
  *(vector *)out = sum;
}

/* The same for n channels that lie anywhere. */
static void pool_strided(const real *map, const int64_t *stride, int64_t n, const plan *p,
                         int64_t most, real *out) {
  for (int64_t c = 0; c < n; c++) {
    real sum = 0;
    for (int64_t i = 0; i < p->counts[0]; i++) {
      const real *row = map + c * stride[1] + p->pulls[i].pixel * stride[2];
      real line = 0;
      for (const pull *x = p->pulls + most; x < p->pulls + most + p->counts[1]; x++)
        line += x->weight * row[x->pixel * stride[3]];
      sum += p->pulls[i].weight * line;
    }
    out[c] = sum;
  }
}

/* The adjoint of pool_vectors: shares go to the pixels that they were taken from. */
KERNEL_CLONES_FMA
static void spread_vectors(real *map, int64_t row_stride, int64_t column_stride, const plan *p,
                           int64_t most, const real *shares) {
  const vector share = *(const vector *)shares;
  for (int64_t i = 0; i < p->counts[0]; i++) {
    real *row = map + p->pulls[i].pixel * row_stride;
    const vector line = p->pulls[i].weight * share;
    for (const pull *x = p->pulls + most; x < p->pulls + most + p->counts[1]; x++)
      *(vector *)(row + x->pixel * column_stride) += x->weight * line;
  }
}

static void spread_strided(real *map, const int64_t *stride, int64_t n, const plan *p, int64_t most,
                           const real *shares) {
  for (int64_t c = 0; c < n; c++)
    for (int64_t i = 0; i < p->counts[0]; i++) {
      real *row = map + c * stride[1] + p->pulls[i].pixel * stride[2];
      const real line = p->pulls[i].weight * shares[c];
      for (const pull *x = p->pulls + most; x < p->pulls + most + p->counts[1]; x++)
        row[x->pixel * stride[3]] += x->weight * line;
    }
}

/* sums[0], sums[1] = shares times how fast the bin grows with trans's x and y, summed over the
 * BLOCK channels that are neighbours at map. */
KERNEL_CLONES_FMA
static void slope_vectors(const real *map, int64_t row_stride, int64_t column_stride, const plan *p,
                          int64_t most, const real *shares, real *sums) {
  vector by_x = {0}, by_y = {0};
  for (int64_t i = 0; i < p->counts[0]; i++) {
    const real *row = map + p->pulls[i].pixel * row_stride;
    vector line = {0}, slope = {0};
    for (const pull *x = p->pulls + most; x < p->pulls + most + p->counts[1]; x++) {
      const vector v = *(const vector *)(row + x->pixel * column_stride);
      line += x->weight * v;
      slope += x->slope * v;
    }
    by_x += p->pulls[i].weight * slope;
    by_y += p->pulls[i].slope * line;
  }
  by_x *= *(const vector *)shares;
  by_y *= *(const vector *)shares;
  sums[0] = sums[1] = 0;
  for (int64_t c = 0; c < BLOCK; c++) {
    sums[0] += by_x[c];
    sums[1] += by_y[c];
  }
}

static void slope_strided(const real *map, const int64_t *stride, int64_t n, const plan *p,
                          int64_t most, const real *shares, real *sums) {
  sums[0] = sums[1] = 0;
  for (int64_t c = 0; c < n; c++) {
    real by_x = 0, by_y = 0;
    for (int64_t i = 0; i < p->counts[0]; i++) {
      const real *row = map + c * stride[1] + p->pulls[i].pixel * stride[2];
      real line = 0, slope = 0;
      for (const pull *x = p->pulls + most; x < p->pulls + most + p->counts[1]; x++) {
        line += x->weight * row[x->pixel * stride[3]];
        slope += x->slope * row[x->pixel * stride[3]];
      }
      by_x += p->pulls[i].weight * slope;
      by_y += p->pulls[i].slope * line;
    }
    sums[0] += by_x * shares[c];
    sums[1] += by_y * shares[c];
  }
}

void deform_psroi_forward(const THTensor *input, const THTensor *rois, const THTensor *trans,
                          double spatial_scale, int output_dim, int group_size, int pooled_size,
                          int part_size, int sample_per_part, double trans_std, THTensor *output,
                          THTensor *top_count) {
  const geometry g = check(input, 1, rois, trans, spatial_scale, output_dim, group_size,
                           pooled_size, part_size, sample_per_part, trans_std);
  const int64_t wanted[4] = {g.regions, g.output_dim, g.pooled, g.pooled};
  RESIZE_IF_NEEDED(THTensor, output, 11, 4, wanted, input, rois, trans);
  if (top_count) RESIZE_IF_NEEDED(THTensor, top_count, 12, 4, wanted, input, rois, trans);
  if (g.regions == 0) return;

  const real *map = THTensor_(data)(input);
  real *out = THTensor_(data)(output), *counts = top_count ? THTensor_(data)(top_count) : NULL;
  const int64_t *stride = input->stride, *os = output->stride;
  const int64_t *ns = top_count ? top_count->stride : os;
  const int threads = g.regions * g.output_dim * g.bins > 1024 ? MAX_THREADS : 1;
  /* Threads that have no unit of their own share the regions of one. */
  const int64_t parts = (threads + g.units - 1) / g.units;
  const workshop w = begin_work(&g, input, rois, trans, threads, 0);
#pragma omp parallel for num_threads(threads) collapse(2) schedule(dynamic)
  for (int64_t number = 0; number < g.units; number++)
    for (int64_t part = 0; part < parts; part++) {
      const unit u = unit_at(&g, number, BLOCK);
      const real *from = map + u.image * stride[0] + u.map_channel * stride[1];
      real *tile = tile_of(&w), *slab = slab_of(&w);
      int filled = 0;
      if (u.size[2] == 0 || u.size[3] == 0) continue;
      for (int64_t k = g.regions * part / parts; k < g.regions * (part + 1) / parts; k++) {
        if (image_of(&w, k) != u.image) continue;
        if (w.slabs && !filled) gather_slab(from, w.stride, g.size[0], g.size[1], u.n, slab);
        filled = 1;
        real *values = tile;
        FOR_BINS(u, y, x) {
          const plan *p = plan_of(&w, k, u.class_number, y, x);
          if (w.slabs)
            pool_vectors(slab, g.size[1] * BLOCK, BLOCK, p, g.most, values);
          else if (w.apart == 1 && u.n == BLOCK)
            pool_vectors(from, stride[2], stride[3], p, g.most, values);
          else
            pool_strided(from, w.stride, u.n, p, g.most, values);
          values += BLOCK;
          for (int64_t c = 0; counts && c < u.n; c++)
            counts[k * ns[0] + (u.channel + c) * ns[1] + y * ns[2] + x * ns[3]] = p->samples;
        }
        scatter_slab(tile, out + bins_at(os, k, &u), os, u.size, u.n);
      }
    }
  end_work(&w);
}

void deform_psroi_input_backward(const THTensor *grad_output, const THTensor *rois,
                                 const THTensor *trans, double spatial_scale, int output_dim,
                                 int group_size, int pooled_size, int part_size,
                                 int sample_per_part, double trans_std, THTensor *grad_input) {
  const geometry g = check(grad_input, 11, rois, trans, spatial_scale, output_dim, group_size,
                           pooled_size, part_size, sample_per_part, trans_std);
  check_grad_output(grad_output, &g);
  if (THTensor_(nElement)(grad_input) == 0) return;

  const real *grad = THTensor_(data)(grad_output);
  real *map = THTensor_(data)(grad_input);
  const int64_t *stride = grad_input->stride, *gs = grad_output->stride;
  const int threads =
      g.regions * g.output_dim * g.bins + g.batch * grad_input->size[1] * g.size[0] * g.size[1] >
              PARALLEL_ELEMENTS
          ? MAX_THREADS
          : 1;
  const workshop w = begin_work(&g, grad_input, rois, trans, threads, 0);
  if (!w.slabs) THTensor_(zero)(grad_input);
  /* Regions overlap, units do not: no sum depends on the number of threads. */
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t number = 0; number < g.units; number++) {
    const unit u = unit_at(&g, number, BLOCK);
    real *to = map + u.image * stride[0] + u.map_channel * stride[1];
    real *tile = tile_of(&w), *slab = slab_of(&w);
    if (w.slabs) memset(slab, 0, (size_t)(w.pixels * BLOCK) * sizeof(real));
    for (int64_t k = 0; k < g.regions; k++) {
      if (image_of(&w, k) != u.image) continue;
      const real *shares = tile;
      gather_slab(grad + bins_at(gs, k, &u), gs, u.size[2], u.size[3], u.n, tile);
      FOR_BINS(u, y, x) {
        const plan *p = plan_of(&w, k, u.class_number, y, x);
        if (w.slabs)
          spread_vectors(slab, g.size[1] * BLOCK, BLOCK, p, g.most, shares);
        else if (w.apart == 1 && u.n == BLOCK)
          spread_vectors(to, stride[2], stride[3], p, g.most, shares);
        else
          spread_strided(to, w.stride, u.n, p, g.most, shares);
        shares += BLOCK;
      }
    }
    if (w.slabs) scatter_slab(slab, to, w.stride, grad_input->size, u.n);
  }
  end_work(&w);
}

void deform_psroi_trans_backward(const THTensor *grad_output, const THTensor *rois,
                                 const THTensor *trans, double spatial_scale, int output_dim,
                                 int group_size, int pooled_size, int part_size,
                                 int sample_per_part, double trans_std, const THTensor *input,
                                 THTensor *grad_trans) {
  REQUIRE(trans, 3, "trans must not be NULL, got NULL");
  const geometry g = check(input, 11, rois, trans, spatial_scale, output_dim, group_size,
                           pooled_size, part_size, sample_per_part, trans_std);
  check_grad_output(grad_output, &g);
  REQUIRE(THTensor_(isSameSizeAs)(grad_trans, trans), 12,
          "grad_trans must have trans's shape %s, got %s", THTensor_(sizeDesc)(trans).str,
          THTensor_(sizeDesc)(grad_trans).str);
  if (g.regions == 0) return;

  const real *grad = THTensor_(data)(grad_output), *map = THTensor_(data)(input);
  real *to = THTensor_(data)(grad_trans);
  const int64_t *stride = input->stride, *gs = grad_output->stride, *ts = grad_trans->stride;
  const int64_t blocks = g.classes * g.class_blocks;
  const int threads = g.regions * g.output_dim * g.bins > 1024 ? MAX_THREADS : 1;
  const int64_t parts = (threads + g.units - 1) / g.units;
  const workshop w = begin_work(&g, input, rois, trans, threads, blocks * g.regions * g.bins * 2);
#pragma omp parallel for num_threads(threads) collapse(2) schedule(dynamic)
  for (int64_t number = 0; number < g.units; number++)
    for (int64_t part = 0; part < parts; part++) {
      const unit u = unit_at(&g, number, BLOCK);
      const real *from = map + u.image * stride[0] + u.map_channel * stride[1];
      real *tile = tile_of(&w), *slab = slab_of(&w);
      int filled = 0;
      if (u.size[2] == 0 || u.size[3] == 0) continue;
      for (int64_t k = g.regions * part / parts; k < g.regions * (part + 1) / parts; k++) {
        if (image_of(&w, k) != u.image) continue;
        if (w.slabs && !filled) gather_slab(from, w.stride, g.size[0], g.size[1], u.n, slab);
        filled = 1;
        const real *shares = tile;
        gather_slab(grad + bins_at(gs, k, &u), gs, u.size[2], u.size[3], u.n, tile);
        FOR_BINS(u, y, x) {
          real *sum = w.sums + ((u.block * g.regions + k) * g.bins + y * g.pooled + x) * 2;
          const plan *p = plan_of(&w, k, u.class_number, y, x);
          if (w.slabs)
            slope_vectors(slab, g.size[1] * BLOCK, BLOCK, p, g.most, shares, sum);
          else if (w.apart == 1 && u.n == BLOCK)
            slope_vectors(from, stride[2], stride[3], p, g.most, shares, sum);
          else
            slope_strided(from, w.stride, u.n, p, g.most, shares, sum);
          shares += BLOCK;
        }
      }
    }
  THTensor_(zero)(grad_trans);
#pragma omp parallel for num_threads(threads)
  for (int64_t k = 0; k < g.regions; k++)
    for (int64_t block = 0; block < blocks; block++)
      for (int64_t bin = 0; bin < g.bins; bin++) {
        const real *sum = w.sums + ((block * g.regions + k) * g.bins + bin) * 2;
        const int64_t part_y = bin / g.pooled * g.part / g.pooled;
        const int64_t part_x = bin % g.pooled * g.part / g.pooled;
        real *at =
            to + k * ts[0] + 2 * (block / g.class_blocks) * ts[1] + part_y * ts[2] + part_x * ts[3];
        at[0] += sum[0];
        at[ts[1]] += sum[1];
      }
  end_work(&w);
}

#endif
