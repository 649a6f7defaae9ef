/* ROIPool on a GPU, forward and backward: src/roi_pool.c's twin. */
#include "rois.cuh"

/* The pixels [first, last) of bin `bin` of a region's axis (0: vertical). The same operations in
 * the same order as in src/roi_pool.c. */
template <typename real>
BOTH void bin_pixels(const real *roi, int64_t stride, real spatial_scale, int axis, int64_t bin,
                     int64_t bins, int64_t size, int64_t *first, int64_t *last) {
  const int64_t start = (int64_t)round(roi[(2 - axis) * stride] * spatial_scale);
  const int64_t end = (int64_t)round(roi[(4 - axis) * stride] * spatial_scale);
  const int64_t length = end - start + 1 > 1 ? end - start + 1 : 1;
  const real step = (real)length / (real)bins;
  *first = (int64_t)floor((real)bin * step) + start;
  *last = (int64_t)ceil((real)(bin + 1) * step) + start;
  if (*first < 0) *first = 0;
  if (*last > size) *last = size;
}

template <typename Tensor>
void roi_pool_forward(const Tensor *input, const Tensor *rois, double spatial_scale,
                      int pooled_height, int pooled_width, Tensor *output,
                      THCudaIntTensor *argmax) {
  typedef element<Tensor> real;
  REQUIRE(input->nDimension == 4, 1, "input must have 4 dimensions (N, C, H, W), got %s",
          desc_of(input).str);
  check_regions(rois, spatial_scale, pooled_height, pooled_width);
  const int64_t count = rois->size[0], batch = input->size[0], channels = input->size[1];
  const int64_t height = input->size[2], width = input->size[3];
  REQUIRE(count == 0 || channels == 0 || (height > 0 && width > 0), 1,
          "input must have pixels to sample, got %s", desc_of(input).str);
  REQUIRE(height == 0 || width <= INT32_MAX / height, 1,
          "input must have less than 2^31 pixels in a plane, got %s", desc_of(input).str);
  resize_if_needed(output, 6, {count, channels, pooled_height, pooled_width}, {input, rois});
  resize_if_needed(argmax, 7, {count, channels, pooled_height, pooled_width}, {});
  if (count == 0 || channels == 0) return;

  const real *map = data_of(input), *roi_data = data_of(rois), scale = (real)spatial_scale;
  real *out = data_of(output);
  int *where = data_of(argmax);
  const strides4 in = strides_of(input), to = strides_of(output), to_where = strides_of(argmax);
  const int64_t row = rois->stride[0], column = rois->stride[1];
  const outputs o(count, channels, pooled_height, pooled_width, input->stride[1], 1);
  parallel(current_stream(), o.count(), [=] DEVICE(int64_t i) {
    const output_place p = o.place(i);
    const real *roi = roi_data + p.k * row;
    const int good = is_region(roi, column, batch, scale);
    real best = good ? 0 : (real)NAN;
    int64_t at = -1;
    if (good) {
      int64_t y0, y1, x0, x1;
      bin_pixels(roi, column, scale, 0, p.py, o.height, height, &y0, &y1);
      bin_pixels(roi, column, scale, 1, p.px, o.width, width, &x0, &x1);
      const real *plane = map + in.at((int64_t)roi[0], p.channel, 0, 0);
      if (y0 < y1 && x0 < x1) {
        best = plane[y0 * in.y + x0 * in.x];
        at = y0 * width + x0;
      }
      for (int64_t y = y0; y < y1; y++)
        for (int64_t x = x0; x < x1; x++) {
          const real value = plane[y * in.y + x * in.x];
          if (value > best || value != value) {
            best = value;
            at = y * width + x;
          }
        }
    }
    out[to.at(p.k, p.channel, p.py, p.px)] = best;
    where[to_where.at(p.k, p.channel, p.py, p.px)] = (int)at;
  });
  finish();
}

template <typename Tensor>
void roi_pool_backward(const Tensor *grad_output, const Tensor *rois, const THCudaIntTensor *argmax,
                       Tensor *grad_input) {
  typedef element<Tensor> real;
  REQUIRE(grad_output->nDimension == 4, 1,
          "grad_output must be (K, C, pooled height, pooled width), got %s",
          desc_of(grad_output).str);
  const int64_t count = grad_output->size[0], channels = grad_output->size[1];
  REQUIRE(rois->nDimension == 2 && rois->size[0] == count && rois->size[1] == 5, 2,
          "rois must be (K, 5) with a row per region of grad_output %s, got %s",
          desc_of(grad_output).str, desc_of(rois).str);
  REQUIRE(same_size(argmax, grad_output), 3, "argmax must have grad_output's shape %s, got %s",
          desc_of(grad_output).str, desc_of(argmax).str);
  REQUIRE(grad_input->nDimension == 4 && grad_input->size[1] == channels, 4,
          "grad_input must have the shape of forward's input (N, %lld, H, W), got %s",
          (long long)channels, desc_of(grad_input).str);
  if (elements_of(grad_input) == 0) return;

  const cudaStream_t stream = current_stream();
  fill_with_zeros(stream, grad_input);
  const real *grad = data_of(grad_output), *roi_data = data_of(rois);
  const int *where = data_of(argmax);
  real *map = data_of(grad_input);
  const strides4 from = strides_of(grad_output), from_where = strides_of(argmax);
  const strides4 to = strides_of(grad_input);
  const int64_t batch = grad_input->size[0], width = grad_input->size[3];
  const int64_t pixels = grad_input->size[2] * width;
  const int64_t row = rois->stride[0], column = rois->stride[1];
  const outputs o(count, channels, grad_output->size[2], grad_output->size[3],
                  grad_input->stride[1], 1);
  parallel(stream, o.count(), [=] DEVICE(int64_t i) {
    const output_place p = o.place(i);
    const real *roi = roi_data + p.k * row;
    const int64_t pixel = where[from_where.at(p.k, p.channel, p.py, p.px)];
    if (pixel < 0 || pixel >= pixels || !is_region(roi, column, batch, (real)0)) return;
    const int64_t y = quotient(pixel, width), x = pixel - y * width;
    atomic_add(map + to.at((int64_t)roi[0], p.channel, y, x),
               grad[from.at(p.k, p.channel, p.py, p.px)]);
  });
  finish();
}

#define DEFINE(name, Tensor)                                                                     \
  void roi_pool_forward_##name##_cuda(const Tensor *input, const Tensor *rois,                   \
                                      double spatial_scale, int pooled_height, int pooled_width, \
                                      Tensor *output, THCudaIntTensor *argmax) {                 \
    roi_pool_forward(input, rois, spatial_scale, pooled_height, pooled_width, output, argmax);   \
  }                                                                                              \
  void roi_pool_backward_##name##_cuda(const Tensor *grad_output, const Tensor *rois,            \
                                       const THCudaIntTensor *argmax, Tensor *grad_input) {      \
    roi_pool_backward(grad_output, rois, argmax, grad_input);                                    \
  }
DEFINE(float, THCudaTensor)
DEFINE(double, THCudaDoubleTensor)
