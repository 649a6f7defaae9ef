/* Non-maximum suppression of boxes. */
#ifndef NMS_H
#define NMS_H

#include <TH/TH.h>

/* keep = the boxes that no better box overlaps by an intersection over union > threshold, best
 * score first
 *
 * boxes (N, 4): x1, y1, x2, y2; scores (N). keep (M) int64: row numbers of boxes, resized. Equal
 * scores keep their order. plus_one != 0 counts pixels as older code did: a box is x2 - x1 + 1
 * wide. A NaN score ranks last. A box with a NaN overlaps nothing, so it is kept. */
void nms_float(const THFloatTensor *boxes, const THFloatTensor *scores, double threshold,
               int plus_one, THLongTensor *keep);

/* The same in double precision. */
void nms_double(const THDoubleTensor *boxes, const THDoubleTensor *scores, double threshold,
                int plus_one, THLongTensor *keep);

/* nms within each group: boxes of different groups do not suppress each other
 *
 * groups (N) int64, any numbers; the rest as in nms. keep is in the order of scores over all
 * groups.
 */
void batched_nms_float(const THFloatTensor *boxes, const THFloatTensor *scores,
                       const THLongTensor *groups, double threshold, int plus_one,
                       THLongTensor *keep);

/* The same in double precision. */
void batched_nms_double(const THDoubleTensor *boxes, const THDoubleTensor *scores,
                        const THLongTensor *groups, double threshold, int plus_one,
                        THLongTensor *keep);

/* Soft-NMS (Bodla et al., 2017): the best box is kept, the scores of the others are multiplied by a
 * factor of their intersection over union with it, and so on while a score > score_threshold.
 *
 * boxes (N, 4), scores (N). method 0: the factor is 1 - iou where iou > iou_threshold; 1:
 * exp(-iou^2 / sigma); 2: 0 where iou > iou_threshold. score_threshold >= 0. keep (M) int64 and
 * kept_scores (M) are resized: row numbers in the order in which they were kept, and their scores
 * at that time. Of equal scores the first row wins; a NaN is never kept. */
void soft_nms_float(const THFloatTensor *boxes, const THFloatTensor *scores, int method,
                    double sigma, double iou_threshold, double score_threshold, int plus_one,
                    THLongTensor *keep, THFloatTensor *kept_scores);

/* The same in double precision. */
void soft_nms_double(const THDoubleTensor *boxes, const THDoubleTensor *scores, int method,
                     double sigma, double iou_threshold, double score_threshold, int plus_one,
                     THLongTensor *keep, THDoubleTensor *kept_scores);

#endif
