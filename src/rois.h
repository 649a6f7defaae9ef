/* What the operators on regions share, once per precision: included in the generic part of their
 * files.
 *
 * They walk over regions of a map with all channels alike, so they want the channels of a pixel
 * next to each other. A map that lies otherwise (NCHW) is copied to a slab, BLOCK channels at a
 * time: slab[pixel][channel]. A slab of a 100 x 168 map is 1 MB, about a second-level cache. */

/* Pixels of all regions' windows, for each pixel of a map, from which on a slab of the map costs
 * less than slabs of the windows, whose rows are short; and less than a map whose channels are
 * neighbours, but whose lines lie so far apart that few fit in a cache. */
#define WINDOW_GAIN 0.65
#define LAST_GAIN 2

/* A bin costs as much from a map that is no slab as this many pixels cost that are copied to one
 * (measured: 29 ns and 0.7 ns per channel). */
#define SLAB_GAIN 32

/* Bytes that the plans of all regions or bins may take together: they are then made once, not once
 * for each block of channels. */
#define LARGEST_PLANS (32 << 20)

/* Channels of a slab: a vector of them. */
#define BLOCK ((int64_t)(BLOCK_BYTES / sizeof(real)))

/* A vector of BLOCK channels at any address. */
typedef real TH_CONCAT_2(roi_vector_, real)
    __attribute__((vector_size(BLOCK_BYTES), aligned(sizeof(real)), may_alias));
#define vector TH_CONCAT_2(roi_vector_, real)

#define check_rois TH_CONCAT_2(rois_check_, real)
#define gather_slab TH_CONCAT_2(rois_gather_slab_, real)
#define scatter_slab TH_CONCAT_2(rois_scatter_slab_, real)
#define transpose TH_CONCAT_2(rois_transpose_, real)
#define transpose_4x4 TH_CONCAT_2(rois_transpose_4x4_, real)

/* rois (K, 5) hold batch indices of 0..batch-1 and finite coordinates. */
static void check_rois(const THTensor *rois, int64_t batch, real spatial_scale) {
  const real *data = THTensor_(data)(rois);
  static const char *const names[5] = {"batch index", "x1", "y1", "x2", "y2"};
  for (int64_t k = 0; k < rois->size[0]; k++) {
    const real *roi = data + k * rois->stride[0];
    const real index = roi[0];
    REQUIRE(index >= 0 && index < (real)batch && index == (real)(int64_t)index, 2,
            "the batch index of ROI %lld must be one of 0..%lld, got %g", (long long)k,
            (long long)batch - 1, (double)index);
    for (int i = 1; i < 5; i++) {
      const double at = (double)(roi[i * rois->stride[1]] * spatial_scale);
      REQUIRE(fabs(at) <= LARGEST_COORDINATE, 2,
              "%s of ROI %lld must be a finite number of at most 2^24 pixels on the feature map, "
              "got %g (times spatial_scale %g)",
              names[i], (long long)k, (double)roi[i * rois->stride[1]], (double)spatial_scale);
    }
  }
}

/* to[j * to_row + i] = from[i * from_row + j] for 4 x 4 elements. */
static inline void transpose_4x4(const real *from, int64_t from_row, real *to, int64_t to_row) {
#if defined(TH_REAL_IS_FLOAT) && defined(__GNUC__) && !defined(__clang__)
  typedef real quad __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
  typedef int32_t places __attribute__((vector_size(16)));
  const places low = {0, 4, 1, 5}, high = {2, 6, 3, 7}, first = {0, 1, 4, 5}, last = {2, 3, 6, 7};
  const quad a = *(const quad *)from, b = *(const quad *)(from + from_row);
  const quad c = *(const quad *)(from + 2 * from_row), d = *(const quad *)(from + 3 * from_row);
  const quad ab = __builtin_shuffle(a, b, low), cd = __builtin_shuffle(c, d, low);
  const quad ef = __builtin_shuffle(a, b, high), gh = __builtin_shuffle(c, d, high);
  *(quad *)to = __builtin_shuffle(ab, cd, first);
  *(quad *)(to + to_row) = __builtin_shuffle(ab, cd, last);
  *(quad *)(to + 2 * to_row) = __builtin_shuffle(ef, gh, first);
  *(quad *)(to + 3 * to_row) = __builtin_shuffle(ef, gh, last);
#else
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) to[j * to_row + i] = from[i * from_row + j];
#endif
}

#undef WIDE_TRANSPOSE
#if defined(TH_REAL_IS_FLOAT) && defined(__x86_64__) && defined(__GNUC__)
#define WIDE_TRANSPOSE
#include <immintrin.h>

/* The same for 8 x 8 floats, with AVX2. */
__attribute__((target("avx2"))) static inline void transpose_8x8(const float *from,
                                                                 int64_t from_row, float *to,
                                                                 int64_t to_row) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i++) a[i] = _mm256_loadu_ps(from + i * from_row);
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int k = 0; k < 2; k++) { /* columns 2 k and 2 k + 1 of both halves, rows i .. i + 3 */
      a[i + 2 * k] = _mm256_shuffle_ps(b[i + k], b[i + 2 + k], 0x44);
      a[i + 2 * k + 1] = _mm256_shuffle_ps(b[i + k], b[i + 2 + k], 0xee);
    }
  for (int j = 0; j < 4; j++) {
    _mm256_storeu_ps(to + j * to_row, _mm256_permute2f128_ps(a[j], a[j + 4], 0x20));
    _mm256_storeu_ps(to + (j + 4) * to_row, _mm256_permute2f128_ps(a[j], a[j + 4], 0x31));
  }
}

__attribute__((target("avx2"))) static void transpose_wide(const float *from, int64_t from_row,
                                                           float *to, int64_t to_row, int64_t rows,
                                                           int64_t columns) {
  int64_t j = 0;
  for (; j + 8 <= columns; j += 8) {
    int64_t i = 0;
    for (; i + 8 <= rows; i += 8)
      transpose_8x8(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
    for (; i < rows; i++)
      for (int64_t k = j; k < j + 8; k++) to[k * to_row + i] = from[i * from_row + k];
  }
  for (; j < columns; j++)
    for (int64_t i = 0; i < rows; i++) to[j * to_row + i] = from[i * from_row + j];
}
#endif

/* to[j * to_row + i] = from[i * from_row + j] for i < rows, j < columns: in tiles whose lines stay
 * in the first-level cache. */
static void transpose(const real *from, int64_t from_row, real *to, int64_t to_row, int64_t rows,
                      int64_t columns) {
#ifdef WIDE_TRANSPOSE
  if (__builtin_cpu_supports("avx2")) {
    transpose_wide(from, from_row, to, to_row, rows, columns);
    return;
  }
#endif
  const int64_t tile = 16;
  for (int64_t i0 = 0; i0 < rows; i0 += tile)
    for (int64_t j0 = 0; j0 < columns; j0 += tile) {
      const int64_t i1 = i0 + tile < rows ? i0 + tile : rows;
      const int64_t j1 = j0 + tile < columns ? j0 + tile : columns;
      int64_t j = j0;
      for (; j + 4 <= j1; j += 4) {
        int64_t i = i0;
        for (; i + 4 <= i1; i += 4)
          transpose_4x4(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
        for (; i < i1; i++)
          for (int64_t k = j; k < j + 4; k++) to[k * to_row + i] = from[i * from_row + k];
      }
      for (; j < j1; j++)
        for (int64_t i = i0; i < i1; i++) to[j * to_row + i] = from[i * from_row + j];
    }
}

/* slab[y][x][c] = map[c][y][x] for the channels [0, block), block <= BLOCK; the others are 0. */
static void gather_slab(const real *map, const int64_t *stride, int64_t height, int64_t width,
                        int64_t block, real *restrict slab) {
  if (block < BLOCK) memset(slab, 0, (size_t)(height * width * BLOCK) * sizeof(real));
  if (stride[3] == 1 && stride[2] == width) {
    transpose(map, stride[1], slab, BLOCK, block, height * width);
    return;
  }
  if (stride[1] == 1 && block == BLOCK) {
    for (int64_t y = 0; y < height; y++)
      for (int64_t x = 0; x < width; x++, slab += BLOCK)
        *(vector *)slab = *(const vector *)(map + y * stride[2] + x * stride[3]);
    return;
  }
  for (int64_t y = 0; y < height; y++, slab += width * BLOCK) {
    const real *row = map + y * stride[2];
    if (stride[3] == 1)
      transpose(row, stride[1], slab, BLOCK, block, width);
    else
      for (int64_t x = 0; x < width; x++)
        for (int64_t c = 0; c < block; c++)
          slab[x * BLOCK + c] = row[c * stride[1] + x * stride[3]];
  }
}

/* map[c][y][x] = slab[y][x][c] for the channels [0, block). */
static void scatter_slab(const real *restrict slab, real *map, const int64_t *stride,
                         const int64_t *size, int64_t block) {
  const int64_t height = size[2], width = size[3];
  if (stride[3] == 1 && stride[2] == width) {
    transpose(slab, BLOCK, map, stride[1], height * width, block);
    return;
  }
  for (int64_t y = 0; y < height; y++, slab += width * BLOCK) {
    real *row = map + y * stride[2];
    if (stride[3] == 1)
      transpose(slab, BLOCK, row, stride[1], width, block);
    else
      for (int64_t x = 0; x < width; x++)
        for (int64_t c = 0; c < block; c++)
          row[c * stride[1] + x * stride[3]] = slab[x * BLOCK + c];
  }
}
