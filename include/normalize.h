/* Image normalisation: uint8 pixels of a decoded image -> the float planes that a network takes. */
#ifndef NORMALIZE_H
#define NORMALIZE_H

#include <TH/TH.h>

/* output[c][y][x] = (image[y][x][c] - mean) / std
 *
 * image (H, W, C) uint8, any strides. mean and std have up to 3 dimensions and are broadcast
 * against (H, W, C) by NumPy's rules: shapes are padded with ones on the left, an axis fits if it
 * is equal or 1, the result takes the maximum. reverse_channels != 0 reads the channels of image
 * backwards first (RGB -> BGR): mean and std are in output order. output (C, H, W) is resized if it
 * has another shape, and keeps its strides if not: it may be a view into a padded batch.
 * Subtraction and division are single operations in the output's precision, as NumPy's are. */
void normalize_image_float(const THByteTensor *image, const THFloatTensor *mean,
                           const THFloatTensor *std, int reverse_channels, THFloatTensor *output);

/* The same in double precision: (H, W, C) uint8 -> (C, H, W) float64. */
void normalize_image_double(const THByteTensor *image, const THDoubleTensor *mean,
                            const THDoubleTensor *std, int reverse_channels,
                            THDoubleTensor *output);

#endif
