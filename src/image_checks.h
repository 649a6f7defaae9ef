/* What prepare_image asks of its arguments, on the CPU and on a GPU. */
#ifndef IMAGE_CHECKS_H
#define IMAGE_CHECKS_H

#include "kernels.h"

/* A tensor's shape and strides. */
typedef struct {
  int dimensions;
  const int64_t *size, *stride;
} layout;

#define LAYOUT_OF(tensor) ((layout){(tensor)->nDimension, (tensor)->size, (tensor)->stride})

/* mean or std: (C), or a number where there is one channel. */
static inline void check_per_channel(layout values, int64_t channels, int argument,
                                     const char *name) {
  const int64_t elements = values.dimensions ? values.size[0] : 1;
  REQUIRE(values.dimensions <= 1 && elements == channels, argument,
          "%s must have %lld elements in one dimension, got %lld in %d", name, (long long)channels,
          (long long)elements, values.dimensions);
}

static inline void check_prepare_image(layout image, int64_t top, int64_t left, int64_t crop_height,
                                       int64_t crop_width, int64_t height, int64_t width,
                                       layout mean, layout std, layout place) {
  REQUIRE(image.dimensions == 3, 1, "image must have 3 dimensions (H, W, C), got %d",
          image.dimensions);
  const int64_t channels = image.size[2];
  REQUIRE(channels >= 1 && channels <= 4, 1, "image must have 1 to 4 channels, got %lld",
          (long long)channels);
  REQUIRE(top >= 0 && left >= 0 && crop_height >= 1 && crop_width >= 1 &&
              crop_height <= image.size[0] - top && crop_width <= image.size[1] - left,
          2,
          "the crop (top %lld, left %lld, %lld x %lld) must lie in the image of %lld x %lld pixels",
          (long long)top, (long long)left, (long long)crop_height, (long long)crop_width,
          (long long)image.size[0], (long long)image.size[1]);
  REQUIRE((channels == 1 || image.stride[2] == 1) &&
              (image.size[1] == 1 || image.stride[1] == channels),
          1, "the pixels of a row of image must lie side by side");
  REQUIRE(height >= 1 && width >= 1, 6, "the result must have at least one pixel, got %lld x %lld",
          (long long)height, (long long)width);
  REQUIRE(crop_width <= INT32_MAX / 4 && crop_height <= INT32_MAX / 4, 4,
          "the crop must be smaller than 2^29 pixels a side");
  check_per_channel(mean, channels, 11, "mean");
  check_per_channel(std, channels, 12, "std");
  REQUIRE(place.dimensions == 3, 13, "place must have 3 dimensions (C, h, w), got %d",
          place.dimensions);
  REQUIRE(place.size[0] == channels && place.size[1] >= height && place.size[2] >= width, 13,
          "place must have the shape (%lld, h >= %lld, w >= %lld), got (%lld, %lld, %lld)",
          (long long)channels, (long long)height, (long long)width, (long long)place.size[0],
          (long long)place.size[1], (long long)place.size[2]);
  REQUIRE(place.size[2] == 1 || place.stride[2] == 1, 13,
          "the rows of place must be contiguous, got a stride of %lld", (long long)place.stride[2]);
}

#endif
