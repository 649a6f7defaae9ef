/* Frozen batch normalisation: a per-channel affine map, with the residual addition and the ReLU
 * that follow it. */
#ifndef FROZEN_BN_H
#define FROZEN_BN_H

#include <TH/TH.h>

/* output = relu(input * scale + bias + residual)
 *
 * input and output (N, C, H, W), of any strides (NCHW and channels_last are fast); scale and bias
 * (C). residual: the shape of input, or NULL for none. relu: 0 leaves the ReLU out. A NaN stays a
 * NaN. output is resized if it has another shape and keeps its strides if not; it may be input or
 * residual themselves. */
void frozen_bn_forward_float(const THFloatTensor *input, const THFloatTensor *scale,
                             const THFloatTensor *bias, const THFloatTensor *residual, int relu,
                             THFloatTensor *output);

/* The same in double precision. */
void frozen_bn_forward_double(const THDoubleTensor *input, const THDoubleTensor *scale,
                              const THDoubleTensor *bias, const THDoubleTensor *residual, int relu,
                              THDoubleTensor *output);

/* The same for the bits of bfloat16, computed in float32 and rounded once. */
void frozen_bn_forward_bfloat16(const THShortTensor *input, const THFloatTensor *scale,
                                const THFloatTensor *bias, const THShortTensor *residual, int relu,
                                THShortTensor *output);

/* grad_residual = grad_output where the ReLU let it pass, else 0;  grad_input = grad_residual *
 * scale
 *
 * grad_output (N, C, H, W); scale (C). output: what forward gave, if it applied the ReLU; NULL if
 * it did not. grad_input and grad_residual are resized like output of forward; either may be NULL,
 * and is then not computed. */
void frozen_bn_backward_float(const THFloatTensor *grad_output, const THFloatTensor *output,
                              const THFloatTensor *scale, THFloatTensor *grad_input,
                              THFloatTensor *grad_residual);

/* The same in double precision. */
void frozen_bn_backward_double(const THDoubleTensor *grad_output, const THDoubleTensor *output,
                               const THDoubleTensor *scale, THDoubleTensor *grad_input,
                               THDoubleTensor *grad_residual);

/* The same for the bits of bfloat16, computed in float32 and rounded once. */
void frozen_bn_backward_bfloat16(const THShortTensor *grad_output, const THShortTensor *output,
                                 const THFloatTensor *scale, THShortTensor *grad_input,
                                 THShortTensor *grad_residual);

#endif
