/* Intersection over union of all pairs of boxes on a GPU, forward and backward: src/box_iou.c's
 * twin. */
#include "boxes.cuh"

template <typename Tensor>
void box_iou_forward(const Tensor *boxes1, const Tensor *boxes2, int plus_one, Tensor *iou) {
  typedef element<Tensor> real;
  check_boxes(boxes1, 1, "boxes1");
  check_boxes(boxes2, 2, "boxes2");
  const int64_t n = boxes1->size[0], m = boxes2->size[0];
  resize_if_needed(iou, 4, {n, m}, {boxes1, boxes2});
  if (n == 0 || m == 0) return;
  const box_rows<real> rows1 = rows_of(boxes1, plus_one), rows2 = rows_of(boxes2, plus_one);
  real *out = data_of(iou);
  const int64_t row = iou->stride[0], column = iou->stride[1];
  parallel(current_stream(), n * m, [=] DEVICE(int64_t i) {
    const int64_t j = take(&i, m);
    const box<real> a = rows1.at(i), b = rows2.at(j);
    real width = common_width(a, b, rows1.extra), height = common_height(a, b, rows1.extra);
    /* written so that a NaN stays one */
    width = width < 0 ? 0 : width;
    height = height < 0 ? 0 : height;
    const real common = width * height, together = a.area + b.area - common;
    out[i * row + j * column] = together == 0 ? 0 : common / together;
  });
  finish();
}

/* by of what an edge takes part in: all where the own edge bounds the intersection, half where both
 * do. */
template <typename real>
BOTH real edge_share(int own_bounds, int equal, real by) {
  return own_bounds ? by : equal ? by / 2 : 0;
}

/* The gradients of n boxes; grad[i * row + j * column] belongs to boxes i of the n and j of the m
 * others. A warp sums for one box, so that sums are the same in every call. With I = w h and U = A
 * + B - I: d iou = (U + I) / U^2 dI - I / U^2 dA. */
template <typename real>
void grad_boxes(cudaStream_t stream, box_rows<real> boxes, int64_t n, box_rows<real> others,
                int64_t m, const real *grad, int64_t row, int64_t column, real *to, int64_t to_row,
                int64_t to_column) {
  const real extra = boxes.extra;
  parallel_warps(stream, n, [=] DEVICE(int64_t i, int64_t lane) {
    const box<real> a = boxes.at(i);
    real dx1 = 0, dy1 = 0, dx2 = 0, dy2 = 0, by_area = 0;
    for (int64_t j = lane; j < m; j += LANES) {
      const box<real> b = others.at(j);
      const real width = common_width(a, b, extra), height = common_height(a, b, extra);
      const real w = width > 0 ? width : 0, h = height > 0 ? height : 0;
      const real common = w * h, together = a.area + b.area - common;
      const real scale = together == 0 ? 0 : grad[i * row + j * column] / together;
      const real iou = together == 0 ? 0 : common / together;
      const real by_width = width >= 0 ? scale * (1 + iou) * h : 0;
      const real by_height = height >= 0 ? scale * (1 + iou) * w : 0;
      dx1 -= edge_share(a.x1 > b.x1, a.x1 == b.x1, by_width);
      dy1 -= edge_share(a.y1 > b.y1, a.y1 == b.y1, by_height);
      dx2 += edge_share(a.x2 < b.x2, a.x2 == b.x2, by_width);
      dy2 += edge_share(a.y2 < b.y2, a.y2 == b.y2, by_height);
      by_area -= scale * iou;
    }
    const real own_width = a.x2 - a.x1 + extra, own_height = a.y2 - a.y1 + extra;
    const real area = sum_lanes(by_area);
    const real sums[4] = {sum_lanes(dx1) - area * own_height, sum_lanes(dy1) - area * own_width,
                          sum_lanes(dx2) + area * own_height, sum_lanes(dy2) + area * own_width};
    if (lane == 0)
      for (int c = 0; c < 4; c++) to[i * to_row + c * to_column] = m ? sums[c] : 0;
  });
}

template <typename Tensor>
void box_iou_backward(const Tensor *grad_iou, const Tensor *boxes1, const Tensor *boxes2,
                      int plus_one, Tensor *grad_boxes1, Tensor *grad_boxes2) {
  check_boxes(boxes1, 2, "boxes1");
  check_boxes(boxes2, 3, "boxes2");
  const int64_t n = boxes1->size[0], m = boxes2->size[0];
  REQUIRE(grad_iou->nDimension == 2 && grad_iou->size[0] == n && grad_iou->size[1] == m, 1,
          "grad_iou must be (N, M) = [%lld x %lld], got %s", (long long)n, (long long)m,
          desc_of(grad_iou).str);
  resize_if_needed(grad_boxes1, 5, {n, 4}, {grad_iou, boxes2});
  resize_if_needed(grad_boxes2, 6, {m, 4}, {grad_iou, boxes1});
  if (n == 0 && m == 0) return;
  const cudaStream_t stream = current_stream();
  const auto rows1 = rows_of(boxes1, plus_one), rows2 = rows_of(boxes2, plus_one);
  const int64_t row = grad_iou->stride[0], column = grad_iou->stride[1];
  const auto *grad = data_of(grad_iou);
  if (n)
    grad_boxes(stream, rows1, n, rows2, m, grad, row, column, data_of(grad_boxes1),
               grad_boxes1->stride[0], grad_boxes1->stride[1]);
  if (m)
    grad_boxes(stream, rows2, m, rows1, n, grad, column, row, data_of(grad_boxes2),
               grad_boxes2->stride[0], grad_boxes2->stride[1]);
  finish();
}

#define DEFINE(name, Tensor)                                                                   \
  void box_iou_forward_##name##_cuda(const Tensor *boxes1, const Tensor *boxes2, int plus_one, \
                                     Tensor *iou) {                                            \
    box_iou_forward(boxes1, boxes2, plus_one, iou);                                            \
  }                                                                                            \
  void box_iou_backward_##name##_cuda(const Tensor *grad_iou, const Tensor *boxes1,            \
                                      const Tensor *boxes2, int plus_one, Tensor *grad_boxes1, \
                                      Tensor *grad_boxes2) {                                   \
    box_iou_backward(grad_iou, boxes1, boxes2, plus_one, grad_boxes1, grad_boxes2);            \
  }
DEFINE(float, THCudaTensor)
DEFINE(double, THCudaDoubleTensor)
