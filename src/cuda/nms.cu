/* Non-maximum suppression on a GPU, also within groups: src/nms.c's twin.
 *
 * Boxes are ranked by counting how many come before each, which is no more work than to compare
 * them all. For each box, 64 later ones at a time, a word has a bit for each that it suppresses.
 * One warp then goes through the boxes, 64 at a time, and collects the words of those that stay. */
#include "boxes.cuh"

#define WORD 64 /* boxes of a word */
typedef unsigned long long word;

#define AHEAD 32 /* words that a lane waits for together */

/* Boxes that one index counts: few, so that a thousand boxes are work for more than a few
 * multiprocessors. */
#define CHUNK 128

/* Keys that sort as the scores do from high to low, with NaNs at the end. */
inline BOTH uint64_t key_of_score(double score) {
  uint64_t bits;
  if (score != score) return UINT64_MAX;
  score += 0.0; /* -0 is 0 */
  memcpy(&bits, &score, sizeof bits);
  return bits >> 63 ? bits : ~(bits | (uint64_t)1 << 63);
}

/* rank[i] += the boxes of a chunk that come before box i; equal keys keep their order. */
static void rank_boxes(cudaStream_t stream, const uint64_t *key, int64_t count, unsigned *rank) {
  parallel(stream, count * ((count + CHUNK - 1) / CHUNK), [=] DEVICE(int64_t at) {
    const int64_t i = take(&at, count), first = at * CHUNK;
    const int64_t last = first + CHUNK < count ? first + CHUNK : count;
    const uint64_t own = key[i];
    unsigned before = 0;
    for (int64_t j = first; j < last; j++) before += key[j] < own || (key[j] == own && j < i);
    if (before) atomic_add(&rank[i], before);
  });
}

/* mask[i * words + w]: the boxes 64 w ... that box i suppresses, of those behind it. Neighbouring
 * indices have neighbouring i and one w: they read the same box j at the same time. */
template <typename real>
void compare_boxes(cudaStream_t stream, const box<real> *sorted, const int64_t *group,
                   int64_t count, int64_t words, real limit, real extra, word *mask) {
  parallel(stream, count * words, [=] DEVICE(int64_t at) {
    const int64_t i = take(&at, count), w = at;
    if (w < i / WORD) return; /* nobody reads that */
    const int64_t first = w * WORD > i ? w * WORD : i + 1;
    const int64_t last = (w + 1) * WORD < count ? (w + 1) * WORD : count;
    const box<real> own = sorted[i];
    const int64_t own_group = group ? group[i] : 0;
    word bits = 0;
    for (int64_t j = first; j < last; j++)
      if ((!group || group[j] == own_group) && overlap(own, sorted[j], extra) > limit)
        bits |= (word)1 << (j - w * WORD);
    mask[i * words + w] = bits;
  });
}

/* gone[w]: which of the boxes 64 w ... are suppressed. One warp; lane l owns the words l, l + LANES
 * ... of gone. What it waits for is memory, so that it asks for many words at once. */
static void decide(cudaStream_t stream, const word *mask, int64_t count, int64_t words,
                   word *gone) {
  one_warp(stream, [=] DEVICE(int64_t lane) {
    for (int64_t w = lane; w < words; w += LANES) gone[w] = 0;
    for (int64_t w = 0; w < words; w++) {
      const int64_t first = w * WORD, boxes = count - first < WORD ? count - first : WORD;
      const int owner = (int)(w % LANES);
      word out = of_lane(lane == owner ? gone[w] : (word)0, owner);
      /* what the 64 boxes suppress of each other: a lane has it of two of them */
      const int64_t other = lane + LANES;
      const word lower = lane < boxes ? mask[(first + lane) * words + w] : 0;
      const word upper = other < boxes ? mask[(first + other) * words + w] : 0;
#pragma unroll
      for (int i = 0; i < WORD; i++) {
        const word row = of_lane(i < LANES ? lower : upper, i % LANES);
        if (!(out >> i & 1)) out |= row;
      }
      if (lane == owner) gone[w] = out;
      /* Behind word w there is another, so that it has 64 boxes. Rows are fetched in advance,
       * whether their boxes stay or not: else each would wait for the one before. */
      const int64_t next = w + 1 + (lane - (w + 1) % LANES + LANES) % LANES;
      for (int64_t v = next; v < words; v += LANES) {
        word sum = gone[v];
        for (int begin = 0; begin < WORD; begin += AHEAD) {
          word row[AHEAD];
#pragma unroll
          for (int i = 0; i < AHEAD; i++) row[i] = mask[(first + begin + i) * words + v];
#pragma unroll
          for (int i = 0; i < AHEAD; i++) sum |= row[i] & ((out >> (begin + i) & 1) - 1);
        }
        gone[v] = sum;
      }
    }
  });
}

/* keep = order[i] of the boxes i that are not gone, in order; kept[0] = how many they are. */
static void collect(cudaStream_t stream, const word *gone, const int64_t *order, int64_t count,
                    int64_t *keep, int64_t *kept) {
  parallel(stream, count, [=] DEVICE(int64_t i) {
    const int64_t w = i / WORD;
    const word bit = (word)1 << (i - w * WORD), stays = ~gone[w];
    const int here = (stays & bit) != 0;
    if (!here && i != count - 1) return;
    int64_t before = bits_in(stays & (bit - 1));
    for (int64_t v = 0; v < w; v++) before += bits_in(~gone[v]);
    if (here) keep[before] = order[i];
    if (i == count - 1) *kept = before + here;
  });
}

/* groups may be NULL. */
template <typename Tensor>
void select_boxes(const Tensor *boxes, const Tensor *scores, const THCudaLongTensor *groups,
                  double threshold, int plus_one, THCudaLongTensor *keep, int keep_argument) {
  typedef element<Tensor> real;
  check_boxes(boxes, 1, "boxes");
  const int64_t count = boxes->size[0];
  check_scores(scores, count);
  REQUIRE(!groups || (groups->nDimension <= 1 && elements_of(groups) == count), 3,
          "groups must have one value per box, shape [%lld], got %s", (long long)count,
          desc_of(groups).str);
  REQUIRE(threshold == threshold, keep_argument - 2, "threshold must be a number, got NaN");
  if (keep->nDimension > 1 || elements_of(keep) != count) resize(keep, 1, &count);
  REQUIRE(is_contiguous(keep), keep_argument,
          "keep must be contiguous, or of another size: it is then made so");
  if (count == 0) return;

  /* One block: mask, gone (words), keys, order, groups in order, kept (64 bits), sorted boxes,
   * rank. */
  const int64_t words = (count + WORD - 1) / WORD;
  const int64_t longs = count * words + words + 3 * count + 1;
  word *mask = (word *)scratch(longs * 8 + count * (int64_t)(sizeof(box<real>) + 4));
  word *gone = mask + count * words;
  uint64_t *key = (uint64_t *)(gone + words);
  int64_t *order = (int64_t *)(key + count), *group = order + count, *kept = group + count;
  box<real> *sorted = (box<real> *)(kept + 1);
  unsigned *rank = (unsigned *)(sorted + count);

  const cudaStream_t stream = current_stream();
  const real limit = largest_below<real>(threshold), extra = plus_one ? 1 : 0;
  const real *score = data_of(scores);
  const int64_t score_stride = scores->stride[0];
  parallel(stream, count, [=] DEVICE(int64_t i) {
    key[i] = key_of_score((double)score[i * score_stride]);
    rank[i] = 0;
  });
  rank_boxes(stream, key, count, rank);
  const box_rows<real> rows = rows_of(boxes, plus_one);
  const int64_t *given = groups ? data_of(groups) : NULL;
  const int64_t group_stride = groups ? groups->stride[0] : 0;
  parallel(stream, count, [=] DEVICE(int64_t i) {
    const unsigned place = rank[i];
    order[place] = i;
    sorted[place] = rows.at(i);
    if (given) group[place] = given[i * group_stride];
  });
  compare_boxes(stream, sorted, groups ? group : NULL, count, words, limit, extra, mask);
  decide(stream, mask, count, words, gone);
  collect(stream, gone, order, count, data_of(keep), kept);
  const int64_t left = fetch(kept, mask, stream);
  resize(keep, 1, &left);
}

#define DEFINE(name, Tensor)                                                                     \
  void nms_##name##_cuda(const Tensor *boxes, const Tensor *scores, double threshold,            \
                         int plus_one, THCudaLongTensor *keep) {                                 \
    select_boxes(boxes, scores, (const THCudaLongTensor *)NULL, threshold, plus_one, keep, 5);   \
  }                                                                                              \
  void batched_nms_##name##_cuda(const Tensor *boxes, const Tensor *scores,                      \
                                 const THCudaLongTensor *groups, double threshold, int plus_one, \
                                 THCudaLongTensor *keep) {                                       \
    select_boxes(boxes, scores, groups, threshold, plus_one, keep, 6);                           \
  }
DEFINE(float, THCudaTensor)
DEFINE(double, THCudaDoubleTensor)
