/* Where ROIAlign's samples lie: one axis of a region, its bins and their samples, the pixels that
 * they touch and with which weights. */
#ifndef CUDA_REGION_AXIS_CUH
#define CUDA_REGION_AXIS_CUH

#include "parallel.cuh"

/* Up to so many samples of a bin are tried one by one rather than found by a division. */
#define FEW_SAMPLES 8

/* One axis of a region: bin b is at start + b * length, and sample i of it at
 * (i + 1/2) * length / grid from there. */
template <typename real>
struct region_axis {
  real start, length; /* of a bin; negative in a region whose ends are swapped */
  int bins, grid;
  int64_t size; /* of the map */
  real slack;   /* pixels, more than rounding moves a sample */
};

/* What all regions have in common. */
template <typename real>
struct settings {
  real spatial_scale, offset;
  int pooled[2];
  int64_t size[2];
  int sampling_ratio, aligned;
};

/* Axis 0 is the vertical one. The same operations in the same order as in src/roi_align.c, so that
 * a sample has the same place. */
template <typename real>
BOTH region_axis<real> axis_of(const settings<real> &s, const real *roi, int64_t stride, int axis) {
  const real start = roi[(2 - axis) * stride] * s.spatial_scale - s.offset; /* y1, x1 */
  const real end = roi[(4 - axis) * stride] * s.spatial_scale - s.offset;   /* y2, x2 */
  real length = end - start;
  if (!s.aligned && length < 1) length = 1;
  region_axis<real> a;
  a.start = start;
  a.length = length / (real)s.pooled[axis];
  a.bins = s.pooled[axis];
  a.grid = s.sampling_ratio > 0 ? s.sampling_ratio : (int)ceil(a.length);
  a.size = s.size[axis];
  a.slack = (real)1e-6 * (fabs(start) + fabs(end) + fabs(length));
  return a;
}

struct interval {
  int first, last; /* which does not belong to it */
};

/* A number of 0 .. most; `most` where it is a NaN. */
template <typename real>
BOTH int within(real number, int most) {
  return number <= 0 ? 0 : number < (real)most ? (int)number : most;
}

/* The samples of a bin that can lie between two places, and perhaps others. */
template <typename real>
BOTH interval samples_between(const region_axis<real> &a, int bin, real low, real high) {
  const real step = a.length / (real)a.grid;
  if (a.grid <= FEW_SAMPLES || !(step > 0)) return {0, a.grid};
  const real start = a.start + (real)bin * a.length;
  return {within((low - a.slack - start) / step - 1, a.grid),
          within((high + a.slack - start) / step + 1, a.grid)};
}

/* Where a sample falls between two pixels of an axis. */
template <typename real>
struct tap {
  int inside; /* not more than a pixel outside of the map */
  int low, high;
  real low_weight, high_weight;
};

template <typename real>
BOTH tap<real> tap_at(const region_axis<real> &a, int bin, int sample) {
  const real start = a.start + (real)bin * a.length;
  real at = start + ((real)sample + (real)0.5) * a.length / (real)a.grid;
  tap<real> t = {at >= -1 && at <= (real)a.size, 0, 0, 0, 0};
  if (!t.inside) return t;
  if (at < 0) at = 0;
  t.low = (int)at;
  if (t.low >= a.size - 1) {
    t.low = t.high = (int)(a.size - 1);
    at = (real)t.low;
  } else {
    t.high = t.low + 1;
  }
  t.high_weight = at - (real)t.low;
  t.low_weight = 1 - t.high_weight;
  return t;
}

/* The bins that can have samples less than a pixel from `pixel`, and perhaps others. */
template <typename real>
BOTH interval bins_at(const region_axis<real> &a, int pixel) {
  if (!(a.length > (real)1e-12)) return {0, a.bins};
  const real low = (real)(pixel - 1) - a.slack - a.start;
  const real high = (real)(pixel + 1) + a.slack - a.start;
  return {within(low / a.length, a.bins), within(high / a.length + 1, a.bins)};
}

/* What a bin's samples take of `pixel`, together. */
template <typename real>
BOTH real weight_at(const region_axis<real> &a, int bin, int pixel) {
  const interval samples = samples_between(a, bin, (real)(pixel - 1), (real)(pixel + 1));
  real sum = 0;
  for (int i = samples.first; i < samples.last; i++) {
    const tap<real> t = tap_at(a, bin, i);
    if (t.inside && t.low == pixel) sum += t.low_weight;
    if (t.inside && t.high == pixel) sum += t.high_weight;
  }
  return sum;
}

/* What the gradient of an axis is made of: where samples are close together, the pixels that they
 * touch, each with the bins around it; where they are far apart, the two pixels of each sample with
 * its bin. */
template <typename real>
struct share {
  int pixel;
  interval bins;
  real weight; /* where samples are far apart */
};

template <typename real>
struct shares {
  region_axis<real> axis;
  interval pixels; /* that samples can touch, one at least, and perhaps others */
  int apart, count;

  BOTH shares(const region_axis<real> &a) : axis(a) {
    const real end = a.start + (real)a.bins * a.length;
    const real low = (a.length < 0 ? end : a.start) - a.slack;
    const real high = (a.length < 0 ? a.start : end) + a.slack;
    const int last = (int)(a.size - 1);
    pixels = {within(floor(low), last), within(floor(high) + 1, last) + 1};
    const int64_t samples = a.grid > 0 ? (int64_t)a.grid * a.bins : 0;
    apart = samples < pixels.last - pixels.first;
    count = apart ? 2 * (int)samples : pixels.last - pixels.first;
  }

  BOTH share<real> at(int i) const {
    if (!apart) return {pixels.first + i, bins_at(axis, pixels.first + i), 0};
    const int sample = i / 2, bin = quotient(sample, axis.grid);
    const tap<real> t = tap_at(axis, bin, sample - bin * axis.grid);
    return {i % 2 ? t.high : t.low, {bin, bin + 1}, i % 2 ? t.high_weight : t.low_weight};
  }

  /* What the samples of one of its bins take of a share's pixel. */
  BOTH real weight(const share<real> &of, int bin) const {
    return apart ? of.weight : weight_at(axis, bin, of.pixel);
  }
};

#endif
