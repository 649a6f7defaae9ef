/* The kernels on a GPU: for each function of the other headers here, one with _cuda behind its name
 * that takes CUDA tensors, and computes what the other header says.
 *
 * All tensors are on one GPU; the work goes to the current stream, and nobody waits for it. What
 * that changes:
 * - What is wrong with values that only the GPU knows is not an error: a region with a NaN or a
 *   batch index that there is not gives NaNs (argmax: -1) and takes part in no gradient, and so
 * does a row whose class is beyond the columns. argmax beyond grad_input is left out.
 * - nms, batched_nms and soft_nms wait for how many boxes they keep, the size of their result; so
 *   they cannot be captured in a graph.
 * - roi_align_backward, roi_pool_backward, deform_input_backward and both backward functions of
 *   deform_psroi add in the order in which the GPU comes to it: the last bits may differ from call
 *   to call.
 *
 * Scratch memory is torch's. */
#ifndef KERNELS_CUDA_H
#define KERNELS_CUDA_H

#include <THC/THC.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KERNELS_CUDA(name, Tensor)                                                                 \
  /* frozen_bn.h */                                                                                \
  void frozen_bn_forward_##name##_cuda(const Tensor *input, const Tensor *scale,                   \
                                       const Tensor *bias, const Tensor *residual, int relu,       \
                                       Tensor *output);                                            \
  void frozen_bn_backward_##name##_cuda(const Tensor *grad_output, const Tensor *output,           \
                                        const Tensor *scale, Tensor *grad_input,                   \
                                        Tensor *grad_residual);                                    \
  /* roi_align.h */                                                                                \
  void roi_align_forward_##name##_cuda(const Tensor *input, const Tensor *rois,                    \
                                       double spatial_scale, int pooled_height, int pooled_width,  \
                                       int sampling_ratio, int aligned, Tensor *output);           \
  void roi_align_backward_##name##_cuda(const Tensor *grad_output, const Tensor *rois,             \
                                        double spatial_scale, int pooled_height, int pooled_width, \
                                        int sampling_ratio, int aligned, Tensor *grad_input);      \
  /* nms.h */                                                                                      \
  void nms_##name##_cuda(const Tensor *boxes, const Tensor *scores, double threshold,              \
                         int plus_one, THCudaLongTensor *keep);                                    \
  void batched_nms_##name##_cuda(const Tensor *boxes, const Tensor *scores,                        \
                                 const THCudaLongTensor *groups, double threshold, int plus_one,   \
                                 THCudaLongTensor *keep);                                          \
  void soft_nms_##name##_cuda(const Tensor *boxes, const Tensor *scores, int method, double sigma, \
                              double iou_threshold, double score_threshold, int plus_one,          \
                              THCudaLongTensor *keep, Tensor *kept_scores);                        \
  /* roi_pool.h */                                                                                 \
  void roi_pool_forward_##name##_cuda(const Tensor *input, const Tensor *rois,                     \
                                      double spatial_scale, int pooled_height, int pooled_width,   \
                                      Tensor *output, THCudaIntTensor *argmax);                    \
  void roi_pool_backward_##name##_cuda(const Tensor *grad_output, const Tensor *rois,              \
                                       const THCudaIntTensor *argmax, Tensor *grad_input);         \
  /* box_iou.h */                                                                                  \
  void box_iou_forward_##name##_cuda(const Tensor *boxes1, const Tensor *boxes2, int plus_one,     \
                                     Tensor *iou);                                                 \
  void box_iou_backward_##name##_cuda(const Tensor *grad_iou, const Tensor *boxes1,                \
                                      const Tensor *boxes2, int plus_one, Tensor *grad_boxes1,     \
                                      Tensor *grad_boxes2);                                        \
  /* focal_loss.h */                                                                               \
  void focal_loss_forward_##name##_cuda(const Tensor *logits, const Tensor *targets, double alpha, \
                                        double gamma, Tensor *loss);                               \
  void focal_loss_backward_##name##_cuda(const Tensor *grad_loss, const Tensor *logits,            \
                                         const Tensor *targets, double alpha, double gamma,        \
                                         Tensor *grad_logits);                                     \
  void class_focal_loss_forward_##name##_cuda(const Tensor *logits,                                \
                                              const THCudaLongTensor *classes, double alpha,       \
                                              double gamma, Tensor *loss);                         \
  void class_focal_loss_backward_##name##_cuda(const Tensor *grad_loss, const Tensor *logits,      \
                                               const THCudaLongTensor *classes, double alpha,      \
                                               double gamma, Tensor *grad_logits);                 \
  /* deform_conv.h */                                                                              \
  void deform_columns_##name##_cuda(const Tensor *input, const Tensor *offset, const Tensor *mask, \
                                    int kh, int kw, int stride_h, int stride_w, int pad_h,         \
                                    int pad_w, int dilation_h, int dilation_w, int64_t first,      \
                                    Tensor *columns);                                              \
  void deform_input_backward_##name##_cuda(const Tensor *grad_columns, const Tensor *offset,       \
                                           const Tensor *mask, int kh, int kw, int stride_h,       \
                                           int stride_w, int pad_h, int pad_w, int dilation_h,     \
                                           int dilation_w, int64_t first, Tensor *grad_input);     \
  void deform_offset_backward_##name##_cuda(                                                       \
      const Tensor *grad_columns, const Tensor *input, const Tensor *offset, const Tensor *mask,   \
      int kh, int kw, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h,            \
      int dilation_w, int64_t first, Tensor *grad_offset, Tensor *grad_mask);                      \
  /* deform_psroi.h */                                                                             \
  void deform_psroi_forward_##name##_cuda(                                                         \
      const Tensor *input, const Tensor *rois, const Tensor *trans, double spatial_scale,          \
      int output_dim, int group_size, int pooled_size, int part_size, int sample_per_part,         \
      double trans_std, Tensor *output, Tensor *top_count);                                        \
  void deform_psroi_input_backward_##name##_cuda(                                                  \
      const Tensor *grad_output, const Tensor *rois, const Tensor *trans, double spatial_scale,    \
      int output_dim, int group_size, int pooled_size, int part_size, int sample_per_part,         \
      double trans_std, Tensor *grad_input);                                                       \
  void deform_psroi_trans_backward_##name##_cuda(                                                  \
      const Tensor *grad_output, const Tensor *rois, const Tensor *trans, double spatial_scale,    \
      int output_dim, int group_size, int pooled_size, int part_size, int sample_per_part,         \
      double trans_std, const Tensor *input, Tensor *grad_trans);                                  \
  /* normalize.h */                                                                                \
  void normalize_image_##name##_cuda(const THCudaByteTensor *image, const Tensor *mean,            \
                                     const Tensor *std, int reverse_channels, Tensor *output);

KERNELS_CUDA(float, THCudaTensor)
KERNELS_CUDA(double, THCudaDoubleTensor)

/* image.h */
void prepare_image_cuda(const THCudaByteTensor *image, int64_t top, int64_t left,
                        int64_t crop_height, int64_t crop_width, int64_t height, int64_t width,
                        int antialias, int flip, int reverse_channels, const THCudaTensor *mean,
                        const THCudaTensor *std, THCudaTensor *place);

/* broadcast.h */
#define BROADCAST_CUDA(name, Tensor, Quotient)                                               \
  Tensor *broadcast_add_##name##_cuda(const Tensor *a, const Tensor *b, Tensor *out);        \
  Tensor *broadcast_subtract_##name##_cuda(const Tensor *a, const Tensor *b, Tensor *out);   \
  Tensor *broadcast_multiply_##name##_cuda(const Tensor *a, const Tensor *b, Tensor *out);   \
  Quotient *broadcast_divide_##name##_cuda(const Tensor *a, const Tensor *b, Quotient *out); \
  Tensor *broadcast_minimum_##name##_cuda(const Tensor *a, const Tensor *b, Tensor *out);    \
  Tensor *broadcast_maximum_##name##_cuda(const Tensor *a, const Tensor *b, Tensor *out);

BROADCAST_CUDA(uint8, THCudaByteTensor, THCudaDoubleTensor)
BROADCAST_CUDA(int32, THCudaIntTensor, THCudaDoubleTensor)
BROADCAST_CUDA(int64, THCudaLongTensor, THCudaDoubleTensor)
BROADCAST_CUDA(float, THCudaTensor, THCudaTensor)
BROADCAST_CUDA(double, THCudaDoubleTensor, THCudaDoubleTensor)

/* frozen_bn.h */
void frozen_bn_forward_bfloat16_cuda(const THCudaShortTensor *input, const THCudaTensor *scale,
                                     const THCudaTensor *bias, const THCudaShortTensor *residual,
                                     int relu, THCudaShortTensor *output);
void frozen_bn_backward_bfloat16_cuda(const THCudaShortTensor *grad_output,
                                      const THCudaShortTensor *output, const THCudaTensor *scale,
                                      THCudaShortTensor *grad_input,
                                      THCudaShortTensor *grad_residual);

#ifdef __cplusplus
}
#endif

#endif
