/* Deformable position-sensitive ROI pooling on a GPU, forward and backward: src/deform_psroi.c's
 * twin. */
#include "rois.cuh"

/* The numbers of a call, and where regions and their offsets are read; trans may be NULL. */
template <typename real>
struct geometry {
  int64_t regions, batch, channels, size[2]; /* of the map: height, width */
  int64_t output_dim, group, pooled, part, samples, class_channels;
  real spatial_scale, trans_std;
  const real *rois, *trans;
  int64_t rois_stride[2];
  strides4 trans_stride;

  /* The channel of the map that output (c, py, px) is taken from. */
  BOTH int64_t map_channel(const output_place &p) const {
    const int64_t gy = quotient(p.py * group, pooled), gx = quotient(p.px * group, pooled);
    return (p.channel * group + gy) * group + gx;
  }
  /* Where in trans the x of an output's offset is; its y is one of trans's channels further. */
  BOTH int64_t offset_place(const output_place &p, const strides4 &stride) const {
    return stride.at(p.k, 2 * quotient(p.channel, class_channels), quotient(p.py * part, pooled),
                     quotient(p.px * part, pooled));
  }
  BOTH const real *roi(int64_t k) const { return rois + k * rois_stride[0]; }
  BOTH int is_good(int64_t k) const {
    return is_region(roi(k), rois_stride[1], batch, spatial_scale);
  }
};

/* The samples of a bin on an axis: the first one, their distance, and what they move by for each 1
 * of trans. The same operations in the same order as in src/deform_psroi.c. */
template <typename real>
struct bin_axis {
  real at, step, growth;
  int64_t size;
};

template <typename real>
BOTH bin_axis<real> axis_of(const geometry<real> &g, const output_place &p, int axis) {
  const real *roi = g.roi(p.k);
  const real low = round(roi[(2 - axis) * g.rois_stride[1]]); /* y1, x1 */
  const real high = round(roi[(4 - axis) * g.rois_stride[1]]);
  const real first = low * g.spatial_scale - (real)0.5;
  const real last = (high + 1) * g.spatial_scale - (real)0.5;
  const real extent = last - first > (real)0.1 ? last - first : (real)0.1;
  const real length = extent / (real)g.pooled;
  bin_axis<real> a;
  a.growth = g.trans_std * extent;
  a.at = (real)(axis ? p.px : p.py) * length + first;
  if (g.trans)
    a.at += g.trans[g.offset_place(p, g.trans_stride) + (1 - axis) * g.trans_stride.c] * a.growth;
  a.step = length / (real)g.samples;
  a.size = g.size[axis];
  return a;
}

/* Where a sample falls between two pixels of an axis. */
template <typename real>
struct tap {
  int inside; /* not more than half a pixel outside of the map */
  int64_t low, high;
  real part; /* of high */
};

template <typename real>
BOTH tap<real> tap_at(const bin_axis<real> &a, int64_t i) {
  real x = a.at + (real)i * a.step;
  tap<real> t = {x >= (real)-0.5 && x <= (real)a.size - (real)0.5, 0, 0, 0}; /* not a NaN */
  if (!t.inside) return t;
  if (x < 0) x = 0;
  t.low = (int64_t)x;
  t.part = x - (real)t.low;
  if (t.low >= a.size - 1) {
    t.low = a.size - 1;
    t.part = 0;
  }
  t.high = t.part > 0 ? t.low + 1 : t.low;
  return t;
}

/* visit(y, x) for each sample of a bin that counts. Returns their number. */
template <typename real, typename Visit>
BOTH int64_t for_samples(const geometry<real> &g, const bin_axis<real> &rows,
                         const bin_axis<real> &columns, Visit visit) {
  int64_t count = 0;
  for (int64_t i = 0; i < g.samples; i++) {
    const tap<real> y = tap_at(rows, i);
    if (!y.inside) continue;
    for (int64_t j = 0; j < g.samples; j++) {
      const tap<real> x = tap_at(columns, j);
      if (!x.inside) continue;
      visit(y, x);
      count++;
    }
  }
  return count;
}

/* How many samples of an axis are inside: those of a bin are a product. */
template <typename real>
BOTH int64_t inside_of(const geometry<real> &g, const bin_axis<real> &a) {
  int64_t count = 0;
  for (int64_t i = 0; i < g.samples; i++) count += tap_at(a, i).inside;
  return count;
}

/* Checks what the functions have in common, and notes it. map is argument number `argument`. */
template <typename Tensor>
geometry<element<Tensor>> check_geometry(const Tensor *map, int argument, const Tensor *rois,
                                         const Tensor *trans, double spatial_scale, int output_dim,
                                         int group_size, int pooled_size, int part_size,
                                         int sample_per_part, double trans_std) {
  typedef element<Tensor> real;
  REQUIRE(map->nDimension == 4, argument, "the map must have 4 dimensions (N, C, H, W), got %s",
          desc_of(map).str);
  REQUIRE(rois->nDimension == 2 && rois->size[1] == 5, 2,
          "rois must be (K, 5) with rows of batch index, x1, y1, x2, y2, got %s",
          desc_of(rois).str);
  REQUIRE(spatial_scale > 0 && spatial_scale <= LARGEST_COORDINATE, 4,
          "spatial_scale must be a positive number, got %g", spatial_scale);
  REQUIRE(output_dim > 0 && group_size > 0 && pooled_size > 0 && part_size > 0, 5,
          "output_dim, group_size, pooled_size and part_size must be positive, got %d, %d, %d, %d",
          output_dim, group_size, pooled_size, part_size);
  REQUIRE(sample_per_part > 0 && sample_per_part <= LARGEST_SAMPLES, 9,
          "sample_per_part must be 1 to %d samples per bin and axis, got %d", LARGEST_SAMPLES,
          sample_per_part);
  REQUIRE(trans_std >= 0 && trans_std <= 1, 10, "trans_std must be a number of 0 to 1, got %g",
          trans_std);
  const int64_t cells = (int64_t)group_size * group_size;
  REQUIRE(map->size[1] % cells == 0 && map->size[1] / cells == output_dim, argument,
          "the map must have output_dim * group_size^2 = %d * %d^2 channels, got %s", output_dim,
          group_size, desc_of(map).str);
  const int64_t count = rois->size[0];
  REQUIRE(!trans || (trans->nDimension == 4 && trans->size[0] == count && trans->size[1] > 0 &&
                     trans->size[1] % 2 == 0 && output_dim % (trans->size[1] / 2) == 0 &&
                     trans->size[2] == part_size && trans->size[3] == part_size),
          3,
          "trans must be NULL or (K, 2 * classes, part_size, part_size) = [%lld x 2 * classes x %d "
          "x %d] with classes that divide output_dim %d, got %s",
          (long long)count, part_size, part_size, output_dim, desc_of(trans).str);
  REQUIRE(count == 0 || (map->size[2] > 0 && map->size[3] > 0), argument,
          "the map must have pixels to sample, got %s", desc_of(map).str);

  geometry<real> g = {};
  g.regions = count;
  g.batch = map->size[0];
  g.channels = map->size[1];
  for (int axis = 0; axis < 2; axis++) g.size[axis] = map->size[2 + axis];
  g.output_dim = output_dim;
  g.group = group_size;
  g.pooled = pooled_size;
  g.part = part_size;
  g.samples = sample_per_part;
  g.class_channels = trans ? output_dim / (trans->size[1] / 2) : output_dim;
  g.spatial_scale = (real)spatial_scale;
  g.trans_std = (real)trans_std;
  g.rois = data_of(rois);
  for (int i = 0; i < 2; i++) g.rois_stride[i] = rois->stride[i];
  if (trans) {
    g.trans = data_of(trans);
    g.trans_stride = strides_of(trans);
  }
  return g;
}

template <typename Tensor, typename real>
void check_grad_output(const Tensor *grad_output, const geometry<real> &g) {
  const int64_t wanted[4] = {g.regions, g.output_dim, g.pooled, g.pooled};
  REQUIRE(same_shape(grad_output->nDimension, grad_output->size, 4, wanted), 1,
          "grad_output must be (K, output_dim, pooled_size, pooled_size) = [%lld x %lld x %lld x "
          "%lld], got %s",
          (long long)wanted[0], (long long)wanted[1], (long long)wanted[2], (long long)wanted[3],
          desc_of(grad_output).str);
}

/* Neighbouring indices are neighbours in a map with this channel stride. */
template <typename real>
outputs outputs_of(const geometry<real> &g, int64_t channel_stride) {
  const int64_t apart = channel_stride * g.group * g.group;
  return outputs(g.regions, g.output_dim, g.pooled, g.pooled, apart, 1);
}

template <typename Tensor>
void pool(const geometry<element<Tensor>> &g, const Tensor *input, const Tensor *rois,
          const Tensor *trans, Tensor *output, Tensor *top_count) {
  typedef element<Tensor> real;
  const int64_t wanted[4] = {g.regions, g.output_dim, g.pooled, g.pooled};
  resize_if_needed(output, 11, 4, wanted, {input, rois, trans});
  if (top_count) resize_if_needed(top_count, 12, 4, wanted, {input, rois, trans});
  if (g.regions == 0) return;
  const real *map = data_of(input);
  real *out = data_of(output), *counts = top_count ? data_of(top_count) : NULL;
  const strides4 in = strides_of(input), to = strides_of(output);
  const strides4 to_counts = top_count ? strides_of(top_count) : to;
  const outputs o = outputs_of(g, in.c);
  parallel(current_stream(), o.count(), [=] DEVICE(int64_t i) {
    const output_place p = o.place(i);
    real sum = (real)NAN;
    int64_t count = 0;
    if (g.is_good(p.k)) {
      const bin_axis<real> rows = axis_of(g, p, 0), columns = axis_of(g, p, 1);
      const real *plane = map + in.at((int64_t)g.roi(p.k)[0], g.map_channel(p), 0, 0);
      sum = 0;
      count = for_samples(g, rows, columns, [&](const tap<real> &y, const tap<real> &x) {
        const real *upper = plane + y.low * in.y, *lower = plane + y.high * in.y;
        const int64_t left = x.low * in.x, right = x.high * in.x;
        const real above = (1 - x.part) * upper[left] + (x.part > 0 ? x.part * upper[right] : 0);
        const real below = (1 - x.part) * lower[left] + (x.part > 0 ? x.part * lower[right] : 0);
        sum += (1 - y.part) * above + (y.part > 0 ? y.part * below : 0);
      });
      if (count) sum /= (real)count;
    }
    out[to.at(p.k, p.channel, p.py, p.px)] = sum;
    if (counts) counts[to_counts.at(p.k, p.channel, p.py, p.px)] = (real)count;
  });
  finish();
}

template <typename Tensor>
void spread(const geometry<element<Tensor>> &g, const Tensor *grad_output, Tensor *grad_input) {
  typedef element<Tensor> real;
  if (elements_of(grad_input) == 0) return;
  const cudaStream_t stream = current_stream();
  fill_with_zeros(stream, grad_input);
  const real *grad = data_of(grad_output);
  real *map = data_of(grad_input);
  const strides4 from = strides_of(grad_output), to = strides_of(grad_input);
  const outputs o = outputs_of(g, to.c);
  parallel(stream, o.count(), [=] DEVICE(int64_t i) {
    const output_place p = o.place(i);
    if (!g.is_good(p.k)) return;
    const bin_axis<real> rows = axis_of(g, p, 0), columns = axis_of(g, p, 1);
    const int64_t count = inside_of(g, rows) * inside_of(g, columns);
    if (count == 0) return;
    const real share = grad[from.at(p.k, p.channel, p.py, p.px)] / (real)count;
    real *plane = map + to.at((int64_t)g.roi(p.k)[0], g.map_channel(p), 0, 0);
    for_samples(g, rows, columns, [&](const tap<real> &y, const tap<real> &x) {
      real *upper = plane + y.low * to.y, *lower = plane + y.high * to.y;
      const int64_t left = x.low * to.x, right = x.high * to.x;
      const real above = (1 - y.part) * share, below = y.part * share;
      atomic_add(upper + left, (1 - x.part) * above);
      if (x.part > 0) atomic_add(upper + right, x.part * above);
      if (y.part > 0) atomic_add(lower + left, (1 - x.part) * below);
      if (x.part > 0 && y.part > 0) atomic_add(lower + right, x.part * below);
    });
  });
  finish();
}

template <typename Tensor>
void slopes(const geometry<element<Tensor>> &g, const Tensor *grad_output, const Tensor *input,
            Tensor *grad_trans) {
  typedef element<Tensor> real;
  if (g.regions == 0) return;
  const cudaStream_t stream = current_stream();
  fill_with_zeros(stream, grad_trans);
  const real *grad = data_of(grad_output), *map = data_of(input);
  real *to = data_of(grad_trans);
  const strides4 from = strides_of(grad_output), in = strides_of(input);
  const strides4 to_stride = strides_of(grad_trans);
  const outputs o = outputs_of(g, in.c);
  parallel(stream, o.count(), [=] DEVICE(int64_t i) {
    const output_place p = o.place(i);
    if (!g.is_good(p.k)) return;
    const bin_axis<real> rows = axis_of(g, p, 0), columns = axis_of(g, p, 1);
    const real *plane = map + in.at((int64_t)g.roi(p.k)[0], g.map_channel(p), 0, 0);
    real by_x = 0, by_y = 0;
    const int64_t count =
        for_samples(g, rows, columns, [&](const tap<real> &y, const tap<real> &x) {
          const real *upper = plane + y.low * in.y, *lower = plane + y.high * in.y;
          const int64_t left = x.low * in.x, right = x.high * in.x;
          /* on a pixel's row or column, both are the same pixel: no slope */
          by_x += (1 - y.part) * (upper[right] - upper[left]);
          if (y.part > 0) by_x += y.part * (lower[right] - lower[left]);
          by_y += (1 - x.part) * (lower[left] - upper[left]);
          if (x.part > 0) by_y += x.part * (lower[right] - upper[right]);
        });
    if (count == 0) return;
    const real share = grad[from.at(p.k, p.channel, p.py, p.px)] / (real)count;
    real *at = to + g.offset_place(p, to_stride);
    atomic_add(at, by_x * columns.growth * share);
    atomic_add(at + to_stride.c, by_y * rows.growth * share);
  });
  finish();
}

template <typename Tensor>
void check_grad_trans(const Tensor *trans, const Tensor *grad_trans) {
  REQUIRE(same_size(grad_trans, trans), 12, "grad_trans must have trans's shape %s, got %s",
          desc_of(trans).str, desc_of(grad_trans).str);
}

#define NUMBER_PARAMETERS                                                               \
  double spatial_scale, int output_dim, int group_size, int pooled_size, int part_size, \
      int sample_per_part, double trans_std
#define NUMBERS \
  spatial_scale, output_dim, group_size, pooled_size, part_size, sample_per_part, trans_std

#define DEFINE(name, Tensor)                                                                      \
  void deform_psroi_forward_##name##_cuda(const Tensor *input, const Tensor *rois,                \
                                          const Tensor *trans, NUMBER_PARAMETERS, Tensor *output, \
                                          Tensor *top_count) {                                    \
    pool(check_geometry(input, 1, rois, trans, NUMBERS), input, rois, trans, output, top_count);  \
  }                                                                                               \
  void deform_psroi_input_backward_##name##_cuda(const Tensor *grad_output, const Tensor *rois,   \
                                                 const Tensor *trans, NUMBER_PARAMETERS,          \
                                                 Tensor *grad_input) {                            \
    const auto g = check_geometry((const Tensor *)grad_input, 11, rois, trans, NUMBERS);          \
    check_grad_output(grad_output, g);                                                            \
    spread(g, grad_output, grad_input);                                                           \
  }                                                                                               \
  void deform_psroi_trans_backward_##name##_cuda(const Tensor *grad_output, const Tensor *rois,   \
                                                 const Tensor *trans, NUMBER_PARAMETERS,          \
                                                 const Tensor *input, Tensor *grad_trans) {       \
    REQUIRE(trans, 3, "trans must not be NULL, got NULL");                                        \
    const auto g = check_geometry(input, 11, rois, trans, NUMBERS);                               \
    check_grad_output(grad_output, g);                                                            \
    check_grad_trans(trans, (const Tensor *)grad_trans);                                          \
    slopes(g, grad_output, input, grad_trans);                                                    \
  }
DEFINE(float, THCudaTensor)
DEFINE(double, THCudaDoubleTensor)
