/* What the operators on boxes share on a GPU. */
#ifndef CUDA_BOXES_CUH
#define CUDA_BOXES_CUH

#include "tensors.cuh"

template <typename Tensor>
void check_boxes(const Tensor *boxes, int argument, const char *name) {
  REQUIRE(boxes->nDimension == 2 && boxes->size[1] == 4, argument,
          "%s must be (N, 4) with rows of x1, y1, x2, y2, got %s", name, desc_of(boxes).str);
}

/* Argument 2 has a score for each box. */
template <typename Tensor>
void check_scores(const Tensor *scores, int64_t count) {
  REQUIRE(scores->nDimension <= 1 && elements_of(scores) == count, 2,
          "scores must have one value per box, shape [%lld], got %s", (long long)count,
          desc_of(scores).str);
}

template <typename real>
struct box {
  real x1, y1, x2, y2, area;
};

/* Rows of an (N, 4) tensor. */
template <typename real>
struct box_rows {
  const real *data;
  int64_t row, column;
  real extra; /* a box is x2 - x1 + extra wide */

  BOTH box<real> at(int64_t i) const {
    const real *from = data + i * row;
    box<real> b = {from[0], from[column], from[2 * column], from[3 * column], 0};
    b.area = (b.x2 - b.x1 + extra) * (b.y2 - b.y1 + extra);
    return b;
  }
};

template <typename Tensor>
box_rows<element<Tensor>> rows_of(const Tensor *boxes, int plus_one) {
  typedef element<Tensor> real;
  return {data_of(boxes), boxes->stride[0], boxes->stride[1], plus_one ? (real)1 : (real)0};
}

/* The extent that two boxes share along each axis; negative where they lie apart. */
template <typename real>
BOTH real common_width(const box<real> &a, const box<real> &b, real extra) {
  return (a.x2 < b.x2 ? a.x2 : b.x2) - (a.x1 > b.x1 ? a.x1 : b.x1) + extra;
}
template <typename real>
BOTH real common_height(const box<real> &a, const box<real> &b, real extra) {
  return (a.y2 < b.y2 ? a.y2 : b.y2) - (a.y1 > b.y1 ? a.y1 : b.y1) + extra;
}

/* The intersection over union; a NaN of two boxes without area. */
template <typename real>
BOTH real overlap(const box<real> &a, const box<real> &b, real extra) {
  real width = common_width(a, b, extra), height = common_height(a, b, extra);
  width = width > 0 ? width : 0;
  height = height > 0 ? height : 0;
  const real common = width * height;
  return common / (a.area + b.area - common);
}

/* The largest real that is not above the threshold: for a real v, v > threshold holds exactly if v
 * > it. */
template <typename real>
real largest_below(double threshold) {
  real t = (real)threshold;
  if ((double)t > threshold) t = (real)nextafterf((float)t, -INFINITY);
  return t;
}

#endif
