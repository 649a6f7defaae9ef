/* The product of pointwise.c in vectors of LANES floats. */

/* COLUMNS outputs of so many pixels. */
TARGET static void TH_CONCAT_2(pointwise_product_, LANES)(const plan *p, int64_t first,
                                                          int64_t pixels, int64_t block) {
  const int64_t at = first * p->outputs + block * COLUMNS;
  const result into = {.bias = p->bias + block * COLUMNS,
                       .residual = p->residual ? p->residual + at : NULL,
                       .residual_stride = p->outputs,
                       .relu = p->relu,
                       .to = p->output + at,
                       .stride = p->outputs,
                       .ahead = p->ahead};
  multiply(p->input + first * p->channels, p->channels, pixels, p->channels,
           p->prepared + block * p->channels * COLUMNS, &into);
}
