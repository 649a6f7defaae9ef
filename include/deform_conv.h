/* The samples of a deformable convolution, v1 (Dai et al., 2017) and v2 with a mask (Zhu et al.,
 * 2019). The convolution is then a product of matrices: columns times weight.
 *
 * The parameters of all functions: input (C, H, W) is one image, fast where channels are neighbours
 * in memory. offset (2 * D * kh * kw, H', W') holds dy, dx of each tap of each of D deformable
 * groups (parts of the channels); mask (D * kh * kw, H', W') their factors, or NULL for 1. Tap (i,
 * j) of output position (y, x) is sampled at y * stride_h - pad_h + i * dilation_h + dy, and
 * likewise across, by bilinear interpolation with zeros around input; displaced by a NaN it is 0.
 * columns (G, P, kh * kw * C / G) has the samples of the output positions first .. first + P - 1
 * (row by row), of each of G groups of channels, tap by tap. */
#ifndef DEFORM_CONV_H
#define DEFORM_CONV_H

#include <TH/TH.h>

/* columns = the samples. columns keeps its shape. */
void deform_columns_float(const THFloatTensor *input, const THFloatTensor *offset,
                          const THFloatTensor *mask, int kh, int kw, int stride_h, int stride_w,
                          int pad_h, int pad_w, int dilation_h, int dilation_w, int64_t first,
                          THFloatTensor *columns);

/* The same in double precision. */
void deform_columns_double(const THDoubleTensor *input, const THDoubleTensor *offset,
                           const THDoubleTensor *mask, int kh, int kw, int stride_h, int stride_w,
                           int pad_h, int pad_w, int dilation_h, int dilation_w, int64_t first,
                           THDoubleTensor *columns);

/* Adds to grad_input (C, H, W) what these positions' grad_columns give. */
void deform_input_backward_float(const THFloatTensor *grad_columns, const THFloatTensor *offset,
                                 const THFloatTensor *mask, int kh, int kw, int stride_h,
                                 int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w,
                                 int64_t first, THFloatTensor *grad_input);

/* The same in double precision. */
void deform_input_backward_double(const THDoubleTensor *grad_columns, const THDoubleTensor *offset,
                                  const THDoubleTensor *mask, int kh, int kw, int stride_h,
                                  int stride_w, int pad_h, int pad_w, int dilation_h,
                                  int dilation_w, int64_t first, THDoubleTensor *grad_input);

/* The gradients of offset and mask at these positions; the others stay as they are. grad_offset has
 * offset's shape, grad_mask mask's; grad_mask may be NULL. */
void deform_offset_backward_float(const THFloatTensor *grad_columns, const THFloatTensor *input,
                                  const THFloatTensor *offset, const THFloatTensor *mask, int kh,
                                  int kw, int stride_h, int stride_w, int pad_h, int pad_w,
                                  int dilation_h, int dilation_w, int64_t first,
                                  THFloatTensor *grad_offset, THFloatTensor *grad_mask);

/* The same in double precision. */
void deform_offset_backward_double(const THDoubleTensor *grad_columns, const THDoubleTensor *input,
                                   const THDoubleTensor *offset, const THDoubleTensor *mask, int kh,
                                   int kw, int stride_h, int stride_w, int pad_h, int pad_w,
                                   int dilation_h, int dilation_w, int64_t first,
                                   THDoubleTensor *grad_offset, THDoubleTensor *grad_mask);

#endif
