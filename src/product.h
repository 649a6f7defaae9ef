/* Products of matrices in vectors of LANES floats, MOST rows at a time. */

#define vector TH_CONCAT_2(vector_of_, LANES)
typedef float vector __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
#define LOAD(address) (*(const vector *)(address))
#define STORE(address, value) (*(vector *)(address) = (value))
#define multiply TH_CONCAT_2(multiply_, LANES)
#define multiply_rows(ROWS) TH_CONCAT_4(multiply_, ROWS, _rows_, LANES)

/* What a row of the product is written to, and what is added to it. */
typedef struct {
  const float *bias;
  const float *residual; /* or NULL */
  int64_t residual_stride;
  int relu;
  float *to;
  int64_t stride;
  int64_t ahead; /* fetch the weights that lie so many after these: they come from memory */
} TH_CONCAT_2(result_of_, LANES);
#define result TH_CONCAT_2(result_of_, LANES)

/* What will be written is fetched while the sums are computed: a third of the time for large
 * images, whose lines the processor does not foresee. So are, where a file asks for it, the next
 * rows. */
#define BEGIN(r)                                                 \
  vector a##r = LOAD(into.bias), b##r = LOAD(into.bias + LANES); \
  __builtin_prefetch(into.to + r * into.stride, 1);              \
  __builtin_prefetch(into.to + r * into.stride + 16, 1);
#ifdef FETCH_ROWS
#define FETCH(r) __builtin_prefetch(v + (r + MOST) * v_stride + c, 0, 2);
#else
#define FETCH(r)
#endif
#if LANES == 16 /* with narrow vectors the sums take longer than the weights */
#define FETCH_WEIGHTS                                            \
  if (into.ahead) {                                              \
    __builtin_prefetch(u + into.ahead + d * COLUMNS, 0, 2);      \
    __builtin_prefetch(u + into.ahead + d * COLUMNS + 16, 0, 2); \
  }
#else
#define FETCH_WEIGHTS
#endif
#define STEP(r)                          \
  {                                      \
    const float x = v[r * v_stride + d]; \
    a##r += x * left;                    \
    b##r += x * right;                   \
  }
#define END(r)                                                       \
  {                                                                  \
    if (into.residual) {                                             \
      const float *added = into.residual + r * into.residual_stride; \
      a##r += LOAD(added);                                           \
      b##r += LOAD(added + LANES);                                   \
    }                                                                \
    if (into.relu) { /* a NaN stays one */                           \
      a##r = (vector)LARGER(zero, a##r);                             \
      b##r = (vector)LARGER(zero, b##r);                             \
    }                                                                \
    STORE(into.to + r * into.stride, a##r);                          \
    STORE(into.to + r * into.stride + LANES, b##r);                  \
  }
#define MULTIPLY_ROWS(ROWS, EACH)                                                            \
  TARGET static void multiply_rows(ROWS)(const float *v, int64_t v_stride, int64_t channels, \
                                         const float *u, result into) {                      \
    const vector zero = {0};                                                                 \
    EACH(BEGIN)                                                                              \
    for (int64_t c = 0; c < channels; c += WIDEST) {                                         \
      EACH(FETCH)                                                                            \
      for (int64_t d = c; d < c + WIDEST; d++) {                                             \
        FETCH_WEIGHTS                                                                        \
        const vector left = LOAD(u + d * COLUMNS), right = LOAD(u + d * COLUMNS + LANES);    \
        EACH(STEP)                                                                           \
      }                                                                                      \
    }                                                                                        \
    EACH(END)                                                                                \
  }
MULTIPLY_ROWS(MOST, EACH_OF_MOST)
#if LANES == 16
MULTIPLY_ROWS(8, EACH_OF_8)
#endif
MULTIPLY_ROWS(4, EACH_OF_4)
MULTIPLY_ROWS(2, EACH_OF_2)
MULTIPLY_ROWS(1, EACH_OF_1)

/* relu(v (rows, channels) x u (channels, COLUMNS) + bias + residual). Sums of SUMMED products are
 * added to the result one after the other: the errors are those of shorter sums, and the weights of
 * one stay in the first-level cache. */
TARGET static void multiply(const float *v, int64_t v_stride, int64_t rows, int64_t channels,
                            const float *u, const result *all) {
  static const float zeros[COLUMNS];
  for (int64_t c = 0; c < channels; c += SUMMED) {
    const int64_t now = channels - c < SUMMED ? channels - c : SUMMED;
    result part = *all;
    part.relu = all->relu && c + now == channels;
    if (c > 0) {
      part.bias = zeros;
      part.residual = all->to;
      part.residual_stride = all->stride;
    }
    for (int64_t column = 0; column < COLUMNS; column += 2 * LANES)
      for (int64_t row = 0; row < rows;) {
        result into = part;
        into.bias += column;
        into.to += row * into.stride + column;
        if (into.residual) into.residual += row * into.residual_stride + column;
        const float *from = v + row * v_stride + c, *weights = u + c * COLUMNS + column;
        const int64_t rest = rows - row;
#define TAKE(ROWS)                                           \
  if (rest >= ROWS) {                                        \
    multiply_rows(ROWS)(from, v_stride, now, weights, into); \
    row += ROWS;                                             \
    continue;                                                \
  }
        TAKE(MOST)
#if LANES == 16
        TAKE(8)
#endif
        TAKE(4)
        TAKE(2)
        TAKE(1)
      }
  }
}

#undef FETCH_WEIGHTS
