/* Soft-NMS. The file includes itself once per precision. */
#ifndef TH_GENERIC_FILE

#include <math.h>

#include "kernels.h"
#include "nms.h"

enum { LINEAR, GAUSSIAN, HARD };

/* Rounds after which boxes that cannot win any more are taken out of the columns. */
#define ROUNDS 32

#define TH_GENERIC_FILE "soft_nms.c"
#include <TH/THGenerateFloatTypes.h>

#else

#include "overlap.h"

#define soft_nms TH_CONCAT_2(soft_nms_, real)
#define best_of TH_CONCAT_2(soft_nms_best_of_, real)
#define overlap_all TH_CONCAT_2(soft_nms_overlap_all_, real)
#define decay TH_CONCAT_2(soft_nms_decay_, real)

/* The first place of the largest score, if that is above the threshold; else -1. */
KERNEL_CLONES
static int64_t best_of(const real *score, int64_t count, real threshold) {
  real best = threshold;
#pragma omp simd reduction(max : best)
  for (int64_t i = 0; i < count; i++) best = score[i] > best ? score[i] : best;
  if (!(best > threshold)) return -1;
  for (int64_t i = 0; i < count; i++)
    if (score[i] == best) return i;
  return -1;
}

/* iou[j] of box j with box i; a NaN (a box without area, or with a NaN) counts as 0. */
KERNEL_CLONES
static void overlap_all(real *const *column, int64_t i, int64_t count, real extra,
                        real *restrict iou) {
  const real *x1 = column[0], *y1 = column[1], *x2 = column[2], *y2 = column[3], *area = column[4];
  const real left = x1[i], top = y1[i], right = x2[i], bottom = y2[i], own = area[i];
#pragma omp simd
  for (int64_t j = 0; j < count; j++) {
    real width = (right < x2[j] ? right : x2[j]) - (left > x1[j] ? left : x1[j]) + extra;
    real height = (bottom < y2[j] ? bottom : y2[j]) - (top > y1[j] ? top : y1[j]) + extra;
    width = width > 0 ? width : 0;
    height = height > 0 ? height : 0;
    const real common = width * height, ratio = common / (own + area[j] - common);
    iou[j] = ratio == ratio ? ratio : 0;
  }
}

KERNEL_CLONES
static void decay(const real *iou, int64_t count, int method, real sigma, real limit,
                  real *restrict score) {
  if (method == LINEAR) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) score[j] *= iou[j] > limit ? 1 - iou[j] : 1;
  } else if (method == HARD) {
#pragma omp simd
    for (int64_t j = 0; j < count; j++) score[j] = iou[j] > limit ? 0 : score[j];
  } else {
    for (int64_t j = 0; j < count; j++) /* few boxes overlap */
      if (iou[j] != 0) score[j] *= (real)exp((double)(-iou[j] * iou[j] / sigma));
  }
}

void soft_nms(const THTensor *boxes, const THTensor *scores, int method, double sigma,
              double iou_threshold, double score_threshold, int plus_one, THLongTensor *keep,
              THTensor *kept_scores) {
  check_boxes(boxes, 1, "boxes");
  int64_t count = boxes->size[0], kept = 0;
  check_scores(scores, count);
  REQUIRE(method >= LINEAR && method <= HARD, 3,
          "method must be 0 (linear), 1 (gaussian) or 2 (hard), got %d", method);
  REQUIRE(sigma > 0, 4, "sigma must be positive, got %g", sigma);
  REQUIRE(iou_threshold == iou_threshold, 5, "iou_threshold must be a number, got NaN");
  REQUIRE(score_threshold >= 0, 6, "score_threshold must not be negative, got %g", score_threshold);
  REQUIRE_NO_INPUT(kept_scores, 9, boxes);
  THLongTensor_resize1d(keep, count);
  THTensor_(resize1d)(kept_scores, count);
  REQUIRE(THLongTensor_isContiguous(keep), 8, "keep must be contiguous");
  REQUIRE(THTensor_(isContiguous)(kept_scores), 9, "kept_scores must be contiguous");
  if (count == 0) return;

  const size_t rows = (size_t)count;
  int64_t *row = THAlloc((ptrdiff_t)(rows * (sizeof(int64_t) + 7 * sizeof(real))));
  real *room = (real *)(row + rows), *column[5];
  real *score = room + 5 * rows, *iou = room + 6 * rows;
  const real extra = plus_one ? 1 : 0;
  const real least = largest_below(score_threshold), limit = largest_below(iou_threshold);
  const real *given = THTensor_(data)(scores);
  fill_columns(boxes, NULL, count, extra, room, column);
  for (int64_t i = 0; i < count; i++) {
    row[i] = i;
    score[i] = given[i * scores->stride[0]];
  }
  int64_t *keep_data = THLongTensor_data(keep);
  real *kept_data = THTensor_(data)(kept_scores);
  for (int64_t round = 1;; round++) {
    const int64_t best = best_of(score, count, least);
    if (best < 0) break;
    keep_data[kept] = row[best];
    kept_data[kept++] = score[best];
    overlap_all(column, best, count, extra, iou);
    decay(iou, count, method, (real)sigma, limit, score);
    score[best] = -1; /* scores only fall, so what is not above the threshold is out for good */
    if (round % ROUNDS) continue;
    int64_t left = 0;
    for (int64_t i = 0; i < count; i++) {
      if (!(score[i] > least)) continue;
      for (int c = 0; c < 5; c++) column[c][left] = column[c][i];
      row[left] = row[i];
      score[left++] = score[i];
    }
    count = left;
  }
  THFree(row);
  THLongTensor_resize1d(keep, kept);
  THTensor_(resize1d)(kept_scores, kept);
}

#endif
