/* Winograd's F(4 x 4, 3 x 3): tiles of 6 x 6 inputs, transformed, become 36 matrices (tiles,
 * channels); each is multiplied with its matrix of transformed weights; the products, transformed
 * back, are tiles of 4 x 4 outputs. */
#include <string.h>

#include "convolution.h"
#include "kernels.h"

/* The points that the polynomials are evaluated at: 0, and 1 / sqrt(2) and sqrt(2) with either
 * sign, whose powers are near 1. The errors are a fifth of those by 0, 1, -1, 2, -2. */
#define ROOT 1.41421356237309504880

#define TILE 6
#define OUT 4
#define PLANES (TILE * TILE)
#define CACHE_BYTES (768 << 10)

/* One convolution. */
typedef struct {
  int64_t channels, outputs;
  int64_t image_height, image_width, height, width; /* of the input, and of the output */
  int64_t pad_height, pad_width;
  int64_t down, across; /* tiles of an image */
  const float *input, *prepared, *bias, *residual, *zeros;
  float *output;
  const int64_t *in_stride, *residual_stride, *out_stride;
  int64_t v_plane, m_plane; /* elements from one of the 36 matrices to the next */
  int64_t ahead;            /* see product.h */
  int relu;
} plan;

/* Where a tile's outputs begin. */
typedef struct {
  int64_t image, y, x;
} place;

static place place_of(const plan *p, int64_t tile) {
  const int64_t row = tile / p->across;
  return (place){row / p->down, row % p->down * OUT, tile % p->across * OUT};
}

/* The channels of a tile's inputs: of pixels outside of the image they are zeros. */
static void pixels_of(const plan *p, int64_t tile, const float *pixel[TILE][TILE]) {
  const place at = place_of(p, tile);
  for (int i = 0; i < TILE; i++)
    for (int j = 0; j < TILE; j++) {
      const int64_t y = at.y - p->pad_height + i, x = at.x - p->pad_width + j;
      const int inside = y >= 0 && y < p->image_height && x >= 0 && x < p->image_width;
      pixel[i][j] =
          inside ? p->input + at.image * p->in_stride[0] + y * p->in_stride[2] + x * p->in_stride[3]
                 : p->zeros;
    }
}

/* As many tiles as the second-level cache holds the matrices of; but enough that reading the
 * weights, which is done once for each chunk, does not take longer than multiplying by them. */
static int64_t tiles_of_a_chunk(int64_t channels, int64_t outputs) {
  const int64_t held = CACHE_BYTES / (int64_t)sizeof(float) / PLANES / (channels + outputs);
  const int64_t worth = channels * outputs / (channels + outputs) * 7 / 16;
  return held > worth ? held : worth;
}

#define LANES_FILE "winograd_vectors.h"
#include "each_lanes.h"

/* G g G^T of a filter g, in double precision: every value is rounded once. */
static void transform_filter(const float *g, const int64_t *stride, double u[TILE][TILE]) {
  static const double G[TILE][3] = {{1, 0, 0},
                                    {-1 / 1.5, -ROOT / 2 / 1.5, -0.5 / 1.5},
                                    {-1 / 1.5, ROOT / 2 / 1.5, -0.5 / 1.5},
                                    {1. / 6, ROOT / 6, 2. / 6},
                                    {1. / 6, -ROOT / 6, 2. / 6},
                                    {0, 0, 1}};
  double half[TILE][3];
  for (int i = 0; i < TILE; i++)
    for (int x = 0; x < 3; x++) {
      half[i][x] = 0;
      for (int y = 0; y < 3; y++) half[i][x] += G[i][y] * (double)g[y * stride[2] + x * stride[3]];
    }
  for (int i = 0; i < TILE; i++)
    for (int j = 0; j < TILE; j++) {
      u[i][j] = 0;
      for (int x = 0; x < 3; x++) u[i][j] += half[i][x] * G[j][x];
    }
}

void winograd_prepare(const THFloatTensor *weight, THFloatTensor *prepared) {
  REQUIRE(weight->nDimension == 4 && weight->size[0] % COLUMNS == 0 && weight->size[0] > 0 &&
              weight->size[1] % WIDEST == 0 && weight->size[1] > 0 && weight->size[2] == 3 &&
              weight->size[3] == 3,
          1, "weight must be (O, C, 3, 3), O a multiple of %d and C of %d, got %s", COLUMNS, WIDEST,
          THFloatTensor_sizeDesc(weight).str);
  const int64_t outputs = weight->size[0], channels = weight->size[1];
  REQUIRE_NO_INPUT(prepared, 2, weight);
  THFloatTensor_resize4d(prepared, PLANES, outputs / COLUMNS, channels, COLUMNS);
  const float *g = THFloatTensor_data(weight);
  float *to = THFloatTensor_data(prepared);
  const int64_t *stride = weight->stride;
#pragma omp parallel for
  for (int64_t o = 0; o < outputs; o++)
    for (int64_t c = 0; c < channels; c++) {
      double u[TILE][TILE];
      transform_filter(g + o * stride[0] + c * stride[1], stride, u);
      for (int k = 0; k < PLANES; k++)
        to[((k * (outputs / COLUMNS) + o / COLUMNS) * channels + c) * COLUMNS + o % COLUMNS] =
            (float)u[k / TILE][k % TILE];
    }
}

void winograd_convolution(const THFloatTensor *input, const THFloatTensor *prepared,
                          const THFloatTensor *bias, const THFloatTensor *residual, int pad_height,
                          int pad_width, int relu, THFloatTensor *output) {
  const int lanes = convolution_lanes();
  REQUIRE(lanes > 0, 1, "this processor has neither AVX-512 nor AVX2 with FMA");
  REQUIRE(prepared->nDimension == 4 && prepared->size[0] == PLANES &&
              prepared->size[2] % WIDEST == 0 && prepared->size[3] == COLUMNS &&
              THFloatTensor_isContiguous(prepared),
          2, "prepared must be what winograd_prepare made, got %s",
          THFloatTensor_sizeDesc(prepared).str);
  const int64_t channels = prepared->size[2], outputs = prepared->size[1] * COLUMNS;
  REQUIRE(input->nDimension == 4 && input->size[1] == channels && input->stride[1] == 1, 1,
          "input must be (N, %lld, H, W) with channels next to each other (channels_last), got %s "
          "with strides of %lld for channels",
          (long long)channels, THFloatTensor_sizeDesc(input).str,
          input->nDimension == 4 ? (long long)input->stride[1] : 0LL);
  REQUIRE(bias->nDimension == 1 && bias->size[0] == outputs && bias->stride[0] == 1, 3,
          "bias must be (%lld) without gaps, got %s", (long long)outputs,
          THFloatTensor_sizeDesc(bias).str);
  REQUIRE(pad_height >= 0 && pad_height <= 2, 5, "pad_height must be 0 .. 2, got %d", pad_height);
  REQUIRE(pad_width >= 0 && pad_width <= 2, 6, "pad_width must be 0 .. 2, got %d", pad_width);
  const int64_t wanted[4] = {input->size[0], outputs, input->size[2] + 2 * pad_height - 2,
                             input->size[3] + 2 * pad_width - 2};
  REQUIRE(wanted[2] > 0 && wanted[3] > 0, 1, "input must be 3 x 3 with its padding, got %s",
          THFloatTensor_sizeDesc(input).str);
  REQUIRE(output->nDimension == 4 && !memcmp(output->size, wanted, sizeof wanted) &&
              output->stride[1] == 1,
          8, "output must be (%lld, %lld, %lld, %lld) with channels next to each other, got %s",
          (long long)wanted[0], (long long)wanted[1], (long long)wanted[2], (long long)wanted[3],
          THFloatTensor_sizeDesc(output).str);
  REQUIRE(!residual || (residual->nDimension == 4 &&
                        !memcmp(residual->size, wanted, sizeof wanted) && residual->stride[1] == 1),
          4, "residual must have output's shape with channels next to each other, got %s",
          THFloatTensor_sizeDesc(residual).str);
  REQUIRE(THFloatTensor_data(output) != THFloatTensor_data(input) || wanted[0] == 0, 8,
          "output must have memory of its own, got input's");
  if (wanted[0] == 0) return;

#ifdef HAVE_LANES
  plan p = {.channels = channels,
            .outputs = outputs,
            .image_height = input->size[2],
            .image_width = input->size[3],
            .height = wanted[2],
            .width = wanted[3],
            .pad_height = pad_height,
            .pad_width = pad_width,
            .down = (wanted[2] + OUT - 1) / OUT,
            .across = (wanted[3] + OUT - 1) / OUT,
            .input = THFloatTensor_data(input),
            .prepared = THFloatTensor_data(prepared),
            .bias = THFloatTensor_data(bias),
            .residual = residual ? THFloatTensor_data(residual) : NULL,
            .output = THFloatTensor_data(output),
            .in_stride = input->stride,
            .residual_stride = residual ? residual->stride : NULL,
            .out_stride = output->stride,
            .relu = relu};
  /* more weights than a cache near the processor holds */
  if (PLANES * channels * outputs * (int64_t)sizeof(float) > 4 << 20) p.ahead = channels * COLUMNS;
  const int64_t all = wanted[0] * p.down * p.across, products = PLANES * prepared->size[1];
  const int threads = MAX_THREADS;
  int64_t tiles = tiles_of_a_chunk(channels, outputs);
  /* Threads have a chunk each; where there are too few, they share the steps of one. */
  const int shared = threads > 1 && all < 2 * threads * tiles;
  if (shared || tiles > all) tiles = all;
  /* a line more, so that planes do not fall on each other in the cache */
  p.v_plane = tiles * channels + WIDEST;
  p.m_plane = tiles * outputs + WIDEST;
  const size_t each = (size_t)(PLANES * (p.v_plane + p.m_plane));
  const size_t rooms = shared ? 1 : (size_t)threads;
  const size_t zeros = (size_t)(channels > COLUMNS ? channels : COLUMNS);
  float *room = THAlloc((ptrdiff_t)((each * rooms + zeros) * sizeof(float)));
  p.zeros = memset(room + each * rooms, 0, zeros * sizeof(float));
  if (shared) {
    float *v = room, *m = v + PLANES * p.v_plane;
#pragma omp parallel num_threads(threads)
    {
      const int64_t n = THREADS, i = THREAD;
      CALL(winograd_input_, lanes)(&p, 0, v, all * i / n, all * (i + 1) / n);
#pragma omp barrier
      CALL(winograd_products_, lanes)(&p, v, m, all, products * i / n, products * (i + 1) / n);
#pragma omp barrier
      CALL(winograd_output_, lanes)(&p, 0, m, all * i / n, all * (i + 1) / n);
    }
  } else {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t chunk = 0; chunk < all; chunk += tiles) {
      float *v = room + each * (size_t)THREAD, *m = v + PLANES * p.v_plane;
      const int64_t now = all - chunk < tiles ? all - chunk : tiles;
      CALL(winograd_input_, lanes)(&p, chunk, v, 0, now);
      CALL(winograd_products_, lanes)(&p, v, m, now, 0, products);
      CALL(winograd_output_, lanes)(&p, chunk, m, 0, now);
    }
  }
  THFree(room);
#endif
}
