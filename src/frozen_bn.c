/* Frozen batch norm (+ residual) (+ ReLU), forward and backward. The file includes itself once per
 * precision; TH's type of 16 bits, short, stands for the bits of bfloat16. */
#ifndef TH_GENERIC_FILE

#include <ffi_ext.h>

#include "frozen_bn.h"
#include "kernels.h"

/* How to walk over (N, C, H, W) tensors of any strides: as rows with one channel each, or as pixels
 * of C channels. */
typedef struct {
  int pixels; /* all tensors are channels_last: a row is the C channels of one pixel */
  int unit;   /* neighbours in a row are neighbours in memory, in all tensors */
  int64_t
      rows; /* rows of one (n, c): 1 if H and W merge in all tensors, else H; unused for pixels */
  int64_t length; /* elements of a row */
} walk;

static walk plan_walk(const int64_t *size, const int64_t *const *strides, int count) {
  const int64_t channels = size[1], height = size[2], width = size[3];
  int last = 1, merged = 1, unit = 1;
  for (int i = 0; i < count; i++) {
    const int64_t *s = strides[i];
    last &= s[1] == 1;
    merged &= (height == 1 || s[2] == width) && (width == 1 || s[3] == 1);
    unit &= width == 1 || s[3] == 1;
  }
  walk w = {0, unit, height, width};
  if (merged) w = (walk){0, 1, 1, height * width};
  if (last && (!merged || channels > height * width)) w = (walk){1, 1, 0, channels};
  return w;
}

#define TH_GENERIC_FILE "frozen_bn.c"
#include <TH/THGenerateFloatTypes.h>
#define TH_GENERIC_FILE "frozen_bn.c"
#include <TH/THGenerateShortType.h>

#else

#ifdef TH_REAL_IS_SHORT
#define PRECISION bfloat16
#define number float /* that is computed in, and that scale and bias have */
#define LOAD(x) ffi_ext_from_bfloat16((uint16_t)(x))
#define STORE(v) (real) ffi_ext_to_bfloat16(v)
#define THValues THFloatTensor
#define THValues_(NAME) TH_CONCAT_2(THFloatTensor_, NAME)
#else
#define PRECISION real
#define number real
#define LOAD(x) (x)
#define STORE(v) (v)
#define THValues THTensor
#define THValues_ THTensor_
#endif

#define frozen_bn_forward TH_CONCAT_2(frozen_bn_forward_, PRECISION)
#define frozen_bn_backward TH_CONCAT_2(frozen_bn_backward_, PRECISION)
#define forward_row TH_CONCAT_2(forward_row_, PRECISION)
#define forward_pixel TH_CONCAT_2(forward_pixel_, PRECISION)
#define forward_strided TH_CONCAT_2(forward_strided_, PRECISION)
#define backward_row TH_CONCAT_2(backward_row_, PRECISION)
#define backward_pixel TH_CONCAT_2(backward_pixel_, PRECISION)
#define backward_strided TH_CONCAT_2(backward_strided_, PRECISION)

/* `v < 0 ? 0 : v` lets a NaN through, as torch.relu does. The compiler moves the loop-invariant
 * `if`s out of the loops; `omp simd` says that y may be x or r themselves. */

/* y = relu(x * scale + bias + r) over n neighbours of one channel; r may be NULL. */
KERNEL_CLONES
static void forward_row(const real *x, number scale, number bias, const real *r, int relu, real *y,
                        int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    number v = LOAD(x[i]) * scale + bias;
    if (r) v += LOAD(r[i]);
    if (relu) v = v < 0 ? 0 : v;
    y[i] = STORE(v);
  }
}

/* The same over the n channels of one pixel. */
KERNEL_CLONES
static void forward_pixel(const real *x, const number *scale, const number *bias, const real *r,
                          int relu, real *y, int64_t n) {
#pragma omp simd
  for (int64_t c = 0; c < n; c++) {
    number v = LOAD(x[c]) * scale[c] + bias[c];
    if (r) v += LOAD(r[c]);
    if (relu) v = v < 0 ? 0 : v;
    y[c] = STORE(v);
  }
}

/* The same over n elements of one channel that lie apart in memory. */
static void forward_strided(const real *x, int64_t x_stride, number scale, number bias,
                            const real *r, int64_t r_stride, int relu, real *y, int64_t y_stride,
                            int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    number v = LOAD(x[i * x_stride]) * scale + bias;
    if (r) v += LOAD(r[i * r_stride]);
    if (relu) v = v < 0 ? 0 : v;
    y[i * y_stride] = STORE(v);
  }
}

void frozen_bn_forward(const THTensor *input, const THValues *scale, const THValues *bias,
                       const THTensor *residual, int relu, THTensor *output) {
  REQUIRE(input->nDimension == 4, 1, "input must have 4 dimensions (N, C, H, W), got %s",
          THTensor_(sizeDesc)(input).str);
  const int64_t batch = input->size[0], channels = input->size[1], height = input->size[2],
                width = input->size[3];
  const int64_t elements = batch * channels * height * width;
  REQUIRE(THValues_(nElement)(scale) == channels && scale->nDimension <= 1, 2,
          "scale must have one value per channel of input, shape [%lld], got %s",
          (long long)channels, THValues_(sizeDesc)(scale).str);
  REQUIRE(THValues_(nElement)(bias) == channels && bias->nDimension <= 1, 3,
          "bias must have one value per channel of input, shape [%lld], got %s",
          (long long)channels, THValues_(sizeDesc)(bias).str);
  REQUIRE(residual == NULL || THTensor_(isSameSizeAs)(residual, input), 4,
          "residual must be NULL or have input's shape %s, got %s", THTensor_(sizeDesc)(input).str,
          THTensor_(sizeDesc)(residual).str);
  RESIZE_IF_NEEDED(THTensor, output, 6, 4, input->size, scale, bias);
  if (elements == 0) return;

  const real *x = THTensor_(data)(input), *r = residual ? THTensor_(data)(residual) : NULL;
  const number *a = THValues_(data)(scale), *b = THValues_(data)(bias);
  real *y = THTensor_(data)(output);
  const int64_t *xs = input->stride, *ys = output->stride, *rs = residual ? residual->stride : xs;
  const int64_t as = scale->stride[0], bs = bias->stride[0];
  const int64_t *strides[3] = {xs, ys, rs};
  walk plan = plan_walk(input->size, strides, 3);
  if (plan.pixels && as == 1 && bs == 1) {
#pragma omp parallel for collapse(2) if (elements > PARALLEL_ELEMENTS)
    for (int64_t n = 0; n < batch; n++)
      for (int64_t h = 0; h < height; h++)
        for (int64_t w = 0; w < width; w++)
          forward_pixel(x + n * xs[0] + h * xs[2] + w * xs[3], a, b,
                        r ? r + n * rs[0] + h * rs[2] + w * rs[3] : NULL, relu,
                        y + n * ys[0] + h * ys[2] + w * ys[3], channels);
    return;
  }
  if (plan.pixels) plan = (walk){0, 0, height, width};
#pragma omp parallel for collapse(2) if (elements > PARALLEL_ELEMENTS)
  for (int64_t n = 0; n < batch; n++)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t h = 0; h < plan.rows; h++) {
        const real *x_row = x + n * xs[0] + c * xs[1] + h * xs[2];
        const real *r_row = r ? r + n * rs[0] + c * rs[1] + h * rs[2] : NULL;
        real *y_row = y + n * ys[0] + c * ys[1] + h * ys[2];
        if (plan.unit)
          forward_row(x_row, a[c * as], b[c * bs], r_row, relu, y_row, plan.length);
        else
          forward_strided(x_row, xs[3], a[c * as], b[c * bs], r_row, rs[3], relu, y_row, ys[3],
                          plan.length);
      }
}

/* gr = g where out > 0 (everywhere if out is NULL), gi = gr * scale, over n neighbours of one
 * channel. */
KERNEL_CLONES
static void backward_row(const real *g, const real *out, number scale, real *gi, real *gr,
                         int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    number v = LOAD(g[i]);
    if (out) v = LOAD(out[i]) <= 0 ? 0 : v;
    if (gr) gr[i] = STORE(v);
    if (gi) gi[i] = STORE(v * scale);
  }
}

/* The same over the n channels of one pixel. */
KERNEL_CLONES
static void backward_pixel(const real *g, const real *out, const number *scale, real *gi, real *gr,
                           int64_t n) {
#pragma omp simd
  for (int64_t c = 0; c < n; c++) {
    number v = LOAD(g[c]);
    if (out) v = LOAD(out[c]) <= 0 ? 0 : v;
    if (gr) gr[c] = STORE(v);
    if (gi) gi[c] = STORE(v * scale[c]);
  }
}

/* The same over n elements of one channel that lie apart in memory. */
static void backward_strided(const real *g, int64_t g_stride, const real *out, int64_t out_stride,
                             number scale, real *gi, int64_t gi_stride, real *gr, int64_t gr_stride,
                             int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    number v = LOAD(g[i * g_stride]);
    if (out) v = LOAD(out[i * out_stride]) <= 0 ? 0 : v;
    if (gr) gr[i * gr_stride] = STORE(v);
    if (gi) gi[i * gi_stride] = STORE(v * scale);
  }
}

void frozen_bn_backward(const THTensor *grad_output, const THTensor *output, const THValues *scale,
                        THTensor *grad_input, THTensor *grad_residual) {
  REQUIRE(grad_output->nDimension == 4, 1,
          "grad_output must have 4 dimensions (N, C, H, W), got %s",
          THTensor_(sizeDesc)(grad_output).str);
  const int64_t batch = grad_output->size[0], channels = grad_output->size[1];
  const int64_t height = grad_output->size[2], width = grad_output->size[3];
  const int64_t elements = batch * channels * height * width;
  REQUIRE(output == NULL || THTensor_(isSameSizeAs)(output, grad_output), 2,
          "output must be NULL or have grad_output's shape %s, got %s",
          THTensor_(sizeDesc)(grad_output).str, THTensor_(sizeDesc)(output).str);
  REQUIRE(THValues_(nElement)(scale) == channels && scale->nDimension <= 1, 3,
          "scale must have one value per channel of grad_output, shape [%lld], got %s",
          (long long)channels, THValues_(sizeDesc)(scale).str);
  if (grad_input) RESIZE_IF_NEEDED(THTensor, grad_input, 4, 4, grad_output->size, scale);
  if (grad_residual) RESIZE_IF_NEEDED(THTensor, grad_residual, 5, 4, grad_output->size, scale);
  if (elements == 0 || (!grad_input && !grad_residual)) return;

  const real *g = THTensor_(data)(grad_output), *out = output ? THTensor_(data)(output) : NULL;
  const number *a = THValues_(data)(scale);
  real *gi = grad_input ? THTensor_(data)(grad_input) : NULL;
  real *gr = grad_residual ? THTensor_(data)(grad_residual) : NULL;
  const int64_t *gs = grad_output->stride, as = scale->stride[0];
  const int64_t *os = output ? output->stride : gs;
  const int64_t *is = grad_input ? grad_input->stride : gs,
                *rs = grad_residual ? grad_residual->stride : gs;
  const int64_t *strides[4] = {gs, os, is, rs};
  walk plan = plan_walk(grad_output->size, strides, 4);
  if (plan.pixels && as == 1) {
#pragma omp parallel for collapse(2) if (elements > PARALLEL_ELEMENTS)
    for (int64_t n = 0; n < batch; n++)
      for (int64_t h = 0; h < height; h++)
        for (int64_t w = 0; w < width; w++)
          backward_pixel(g + n * gs[0] + h * gs[2] + w * gs[3],
                         out ? out + n * os[0] + h * os[2] + w * os[3] : NULL, a,
                         gi ? gi + n * is[0] + h * is[2] + w * is[3] : NULL,
                         gr ? gr + n * rs[0] + h * rs[2] + w * rs[3] : NULL, channels);
    return;
  }
  if (plan.pixels) plan = (walk){0, 0, height, width};
#pragma omp parallel for collapse(2) if (elements > PARALLEL_ELEMENTS)
  for (int64_t n = 0; n < batch; n++)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t h = 0; h < plan.rows; h++) {
        const real *g_row = g + n * gs[0] + c * gs[1] + h * gs[2];
        const real *out_row = out ? out + n * os[0] + c * os[1] + h * os[2] : NULL;
        real *gi_row = gi ? gi + n * is[0] + c * is[1] + h * is[2] : NULL;
        real *gr_row = gr ? gr + n * rs[0] + c * rs[1] + h * rs[2] : NULL;
        if (plan.unit)
          backward_row(g_row, out_row, a[c * as], gi_row, gr_row, plan.length);
        else
          backward_strided(g_row, gs[3], out_row, os[3], a[c * as], gi_row, is[3], gr_row, rs[3],
                           plan.length);
      }
}

#undef PRECISION
#undef number
#undef LOAD
#undef STORE
#undef THValues
#undef THValues_

#endif
