/* Sigmoid focal loss, forward and backward. The file includes itself once per precision. */
#ifndef TH_GENERIC_FILE

#include "focal_loss.h"

#include <math.h>
#include <string.h>

#include "kernels.h"

/* Elements of one piece of work of a thread. */
#define PIECE 4096

#define INLINE static inline __attribute__((always_inline))

/* exp(-a) for a >= 0, with an error of about 1e-7 of the result, without branches: loops over it
 * become vectors. exp(-a) = 2^-k exp(-r) with k = round(a / ln 2); exp(-r) by its series, |r| <
 * 0.35. Beyond 87 it stays at exp(-87) = 1.6e-38. */
INLINE float exp_minus_float(float a) {
  const float rounds = 12582912.0f; /* 1.5 * 2^23: adding it rounds to integers */
  a = a > 87.0f ? 87.0f : a;
  const float shifted = a * 1.44269504f + rounds, k = shifted - rounds;
  const float r = (k * 0.693359375f - a) - k * 2.12194440e-4f; /* ln 2 in two parts */
  const float series =
      1 + r * (1 + r * (1 / 2.f +
                        r * (1 / 6.f + r * (1 / 24.f + r * (1 / 120.f +
                                                            r * (1 / 720.f + r * (1 / 5040.f)))))));
  uint32_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (127u - (bits - 0x4B400000u)) << 23; /* 0x4B400000: the bits of `rounds` */
  float power;
  memcpy(&power, &bits, sizeof power);
  return series * power;
}

/* The same in double precision, with an error of about 2e-16, for a <= 708. */
INLINE double exp_minus_708(double a) {
  const double rounds = 6755399441055744.0; /* 1.5 * 2^52 */
  const double shifted = a * 1.4426950408889634 + rounds, k = shifted - rounds;
  const double r = (k * 0x1.62e42fefa38p-1 - a) + k * 0x1.ef35793c7673p-45; /* ln 2 in two parts */
  double series = 1;
#pragma GCC unroll 13
  for (int n = 13; n > 0; n--) series = 1 + r * (1.0 / n) * series;
  uint64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (1023u - (bits - 0x4338000000000000u)) << 52; /* less the bits of `rounds` */
  double power;
  memcpy(&power, &bits, sizeof power);
  return series * power;
}

INLINE double exp_minus_double(double a) { return exp_minus_708(a > 708 ? 708 : a); }

/* log(1 + e) for 0 <= e <= 1: 2 artanh(s) with s = e / (2 + e) <= 1/3, by its series. */
INLINE float log_1_plus_float(float e) {
  const float s = e / (2 + e), z = s * s;
  return 2 * s *
         (1 + z * (1 / 3.f +
                   z * (1 / 5.f +
                        z * (1 / 7.f +
                             z * (1 / 9.f + z * (1 / 11.f + z * (1 / 13.f + z * (1 / 15.f))))))));
}

INLINE double log_1_plus_double(double e) {
  const double s = e / (2 + e), z = s * s;
  double series = 0;
#pragma GCC unroll 17
  for (int n = 33; n > 0; n -= 2) series = 1.0 / n + z * series;
  return 2 * s * series;
}

/* |u|^gamma as exp(gamma log |u|), with an error of about 1e-16 (1 + |gamma log u|); u < 0 is what
 * a target beyond 1 by a rounding gives. log u = k ln 2 + log m, m between sqrt(1/2) and sqrt(2),
 * with log m by the series of artanh. (Of a limit that is a constant the compiler would make a
 * branch, and no vectors.) */
INLINE double power_of_double(double u, double gamma) {
  uint64_t bits;
  u = fabs(u);
  memcpy(&bits, &u, sizeof bits);
  const uint64_t from = bits - 0x3FE6A09E667F3BCDu; /* the bits of sqrt(1/2) */
  const uint64_t k_bits = (from >> 52 ^ 0x800u) + 0x4338000000000000u;
  double k, m;
  bits -= from & 0xFFF0000000000000u;
  memcpy(&k, &k_bits, sizeof k);
  memcpy(&m, &bits, sizeof m);
  k -= 6755399441055744.0 + 2048; /* with which k + 2048 is in the last bits of a number */
  const double s = (m - 1) / (m + 1), z = s * s;
  double series = 0;
#pragma GCC unroll 11
  for (int n = 21; n > 0; n -= 2) series = 1.0 / n + z * series;
  const double minus_log = -(k * 0.6931471805599453 + 2 * s * series), most = 708 / gamma;
  return exp_minus_708(gamma * (minus_log > most ? most : minus_log));
}

#define TH_GENERIC_FILE "focal_loss.c"
#include <TH/THGenerateFloatTypes.h>

#else

#define focal_loss_forward TH_CONCAT_2(focal_loss_forward_, real)
#define focal_loss_backward TH_CONCAT_2(focal_loss_backward_, real)
#define class_focal_loss_forward TH_CONCAT_2(class_focal_loss_forward_, real)
#define class_focal_loss_backward TH_CONCAT_2(class_focal_loss_backward_, real)
#define exp_minus TH_CONCAT_2(exp_minus_, real)
#define log_1_plus TH_CONCAT_2(log_1_plus_, real)
#define power_of TH_CONCAT_2(focal_power_of_, real)
#define value_of TH_CONCAT_2(focal_value_of_, real)
#define dense_loop TH_CONCAT_2(focal_dense_loop_, real)
#define classes_loop TH_CONCAT_2(focal_classes_loop_, real)
#define run_dense TH_CONCAT_2(focal_run_dense_, real)
#define run_classes TH_CONCAT_2(focal_run_classes_, real)
#define dense TH_CONCAT_2(focal_dense_, real)
#define classified TH_CONCAT_2(focal_classified_, real)
#define output_of TH_CONCAT_2(focal_output_of_, real)

INLINE real power_of(real u, real gamma, int square) {
  return square ? u * u : (real)power_of_double((double)u, (double)gamma);
}

/* The loss of logit x with target t, or (backward) its derivative by x. With p = sigmoid(x), q = 1
 * - p and u = 1 - p_t: loss = alpha_t u^gamma ce, d ce = p - t, d u = p q (1 - 2 t). */
INLINE real value_of(real x, real t, real alpha, real gamma, int square, int backward) {
  const real e = exp_minus(x < 0 ? -x : x), shared = 1 / (1 + e);
  const real p = x < 0 ? e * shared : shared, q = x < 0 ? shared : e * shared;
  const real ce = (x < 0 ? 0 : x) - x * t + log_1_plus(e);
  const real u = p * (1 - t) + q * t;
  const real weight = alpha < 0 ? 1 : alpha * t + (1 - alpha) * (1 - t);
  const real focus = weight * power_of(u, gamma, square);
  if (!backward) return focus * ce;
  const real relative = u > 0 ? p * q * (1 - 2 * t) / u : 0; /* d u / u */
  return focus * (p * (1 - t) - q * t + gamma * relative * ce);
}

/* out = value (g == NULL), or g * derivative: with constants in each loop, so that all become
 * vectors. */
INLINE void dense_loop(const real *g, const real *x, const real *t, real alpha, real gamma,
                       int square, int64_t n, real *restrict out) {
  if (g) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = g[i] * value_of(x[i], t[i], alpha, gamma, square, 1);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = value_of(x[i], t[i], alpha, gamma, square, 0);
  }
}

KERNEL_CLONES_FMA
static void run_dense(const real *g, const real *x, const real *t, real alpha, real gamma,
                      int64_t n, real *restrict out) {
  if (gamma == 2)
    dense_loop(g, x, t, alpha, 2, 1, n, out);
  else
    dense_loop(g, x, t, alpha, gamma, 0, n, out);
}

/* The same for a row whose column `positive` has the target 1, the others 0. */
INLINE void classes_loop(const real *g, const real *x, int32_t positive, real alpha, real gamma,
                         int square, int32_t n, real *restrict out) {
  if (g) {
#pragma omp simd
    for (int32_t i = 0; i < n; i++)
      out[i] = g[i] * value_of(x[i], i == positive, alpha, gamma, square, 1);
  } else {
#pragma omp simd
    for (int32_t i = 0; i < n; i++) out[i] = value_of(x[i], i == positive, alpha, gamma, square, 0);
  }
}

KERNEL_CLONES_FMA
static void run_classes(const real *g, const real *x, int32_t positive, real alpha, real gamma,
                        int32_t n, real *restrict out) {
  if (gamma == 2)
    classes_loop(g, x, positive, alpha, 2, 1, n, out);
  else
    classes_loop(g, x, positive, alpha, gamma, 0, n, out);
}

/* A contiguous tensor to write to: out itself, or one to be copied to it. */
static THTensor *output_of(THTensor *out, const THTensor *like) {
  if (!THTensor_(isSameSizeAs)(out, like)) THTensor_(resizeAs)(out, (THTensor *)like);
  return THTensor_(newContiguous)(out);
}

/* grad is NULL in the forward direction; targets is argument number `first` + 1. */
static void dense(const THTensor *grad, const THTensor *logits, const THTensor *targets,
                  double alpha, double gamma, THTensor *out, int first) {
  REQUIRE(THTensor_(isSameSizeAs)(targets, logits), first + 1,
          "targets must have the shape of logits %s, got %s", THTensor_(sizeDesc)(logits).str,
          THTensor_(sizeDesc)(targets).str);
  REQUIRE(!grad || THTensor_(isSameSizeAs)(grad, logits), 1,
          "grad_loss must have the shape of logits %s, got %s", THTensor_(sizeDesc)(logits).str,
          THTensor_(sizeDesc)(grad).str);
  REQUIRE(gamma >= 0, first + 3, "gamma must not be negative, got %g", gamma);
  THTensor *to = output_of(out, logits);
  THTensor *from = THTensor_(newContiguous)((THTensor *)logits);
  THTensor *aims = THTensor_(newContiguous)((THTensor *)targets);
  THTensor *weights = grad ? THTensor_(newContiguous)((THTensor *)grad) : NULL;
  const int64_t elements = THTensor_(nElement)(logits);
  const real *x = THTensor_(data)(from), *t = THTensor_(data)(aims);
  const real *g = weights ? THTensor_(data)(weights) : NULL;
  real *y = THTensor_(data)(to);
#pragma omp parallel for if (elements > PARALLEL_ELEMENTS)
  for (int64_t i = 0; i < elements; i += PIECE)
    run_dense(g ? g + i : NULL, x + i, t + i, (real)alpha, (real)gamma,
              elements - i < PIECE ? elements - i : PIECE, y + i);
  if (to != out) THTensor_(copy)(out, to);
  if (weights) THTensor_(free)(weights);
  THTensor_(free)(aims);
  THTensor_(free)(from);
  THTensor_(free)(to);
}

static void classified(const THTensor *grad, const THTensor *logits, const THLongTensor *classes,
                       double alpha, double gamma, THTensor *out, int first) {
  REQUIRE(logits->nDimension == 2 && logits->size[1] <= INT32_MAX, first,
          "logits must be (N, C), got %s", THTensor_(sizeDesc)(logits).str);
  const int64_t rows = logits->size[0], columns = logits->size[1];
  REQUIRE(classes->nDimension <= 1 && THLongTensor_nElement(classes) == rows, first + 1,
          "classes must have one number per row of logits %s, got %s",
          THTensor_(sizeDesc)(logits).str, THLongTensor_sizeDesc(classes).str);
  REQUIRE(!grad || THTensor_(isSameSizeAs)(grad, logits), 1,
          "grad_loss must have the shape of logits %s, got %s", THTensor_(sizeDesc)(logits).str,
          THTensor_(sizeDesc)(grad).str);
  REQUIRE(gamma >= 0, first + 3, "gamma must not be negative, got %g", gamma);
  const int64_t *class = THLongTensor_data(classes);
  for (int64_t i = 0; i < rows; i++)
    REQUIRE(class[i * classes->stride[0]] <= columns, first + 1,
            "class %lld of row %lld is beyond the %lld columns of logits",
            (long long)class[i * classes->stride[0]], (long long)i, (long long)columns);
  THTensor *to = output_of(out, logits);
  THTensor *from = THTensor_(newContiguous)((THTensor *)logits);
  THTensor *weights = grad ? THTensor_(newContiguous)((THTensor *)grad) : NULL;
  const real *x = THTensor_(data)(from), *g = weights ? THTensor_(data)(weights) : NULL;
  real *y = THTensor_(data)(to);
#pragma omp parallel for if (rows * columns > PARALLEL_ELEMENTS)
  for (int64_t i = 0; i < rows; i++) {
    const int64_t at = i * columns, c = class[i * classes->stride[0]];
    if (c < 0)
      memset(y + at, 0, (size_t)columns * sizeof(real));
    else
      run_classes(g ? g + at : NULL, x + at, (int32_t)(c - 1), (real)alpha, (real)gamma,
                  (int32_t)columns, y + at);
  }
  if (to != out) THTensor_(copy)(out, to);
  if (weights) THTensor_(free)(weights);
  THTensor_(free)(from);
  THTensor_(free)(to);
}

void focal_loss_forward(const THTensor *logits, const THTensor *targets, double alpha, double gamma,
                        THTensor *loss) {
  dense(NULL, logits, targets, alpha, gamma, loss, 1);
}

void focal_loss_backward(const THTensor *grad_loss, const THTensor *logits, const THTensor *targets,
                         double alpha, double gamma, THTensor *grad_logits) {
  dense(grad_loss, logits, targets, alpha, gamma, grad_logits, 2);
}

void class_focal_loss_forward(const THTensor *logits, const THLongTensor *classes, double alpha,
                              double gamma, THTensor *loss) {
  classified(NULL, logits, classes, alpha, gamma, loss, 1);
}

void class_focal_loss_backward(const THTensor *grad_loss, const THTensor *logits,
                               const THLongTensor *classes, double alpha, double gamma,
                               THTensor *grad_logits) {
  classified(grad_loss, logits, classes, alpha, gamma, grad_logits, 2);
}

#endif
