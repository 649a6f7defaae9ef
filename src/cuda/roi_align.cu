/* ROIAlign on a GPU, forward and backward: src/roi_align.c's twin. */
#include "rois.cuh"

/* Samples per bin and axis that a caller may ask for. */
#define LARGEST_SAMPLING_RATIO 4096

/* One axis of a region's bin: sample i lies at start + (i + 1/2) * step. */
template <typename real>
struct bin_axis {
  real start, length; /* of the bin */
  int grid;           /* samples */
  int first, last;
};

/* What all bins have in common. */
template <typename real>
struct settings {
  real spatial_scale, offset;
  int64_t pooled[2], size[2];
  int sampling_ratio, aligned;
};

/* Axis 0 is the vertical one. The same operations in the same order as in src/roi_align.c, so that
 * a sample has the same place. */
template <typename real>
BOTH bin_axis<real> axis_of(const settings<real> &s, const real *roi, int64_t stride, int axis,
                            int64_t bin) {
  const real start = roi[(2 - axis) * stride] * s.spatial_scale - s.offset; /* y1, x1 */
  const real end = roi[(4 - axis) * stride] * s.spatial_scale - s.offset;   /* y2, x2 */
  real length = end - start;
  if (!s.aligned && length < 1) length = 1;
  bin_axis<real> a;
  a.length = length / (real)s.pooled[axis];
  a.start = start + (real)bin * a.length;
  a.grid = s.sampling_ratio > 0 ? s.sampling_ratio : (int)ceil((double)a.length);
  /* the samples that can lie on the map, with room for rounding */
  a.first = 0;
  a.last = a.grid;
  if (a.grid <= 64) return a;
  const double step = (double)a.length / (double)a.grid;
  if (!(step > 0)) return a;
  const double low = (-8 - (double)a.start) / step - 1;
  const double high = ((double)s.size[axis] + 8 - (double)a.start) / step + 1;
  if (low > 0) a.first = low < (double)a.last ? (int)low : a.last;
  if (high < (double)a.last) a.last = high > 0 ? (int)high : 0;
  return a;
}

/* Where a sample falls between two pixels of an axis. */
template <typename real>
struct tap {
  int inside; /* not more than a pixel outside of the map */
  int low, high;
  real low_weight, high_weight;
};

template <typename real>
BOTH tap<real> tap_at(const bin_axis<real> &a, int sample, int64_t size) {
  real at = a.start + ((real)sample + (real)0.5) * a.length / (real)a.grid;
  tap<real> t = {at >= -1 && at <= (real)size, 0, 0, 0, 0};
  if (!t.inside) return t;
  if (at < 0) at = 0;
  t.low = (int)at;
  if (t.low >= size - 1) {
    t.low = t.high = (int)(size - 1);
    at = (real)t.low;
  } else {
    t.high = t.low + 1;
  }
  t.high_weight = at - (real)t.low;
  t.low_weight = 1 - t.high_weight;
  return t;
}

/* visit(offset[4], weight[4]) for each sample of a bin that lies on the map: offsets of the four
 * pixels in a plane of these steps, and their parts of the bin's mean. */
template <typename integer, typename real, typename Visit>
BOTH void for_samples(const settings<real> &s, const real *roi, int64_t stride,
                      const output_place &p, integer row_step, integer column_step, Visit visit) {
  const bin_axis<real> rows = axis_of(s, roi, stride, 0, p.py);
  const bin_axis<real> columns = axis_of(s, roi, stride, 1, p.px);
  const int64_t samples = (int64_t)rows.grid * columns.grid;
  const real share = 1 / (samples > 1 ? (real)samples : (real)1);
  for (int i = rows.first; i < rows.last; i++) {
    const tap<real> y = tap_at(rows, i, s.size[0]);
    if (!y.inside) continue;
    const integer upper = y.low * row_step, lower = y.high * row_step;
    for (int j = columns.first; j < columns.last; j++) {
      const tap<real> x = tap_at(columns, j, s.size[1]);
      if (!x.inside) continue;
      const integer left = x.low * column_step, right = x.high * column_step;
      const integer offset[4] = {upper + left, upper + right, lower + left, lower + right};
      const real low = y.low_weight * share, high = y.high_weight * share;
      const real weight[4] = {low * x.low_weight, low * x.high_weight, high * x.low_weight,
                              high * x.high_weight};
      visit(offset, weight);
    }
  }
}

template <typename Tensor>
settings<element<Tensor>> settings_of(const Tensor *rois, const Tensor *map, double spatial_scale,
                                      int pooled_height, int pooled_width, int sampling_ratio,
                                      int aligned) {
  typedef element<Tensor> real;
  return {(real)spatial_scale,
          aligned ? (real)0.5 : (real)0,
          {pooled_height, pooled_width},
          {map->size[2], map->size[3]},
          sampling_ratio,
          aligned};
}

template <typename Tensor>
void check_settings(const Tensor *rois, double spatial_scale, int pooled_height, int pooled_width,
                    int sampling_ratio) {
  check_regions(rois, spatial_scale, pooled_height, pooled_width);
  REQUIRE(sampling_ratio <= LARGEST_SAMPLING_RATIO, 6,
          "sampling_ratio must be at most %d samples per bin and axis, got %d",
          LARGEST_SAMPLING_RATIO, sampling_ratio);
}

/* Offsets in a plane, where an index computes N channels. */
template <int N>
using offset_of = typename std::conditional<N == 1, int64_t, int>::type;

/* Channels of one index, for a result like `pooled`. */
template <typename Tensor>
int channels_at_once(const Tensor *map, const Tensor *pooled) {
  const int64_t *size = map->size, *stride = map->stride;
  const int64_t reach = (size[2] - 1) * stride[2] + (size[3] - 1) * stride[3];
  const int many = elements_of(pooled) >= ENOUGH_OUTPUTS && size[1] >= AT_ONCE;
  return many && reach <= INT32_MAX ? AT_ONCE : 1;
}

template <int N, typename real>
void pool(cudaStream_t stream, const settings<real> &s, const real *map, strides4 in, int64_t batch,
          const real *rois, const int64_t *rois_stride, const outputs &o, real *out, strides4 to) {
  typedef offset_of<N> integer;
  const int64_t row = rois_stride[0], column = rois_stride[1];
  parallel(stream, o.count(), [=] DEVICE(int64_t i) {
    const output_place p = o.place(i);
    const real *roi = rois + p.k * row;
    real sum[N] = {};
    if (is_region(roi, column, batch, s.spatial_scale)) {
      /* of a channel that there is not, another one: nobody keeps its sum, and without branches
       * all loads of a sample are under way together */
      const real *from[N];
      from[0] = map + in.at((int64_t)roi[0], p.channel, 0, 0);
#pragma unroll
      for (int j = 1; j < N; j++)
        from[j] = from[0] + (p.channel + j * o.apart < o.channels ? j * o.apart * in.c : 0);
      for_samples(s, roi, column, p, (integer)in.y, (integer)in.x,
                  [&](const integer *offset, const real *weight) {
                    real value[N][4];
#pragma unroll
                    for (int j = 0; j < N; j++)
                      for (int corner = 0; corner < 4; corner++)
                        value[j][corner] = weight[corner] != 0 ? from[j][offset[corner]] : 0;
#pragma unroll
                    for (int j = 0; j < N; j++)
                      for (int corner = 0; corner < 4; corner++)
                        sum[j] += weight[corner] * value[j][corner];
                  });
    } else {
      for (int j = 0; j < N; j++) sum[j] = (real)NAN;
    }
#pragma unroll
    for (int j = 0; j < N; j++)
      if (p.channel + j * o.apart < o.channels)
        out[to.at(p.k, p.channel + j * o.apart, p.py, p.px)] = sum[j];
  });
}

template <int N, typename real>
void spread(cudaStream_t stream, const settings<real> &s, const real *grad, strides4 from,
            const real *rois, const int64_t *rois_stride, const outputs &o, int64_t batch,
            real *map, strides4 to) {
  typedef offset_of<N> integer;
  const int64_t row = rois_stride[0], column = rois_stride[1];
  parallel(stream, o.count(), [=] DEVICE(int64_t i) {
    const output_place p = o.place(i);
    const real *roi = rois + p.k * row;
    if (!is_region(roi, column, batch, s.spatial_scale)) return;
    real share[N] = {};
#pragma unroll
    for (int j = 0; j < N; j++)
      if (p.channel + j * o.apart < o.channels)
        share[j] = grad[from.at(p.k, p.channel + j * o.apart, p.py, p.px)];
    real *planes = map + to.at((int64_t)roi[0], p.channel, 0, 0);
    for_samples(s, roi, column, p, (integer)to.y, (integer)to.x,
                [&](const integer *offset, const real *weight) {
#pragma unroll
                  for (int j = 0; j < N; j++) {
                    if (p.channel + j * o.apart >= o.channels) continue;
                    real *plane = planes + j * o.apart * to.c;
                    for (int corner = 0; corner < 4; corner++)
                      if (weight[corner] != 0)
                        atomic_add(plane + offset[corner], weight[corner] * share[j]);
                  }
                });
  });
}

template <typename Tensor>
void roi_align_forward(const Tensor *input, const Tensor *rois, double spatial_scale,
                       int pooled_height, int pooled_width, int sampling_ratio, int aligned,
                       Tensor *output) {
  REQUIRE(input->nDimension == 4, 1, "input must have 4 dimensions (N, C, H, W), got %s",
          desc_of(input).str);
  check_settings(rois, spatial_scale, pooled_height, pooled_width, sampling_ratio);
  const int64_t count = rois->size[0], channels = input->size[1];
  REQUIRE(count == 0 || channels == 0 || (input->size[2] > 0 && input->size[3] > 0), 1,
          "input must have pixels to sample, got %s", desc_of(input).str);
  resize_if_needed(output, {count, channels, pooled_height, pooled_width});
  if (count == 0 || channels == 0) return;

  const auto s =
      settings_of(rois, input, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned);
  const cudaStream_t stream = current_stream();
  const int at_once = channels_at_once(input, (const Tensor *)output);
  const outputs o(count, channels, pooled_height, pooled_width, input->stride[1], at_once);
  auto launch = at_once == AT_ONCE ? pool<AT_ONCE, element<Tensor>> : pool<1, element<Tensor>>;
  launch(stream, s, data_of(input), strides_of(input), input->size[0], data_of(rois), rois->stride,
         o, data_of(output), strides_of(output));
  finish();
}

template <typename Tensor>
void roi_align_backward(const Tensor *grad_output, const Tensor *rois, double spatial_scale,
                        int pooled_height, int pooled_width, int sampling_ratio, int aligned,
                        Tensor *grad_input) {
  check_settings(rois, spatial_scale, pooled_height, pooled_width, sampling_ratio);
  REQUIRE(grad_input->nDimension == 4, 8,
          "grad_input must have the shape of forward's input (N, C, H, W), got %s",
          desc_of(grad_input).str);
  const int64_t count = rois->size[0], channels = grad_input->size[1];
  const int64_t wanted[4] = {count, channels, pooled_height, pooled_width};
  REQUIRE(
      same_shape(grad_output->nDimension, grad_output->size, 4, wanted), 1,
      "grad_output must be (K, C, pooled_height, pooled_width) = [%lld x %lld x %d x %d], got %s",
      (long long)count, (long long)channels, pooled_height, pooled_width, desc_of(grad_output).str);
  REQUIRE(count == 0 || channels == 0 || (grad_input->size[2] > 0 && grad_input->size[3] > 0), 8,
          "grad_input must have pixels, got %s", desc_of(grad_input).str);
  if (elements_of(grad_input) == 0) return;

  const auto s = settings_of(rois, grad_input, spatial_scale, pooled_height, pooled_width,
                             sampling_ratio, aligned);
  const cudaStream_t stream = current_stream();
  fill_with_zeros(stream, grad_input);
  const int at_once = channels_at_once((const Tensor *)grad_input, grad_output);
  const outputs o(count, channels, pooled_height, pooled_width, grad_input->stride[1], at_once);
  auto launch = at_once == AT_ONCE ? spread<AT_ONCE, element<Tensor>> : spread<1, element<Tensor>>;
  launch(stream, s, data_of(grad_output), strides_of(grad_output), data_of(rois), rois->stride, o,
         grad_input->size[0], data_of(grad_input), strides_of(grad_input));
  finish();
}

#define DEFINE(name, Tensor)                                                                       \
  void roi_align_forward_##name##_cuda(const Tensor *input, const Tensor *rois,                    \
                                       double spatial_scale, int pooled_height, int pooled_width,  \
                                       int sampling_ratio, int aligned, Tensor *output) {          \
    roi_align_forward(input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio,     \
                      aligned, output);                                                            \
  }                                                                                                \
  void roi_align_backward_##name##_cuda(const Tensor *grad_output, const Tensor *rois,             \
                                        double spatial_scale, int pooled_height, int pooled_width, \
                                        int sampling_ratio, int aligned, Tensor *grad_input) {     \
    roi_align_backward(grad_output, rois, spatial_scale, pooled_height, pooled_width,              \
                       sampling_ratio, aligned, grad_input);                                       \
  }
DEFINE(float, THCudaTensor)
DEFINE(double, THCudaDoubleTensor)
