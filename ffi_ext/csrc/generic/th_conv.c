/* TH<Type>Tensor_conv*: correlations (X) and convolutions (C), valid (V) and full (F), in two and
 * three dimensions.
 *
 * Every pointer function is one loop over places of input and kernel; two dimensions are three with
 * a depth of one. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/th_conv.c"
#else

/* r += alpha * (t with k). t is (it, ir, ic), k is (kt, kr, kc), s the steps. What r's places are:
 * valid    r[z] += t[z * s + j] k[j]
 * reversed r[z] += t[z + j * s] k[j]
 * full     r[z * s + j] += t[z] k[j]
 * `flip` runs through the kernel backwards. */
static void THTensor_(correlate)(real *r, real alpha, const real *t, const int64_t *i,
                                 const real *k, const int64_t *n, const int64_t *s,
                                 enum ffi_places how, int flip) {
  int64_t o[3], places[3];
  for (int d = 0; d < 3; d++) {
    o[d] = ffi_conv_size(how, i[d], n[d], s[d]);
    places[d] = how == FFI_FULL ? i[d] : o[d];
  }
  const int64_t kernel = n[0] * n[1] * n[2];
  for (int64_t z = 0; z < places[0]; z++)
    for (int64_t y = 0; y < places[1]; y++)
      for (int64_t x = 0; x < places[2]; x++) {
        accreal sum = 0;
        const int64_t at[3] = {z, y, x};
        for (int64_t j = 0; j < kernel; j++) {
          const int64_t step[3] = {j / (n[1] * n[2]), j / n[2] % n[1], j % n[2]};
          const real weight = k[flip ? kernel - 1 - j : j];
          int64_t p[3];
          for (int d = 0; d < 3; d++)
            p[d] = how == FFI_REVERSED ? at[d] + step[d] * s[d] : at[d] * s[d] + step[d];
          if (how == FFI_FULL)
            r[(p[0] * o[1] + p[1]) * o[2] + p[2]] +=
                (real)(alpha * t[(z * i[1] + y) * i[2] + x] * weight);
          else
            sum += (accreal)t[(p[0] * i[1] + p[1]) * i[2] + p[2]] * weight;
        }
        if (how != FFI_FULL) r[(z * o[1] + y) * o[2] + x] += (real)(alpha * sum);
      }
}

/* clang-format off */
#define POINTERS(NAME, REV, HOW, FLIP) \
  void THTensor_(NAME##2D##REV##ptr)(real *r, real alpha, real *t, int64_t ir, int64_t ic, real *k, int64_t kr, int64_t kc, int64_t sr, int64_t sc) { \
    const int64_t i[] = {1, ir, ic}, n[] = {1, kr, kc}, s[] = {1, sr, sc}; \
    THTensor_(correlate)(r, alpha, t, i, k, n, s, HOW, FLIP); \
  } \
  void THTensor_(NAME##3D##REV##ptr)(real *r, real alpha, real *t, int64_t it, int64_t ir, int64_t ic, real *k, int64_t kt, int64_t kr, int64_t kc, int64_t st, int64_t sr, int64_t sc) { \
    const int64_t i[] = {it, ir, ic}, n[] = {kt, kr, kc}, s[] = {st, sr, sc}; \
    THTensor_(correlate)(r, alpha, t, i, k, n, s, HOW, FLIP); \
  }
POINTERS(validXCorr, , FFI_VALID, 0)
POINTERS(validConv, , FFI_VALID, 1)
POINTERS(fullConv, , FFI_FULL, 0)
POINTERS(fullXCorr, , FFI_FULL, 1)
POINTERS(validXCorr, Rev, FFI_REVERSED, 0)
/* clang-format on */

/* Over planes: the input has `ti` leading dimensions before its image, the kernel `ki`; `pairs`
 * says how they meet (th_generic.c). r = beta r + alpha (t with k). */
static void THTensor_(over_planes)(THTensor *r, real beta, real alpha, THTensor *t, THTensor *k,
                                   const int64_t *steps, int space, const char *vf, const char *xc,
                                   enum ffi_planes pairs) {
  static const char *const expected[] = {"2D", "3D", "4D", "5D"};
  const int ti = pairs == FFI_PLANE ? 0 : pairs == FFI_BATCH || pairs == FFI_BATCH_OUTER ? 2 : 1;
  const int ki = pairs == FFI_PLANE                                                      ? 0
                 : pairs == FFI_MATRIX || pairs == FFI_BATCH || pairs == FFI_BATCH_OUTER ? 2
                                                                                         : 1;
  THArgCheck(t->nDimension == space + ti, 3, "input: %s Tensor expected", expected[space + ti - 2]);
  THArgCheck(k->nDimension == space + ki, 4, "kernel: %s Tensor expected",
             expected[space + ki - 2]);
  for (int d = 0; d < space; d++)
    THArgCheck(steps[d] >= 1, 5 + d, "Stride should be a positive integer");
  const int reversed = vf == NULL;
  THArgCheck(reversed || *vf == 'V' || *vf == 'F', 7, "type of convolution can 'V' or 'F'");
  THArgCheck(reversed || *xc == 'X' || *xc == 'C', 7, "type of convolution can 'X' or 'C'");
  const enum ffi_places how = reversed ? FFI_REVERSED : *vf == 'F' ? FFI_FULL : FFI_VALID;
  const int flip = reversed ? 0 : how == FFI_FULL ? *xc == 'X' : *xc == 'C';
  if (pairs == FFI_ELEMENT)
    THArgCheck(t->size[0] == k->size[0], 4, "invalid number of input/kernel planes");
  if (pairs == FFI_MATRIX || pairs == FFI_BATCH)
    THArgCheck(t->size[ti - 1] == k->size[1], 4, "invalid number of input planes");
  if (pairs == FFI_BATCH_OUTER)
    THArgCheck(t->size[0] == k->size[0], 4, "invalid number of input/kernel batches");

  int64_t i[3] = {1, 1, 1}, n[3] = {1, 1, 1}, s[3] = {1, 1, 1}, o[3];
  for (int d = 0; d < space; d++) {
    i[3 - space + d] = t->size[ti + d];
    n[3 - space + d] = k->size[ki + d];
    s[3 - space + d] = steps[d];
  }
  for (int d = 0; d < 3; d++) {
    THArgCheck(how == FFI_FULL || i[d] >= (how == FFI_REVERSED ? (n[d] - 1) * s[d] + 1 : n[d]), 2,
               "conv: Input image is smaller than kernel");
    o[d] = ffi_conv_size(how, i[d], n[d], s[d]);
  }
  /* r's planes: of the batch, of the kernel, of the input */
  const int64_t batches = pairs == FFI_BATCH || pairs == FFI_BATCH_OUTER ? t->size[0] : 1;
  const int64_t inputs = ti ? t->size[ti - 1] : 1;
  const int64_t outputs = pairs == FFI_OUTER || pairs == FFI_MATRIX || pairs == FFI_BATCH
                              ? k->size[0]
                          : pairs == FFI_BATCH_OUTER ? k->size[1]
                                                     : 1;
  int64_t size[5];
  int dimensions = 0;
  if (pairs == FFI_BATCH) size[dimensions++] = batches;
  if (pairs != FFI_PLANE && pairs != FFI_ELEMENT) size[dimensions++] = outputs;
  if (pairs == FFI_OUTER || pairs == FFI_BATCH_OUTER || pairs == FFI_ELEMENT)
    size[dimensions++] = inputs;
  for (int d = 3 - space; d < 3; d++) size[dimensions++] = o[d];

  THTensor *input FFI_HELD = THTensor_(newContiguous)(t);
  THTensor *kernel FFI_HELD = THTensor_(newContiguous)(k);
  const ptrdiff_t before = THTensor_(nElement)(r);
  THTensor_(resizeNd)(r, dimensions, size, NULL);
  if (before == 0 || beta == 0 || before != THTensor_(nElement)(r))
    THTensor_(zero)(r);
  else if (beta != 1)
    THTensor_(mul)(r, r, beta);
  THTensor *dense FFI_HELD = THTensor_(newContiguous)(r);
  real *result = THTensor_(data)(dense);
  const real *x = THTensor_(data)(input), *w = THTensor_(data)(kernel);
  const int64_t x_plane = i[0] * i[1] * i[2], w_plane = n[0] * n[1] * n[2];
  const int64_t r_plane = o[0] * o[1] * o[2];
  for (int64_t b = 0; b < batches; b++)
    for (int64_t q = 0; q < outputs; q++)
      for (int64_t p = 0; p < inputs; p++) {
        int64_t to = 0, with = 0;
        switch (pairs) {
          case FFI_PLANE: break;
          case FFI_ELEMENT: to = with = p; break;
          case FFI_OUTER: to = q * inputs + p, with = q; break;
          case FFI_BATCH_OUTER: to = q * inputs + p, with = b * outputs + q; break;
          case FFI_MATRIX: to = q, with = q * inputs + p; break;
          case FFI_BATCH: to = b * outputs + q, with = q * inputs + p; break;
        }
        THTensor_(correlate)(result + to * r_plane, alpha, x + (b * inputs + p) * x_plane, i,
                             w + with * w_plane, n, s, how, flip);
      }
  if (dense != r) THTensor_(copy)(r, dense);
}

/* clang-format off */
#define CONV2D(NAME, PAIRS) \
  void THTensor_(NAME)(THTensor *r, real beta, real alpha, THTensor *t, THTensor *k, int64_t srow, int64_t scol, const char *vf, const char *xc) { \
    THTensor_(over_planes)(r, beta, alpha, t, k, (const int64_t[]){srow, scol}, 2, vf, xc, PAIRS); \
  }
#define CONV3D(NAME, PAIRS) \
  void THTensor_(NAME)(THTensor *r, real beta, real alpha, THTensor *t, THTensor *k, int64_t sdepth, int64_t srow, int64_t scol, const char *vf, const char *xc) { \
    THTensor_(over_planes)(r, beta, alpha, t, k, (const int64_t[]){sdepth, srow, scol}, 3, vf, xc, PAIRS); \
  }
CONV2D(conv2Dmul, FFI_PLANE)
CONV2D(conv2Dcmul, FFI_ELEMENT)
CONV2D(conv2Dger, FFI_OUTER)
CONV2D(conv2Dmv, FFI_MATRIX)
CONV2D(conv2Dmm, FFI_BATCH)
CONV3D(conv3Dmul, FFI_PLANE)
CONV3D(conv3Dcmul, FFI_ELEMENT)
CONV3D(conv3Dger, FFI_OUTER)
CONV3D(conv3Dmv, FFI_MATRIX)
/* clang-format on */

void THTensor_(conv2DRevger)(THTensor *r, real beta, real alpha, THTensor *t, THTensor *k,
                             int64_t srow, int64_t scol) {
  THTensor_(over_planes)(r, beta, alpha, t, k, (const int64_t[]){srow, scol}, 2, NULL, NULL,
                         FFI_OUTER);
}
void THTensor_(conv2DRevgerm)(THTensor *r, real beta, real alpha, THTensor *t, THTensor *k,
                              int64_t srow, int64_t scol) {
  THTensor_(over_planes)(r, beta, alpha, t, k, (const int64_t[]){srow, scol}, 2, NULL, NULL,
                         FFI_BATCH_OUTER);
}
void THTensor_(conv3DRevger)(THTensor *r, real beta, real alpha, THTensor *t, THTensor *k,
                             int64_t sdepth, int64_t srow, int64_t scol) {
  THTensor_(over_planes)(r, beta, alpha, t, k, (const int64_t[]){sdepth, srow, scol}, 3, NULL, NULL,
                         FFI_OUTER);
}

#endif
