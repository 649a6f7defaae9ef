/* Soft-NMS on a GPU: src/soft_nms.c's twin. One warp computes all rounds: each needs the winner of
 * the one before, and the boxes of one image are too few to pay for a launch a round. */
#include "boxes.cuh"

enum { LINEAR, GAUSSIAN, HARD };

/* What a score is multiplied by. A NaN (boxes without area, or with a NaN) counts as no overlap. */
template <typename real>
BOTH real decayed(real score, real iou, int method, real sigma, real limit) {
  if (iou != iou) iou = 0;
  if (method == LINEAR) return score * (iou > limit ? 1 - iou : (real)1);
  if (method == HARD) return iou > limit ? (real)0 : score;
  return iou == 0 ? score : score * (real)exp((double)(-iou * iou / sigma));
}

/* The better of two candidates: the larger score, of equal ones the first row. */
template <typename real>
BOTH int is_better(real score, int64_t row, real than, int64_t than_row) {
  return score > than || (score == than && row < than_row);
}

template <typename Tensor>
void run_rounds(cudaStream_t stream, const Tensor *boxes, const Tensor *scores, int method,
                double sigma, double iou_threshold, double score_threshold, int plus_one,
                element<Tensor> *score, THCudaLongTensor *keep, Tensor *kept_scores,
                int64_t *kept) {
  typedef element<Tensor> real;
  const int64_t count = boxes->size[0], stride = scores->stride[0];
  const box_rows<real> rows = rows_of(boxes, plus_one);
  const real *given = data_of(scores), spread = (real)sigma;
  const real least = largest_below<real>(score_threshold);
  const real limit = largest_below<real>(iou_threshold);
  int64_t *keep_data = data_of(keep);
  real *kept_data = data_of(kept_scores);
  one_warp(stream, [=] DEVICE(int64_t lane) {
    int64_t round = 0, winner = -1;
    for (;; round++) {
      real best = least;
      int64_t best_row = count;
      const box<real> top = rows.at(winner < 0 ? 0 : winner);
      for (int64_t i = lane; i < count; i += LANES) { /* a lane reads and writes its own scores */
        real own = winner < 0 ? given[i * stride] : score[i];
        if (winner >= 0 && own > least) /* scores only fall: what is not above it is out for good */
          own = i == winner
                    ? (real)-1
                    : decayed(own, overlap(top, rows.at(i), rows.extra), method, spread, limit);
        score[i] = own;
        if (own > least && is_better(own, i, best, best_row)) {
          best = own;
          best_row = i;
        }
      }
      for (int distance = LANES / 2; distance > 0; distance /= 2) {
        const real other = other_lane(best, distance);
        const int64_t other_row = other_lane(best_row, distance);
        if (is_better(other, other_row, best, best_row)) {
          best = other;
          best_row = other_row;
        }
      }
      if (best_row == count) break; /* in all lanes alike */
      winner = best_row;
      if (lane == 0) {
        keep_data[round] = winner;
        kept_data[round] = best;
      }
    }
    if (lane == 0) *kept = round;
  });
}

template <typename Tensor>
void soft_nms(const Tensor *boxes, const Tensor *scores, int method, double sigma,
              double iou_threshold, double score_threshold, int plus_one, THCudaLongTensor *keep,
              Tensor *kept_scores) {
  typedef element<Tensor> real;
  check_boxes(boxes, 1, "boxes");
  const int64_t count = boxes->size[0];
  check_scores(scores, count);
  REQUIRE(method >= LINEAR && method <= HARD, 3,
          "method must be 0 (linear), 1 (gaussian) or 2 (hard), got %d", method);
  REQUIRE(sigma > 0, 4, "sigma must be positive, got %g", sigma);
  REQUIRE(iou_threshold == iou_threshold, 5, "iou_threshold must be a number, got NaN");
  REQUIRE(score_threshold >= 0, 6, "score_threshold must not be negative, got %g", score_threshold);
  REQUIRE_NO_INPUT(kept_scores, 9, boxes);
  resize(keep, 1, &count);
  resize(kept_scores, 1, &count);
  REQUIRE(is_contiguous(keep), 8, "keep must be contiguous");
  REQUIRE(is_contiguous(kept_scores), 9, "kept_scores must be contiguous");
  if (count == 0) return;

  int64_t *kept = (int64_t *)scratch((int64_t)sizeof(int64_t) + count * (int64_t)sizeof(real));
  const cudaStream_t stream = current_stream();
  run_rounds(stream, boxes, scores, method, sigma, iou_threshold, score_threshold, plus_one,
             (real *)(kept + 1), keep, kept_scores, kept);
  const int64_t left = fetch(kept, kept, stream);
  resize(keep, 1, &left);
  resize(kept_scores, 1, &left);
}

#define DEFINE(name, Tensor)                                                                       \
  void soft_nms_##name##_cuda(const Tensor *boxes, const Tensor *scores, int method, double sigma, \
                              double iou_threshold, double score_threshold, int plus_one,          \
                              THCudaLongTensor *keep, Tensor *kept_scores) {                       \
    soft_nms(boxes, scores, method, sigma, iou_threshold, score_threshold, plus_one, keep,         \
             kept_scores);                                                                         \
  }
DEFINE(float, THCudaTensor)
DEFINE(double, THCudaDoubleTensor)
