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

#endif
