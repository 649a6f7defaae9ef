/* NumPy's broadcasting of shapes: what elementwise arithmetic and normalisation share, on the CPU
 * and on a GPU. */
#ifndef BROADCASTING_H
#define BROADCASTING_H

#include "kernels.h"

/* Axis `axis` of `axes`, of a shape padded with ones on the left. A tensor without dimensions is
 * torch's shape (0,). */
static inline int64_t padded_size(int dimensions, const int64_t *size, int axis, int axes) {
  if (dimensions == 0) return axis == axes - 1 ? 0 : 1;
  const int own = axis - (axes - dimensions);
  return own < 0 ? 1 : size[own];
}

/* The stride along the same axis; 0 where one group of values is repeated. */
static inline int64_t padded_stride(int dimensions, const int64_t *size, const int64_t *stride,
                                    int axis, int axes) {
  const int own = axis - (axes - dimensions);
  return dimensions == 0 || own < 0 || size[own] == 1 ? 0 : stride[own];
}

/* shape[axis] of an image (H, W, C) and a tensor `name` of this size along the axis, or an error
 * that names the axis and the rule. */
static inline void broadcast_size(int64_t *shape, int64_t size, int axis, int argument,
                                  const char *name) {
  static const char *const axis_names[3] = {"H", "W", "C"};
  REQUIRE(size == *shape || size == 1 || *shape == 1, argument,
          "%s does not broadcast against the image: axis %d (%s) has length %lld where %lld or 1 "
          "is needed "
          "(an axis fits if it is equal or 1)",
          name, axis, axis_names[axis], (long long)size, (long long)*shape);
  if (*shape == 1) *shape = size;
}

#endif
