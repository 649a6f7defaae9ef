/* Intersection over union of all pairs of boxes, forward and backward. The file includes itself
 * once per precision. */
#ifndef TH_GENERIC_FILE

#include "box_iou.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

#define TH_GENERIC_FILE "box_iou.c"
#include <TH/THGenerateFloatTypes.h>

#else

#include "overlap.h"

#define box_iou_forward TH_CONCAT_2(box_iou_forward_, real)
#define box_iou_backward TH_CONCAT_2(box_iou_backward_, real)
#define iou_row TH_CONCAT_2(box_iou_row_, real)
#define grad_box TH_CONCAT_2(box_iou_grad_box_, real)
#define grad_boxes TH_CONCAT_2(box_iou_grad_boxes_, real)

/* iou[j] of box i of a with box j of b. */
KERNEL_CLONES
static void iou_row(real *const *a, int64_t i, real *const *b, int64_t count, real extra,
                    real *restrict iou) {
  const real *x1 = b[0], *y1 = b[1], *x2 = b[2], *y2 = b[3], *area = b[4];
  const real left = a[0][i], top = a[1][i], right = a[2][i], bottom = a[3][i], own = a[4][i];
#pragma omp simd
  for (int64_t j = 0; j < count; j++) {
    real width = (right < x2[j] ? right : x2[j]) - (left > x1[j] ? left : x1[j]) + extra;
    real height = (bottom < y2[j] ? bottom : y2[j]) - (top > y1[j] ? top : y1[j]) + extra;
    /* written so that a NaN stays one */
    width = width < 0 ? 0 : width;
    height = height < 0 ? 0 : height;
    const real common = width * height, together = own + area[j] - common;
    iou[j] = together == 0 ? 0 : common / together;
  }
}

void box_iou_forward(const THTensor *boxes1, const THTensor *boxes2, int plus_one, THTensor *iou) {
  check_boxes(boxes1, 1, "boxes1");
  check_boxes(boxes2, 2, "boxes2");
  const int64_t n = boxes1->size[0], m = boxes2->size[0];
  const int64_t pairs[2] = {n, m};
  RESIZE_IF_NEEDED(THTensor, iou, 4, 2, pairs, boxes1, boxes2);
  if (n == 0 || m == 0) return;
  const real extra = plus_one ? 1 : 0;
  const int64_t *stride = iou->stride;
  const int threads = n * m > PARALLEL_ELEMENTS ? MAX_THREADS : 1;
  /* the columns of both, and a row of results for each thread if those of iou lie apart */
  const int64_t row = stride[1] == 1 ? 0 : m;
  real *room = THAlloc((ptrdiff_t)((size_t)(5 * (n + m) + threads * row) * sizeof(real)));
  real *a[5], *b[5], *out = THTensor_(data)(iou);
  fill_columns(boxes1, NULL, n, extra, room, a);
  fill_columns(boxes2, NULL, m, extra, room + 5 * n, b);
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < n; i++) {
    real *to = row ? room + 5 * (n + m) + THREAD * row : out + i * stride[0];
    iou_row(a, i, b, m, extra, to);
    for (int64_t j = 0; j < row; j++) out[i * stride[0] + j * stride[1]] = to[j];
  }
  THFree(room);
}

/* grad[0..3] = the sum over j of g[j * stride] times the derivative of the iou of box i of a with
 * box j of b by a's x1, y1, x2, y2. With I = w h and U = A + B - I: d iou = (U + I) / U^2 dI - I /
 * U^2 dA. */
KERNEL_CLONES
static void grad_box(real *const *a, int64_t i, real *const *b, int64_t count, real extra,
                     const real *g, int64_t stride, real *grad) {
  const real *x1 = b[0], *y1 = b[1], *x2 = b[2], *y2 = b[3], *area = b[4];
  const real left = a[0][i], top = a[1][i], right = a[2][i], bottom = a[3][i], own = a[4][i];
  const real own_width = right - left + extra, own_height = bottom - top + extra;
  real dx1 = 0, dy1 = 0, dx2 = 0, dy2 = 0, by_area = 0;
#pragma omp simd reduction(+ : dx1, dy1, dx2, dy2, by_area)
  for (int64_t j = 0; j < count; j++) {
    const real width = (right < x2[j] ? right : x2[j]) - (left > x1[j] ? left : x1[j]) + extra;
    const real height = (bottom < y2[j] ? bottom : y2[j]) - (top > y1[j] ? top : y1[j]) + extra;
    const real w = width > 0 ? width : 0, h = height > 0 ? height : 0;
    const real common = w * h, together = own + area[j] - common;
    const real scale = together == 0 ? 0 : g[j * stride] / together;
    const real iou = together == 0 ? 0 : common / together;
    const real by_width = width >= 0 ? scale * (1 + iou) * h : 0;
    const real by_height = height >= 0 ? scale * (1 + iou) * w : 0;
    dx1 -= left > x1[j] ? by_width : left == x1[j] ? by_width / 2 : 0;
    dy1 -= top > y1[j] ? by_height : top == y1[j] ? by_height / 2 : 0;
    dx2 += right < x2[j] ? by_width : right == x2[j] ? by_width / 2 : 0;
    dy2 += bottom < y2[j] ? by_height : bottom == y2[j] ? by_height / 2 : 0;
    by_area -= scale * iou;
  }
  grad[0] = dx1 - by_area * own_height;
  grad[1] = dy1 - by_area * own_width;
  grad[2] = dx2 + by_area * own_height;
  grad[3] = dy2 + by_area * own_width;
}

/* The gradients of all n boxes of a; g[i * row + j * column] belongs to boxes i of a and j of b. */
static void grad_boxes(real *const *a, int64_t n, real *const *b, int64_t m, real extra,
                       const real *g, int64_t row, int64_t column, THTensor *grad) {
  real *to = THTensor_(data)(grad);
#pragma omp parallel for if (n * m > PARALLEL_ELEMENTS)
  for (int64_t i = 0; i < n; i++) {
    real sums[4];
    grad_box(a, i, b, m, extra, g + i * row, column, sums);
    for (int c = 0; c < 4; c++) to[i * grad->stride[0] + c * grad->stride[1]] = sums[c];
  }
}

void box_iou_backward(const THTensor *grad_iou, const THTensor *boxes1, const THTensor *boxes2,
                      int plus_one, THTensor *grad_boxes1, THTensor *grad_boxes2) {
  check_boxes(boxes1, 2, "boxes1");
  check_boxes(boxes2, 3, "boxes2");
  const int64_t n = boxes1->size[0], m = boxes2->size[0];
  REQUIRE(grad_iou->nDimension == 2 && grad_iou->size[0] == n && grad_iou->size[1] == m, 1,
          "grad_iou must be (N, M) = [%lld x %lld], got %s", (long long)n, (long long)m,
          THTensor_(sizeDesc)(grad_iou).str);
  RESIZE_IF_NEEDED(THTensor, grad_boxes1, 5, 2, boxes1->size, grad_iou, boxes2);
  RESIZE_IF_NEEDED(THTensor, grad_boxes2, 6, 2, boxes2->size, grad_iou, boxes1);
  if (n == 0 || m == 0) {
    if (n > 0) THTensor_(zero)(grad_boxes1);
    if (m > 0) THTensor_(zero)(grad_boxes2);
    return;
  }
  const real extra = plus_one ? 1 : 0, *g = THTensor_(data)(grad_iou);
  const int64_t *stride = grad_iou->stride;
  real *room = THAlloc((ptrdiff_t)((size_t)(5 * (n + m)) * sizeof(real)));
  real *a[5], *b[5];
  fill_columns(boxes1, NULL, n, extra, room, a);
  fill_columns(boxes2, NULL, m, extra, room + 5 * n, b);
  grad_boxes(a, n, b, m, extra, g, stride[0], stride[1], grad_boxes1);
  grad_boxes(b, m, a, n, extra, g, stride[1], stride[0], grad_boxes2);
  THFree(room);
}

#endif
