/* What the operators on regions share on a GPU. */
#ifndef CUDA_ROIS_CUH
#define CUDA_ROIS_CUH

#include "elementwise.cuh"
#include "tensors.cuh"

/* Whether a region has a batch index of 0..batch-1 and finite coordinates on the map; what
 * src/rois.h makes an error of. In `real`, as all that is done here for each output: most GPUs
 * compute double 64 times as slowly as float. */
template <typename real>
BOTH int is_region(const real *roi, int64_t stride, int64_t batch, real spatial_scale) {
  const real index = roi[0];
  /* a NaN fails all comparisons */
  if (!(index >= 0 && index < (real)batch && index == (real)(int64_t)index)) return 0;
  for (int i = 1; i < 5; i++)
    if (!(fabs(roi[i * stride] * spatial_scale) <= (real)LARGEST_COORDINATE)) return 0;
  return 1;
}

template <typename Tensor>
void check_regions(const Tensor *rois, double spatial_scale, int pooled_height, int pooled_width) {
  REQUIRE(rois->nDimension == 2 && rois->size[1] == 5, 2,
          "rois must be (K, 5) with rows of batch index, x1, y1, x2, y2, got %s",
          desc_of(rois).str);
  REQUIRE(spatial_scale > 0 && spatial_scale <= LARGEST_COORDINATE, 3,
          "spatial_scale must be a positive number, got %g", spatial_scale);
  REQUIRE(pooled_height > 0 && pooled_width > 0, 4, "the pooled size must be positive, got %d x %d",
          pooled_height, pooled_width);
}

template <typename Tensor>
void fill_with_zeros(cudaStream_t stream, Tensor *map) {
  typedef element<Tensor> real;
  walk<1, 4> w = {4,
                  {map->size[0], map->size[1], map->size[2], map->size[3]},
                  {{map->stride[0], map->stride[1], map->stride[2], map->stride[3]}}};
  if (w.count() == 0) return;
  w.simplify(0);
  real *operand[1] = {data_of(map)};
  if (w.axes == 1 && w.stride[0][0] == 1) /* in one piece, whatever the order of its axes */
    clear(stream, operand[0], w.size[0] * (int64_t)sizeof(real));
  else
    elementwise<0>(stream, w, 0, operand, [=] DEVICE(real *v) { v[0] = 0; });
}

/* Which output of (K, C, height, width) an index computes: one bin of the channels `channel`,
 * channel + `apart`, channel + 2 apart ... of one region. Neighbouring indices are neighbours in
 * the map's memory: bins of one channel, or channels of one bin (channels_last). */
struct output_place {
  int64_t k, channel, py, px;
};

struct outputs {
  int64_t regions, channels, height, width;
  int64_t apart; /* channels / channels of one index, rounded up */
  int channels_first;

  outputs(int64_t k, int64_t c, int64_t h, int64_t w, int64_t channel_stride, int at_once)
      : regions(k), channels(c), height(h), width(w), apart((c + at_once - 1) / at_once) {
    channels_first = channel_stride == 1 && c > 1;
  }
  int64_t count() const { return regions * apart * height * width; }
  BOTH output_place place(int64_t i) const {
    output_place p;
    if (channels_first) p.channel = take(&i, apart);
    p.px = take(&i, width);
    p.py = take(&i, height);
    if (!channels_first) p.channel = take(&i, apart);
    p.k = i;
    return p;
  }
};

#endif
