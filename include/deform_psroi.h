/* Deformable position-sensitive ROI pooling: the mean of samples of each bin of a region, where
 * bins are displaced by offsets that a network computes (Dai et al., Deformable Convolutional
 * Networks, 2017, section 3.2), and may each have channels of their own (Dai et al., R-FCN, 2016).
 */
#ifndef DEFORM_PSROI_H
#define DEFORM_PSROI_H

#include <TH/TH.h>

/* output[k][c][py][px] = mean of the samples of bin (py, px) of region k, in the channel
 * (c * group_size + gy) * group_size + gx of input with (gy, gx) = (py, px) * group_size /
 * pooled_size, rounded down
 *
 * input (N, output_dim * group_size^2, H, W), any strides. rois (K, 5): batch index, x1, y1, x2, y2
 * in the coordinates of the image. They are rounded to pixels, of which the last belongs to the
 * region: on input it begins at x1 * spatial_scale - 0.5 and ends at (x2 + 1) * spatial_scale -
 * 0.5, and is at least 0.1 wide and high. Its pooled_size^2 bins have sample_per_part^2 (at most
 * 4096^2) samples each, the first one in the bin's upper left corner. trans (K, 2 * classes,
 * part_size, part_size), or NULL: bin (py, px) is displaced by trans_std (0 to 1) times the
 * region's width times trans[k][2 * class][part], and likewise by its height with 2 * class + 1,
 * where part is (py, px) * part_size / pooled_size, rounded down, and class is c / (output_dim /
 * classes). Samples more than half a pixel outside of input, or displaced by a NaN, do not count;
 * the others are moved to the centres of the border's pixels if they lie beyond, and interpolated.
 *
 * output and top_count (K, output_dim, pooled_size, pooled_size) are resized if they have another
 * shape. top_count, the number of samples that count, may be NULL; where it is 0, output is 0. An
 * ROI with a NaN, an infinity or a batch index outside of 0..N-1 is an error. */
void deform_psroi_forward_float(const THFloatTensor *input, const THFloatTensor *rois,
                                const THFloatTensor *trans, double spatial_scale, int output_dim,
                                int group_size, int pooled_size, int part_size, int sample_per_part,
                                double trans_std, THFloatTensor *output, THFloatTensor *top_count);

/* The same in double precision. */
void deform_psroi_forward_double(const THDoubleTensor *input, const THDoubleTensor *rois,
                                 const THDoubleTensor *trans, double spatial_scale, int output_dim,
                                 int group_size, int pooled_size, int part_size,
                                 int sample_per_part, double trans_std, THDoubleTensor *output,
                                 THDoubleTensor *top_count);

/* The adjoint of forward in input: adds what each output took from grad_input's pixels.
 *
 * grad_output (K, output_dim, pooled_size, pooled_size); rois, trans and the numbers as in forward.
 * grad_input (N, output_dim * group_size^2, H, W) keeps its shape, must have forward's input's, and
 * is overwritten. */
void deform_psroi_input_backward_float(const THFloatTensor *grad_output, const THFloatTensor *rois,
                                       const THFloatTensor *trans, double spatial_scale,
                                       int output_dim, int group_size, int pooled_size,
                                       int part_size, int sample_per_part, double trans_std,
                                       THFloatTensor *grad_input);

/* The same in double precision. */
void deform_psroi_input_backward_double(const THDoubleTensor *grad_output,
                                        const THDoubleTensor *rois, const THDoubleTensor *trans,
                                        double spatial_scale, int output_dim, int group_size,
                                        int pooled_size, int part_size, int sample_per_part,
                                        double trans_std, THDoubleTensor *grad_input);

/* The gradient of forward in trans, which is not NULL here. What a sample on a pixel's row or
 * column, or one that was moved to the border, gives to that direction is 0.
 *
 * grad_output, rois, the numbers and input as in forward. grad_trans keeps its shape, must have
 * trans's, and is overwritten. */
void deform_psroi_trans_backward_float(const THFloatTensor *grad_output, const THFloatTensor *rois,
                                       const THFloatTensor *trans, double spatial_scale,
                                       int output_dim, int group_size, int pooled_size,
                                       int part_size, int sample_per_part, double trans_std,
                                       const THFloatTensor *input, THFloatTensor *grad_trans);

/* The same in double precision. */
void deform_psroi_trans_backward_double(const THDoubleTensor *grad_output,
                                        const THDoubleTensor *rois, const THDoubleTensor *trans,
                                        double spatial_scale, int output_dim, int group_size,
                                        int pooled_size, int part_size, int sample_per_part,
                                        double trans_std, const THDoubleTensor *input,
                                        THDoubleTensor *grad_trans);

#endif
