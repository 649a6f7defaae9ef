/* The intersection over union of boxes. */
#ifndef BOX_IOU_H
#define BOX_IOU_H

#include <TH/TH.h>

/* iou[i][j] = area of the intersection of boxes1[i] and boxes2[j] / area of their union
 *
 * boxes1 (N, 4) and boxes2 (M, 4): x1, y1, x2, y2. iou (N, M) is resized if it has another shape.
 * plus_one != 0 counts pixels as older code did: a box is x2 - x1 + 1 wide. A union of 0 gives 0.
 */
void box_iou_forward_float(const THFloatTensor *boxes1, const THFloatTensor *boxes2, int plus_one,
                           THFloatTensor *iou);

/* The same in double precision. */
void box_iou_forward_double(const THDoubleTensor *boxes1, const THDoubleTensor *boxes2,
                            int plus_one, THDoubleTensor *iou);

/* The gradients of both boxes, from that of iou (N, M). Where two edges coincide, each has half.
 *
 * grad_boxes1 (N, 4) and grad_boxes2 (M, 4) are resized if they have another shape. */
void box_iou_backward_float(const THFloatTensor *grad_iou, const THFloatTensor *boxes1,
                            const THFloatTensor *boxes2, int plus_one, THFloatTensor *grad_boxes1,
                            THFloatTensor *grad_boxes2);

/* The same in double precision. */
void box_iou_backward_double(const THDoubleTensor *grad_iou, const THDoubleTensor *boxes1,
                             const THDoubleTensor *boxes2, int plus_one,
                             THDoubleTensor *grad_boxes1, THDoubleTensor *grad_boxes2);

#endif
