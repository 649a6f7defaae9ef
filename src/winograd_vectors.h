/* The three steps of winograd.c in vectors of LANES floats. */

/* 6 inputs of a column or row -> 6: by the points 0, root / 2 and -root / 2, root and -root,
 * infinity. */
#define TRANSFORM_INPUT(d0, d1, d2, d3, d4, d5, t0, t1, t2, t3, t4, t5)       \
  do {                                                                        \
    const vector even = d4 - 2 * d2, odd = (float)(ROOT / 2) * (d3 - 2 * d1); \
    const vector even2 = d4 - d2 / 2, odd2 = (float)ROOT * (d3 - d1 / 2);     \
    t0 = d0 - 2.5f * d2 + d4;                                                 \
    t1 = even + odd;                                                          \
    t2 = even - odd;                                                          \
    t3 = even2 + odd2;                                                        \
    t4 = even2 - odd2;                                                        \
    t5 = d1 - 2.5f * d3 + d5;                                                 \
  } while (0)

/* 6 products of a column or row -> 4 outputs. */
#define TRANSFORM_OUTPUT(m0, m1, m2, m3, m4, m5, y0, y1, y2, y3)            \
  do {                                                                      \
    const vector sum = m1 + m2, difference = (float)(ROOT / 2) * (m1 - m2); \
    const vector sum2 = m3 + m4, difference2 = (float)ROOT * (m3 - m4);     \
    y0 = m0 + sum + sum2;                                                   \
    y1 = difference + difference2;                                          \
    y2 = sum / 2 + 2 * sum2;                                                \
    y3 = difference / 2 + 2 * difference2 + m5;                             \
  } while (0)

/* V[6 i + j][tile][c] of the tiles first .. last of a chunk. */
TARGET static void TH_CONCAT_2(winograd_input_, LANES)(const plan *p, int64_t chunk, float *v,
                                                       int64_t first, int64_t last) {
  for (int64_t t = first; t < last; t++) {
    const float *pixel[TILE][TILE];
    pixels_of(p, chunk + t, pixel);
    float *to = v + t * p->channels;
    for (int64_t c = 0; c < p->channels; c += LANES) {
      vector half[TILE][TILE];
      for (int j = 0; j < TILE; j++)
        TRANSFORM_INPUT(LOAD(pixel[0][j] + c), LOAD(pixel[1][j] + c), LOAD(pixel[2][j] + c),
                        LOAD(pixel[3][j] + c), LOAD(pixel[4][j] + c), LOAD(pixel[5][j] + c),
                        half[0][j], half[1][j], half[2][j], half[3][j], half[4][j], half[5][j]);
      for (int i = 0; i < TILE; i++) {
        vector full[TILE];
        TRANSFORM_INPUT(half[i][0], half[i][1], half[i][2], half[i][3], half[i][4], half[i][5],
                        full[0], full[1], full[2], full[3], full[4], full[5]);
        for (int j = 0; j < TILE; j++) STORE(to + (i * TILE + j) * p->v_plane + c, full[j]);
      }
    }
  }
}

/* M of the 36 x (O / 32) products first .. last of a chunk with `tiles` tiles. */
TARGET static void TH_CONCAT_2(winograd_products_, LANES)(const plan *p, const float *v, float *m,
                                                          int64_t tiles, int64_t first,
                                                          int64_t last) {
  const int64_t blocks = p->outputs / COLUMNS;
  for (int64_t k = first; k < last; k++) {
    const int64_t plane = k / blocks, block = k % blocks;
    const result into = {.bias = p->zeros,
                         .to = m + plane * p->m_plane + block * COLUMNS,
                         .stride = p->outputs,
                         .ahead = p->ahead};
    multiply(v + plane * p->v_plane, p->channels, tiles, p->channels,
             p->prepared + k * p->channels * COLUMNS, &into);
  }
}

/* The outputs of the tiles first .. last of a chunk. */
TARGET static void TH_CONCAT_2(winograd_output_, LANES)(const plan *p, int64_t chunk,
                                                        const float *m, int64_t first,
                                                        int64_t last) {
  const vector zero = {0};
  for (int64_t t = first; t < last; t++) {
    const place at = place_of(p, chunk + t);
    const int64_t rows = p->height - at.y < OUT ? p->height - at.y : OUT;
    const int64_t columns = p->width - at.x < OUT ? p->width - at.x : OUT;
    const float *from = m + t * p->outputs;
    float *to =
        p->output + at.image * p->out_stride[0] + at.y * p->out_stride[2] + at.x * p->out_stride[3];
    const float *added = p->residual
                             ? p->residual + at.image * p->residual_stride[0] +
                                   at.y * p->residual_stride[2] + at.x * p->residual_stride[3]
                             : NULL;
    for (int64_t o = 0; o < p->outputs; o += LANES) {
      const float *product = from + o;
      const vector bias = LOAD(p->bias + o);
      vector half[OUT][TILE];
      for (int j = 0; j < TILE; j++) {
        const float *x = product + j * p->m_plane;
        const int64_t down = TILE * p->m_plane;
        TRANSFORM_OUTPUT(LOAD(x), LOAD(x + down), LOAD(x + 2 * down), LOAD(x + 3 * down),
                         LOAD(x + 4 * down), LOAD(x + 5 * down), half[0][j], half[1][j], half[2][j],
                         half[3][j]);
      }
      for (int i = 0; i < rows; i++) {
        vector full[OUT];
        TRANSFORM_OUTPUT(half[i][0], half[i][1], half[i][2], half[i][3], half[i][4], half[i][5],
                         full[0], full[1], full[2], full[3]);
        for (int j = 0; j < columns; j++) {
          vector y = full[j] + bias;
          if (added) y += LOAD(added + i * p->residual_stride[2] + j * p->residual_stride[3] + o);
          if (p->relu) y = (vector)LARGER(zero, y); /* of which a NaN in the second one stays */
          STORE(to + i * p->out_stride[2] + j * p->out_stride[3] + o, y);
        }
      }
    }
  }
}
