/* ROIAlign: regions of a feature map, resampled to one size by bilinear interpolation (He et al.,
 * Mask R-CNN, 2017). */
#ifndef ROI_ALIGN_H
#define ROI_ALIGN_H

#include <TH/TH.h>

/* output[k][c][py][px] = mean of the samples of bin (py, px) of region k in channel c
 *
 * input (N, C, H, W), any strides. rois (K, 5): batch index, x1, y1, x2, y2 in the coordinates of
 * the image; spatial_scale takes them to input's. sampling_ratio: samples per bin and axis, or <= 0
 * for ceil(size of the bin). aligned != 0 shifts by half a pixel (pixel centres); aligned == 0 is
 * the older form, with regions of at least 1 x 1. A sample more than one pixel outside of input
 * counts as 0. output (K, C, pooled_height, pooled_width) is resized if it has another shape. An
 * ROI with a NaN, an infinity or a batch index outside of 0..N-1 is an error. */
void roi_align_forward_float(const THFloatTensor *input, const THFloatTensor *rois,
                             double spatial_scale, int pooled_height, int pooled_width,
                             int sampling_ratio, int aligned, THFloatTensor *output);

/* The same in double precision. */
void roi_align_forward_double(const THDoubleTensor *input, const THDoubleTensor *rois,
                              double spatial_scale, int pooled_height, int pooled_width,
                              int sampling_ratio, int aligned, THDoubleTensor *output);

/* The adjoint of roi_align_forward: adds what each output took from grad_input's pixels.
 *
 * grad_output (K, C, pooled_height, pooled_width), rois and the numbers as in forward. grad_input
 * (N, C, H, W) keeps its shape, must have forward's input's, and is overwritten. */
void roi_align_backward_float(const THFloatTensor *grad_output, const THFloatTensor *rois,
                              double spatial_scale, int pooled_height, int pooled_width,
                              int sampling_ratio, int aligned, THFloatTensor *grad_input);

/* The same in double precision. */
void roi_align_backward_double(const THDoubleTensor *grad_output, const THDoubleTensor *rois,
                               double spatial_scale, int pooled_height, int pooled_width,
                               int sampling_ratio, int aligned, THDoubleTensor *grad_input);

#endif
