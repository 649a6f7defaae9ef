/* Convolutions of 1 x 1: products of the matrix of pixels (N H W, C) with the weights. */
#include <string.h>

#include "convolution.h"
#include "kernels.h"

#define CACHE_BYTES (1 << 20)
#define FEW_PIXELS 256

/* One convolution as a product of matrices. */
typedef struct {
  int64_t channels, outputs;
  const float *input, *prepared, *bias, *residual;
  float *output;
  int relu;
  int64_t ahead; /* see product.h */
} plan;

#define FETCH_ROWS
#define LANES_FILE "pointwise_vectors.h"
#include "each_lanes.h"

int convolution_lanes(void) {
#ifdef HAVE_LANES
  if (MOST_LANES == 16 && __builtin_cpu_supports("avx512f")) return 16;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 8;
#endif
  return 0;
}

void pointwise_prepare(const THFloatTensor *weight, THFloatTensor *prepared) {
  REQUIRE(weight->nDimension == 2 && weight->size[0] % COLUMNS == 0 && weight->size[0] > 0 &&
              weight->size[1] % WIDEST == 0 && weight->size[1] > 0,
          1, "weight must be (O, C), O a multiple of %d and C of %d, got %s", COLUMNS, WIDEST,
          THFloatTensor_sizeDesc(weight).str);
  const int64_t outputs = weight->size[0], channels = weight->size[1];
  REQUIRE_NO_INPUT(prepared, 2, weight);
  THFloatTensor_resize3d(prepared, outputs / COLUMNS, channels, COLUMNS);
  const float *from = THFloatTensor_data(weight);
  float *to = THFloatTensor_data(prepared);
  for (int64_t o = 0; o < outputs; o++)
    for (int64_t c = 0; c < channels; c++)
      to[(o / COLUMNS * channels + c) * COLUMNS + o % COLUMNS] =
          from[o * weight->stride[0] + c * weight->stride[1]];
}

/* Whether t is (N, C, H, W) in the order N, H, W, C without gaps. */
static int is_dense(const THFloatTensor *t) {
  int64_t stride = 1;
  for (const int *d = (const int[]){1, 3, 2, 0}, *end = d + 4; d < end; d++) {
    if (t->size[*d] != 1 && t->stride[*d] != stride) return 0;
    stride *= t->size[*d];
  }
  return 1;
}

/* Few pixels, which the second-level cache holds: all, so that the weights are read once. Else as
 * many as a product takes at a time, or with the narrow vectors a few times as many: reading the
 * weights again is cheaper than waiting for pixels. */
static int64_t pixels_of_a_chunk(int64_t pixels, int64_t channels, int lanes) {
  const int64_t bytes = pixels * channels * (int64_t)sizeof(float);
  if (pixels <= FEW_PIXELS && bytes <= CACHE_BYTES) return pixels;
  return lanes == 16 ? 14 : 24;
}

void pointwise_convolution(const THFloatTensor *input, const THFloatTensor *prepared,
                           const THFloatTensor *bias, const THFloatTensor *residual, int relu,
                           THFloatTensor *output) {
  const int lanes = convolution_lanes();
  REQUIRE(lanes > 0, 1, "this processor has neither AVX-512 nor AVX2 with FMA");
  REQUIRE(prepared->nDimension == 3 && prepared->size[1] % WIDEST == 0 &&
              prepared->size[2] == COLUMNS && THFloatTensor_isContiguous(prepared),
          2, "prepared must be what pointwise_prepare made, got %s",
          THFloatTensor_sizeDesc(prepared).str);
  const int64_t channels = prepared->size[1], outputs = prepared->size[0] * COLUMNS;
  REQUIRE(input->nDimension == 4 && input->size[1] == channels && is_dense(input), 1,
          "input must be (N, %lld, H, W), channels_last without gaps, got %s", (long long)channels,
          THFloatTensor_sizeDesc(input).str);
  REQUIRE(bias->nDimension == 1 && bias->size[0] == outputs && bias->stride[0] == 1, 3,
          "bias must be (%lld) without gaps, got %s", (long long)outputs,
          THFloatTensor_sizeDesc(bias).str);
  const int64_t wanted[4] = {input->size[0], outputs, input->size[2], input->size[3]};
  REQUIRE(
      output->nDimension == 4 && !memcmp(output->size, wanted, sizeof wanted) && is_dense(output),
      6, "output must be (%lld, %lld, %lld, %lld), channels_last without gaps, got %s",
      (long long)wanted[0], (long long)wanted[1], (long long)wanted[2], (long long)wanted[3],
      THFloatTensor_sizeDesc(output).str);
  REQUIRE(!residual || (residual->nDimension == 4 &&
                        !memcmp(residual->size, wanted, sizeof wanted) && is_dense(residual)),
          4, "residual must have output's shape, channels_last without gaps, got %s",
          THFloatTensor_sizeDesc(residual).str);
  REQUIRE(THFloatTensor_data(output) != THFloatTensor_data(input) || wanted[0] == 0, 6,
          "output must have memory of its own, got input's");
  const int64_t pixels = wanted[0] * wanted[2] * wanted[3];
  if (pixels == 0) return;
#ifdef HAVE_LANES
  const int64_t chunk = pixels_of_a_chunk(pixels, channels, lanes), blocks = outputs / COLUMNS;
  const plan p = {.channels = channels,
                  .outputs = outputs,
                  .input = THFloatTensor_data(input),
                  .prepared = THFloatTensor_data(prepared),
                  .bias = THFloatTensor_data(bias),
                  .residual = residual ? THFloatTensor_data(residual) : NULL,
                  .output = THFloatTensor_data(output),
                  .relu = relu,
                  .ahead = chunk == pixels ? channels * COLUMNS : 0};
  const int64_t chunks = (pixels + chunk - 1) / chunk;
  const int64_t work = pixels * channels * outputs;
#pragma omp parallel for collapse(2) if (work > (1 << 20))
  for (int64_t k = 0; k < chunks; k++)
    for (int64_t block = 0; block < blocks; block++) {
      const int64_t first = k * chunk, rest = pixels - first;
      CALL(pointwise_product_, lanes)(&p, first, rest < chunk ? rest : chunk, block);
    }
#endif
}
