/* Elementwise arithmetic with NumPy's broadcasting. */
#ifndef BROADCAST_H
#define BROADCAST_H

#include <TH/TH.h>

/* out = a OP b, for add, subtract, multiply, divide, minimum and maximum over five element types.
 *
 * NumPy's four rules: shapes are padded with ones on the left; the result's length along an axis is
 * the maximum of a's and b's; an axis fits if it is equal or 1; an axis of length 1 repeats its one
 * group of values. a and b have up to 64 dimensions and any strides.
 *
 * Returns out; a new tensor if that is NULL. out is resized if it has another shape than the
 * result (to TH's empty tensor, if that has no elements), and keeps its strides if not; it may be a
 * or b themselves, but must not overlap them otherwise.
 *
 * Integers wrap around. divide is the true division: integers are converted to double, and the
 * quotient of zero by zero is a NaN. minimum and maximum give a NaN where a or b is one. Floating
 * point operations are single ones in the type's precision. */
#define BROADCAST_FUNCTIONS(name, Element, Quotient)                                          \
  TH##Element##Tensor *broadcast_add_##name(                                                  \
      const TH##Element##Tensor *a, const TH##Element##Tensor *b, TH##Element##Tensor *out);  \
  TH##Element##Tensor *broadcast_subtract_##name(                                             \
      const TH##Element##Tensor *a, const TH##Element##Tensor *b, TH##Element##Tensor *out);  \
  TH##Element##Tensor *broadcast_multiply_##name(                                             \
      const TH##Element##Tensor *a, const TH##Element##Tensor *b, TH##Element##Tensor *out);  \
  TH##Quotient##Tensor *broadcast_divide_##name(                                              \
      const TH##Element##Tensor *a, const TH##Element##Tensor *b, TH##Quotient##Tensor *out); \
  TH##Element##Tensor *broadcast_minimum_##name(                                              \
      const TH##Element##Tensor *a, const TH##Element##Tensor *b, TH##Element##Tensor *out);  \
  TH##Element##Tensor *broadcast_maximum_##name(                                              \
      const TH##Element##Tensor *a, const TH##Element##Tensor *b, TH##Element##Tensor *out);

BROADCAST_FUNCTIONS(uint8, Byte, Double)
BROADCAST_FUNCTIONS(int32, Int, Double)
BROADCAST_FUNCTIONS(int64, Long, Double)
BROADCAST_FUNCTIONS(float, Float, Float)
BROADCAST_FUNCTIONS(double, Double, Double)

#endif
