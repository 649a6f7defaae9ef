/* Samples of deformable convolutions on a GPU, and their gradients: src/deform_conv.c's twin. */
#include "tensors.cuh"

/* The geometry of the convolution, how channels are divided, and where offsets and masks are read;
 * mask may be NULL. */
template <typename real>
struct geometry {
  int64_t kernel[2], stride[2], pad[2], dilation[2];
  int64_t size[2];     /* of the input */
  int64_t out_size[2]; /* of offset and mask */
  int64_t channels, deformable_groups, group_channels;
  int64_t first, positions, taps;
  const real *offset, *mask;
  int64_t offset_stride[3], mask_stride[3];
  int64_t map_stride[3], columns_stride[2];

  /* Channel c of tap t at position p of the columns. */
  BOTH int64_t column(int64_t p, int64_t t, int64_t c) const {
    const int64_t group = quotient(c, group_channels);
    return group * columns_stride[0] + p * columns_stride[1] + t * group_channels + c -
           group * group_channels;
  }
  BOTH int64_t group_of(int64_t c) const {
    return quotient(c, quotient(channels, deformable_groups));
  }
};

/* One sample: four pixels of the map with their weights, and those weights' derivatives by y and x.
 * A corner outside of the map, or all of a sample outside, has `valid` 0. */
template <typename real>
struct sample {
  int valid[4];
  int64_t pixel[4]; /* offset in memory */
  real weight[4], by_y[4], by_x[4];
  real factor; /* the mask */
};

/* Whether a coordinate is less than a pixel outside of an axis. With rim, one pixel before it does:
 * such a sample is 0, but not when it is moved on, as all derivatives here are of a move to larger
 * coordinates. */
template <typename real>
BOTH bool counts(real at, int64_t size, bool rim) {
  return (at > -1 || (rim && at == -1)) && at < (real)size;
}

/* The sample of tap t of deformable group d at position p; rim: see `counts`. */
template <typename real>
BOTH sample<real> sample_at(const geometry<real> &g, int64_t d, int64_t t, int64_t p,
                            bool rim = false) {
  const int64_t at = g.first + p, y = quotient(at, g.out_size[1]), x = at - y * g.out_size[1];
  const int64_t field = d * g.taps + t, i = quotient(t, g.kernel[1]), j = t - i * g.kernel[1];
  const int64_t *os = g.offset_stride, *ms = g.mask_stride;
  const real *offset = g.offset + 2 * field * os[0] + y * os[1] + x * os[2];
  const real at_y = (real)(y * g.stride[0] - g.pad[0] + i * g.dilation[0]) + offset[0];
  const real at_x = (real)(x * g.stride[1] - g.pad[1] + j * g.dilation[1]) + offset[os[0]];
  sample<real> s = {};
  s.factor = g.mask ? g.mask[field * ms[0] + y * ms[1] + x * ms[2]] : 1;
  /* a NaN fails all comparisons */
  if (!(counts(at_y, g.size[0], rim) && counts(at_x, g.size[1], rim))) return s;
  const int64_t low_y = at_y < 0 ? -1 : (int64_t)at_y, low_x = at_x < 0 ? -1 : (int64_t)at_x;
  const real ly = at_y - (real)low_y, lx = at_x - (real)low_x, hy = 1 - ly, hx = 1 - lx;
#pragma unroll
  for (int corner = 0; corner < 4; corner++) {
    const int down = corner / 2, right = corner % 2;
    const int64_t py = low_y + down, px = low_x + right;
    s.valid[corner] = py >= 0 && py < g.size[0] && px >= 0 && px < g.size[1];
    s.pixel[corner] = py * g.map_stride[1] + px * g.map_stride[2];
    s.weight[corner] = (down ? ly : hy) * (right ? lx : hx);
    s.by_y[corner] = (down ? 1 : -1) * (right ? lx : hx);
    s.by_x[corner] = (right ? 1 : -1) * (down ? ly : hy);
  }
  return s;
}

/* Checks what the functions have in common, and notes it. columns is argument number `argument`. */
template <typename Tensor>
geometry<element<Tensor>> check_geometry(const Tensor *columns, int argument, const Tensor *map,
                                         int map_argument, const Tensor *offset, const Tensor *mask,
                                         int kh, int kw, int stride_h, int stride_w, int pad_h,
                                         int pad_w, int dilation_h, int dilation_w, int64_t first) {
  const int kernel[2] = {kh, kw}, stride[2] = {stride_h, stride_w}, pad[2] = {pad_h, pad_w};
  const int dilation[2] = {dilation_h, dilation_w};
  geometry<element<Tensor>> g = {};
  REQUIRE(map->nDimension == 3 && map->size[1] > 0 && map->size[2] > 0, map_argument,
          "the image must be (C, H, W) and have pixels, got %s", desc_of(map).str);
  for (int axis = 0; axis < 2; axis++) {
    REQUIRE(
        kernel[axis] > 0 && stride[axis] > 0 && dilation[axis] > 0 && pad[axis] >= 0,
        argument == 1 ? 4 : 5,
        "kernel, stride and dilation must be positive, padding not negative, got %d, %d, %d, %d",
        kernel[axis], stride[axis], dilation[axis], pad[axis]);
    g.kernel[axis] = kernel[axis];
    g.stride[axis] = stride[axis];
    g.pad[axis] = pad[axis];
    g.dilation[axis] = dilation[axis];
    g.size[axis] = map->size[1 + axis];
  }
  const int64_t taps = g.taps = g.kernel[0] * g.kernel[1];
  g.channels = map->size[0];
  REQUIRE(offset->nDimension == 3 && offset->size[0] % (2 * taps) == 0 && offset->size[0] > 0 &&
              g.channels % (offset->size[0] / (2 * taps)) == 0,
          2, "offset must be (2 * deformable groups * %lld, H', W') for %lld channels, got %s",
          (long long)taps, (long long)g.channels, desc_of(offset).str);
  g.deformable_groups = offset->size[0] / (2 * taps);
  for (int axis = 0; axis < 2; axis++) g.out_size[axis] = offset->size[1 + axis];
  REQUIRE(!mask || (mask->nDimension == 3 && 2 * mask->size[0] == offset->size[0] &&
                    mask->size[1] == offset->size[1] && mask->size[2] == offset->size[2]),
          3, "mask must be NULL or have half of offset's planes %s, got %s", desc_of(offset).str,
          desc_of(mask).str);
  REQUIRE(columns->nDimension == 3 && columns->size[0] > 0 && g.channels % columns->size[0] == 0 &&
              columns->stride[2] == 1 && columns->size[2] == taps * (g.channels / columns->size[0]),
          argument, "columns must be (groups, positions, %lld * channels of a group), got %s",
          (long long)taps, desc_of(columns).str);
  g.group_channels = g.channels / columns->size[0];
  g.first = first;
  g.positions = columns->size[1];
  REQUIRE(first >= 0 && first <= g.out_size[0] * g.out_size[1] - g.positions, argument,
          "%lld positions from %lld on do not lie within offset %s", (long long)g.positions,
          (long long)first, desc_of(offset).str);
  g.offset = data_of(offset);
  g.mask = mask ? data_of(mask) : NULL;
  for (int i = 0; i < 3; i++) {
    g.offset_stride[i] = offset->stride[i];
    g.mask_stride[i] = mask ? mask->stride[i] : 0;
    g.map_stride[i] = map->stride[i];
  }
  for (int i = 0; i < 2; i++) g.columns_stride[i] = columns->stride[i];
  return g;
}

/* In the next two, neighbouring indices are neighbouring channels. */

template <typename real>
void gather(const geometry<real> &g, const real *map, real *columns) {
  parallel(current_stream(), g.positions * g.taps * g.channels, [=] DEVICE(int64_t i) {
    const int64_t c = take(&i, g.channels), t = take(&i, g.taps);
    const sample<real> s = sample_at(g, g.group_of(c), t, i);
    const real *plane = map + c * g.map_stride[0];
    real sum = 0;
#pragma unroll
    for (int corner = 0; corner < 4; corner++)
      if (s.valid[corner]) sum += s.weight[corner] * s.factor * plane[s.pixel[corner]];
    columns[g.column(i, t, c)] = sum;
  });
  finish();
}

template <typename real>
void scatter(const geometry<real> &g, const real *grad, real *map) {
  parallel(current_stream(), g.positions * g.taps * g.channels, [=] DEVICE(int64_t i) {
    const int64_t c = take(&i, g.channels), t = take(&i, g.taps);
    const sample<real> s = sample_at(g, g.group_of(c), t, i);
    const real share = grad[g.column(i, t, c)];
    real *plane = map + c * g.map_stride[0];
#pragma unroll
    for (int corner = 0; corner < 4; corner++)
      if (s.valid[corner]) atomic_add(plane + s.pixel[corner], s.weight[corner] * s.factor * share);
  });
  finish();
}

/* A warp for each tap of each position: its lanes share the channels. */
template <typename real>
void multiply(const geometry<real> &g, const real *grad, const real *map, real *to,
              const int64_t *to_strides, real *to_mask, const int64_t *mask_strides) {
  const int64_t plane = to_strides[0], row = to_strides[1], column = to_strides[2];
  const int64_t mask_plane = mask_strides[0], mask_row = mask_strides[1];
  const int64_t mask_column = mask_strides[2];
  const int64_t fields = g.deformable_groups * g.taps;
  parallel_warps(current_stream(), g.positions * fields, [=] DEVICE(int64_t i, int64_t lane) {
    const int64_t field = take(&i, fields);
    const int64_t d = quotient(field, g.taps), t = field - d * g.taps;
    const int64_t channels = quotient(g.channels, g.deformable_groups);
    const sample<real> s = sample_at(g, d, t, i, true);
    real sums[4] = {};
    for (int64_t c = d * channels + lane; c < (d + 1) * channels; c += LANES) {
      const real share = grad[g.column(i, t, c)], *from = map + c * g.map_stride[0];
#pragma unroll
      for (int corner = 0; corner < 4; corner++)
        if (s.valid[corner]) sums[corner] += share * from[s.pixel[corner]];
    }
    real by_y = 0, by_x = 0, value = 0;
#pragma unroll
    for (int corner = 0; corner < 4; corner++) {
      const real sum = sum_lanes(sums[corner]);
      by_y += s.by_y[corner] * sum;
      by_x += s.by_x[corner] * sum;
      value += s.weight[corner] * sum;
    }
    if (lane != 0) return;
    const int64_t at = g.first + i, y = quotient(at, g.out_size[1]), x = at - y * g.out_size[1];
    real *place = to + 2 * field * plane + y * row + x * column;
    place[0] = by_y * s.factor;
    place[plane] = by_x * s.factor;
    if (to_mask) to_mask[field * mask_plane + y * mask_row + x * mask_column] = value;
  });
  finish();
}

template <typename Tensor>
void check_gradients(const Tensor *offset, const Tensor *mask, const Tensor *grad_offset,
                     const Tensor *grad_mask) {
  REQUIRE(same_size(grad_offset, offset), 14, "grad_offset must have offset's shape %s, got %s",
          desc_of(offset).str, desc_of(grad_offset).str);
  REQUIRE(!grad_mask || (mask && same_size(grad_mask, mask)), 15,
          "grad_mask must be NULL or have mask's shape, got %s", desc_of(grad_mask).str);
}

#define GEOMETRY_PARAMETERS                                                         \
  int kh, int kw, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, \
      int dilation_w, int64_t first
#define GEOMETRY kh, kw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, first

#define DEFINE(name, Tensor)                                                                       \
  void deform_columns_##name##_cuda(const Tensor *input, const Tensor *offset, const Tensor *mask, \
                                    GEOMETRY_PARAMETERS, Tensor *columns) {                        \
    gather(check_geometry((const Tensor *)columns, 13, input, 1, offset, mask, GEOMETRY),          \
           data_of(input), data_of(columns));                                                      \
  }                                                                                                \
  void deform_input_backward_##name##_cuda(const Tensor *grad_columns, const Tensor *offset,       \
                                           const Tensor *mask, GEOMETRY_PARAMETERS,                \
                                           Tensor *grad_input) {                                   \
    scatter(                                                                                       \
        check_geometry(grad_columns, 1, (const Tensor *)grad_input, 13, offset, mask, GEOMETRY),   \
        data_of(grad_columns), data_of(grad_input));                                               \
  }                                                                                                \
  void deform_offset_backward_##name##_cuda(                                                       \
      const Tensor *grad_columns, const Tensor *input, const Tensor *offset, const Tensor *mask,   \
      GEOMETRY_PARAMETERS, Tensor *grad_offset, Tensor *grad_mask) {                               \
    const auto g = check_geometry(grad_columns, 1, input, 2, offset, mask, GEOMETRY);              \
    check_gradients(offset, mask, (const Tensor *)grad_offset, (const Tensor *)grad_mask);         \
    multiply(g, data_of(grad_columns), data_of(input), data_of(grad_offset), grad_offset->stride,  \
             grad_mask ? data_of(grad_mask) : NULL,                                                \
             grad_mask ? grad_mask->stride : grad_offset->stride);                                 \
  }
DEFINE(float, THCudaTensor)
DEFINE(double, THCudaDoubleTensor)
