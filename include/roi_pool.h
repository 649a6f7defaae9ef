/* ROIPool: the maximum of each bin of regions of a feature map (Girshick, Fast R-CNN, 2015). */
#ifndef ROI_POOL_H
#define ROI_POOL_H

#include <TH/TH.h>

/* output[k][c][py][px] = the largest pixel of bin (py, px) of region k in channel c
 *
 * input (N, C, H, W), any strides, H * W < 2^31. rois (K, 5): batch index, x1, y1, x2, y2 in the
 * coordinates of the image; spatial_scale takes them to input's, where they are rounded to pixels;
 * the last pixel belongs to the region, which has at least one. output and argmax (K, C,
 * pooled_height, pooled_width) are resized if they have another shape; argmax holds y * W + x of
 * the pixel, the first one of equals. A bin outside of input gives 0 and -1. A NaN is larger than
 * every number. An ROI with a NaN, an infinity or a batch index outside of 0..N-1 is an error. */
void roi_pool_forward_float(const THFloatTensor *input, const THFloatTensor *rois,
                            double spatial_scale, int pooled_height, int pooled_width,
                            THFloatTensor *output, THIntTensor *argmax);

/* The same in double precision. */
void roi_pool_forward_double(const THDoubleTensor *input, const THDoubleTensor *rois,
                             double spatial_scale, int pooled_height, int pooled_width,
                             THDoubleTensor *output, THIntTensor *argmax);

/* Each element of grad_output is added to grad_input's pixel that forward took it from.
 *
 * grad_output and argmax (K, C, pooled height, pooled width), rois (K, 5) as in forward. grad_input
 * (N, C, H, W) keeps its shape, must have forward's input's, and is overwritten. */
void roi_pool_backward_float(const THFloatTensor *grad_output, const THFloatTensor *rois,
                             const THIntTensor *argmax, THFloatTensor *grad_input);

/* The same in double precision. */
void roi_pool_backward_double(const THDoubleTensor *grad_output, const THDoubleTensor *rois,
                              const THIntTensor *argmax, THDoubleTensor *grad_input);

#endif
