/* Convolutions in float for inference, with the bias, a residual addition and the ReLU in one pass.
 * Weights are prepared once. Of images and results the channels lie next to each other
 * (channels_last); channels are a multiple of 16, outputs of 32. No result depends on the number of
 * threads. For x86-64 with AVX-512, or AVX2 and FMA. */
#ifndef CONVOLUTION_H
#define CONVOLUTION_H

#include <TH/TH.h>

/* How many floats a vector of this processor has that there are kernels for: 16 (AVX-512), 8 (AVX2
 * with FMA), or 0: the convolutions are errors then. */
int convolution_lanes(void);

/* prepared = weight (O, C, 3, 3), of any strides, as winograd_convolution reads it: resized to
 * (36, O / 32, C, 32). */
void winograd_prepare(const THFloatTensor *weight, THFloatTensor *prepared);

/* output = relu(convolution of input + bias + residual), 3 x 3 in steps of 1
 *
 * By Winograd's minimal filtering, F(4 x 4, 3 x 3) of Lavin and Gray, Fast Algorithms for
 * Convolutional Neural Networks, 2015: a quarter of the multiplications, errors 1.5 times as large.
 * input (N, C, H, W); prepared by winograd_prepare; bias (O). Zeros are padded, pad_height above
 * and below, pad_width on either side: 0 .. 2. residual: NULL, or of output's shape. relu: 0 leaves
 * the ReLU out. output (N, O, H + 2 pad_height - 2, W + 2 pad_width - 2) may be residual itself,
 * not input. */
void winograd_convolution(const THFloatTensor *input, const THFloatTensor *prepared,
                          const THFloatTensor *bias, const THFloatTensor *residual, int pad_height,
                          int pad_width, int relu, THFloatTensor *output);

/* prepared = weight (O, C), of any strides, as pointwise_convolution reads it: resized to
 * (O / 32, C, 32). */
void pointwise_prepare(const THFloatTensor *weight, THFloatTensor *prepared);

/* output = relu(convolution of input + bias + residual), 1 x 1 in steps of 1
 *
 * input (N, C, H, W) without gaps between pixels; prepared by pointwise_prepare; bias (O).
 * residual: NULL, or like output. relu: 0 leaves the ReLU out. output (N, O, H, W), without gaps
 * between pixels, may be residual itself, not input. */
void pointwise_convolution(const THFloatTensor *input, const THFloatTensor *prepared,
                           const THFloatTensor *bias, const THFloatTensor *residual, int relu,
                           THFloatTensor *output);

#endif
