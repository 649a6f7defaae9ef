/* Non-maximum suppression, also within groups. The file includes itself once per precision. */
#ifndef TH_GENERIC_FILE

#include "nms.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

/* Boxes whose fate is decided one after the other, before what is left of them is compared with all
 * boxes behind; and the boxes behind that are compared at once, whose columns stay in the
 * first-level cache. */
#define HEAD 256
#define TAIL 1024

/* Comparisons (0.2 ns each) below which a second thread is not worth waking. */
#define PARALLEL_PAIRS 150000

/* Stable sort of the numbers 0 .. count - 1, which order holds, by their keys: byte by byte from
 * the lowest. Scratch is as long as order. */
static void sort_by_key(const uint64_t *keys, int64_t *order, int64_t *scratch, int64_t count) {
  int64_t places[8][256] = {{0}}, *from = order, *to = scratch;
  for (int64_t i = 0; i < count; i++)
    for (int byte = 0; byte < 8; byte++) places[byte][keys[i] >> 8 * byte & 255]++;
  for (int byte = 0; byte < 8; byte++) {
    int64_t *place = places[byte], sum = 0;
    if (place[keys[0] >> 8 * byte & 255] == count) continue; /* this byte is the same in all */
    for (int value = 0; value < 256; value++) {
      const int64_t many = place[value];
      place[value] = sum;
      sum += many;
    }
    for (int64_t i = 0; i < count; i++) to[place[keys[from[i]] >> 8 * byte & 255]++] = from[i];
    int64_t *swap = from;
    from = to;
    to = swap;
  }
  if (from != order) memcpy(order, from, (size_t)count * sizeof *order);
}

/* Keys that sort as the scores do from high to low, with NaNs at the end. */
static uint64_t key_of_score(double score) {
  uint64_t bits;
  if (score != score) return UINT64_MAX;
  score += 0.0; /* -0 is 0 */
  memcpy(&bits, &score, sizeof bits);
  return bits >> 63 ? bits : ~(bits | (uint64_t)1 << 63);
}

#define TH_GENERIC_FILE "nms.c"
#include <TH/THGenerateFloatTypes.h>

#else

#include "overlap.h"

#define nms TH_CONCAT_2(nms_, real)
#define batched_nms TH_CONCAT_2(batched_nms_, real)
#define suppress TH_CONCAT_2(nms_suppress_, real)
#define decide TH_CONCAT_2(nms_decide_, real)
#define select_boxes TH_CONCAT_2(nms_select_boxes_, real)

/* Mark in gone the boxes j of [first, last) that box i overlaps. */
KERNEL_CLONES
static void suppress(real *const *column, int64_t i, int64_t first, int64_t last, real threshold,
                     real extra, int32_t *restrict gone) {
  const real *x1 = column[0], *y1 = column[1], *x2 = column[2], *y2 = column[3], *area = column[4];
  const real left = x1[i], top = y1[i], right = x2[i], bottom = y2[i], own = area[i];
#pragma omp simd
  for (int64_t j = first; j < last; j++) {
    real width = (right < x2[j] ? right : x2[j]) - (left > x1[j] ? left : x1[j]) + extra;
    real height = (bottom < y2[j] ? bottom : y2[j]) - (top > y1[j] ? top : y1[j]) + extra;
    width = width > 0 ? width : 0;
    height = height > 0 ? height : 0;
    const real common = width * height;
    gone[j] |= common / (own + area[j] - common) > threshold;
  }
}

/* Decides over the boxes [begin, end), which are in the order of their scores. */
static void decide(real *const *column, int64_t begin, int64_t end, real threshold, real extra,
                   int32_t *gone, int threads) {
  for (int64_t head = begin; head < end; head += HEAD) {
    const int64_t head_end = head + HEAD < end ? head + HEAD : end;
    int64_t kept = 0;
    for (int64_t i = head; i < head_end; i++) {
      if (gone[i]) continue;
      kept++;
      suppress(column, i, i + 1, head_end, threshold, extra, gone);
    }
    /* pieces of the rest, as many for each thread */
    const int64_t rest = end - head_end;
    if (rest == 0) return; /* OpenMP's region costs 0.2 us, and of small groups there are many */
    const int shared = threads > 1 && kept * rest > PARALLEL_PAIRS;
    const int64_t pieces =
        shared ? ((rest - 1) / (TAIL * threads) + 1) * threads : (rest + TAIL - 1) / TAIL;
#pragma omp parallel for num_threads(threads) if (shared)
    for (int64_t piece = 0; piece < pieces; piece++) {
      const int64_t tail = head_end + rest * piece / pieces;
      const int64_t tail_end = head_end + rest * (piece + 1) / pieces;
      for (int64_t i = head; i < head_end; i++)
        if (!gone[i]) suppress(column, i, tail, tail_end, threshold, extra, gone);
    }
  }
}

/* groups may be NULL. */
static void select_boxes(const THTensor *boxes, const THTensor *scores, const THLongTensor *groups,
                         double threshold, int plus_one, THLongTensor *keep, int keep_argument) {
  check_boxes(boxes, 1, "boxes");
  const int64_t count = boxes->size[0];
  check_scores(scores, count);
  REQUIRE(!groups || (groups->nDimension <= 1 && THLongTensor_nElement(groups) == count), 3,
          "groups must have one value per box, shape [%lld], got %s", (long long)count,
          THLongTensor_sizeDesc(groups).str);
  REQUIRE(threshold == threshold, keep_argument - 2, "threshold must be a number, got NaN");
  if (keep->nDimension > 1 || THLongTensor_nElement(keep) != count)
    THLongTensor_resize1d(keep, count);
  REQUIRE(THLongTensor_isContiguous(keep), keep_argument,
          "keep must be contiguous, or of another size: it is then made so");
  if (count == 0) return;

  /* One block: keys, scratch and rank (64 bits), five columns of sorted boxes (real), gone (int32).
   * The order is built in keep. */
  const size_t rows = (size_t)count;
  uint64_t *keys =
      THAlloc((ptrdiff_t)(rows * (3 * sizeof(int64_t) + 5 * sizeof(real) + sizeof(int32_t))));
  int64_t *scratch = (int64_t *)(keys + rows), *rank = scratch + rows;
  real *room = (real *)(rank + rows), *column[5];
  int32_t *gone = (int32_t *)(room + 5 * rows);
  int64_t *order = THLongTensor_data(keep);

  const real *score = THTensor_(data)(scores);
  for (int64_t i = 0; i < count; i++) {
    order[i] = i;
    keys[i] = key_of_score((double)score[i * scores->stride[0]]);
  }
  sort_by_key(keys, order, scratch, count);
  memset(gone, 0, rows * sizeof *gone);
  const real limit = largest_below(threshold), extra = plus_one ? 1 : 0;
  if (!groups) {
    fill_columns(boxes, order, count, extra, room, column);
    decide(column, 0, count, limit, extra, gone, MAX_THREADS);
  } else {
    /* The boxes of a group next to each other, in the order of their scores: place i has the box of
     * rank rank[i]. */
    const int64_t *group = THLongTensor_data(groups);
    for (int64_t i = 0; i < count; i++) {
      rank[i] = i;
      keys[i] = (uint64_t)group[order[i] * groups->stride[0]];
    }
    sort_by_key(keys, rank, scratch, count);
    for (int64_t i = 0; i < count; i++) scratch[i] = order[rank[i]];
    fill_columns(boxes, scratch, count, extra, room, column);
    int64_t starts = 0; /* of the groups, in scratch */
    for (int64_t i = 0; i < count; i++)
      if (i == 0 || keys[rank[i]] != keys[rank[i - 1]]) scratch[starts++] = i;
#pragma omp parallel for schedule(dynamic) if (starts > 1 && count > 1024)
    for (int64_t g = 0; g < starts; g++)
      decide(column, scratch[g], g + 1 < starts ? scratch[g + 1] : count, limit, extra, gone,
             starts > 1 ? 1 : MAX_THREADS);
    for (int64_t i = 0; i < count; i++) scratch[rank[i]] = gone[i];
    for (int64_t i = 0; i < count; i++) gone[i] = (int32_t)scratch[i];
  }
  int64_t kept = 0;
  for (int64_t i = 0; i < count; i++)
    if (!gone[i]) order[kept++] = order[i];
  THFree(keys);
  THLongTensor_resize1d(keep, kept);
}

void nms(const THTensor *boxes, const THTensor *scores, double threshold, int plus_one,
         THLongTensor *keep) {
  select_boxes(boxes, scores, NULL, threshold, plus_one, keep, 5);
}

void batched_nms(const THTensor *boxes, const THTensor *scores, const THLongTensor *groups,
                 double threshold, int plus_one, THLongTensor *keep) {
  select_boxes(boxes, scores, groups, threshold, plus_one, keep, 6);
}

#endif
