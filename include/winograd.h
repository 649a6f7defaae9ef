/* Convolutions of 3 x 3 with steps of 1 for inference, by Winograd's minimal filtering: F(4 x 4, 3
 * x 3) of Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015. A quarter of the
 * multiplications, for errors some times those of direct convolutions (1e-5 of the largest result).
 */
#ifndef WINOGRAD_H
#define WINOGRAD_H

#include <TH/TH.h>

/* How many floats a vector of this processor has that there is a kernel for: 16 (AVX-512), 8 (AVX2
 * with FMA), or 0: winograd_convolution is an error then. */
int winograd_lanes(void);

/* prepared = the weights as winograd_convolution reads them
 *
 * weight (O, C, 3, 3), of any strides; C a multiple of 16, O of 32. prepared is resized to
 * (36, O / 32, C, 32). */
void winograd_prepare(const THFloatTensor *weight, THFloatTensor *prepared);

/* output = relu(convolution of input + bias + residual)
 *
 * input (N, C, H, W) with channels next to each other (channels_last); prepared by
 * winograd_prepare; bias (O). Zeros are padded, pad_height above and below, pad_width on either
 * side: 0 .. 2. residual: NULL, or of output's shape with channels next to each other. relu: 0
 * leaves the ReLU out. output (N, O, H + 2 pad_height - 2, W + 2 pad_width - 2), with channels next
 * to each other; it may be residual itself, not input. No result depends on the number of threads.
 */
void winograd_convolution(const THFloatTensor *input, const THFloatTensor *prepared,
                          const THFloatTensor *bias, const THFloatTensor *residual, int pad_height,
                          int pad_width, int relu, THFloatTensor *output);

#endif
