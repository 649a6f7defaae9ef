/* Samples of deformable convolutions, and their gradients. The file includes itself once per
 * precision. */
#ifndef TH_GENERIC_FILE

#include "deform_conv.h"

#include <math.h>

#include "kernels.h"

/* Samples are computed some before they are used: what was just written in parts is slow to read as
 * a vector. */
#define AHEAD 16

/* The geometry of the convolution, and how channels are divided. */
typedef struct {
  int64_t kernel[2], stride[2], pad[2], dilation[2], taps;
  int64_t size[2];     /* of the input */
  int64_t out_size[2]; /* of offset and mask */
  int64_t channels, deformable_groups, deformable_channels, group_channels;
  int64_t first, positions;
} geometry;

/* n channels from c on that have one deformable group and one group of columns, in which they are
 * the channels from `inside` on. */
typedef struct {
  int64_t c, n, group, inside;
} run;

static inline run run_from(const geometry *g, int64_t d, int64_t c, int64_t group, int64_t inside) {
  const int64_t left = (d + 1) * g->deformable_channels - c, room = g->group_channels - inside;
  return (run){c, left < room ? left : room, group, inside};
}

/* The first run of deformable group d; the next one, of which n is 0 behind the last. */
static inline run first_run(const geometry *g, int64_t d) {
  const int64_t c = d * g->deformable_channels;
  if (g->group_channels == g->channels) return run_from(g, d, c, 0, c); /* divisions cost time */
  return run_from(g, d, c, c / g->group_channels, c % g->group_channels);
}
static inline run next_run(const geometry *g, int64_t d, run r) {
  const int ends = r.inside + r.n == g->group_channels;
  return run_from(g, d, r.c + r.n, r.group + ends, ends ? 0 : r.inside + r.n);
}
#define FOR_RUNS(g, d, r) for (run r = first_run(&(g), d); r.n; r = next_run(&(g), d, r))

/* Runs through the deformable groups, and in each through its taps begin..end-1, AHEAD at a time.
 */
#define FOR_FIELDS(g, d, begin, end)                                                         \
  for (int64_t d = 0; d < (g).deformable_groups; d++)                                        \
    for (int64_t begin = 0, end;                                                             \
         begin < (g).taps && (end = begin + AHEAD < (g).taps ? begin + AHEAD : (g).taps, 1); \
         begin = end)

#define TH_GENERIC_FILE "deform_conv.c"
#include <TH/THGenerateFloatTypes.h>

#else

#define deform_columns TH_CONCAT_2(deform_columns_, real)
#define deform_input_backward TH_CONCAT_2(deform_input_backward_, real)
#define deform_offset_backward TH_CONCAT_2(deform_offset_backward_, real)
#define fields TH_CONCAT_2(deform_fields_, real)
#define sample TH_CONCAT_2(deform_sample_, real)
#define counts TH_CONCAT_2(deform_counts_, real)
#define below TH_CONCAT_2(deform_below_, real)
#define sample_at TH_CONCAT_2(deform_sample_at_, real)
#define check TH_CONCAT_2(deform_check_, real)
#define gather TH_CONCAT_2(deform_gather_, real)
#define scatter TH_CONCAT_2(deform_scatter_, real)
#define products TH_CONCAT_2(deform_products_, real)

/* Where offsets and masks are read; mask may be NULL. */
typedef struct {
  const real *offset, *mask;
  int64_t offset_stride[3], mask_stride[3];
} fields;

/* One sample: up to four pixels of the map with their weights, and those weights' derivatives by y
 * and x. Corners that lie outside are left out. */
typedef struct {
  int corners;
  int64_t pixel[4]; /* offset in memory */
  real weight[4], by_y[4], by_x[4];
  real factor; /* the mask */
} sample;

/* Whether a coordinate is less than a pixel outside of an axis. With rim, one pixel before it does:
 * such a sample is 0, but not when it is moved on, as all derivatives here are of a move to larger
 * coordinates. */
static inline int counts(real at, int64_t size, int rim) {
  return (at > -1 || (rim && at == -1)) && at < (real)size;
}

/* The pixel at or before a coordinate of at least -1. */
static inline int64_t below(real at) { return at < 0 ? -1 : (int64_t)at; }

/* The sample of tap t of deformable group d at output (y, x), without corners that lie outside of
 * columns left..right-1; rim: see `counts`. */
static inline void sample_at(const geometry *g, const fields *f, const int64_t *stride, int64_t d,
                             int64_t t, int64_t y, int64_t x, int64_t left, int64_t right, int rim,
                             sample *s) {
  const int64_t field = d * g->taps + t, *os = f->offset_stride;
  const real *offset = f->offset + 2 * field * os[0] + y * os[1] + x * os[2];
  const int64_t row = t / g->kernel[1], column = t % g->kernel[1];
  const real at_x = (real)(x * g->stride[1] - g->pad[1] + column * g->dilation[1]) + offset[os[0]];
  s->corners = 0;
  s->factor =
      f->mask ? f->mask[field * f->mask_stride[0] + y * f->mask_stride[1] + x * f->mask_stride[2]]
              : 1;
  /* a NaN fails all comparisons */
  if (!(counts(at_x, right, rim) && at_x >= (real)(left - 1))) return;
  const real at_y = (real)(y * g->stride[0] - g->pad[0] + row * g->dilation[0]) + offset[0];
  if (!counts(at_y, g->size[0], rim)) return;
  const int64_t low_y = below(at_y), low_x = below(at_x);
  const real ly = at_y - (real)low_y, lx = at_x - (real)low_x, hy = 1 - ly, hx = 1 - lx;
  int c = 0;
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++) {
      const int64_t py = low_y + i, px = low_x + j;
      if (py < 0 || py >= g->size[0] || px < left || px >= right) continue;
      s->pixel[c] = py * stride[1] + px * stride[2];
      s->weight[c] = (i ? ly : hy) * (j ? lx : hx);
      s->by_y[c] = (i ? 1 : -1) * (j ? lx : hx);
      s->by_x[c++] = (j ? 1 : -1) * (i ? ly : hy);
    }
  s->corners = c;
}

/* Checks what the functions have in common, and notes it. columns is argument number `argument`. */
static geometry check(const THTensor *columns, int argument, const THTensor *map, int map_argument,
                      const THTensor *offset, const THTensor *mask, const int *kernel,
                      const int *stride, const int *pad, const int *dilation, int64_t first,
                      fields *f) {
  geometry g;
  REQUIRE(map->nDimension == 3 && map->size[1] > 0 && map->size[2] > 0, map_argument,
          "the image must be (C, H, W) and have pixels, got %s", THTensor_(sizeDesc)(map).str);
  for (int axis = 0; axis < 2; axis++) {
    REQUIRE(
        kernel[axis] > 0 && stride[axis] > 0 && dilation[axis] > 0 && pad[axis] >= 0,
        argument == 1 ? 4 : 5,
        "kernel, stride and dilation must be positive, padding not negative, got %d, %d, %d, %d",
        kernel[axis], stride[axis], dilation[axis], pad[axis]);
    g.kernel[axis] = kernel[axis];
    g.stride[axis] = stride[axis];
    g.pad[axis] = pad[axis];
    g.dilation[axis] = dilation[axis];
    g.size[axis] = map->size[1 + axis];
  }
  const int64_t taps = g.taps = g.kernel[0] * g.kernel[1];
  g.channels = map->size[0];
  REQUIRE(offset->nDimension == 3 && offset->size[0] % (2 * taps) == 0 && offset->size[0] > 0 &&
              g.channels % (offset->size[0] / (2 * taps)) == 0,
          2, "offset must be (2 * deformable groups * %lld, H', W') for %lld channels, got %s",
          (long long)taps, (long long)g.channels, THTensor_(sizeDesc)(offset).str);
  g.deformable_groups = offset->size[0] / (2 * taps);
  g.deformable_channels = g.channels / g.deformable_groups;
  for (int axis = 0; axis < 2; axis++) g.out_size[axis] = offset->size[1 + axis];
  REQUIRE(!mask || (mask->nDimension == 3 && 2 * mask->size[0] == offset->size[0] &&
                    mask->size[1] == offset->size[1] && mask->size[2] == offset->size[2]),
          3, "mask must be NULL or have half of offset's planes %s, got %s",
          THTensor_(sizeDesc)(offset).str, THTensor_(sizeDesc)(mask).str);
  REQUIRE(columns->nDimension == 3 && columns->size[0] > 0 && g.channels % columns->size[0] == 0 &&
              columns->stride[2] == 1 && columns->size[2] == taps * (g.channels / columns->size[0]),
          argument, "columns must be (groups, positions, %lld * channels of a group), got %s",
          (long long)taps, THTensor_(sizeDesc)(columns).str);
  g.group_channels = g.channels / columns->size[0];
  g.first = first;
  g.positions = columns->size[1];
  REQUIRE(first >= 0 && first <= g.out_size[0] * g.out_size[1] - g.positions, argument,
          "%lld positions from %lld on do not lie within offset %s", (long long)g.positions,
          (long long)first, THTensor_(sizeDesc)(offset).str);
  f->offset = THTensor_(data)(offset);
  f->mask = mask ? THTensor_(data)(mask) : NULL;
  for (int i = 0; i < 3; i++) {
    f->offset_stride[i] = offset->stride[i];
    f->mask_stride[i] = mask ? mask->stride[i] : 0;
  }
  return g;
}

/* to[c] = the sample in channel c of the map, for n channels that lie `apart` in memory. */
KERNEL_CLONES_FMA
static void gather(const sample *s, const real *map, int64_t apart, int64_t n, real *restrict to) {
  real w[4];
  const real *v[4];
  for (int i = 0; i < s->corners; i++) {
    w[i] = s->weight[i] * s->factor;
    v[i] = map + s->pixel[i];
  }
  if (apart == 1 && s->corners == 4) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
      to[c] = w[0] * v[0][c] + w[1] * v[1][c] + w[2] * v[2][c] + w[3] * v[3][c];
    return;
  }
  for (int64_t c = 0; c < n; c++) to[c] = 0;
  for (int i = 0; i < s->corners; i++)
    for (int64_t c = 0; c < n; c++) to[c] += w[i] * v[i][c * apart];
}

/* The adjoint of gather: g[c] is added to the pixels it came from. */
KERNEL_CLONES_FMA
static void scatter(const sample *s, const real *restrict g, int64_t n, real *map, int64_t apart) {
  for (int i = 0; i < s->corners; i++) {
    const real w = s->weight[i] * s->factor;
    real *v = map + s->pixel[i];
    if (apart == 1) {
#pragma omp simd
      for (int64_t c = 0; c < n; c++) v[c] += w * g[c];
    } else {
      for (int64_t c = 0; c < n; c++) v[c * apart] += w * g[c];
    }
  }
}

/* sums[i] += the sum over n channels of g times corner i. */
KERNEL_CLONES_FMA
static void products(const sample *s, const real *g, const real *map, int64_t apart, int64_t n,
                     real *sums) {
  for (int i = 0; i < s->corners; i++) {
    const real *v = map + s->pixel[i];
    real sum = 0;
    if (apart == 1) {
#pragma omp simd reduction(+ : sum)
      for (int64_t c = 0; c < n; c++) sum += g[c] * v[c];
    } else {
      for (int64_t c = 0; c < n; c++) sum += g[c] * v[c * apart];
    }
    sums[i] += sum;
  }
}

void deform_columns(const THTensor *input, const THTensor *offset, const THTensor *mask, int kh,
                    int kw, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h,
                    int dilation_w, int64_t first, THTensor *columns) {
  fields f;
  const geometry g =
      check(columns, 13, input, 1, offset, mask, (int[]){kh, kw}, (int[]){stride_h, stride_w},
            (int[]){pad_h, pad_w}, (int[]){dilation_h, dilation_w}, first, &f);
  const real *map = THTensor_(data)(input);
  real *out = THTensor_(data)(columns);
  const int64_t *stride = input->stride, *cs = columns->stride;
#pragma omp parallel for if (g.positions * g.taps * g.channels > PARALLEL_ELEMENTS)
  for (int64_t p = 0; p < g.positions; p++) {
    const int64_t y = (first + p) / g.out_size[1], x = (first + p) % g.out_size[1];
    sample samples[AHEAD];
    FOR_FIELDS(g, d, begin, end) {
      for (int64_t t = begin; t < end; t++)
        sample_at(&g, &f, stride, d, t, y, x, 0, g.size[1], 0, &samples[t - begin]);
      for (int64_t t = begin; t < end; t++) {
        FOR_RUNS(g, d, r) {
          gather(&samples[t - begin], map + r.c * stride[0], stride[0], r.n,
                 out + r.group * cs[0] + p * cs[1] + t * g.group_channels + r.inside);
        }
      }
    }
  }
}

void deform_input_backward(const THTensor *grad_columns, const THTensor *offset,
                           const THTensor *mask, int kh, int kw, int stride_h, int stride_w,
                           int pad_h, int pad_w, int dilation_h, int dilation_w, int64_t first,
                           THTensor *grad_input) {
  fields f;
  const geometry g = check(grad_columns, 1, grad_input, 13, offset, mask, (int[]){kh, kw},
                           (int[]){stride_h, stride_w}, (int[]){pad_h, pad_w},
                           (int[]){dilation_h, dilation_w}, first, &f);
  const real *grad = THTensor_(data)(grad_columns);
  real *map = THTensor_(data)(grad_input);
  const int64_t *stride = grad_input->stride, *cs = grad_columns->stride;
  /* Samples overlap, columns of the map do not: each thread has some that lie side by side, and so
   * most samples to itself. No sum depends on how many threads there are. */
#pragma omp parallel if (g.positions * g.taps * g.channels > PARALLEL_ELEMENTS)
  {
    const int64_t left = g.size[1] * THREAD / THREADS, right = g.size[1] * (THREAD + 1) / THREADS;
    for (int64_t p = 0; p < g.positions; p++) {
      const int64_t y = (first + p) / g.out_size[1], x = (first + p) % g.out_size[1];
      sample samples[AHEAD];
      FOR_FIELDS(g, d, begin, end) {
        for (int64_t t = begin; t < end; t++)
          sample_at(&g, &f, stride, d, t, y, x, left, right, 0, &samples[t - begin]);
        for (int64_t t = begin; t < end; t++) {
          if (samples[t - begin].corners == 0) continue;
          FOR_RUNS(g, d, r) {
            scatter(&samples[t - begin],
                    grad + r.group * cs[0] + p * cs[1] + t * g.group_channels + r.inside, r.n,
                    map + r.c * stride[0], stride[0]);
          }
        }
      }
    }
  }
}

void deform_offset_backward(const THTensor *grad_columns, const THTensor *input,
                            const THTensor *offset, const THTensor *mask, int kh, int kw,
                            int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h,
                            int dilation_w, int64_t first, THTensor *grad_offset,
                            THTensor *grad_mask) {
  fields f;
  const geometry g =
      check(grad_columns, 1, input, 2, offset, mask, (int[]){kh, kw}, (int[]){stride_h, stride_w},
            (int[]){pad_h, pad_w}, (int[]){dilation_h, dilation_w}, first, &f);
  REQUIRE(THTensor_(isSameSizeAs)(grad_offset, offset), 14,
          "grad_offset must have offset's shape %s, got %s", THTensor_(sizeDesc)(offset).str,
          THTensor_(sizeDesc)(grad_offset).str);
  REQUIRE(!grad_mask || (mask && THTensor_(isSameSizeAs)(grad_mask, mask)), 15,
          "grad_mask must be NULL or have mask's shape, got %s",
          THTensor_(sizeDesc)(grad_mask).str);
  const real *grad = THTensor_(data)(grad_columns), *map = THTensor_(data)(input);
  real *to = THTensor_(data)(grad_offset), *to_mask = grad_mask ? THTensor_(data)(grad_mask) : NULL;
  const int64_t *stride = input->stride, *cs = grad_columns->stride, *os = grad_offset->stride;
#pragma omp parallel for if (g.positions * g.taps * g.channels > PARALLEL_ELEMENTS)
  for (int64_t p = 0; p < g.positions; p++) {
    const int64_t y = (first + p) / g.out_size[1], x = (first + p) % g.out_size[1];
    sample samples[AHEAD];
    FOR_FIELDS(g, d, begin, end) {
      for (int64_t t = begin; t < end; t++)
        sample_at(&g, &f, stride, d, t, y, x, 0, g.size[1], 1, &samples[t - begin]);
      for (int64_t t = begin; t < end; t++) {
        const sample *s = &samples[t - begin];
        real sums[4] = {0}, by_y = 0, by_x = 0, value = 0;
        FOR_RUNS(g, d, r) {
          products(s, grad + r.group * cs[0] + p * cs[1] + t * g.group_channels + r.inside,
                   map + r.c * stride[0], stride[0], r.n, sums);
        }
        for (int i = 0; i < s->corners; i++) {
          by_y += s->by_y[i] * sums[i];
          by_x += s->by_x[i] * sums[i];
          value += s->weight[i] * sums[i];
        }
        const int64_t field = d * g.taps + t;
        real *at = to + 2 * field * os[0] + y * os[1] + x * os[2];
        at[0] = by_y * s->factor;
        at[os[0]] = by_x * s->factor;
        if (to_mask)
          to_mask[field * grad_mask->stride[0] + y * grad_mask->stride[1] +
                  x * grad_mask->stride[2]] = value;
      }
    }
  }
}

#endif
