/* ROIAlign on a GPU, forward and backward: src/roi_align.c's twin. */
#include "region_axis.cuh"
#include "rois.cuh"

/* Channels of one index of forward: what a region's bin needs is computed once for all of them. Few
 * outputs are not divided so, or parts of the GPU would idle. */
#define AT_ONCE 4
#define ENOUGH_OUTPUTS (1 << 21)

/* Channels of one index of backward. */
#define PER_PIXEL 8

/* A sample's part of its bin's mean. */
template <typename real>
BOTH real sample_weight(const region_axis<real> &rows, const region_axis<real> &columns) {
  const int64_t samples = (int64_t)rows.grid * columns.grid;
  return 1 / (samples > 1 ? (real)samples : (real)1);
}

/* visit(offset[4], weight[4]) for each sample of a bin that lies on the map: offsets of the four
 * pixels in a plane of these steps, and their parts of the bin's mean. */
template <typename integer, typename real, typename Visit>
BOTH void for_samples(const region_axis<real> &rows, const region_axis<real> &columns,
                      const output_place &p, integer row_step, integer column_step, Visit visit) {
  const int py = (int)p.py, px = (int)p.px;
  const real one = sample_weight(rows, columns);
  const interval down = samples_between(rows, py, (real)-1, (real)rows.size);
  const interval across = samples_between(columns, px, (real)-1, (real)columns.size);
  for (int i = down.first; i < down.last; i++) {
    const tap<real> y = tap_at(rows, py, i);
    if (!y.inside) continue;
    const integer upper = y.low * row_step, lower = y.high * row_step;
    for (int j = across.first; j < across.last; j++) {
      const tap<real> x = tap_at(columns, px, j);
      if (!x.inside) continue;
      const integer left = x.low * column_step, right = x.high * column_step;
      const integer offset[4] = {upper + left, upper + right, lower + left, lower + right};
      const real low = y.low_weight * one, high = y.high_weight * one;
      const real weight[4] = {low * x.low_weight, low * x.high_weight, high * x.low_weight,
                              high * x.high_weight};
      visit(offset, weight);
    }
  }
}

template <typename Tensor>
settings<element<Tensor>> settings_of(const Tensor *map, double spatial_scale, int pooled_height,
                                      int pooled_width, int sampling_ratio, int aligned) {
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
  REQUIRE(sampling_ratio <= LARGEST_SAMPLES, 6,
          "sampling_ratio must be at most %d samples per bin and axis, got %d", LARGEST_SAMPLES,
          sampling_ratio);
}

/* Offsets in a plane, where an index computes N channels. */
template <int N>
using offset_of = typename std::conditional<N == 1, int64_t, int>::type;

/* Channels of one index of forward. */
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
      for_samples(axis_of(s, roi, column, 0), axis_of(s, roi, column, 1), p, (integer)in.y,
                  (integer)in.x, [&](const integer *offset, const real *weight) {
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

/* map += what regions give to their pixels. A warp has some channels of one region, and its lanes
 * neighbours in the map's memory: pixels of a row, or channels of a pixel (channels_last). Atomic
 * additions to neighbours are one for the memory, and small regions need fewer of them than they
 * have samples. */
template <typename real>
void spread(cudaStream_t stream, const settings<real> &s, const real *grad, strides4 from,
            const real *rois, const int64_t *rois_stride, int64_t regions, int64_t batch,
            int64_t channels, real *map, strides4 to) {
  const int64_t row = rois_stride[0], column = rois_stride[1];
  const int64_t beside = to.c == 1 && channels > 1 ? LANES : 1; /* channels in lanes */
  const int64_t groups = (channels + beside * PER_PIXEL - 1) / (beside * PER_PIXEL);
  const int64_t parts = beside > 1 ? PER_PIXEL : 1; /* warps that divide the pixels */
  parallel_warps(stream, regions * groups * parts, [=] DEVICE(int64_t k, int64_t lane) {
    const int64_t part = take(&k, parts), first = take(&k, groups) * beside * PER_PIXEL;
    const real *roi = rois + k * row;
    if (!is_region(roi, column, batch, s.spatial_scale)) return;
    const region_axis<real> rows = axis_of(s, roi, column, 0), columns = axis_of(s, roi, column, 1);
    const real one = sample_weight(rows, columns);
    const shares<real> down(rows), across(columns);
    const int64_t count = (int64_t)down.count * across.count * beside;
    for (int64_t i = part * LANES + lane; i < count; i += parts * LANES) {
      int64_t at = i;
      const int64_t channel = first + take(&at, beside);
      const share<real> x = across.at((int)take(&at, (int64_t)across.count)), y = down.at((int)at);
      const int many = (int)quotient(channels - 1 - channel + beside, beside); /* of this lane */
      real sum[PER_PIXEL] = {};
      for (int py = y.bins.first; py < y.bins.last; py++) {
        const real row_weight = down.weight(y, py) * one;
        if (row_weight == 0) continue;
        for (int px = x.bins.first; px < x.bins.last; px++) {
          const real weight = row_weight * across.weight(x, px);
          if (weight == 0) continue;
          const real *bin = grad + from.at(k, channel, py, px);
#pragma unroll
          for (int j = 0; j < PER_PIXEL; j++, bin += beside * from.c)
            if (j < many) sum[j] += weight * *bin;
        }
      }
      real *target = map + to.at((int64_t)roi[0], channel, y.pixel, x.pixel);
#pragma unroll
      for (int j = 0; j < PER_PIXEL; j++, target += beside * to.c)
        if (j < many && sum[j] != 0) atomic_add(target, sum[j]);
    }
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
  resize_if_needed(output, 8, {count, channels, pooled_height, pooled_width}, {input, rois});
  if (count == 0 || channels == 0) return;

  const auto s =
      settings_of(input, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned);
  const cudaStream_t stream = current_stream();
  const int at_once = channels_at_once(input, output);
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

  const auto s =
      settings_of(grad_input, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned);
  const cudaStream_t stream = current_stream();
  fill_with_zeros(stream, grad_input);
  spread(stream, s, data_of(grad_output), strides_of(grad_output), data_of(rois), rois->stride,
         count, grad_input->size[0], channels, data_of(grad_input), strides_of(grad_input));
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
