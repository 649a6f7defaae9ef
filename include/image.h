/* Image preparation: a decoded image -> its place in the padded batch that a network takes. */
#ifndef IMAGE_H
#define IMAGE_H

#include <TH/TH.h>

/* place[c][y][x] = (resized[y][x][c] - mean[c]) / std[c] for y < height, x < width; 0 elsewhere
 *
 * resized is the part (top, left, crop_height, crop_width) of image, resampled to height x width by
 * bilinear interpolation between pixel centres, without rounding to grey levels. antialias != 0: an
 * axis that shrinks is low-pass filtered by a triangle that grows with the scale, as Pillow does;
 * 0: two pixels per axis whatever the scale, as OpenCV's INTER_LINEAR. flip: 1 mirrors left and
 * right, 2 upside down, 3 both, after the resampling.
 *
 * image (H, W, C) uint8, C from 1 to 4, rows of any stride with pixels side by side. place (C, h,
 * w) with h >= height and w >= width is written as a whole; its rows must be contiguous. It may be
 * a view into a batch. mean and std (C) are in the order of place's planes; reverse_channels != 0
 * turns that order round (RGB -> BGR). Takes scratch memory for one row and the filters. One
 * thread: images are what is done in parallel. */
void prepare_image(const THByteTensor *image, int64_t top, int64_t left, int64_t crop_height,
                   int64_t crop_width, int64_t height, int64_t width, int antialias, int flip,
                   int reverse_channels, const THFloatTensor *mean, const THFloatTensor *std,
                   THFloatTensor *place);

#endif
