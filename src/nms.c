/* Non-maximum suppression. The file includes itself once per precision. */
#ifndef TH_GENERIC_FILE

#include "nms.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

#define TH_GENERIC_FILE "nms.c"
#include <TH/THGenerateFloatTypes.h>

#else

#define nms TH_CONCAT_2(nms_, real)
#define ranks_before TH_CONCAT_2(nms_ranks_before_, real)
#define sort_by_score TH_CONCAT_2(nms_sort_, real)
#define suppress TH_CONCAT_2(nms_suppress_, real)
#define largest_below TH_CONCAT_2(nms_largest_below_, real)

/* Higher scores first; a NaN after all numbers. */
static int ranks_before(real a, real b) { return a > b || (a == a && b != b); }

/* Stable merge sort of the numbers in order by the scores they stand for; scratch is as long as
 * order. */
static void sort_by_score(const real *scores, int64_t stride, int64_t *order, int64_t *scratch,
                          int64_t count) {
  int64_t *from = order, *to = scratch;
  for (int64_t run = 1; run < count; run *= 2) {
    for (int64_t start = 0; start < count; start += 2 * run) {
      const int64_t middle = start + run < count ? start + run : count;
      const int64_t end = start + 2 * run < count ? start + 2 * run : count;
      int64_t left = start, right = middle;
      for (int64_t i = start; i < end; i++)
        to[i] = right < end && (left == middle || ranks_before(scores[from[right] * stride],
                                                               scores[from[left] * stride]))
                    ? from[right++]
                    : from[left++];
    }
    int64_t *swap = from;
    from = to;
    to = swap;
  }
  if (from != order) memcpy(order, from, (size_t)count * sizeof *order);
}

/* The largest real that is not above the threshold: for a real v, v > threshold holds exactly if v
 * > it. */
static real largest_below(double threshold) {
  real t = (real)threshold;
  if ((double)t > threshold) t = (real)nextafterf((float)t, -INFINITY);
  return t;
}

/* Mark in gone the boxes j of [first, count) that box i overlaps. box[0..3]: x1, y1, x2, y2;
 * box[4]: areas. */
KERNEL_CLONES
static void suppress(real *const *box, int64_t i, int64_t first, int64_t count, real threshold,
                     real extra, int32_t *restrict gone) {
  const real *x1 = box[0], *y1 = box[1], *x2 = box[2], *y2 = box[3], *area = box[4];
  const real left = x1[i], top = y1[i], right = x2[i], bottom = y2[i], own = area[i];
#pragma omp simd
  for (int64_t j = first; j < count; j++) {
    real width = (right < x2[j] ? right : x2[j]) - (left > x1[j] ? left : x1[j]) + extra;
    real height = (bottom < y2[j] ? bottom : y2[j]) - (top > y1[j] ? top : y1[j]) + extra;
    width = width > 0 ? width : 0;
    height = height > 0 ? height : 0;
    const real common = width * height;
    gone[j] |= common / (own + area[j] - common) > threshold;
  }
}

void nms(const THTensor *boxes, const THTensor *scores, double threshold, int plus_one,
         THLongTensor *keep) {
  REQUIRE(boxes->nDimension == 2 && boxes->size[1] == 4, 1,
          "boxes must be (N, 4) with rows of x1, y1, x2, y2, got %s",
          THTensor_(sizeDesc)(boxes).str);
  const int64_t count = boxes->size[0];
  REQUIRE(scores->nDimension <= 1 && THTensor_(nElement)(scores) == count, 2,
          "scores must have one value per box, shape [%lld], got %s", (long long)count,
          THTensor_(sizeDesc)(scores).str);
  REQUIRE(threshold == threshold, 3, "threshold must be a number, got NaN");
  if (keep->nDimension > 1 || THLongTensor_nElement(keep) != count)
    THLongTensor_resize1d(keep, count);
  REQUIRE(THLongTensor_isContiguous(keep), 5,
          "keep must be contiguous, or of another size: it is then made so");
  if (count == 0) return;

  /* one block: scratch (int64), five columns of sorted boxes (real), gone (int32); the order is
   * built in keep */
  const size_t rows = (size_t)count;
  int64_t *scratch =
      THAlloc((ptrdiff_t)(rows * (sizeof(int64_t) + 5 * sizeof(real) + sizeof(int32_t))));
  int64_t *order = THLongTensor_data(keep);
  real *column[5];
  for (int i = 0; i < 5; i++) column[i] = (real *)(scratch + rows) + (size_t)i * rows;
  int32_t *gone = (int32_t *)(column[4] + rows);

  const real *score = THTensor_(data)(scores), *box = THTensor_(data)(boxes);
  const int64_t *stride = boxes->stride;
  const real extra = plus_one ? 1 : 0;
  for (int64_t i = 0; i < count; i++) order[i] = i;
  sort_by_score(score, scores->stride[0], order, scratch, count);
  for (int64_t i = 0; i < count; i++) {
    for (int j = 0; j < 4; j++) column[j][i] = box[order[i] * stride[0] + j * stride[1]];
    column[4][i] = (column[2][i] - column[0][i] + extra) * (column[3][i] - column[1][i] + extra);
    gone[i] = 0;
  }
  const real limit = largest_below(threshold);
  int64_t kept = 0;
  for (int64_t i = 0; i < count; i++) {
    if (gone[i]) continue;
    order[kept++] = order[i];
    suppress(column, i, i + 1, count, limit, extra, gone);
  }

  THFree(scratch);
  THLongTensor_resize1d(keep, kept);
}

#undef nms
#undef ranks_before
#undef sort_by_score
#undef suppress
#undef largest_below

#endif
