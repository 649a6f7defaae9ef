/* TH<Type>Tensor_*: tensors filled with random numbers, element after element, in the original's
 * order of draws. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/th_random.c"
#else

#define FILL(VALUE) TH_TENSOR_APPLY(real, self, *self_data = (real)(VALUE);)

/* Up to the largest number that the type holds, or counts exactly. */
void THTensor_(random)(THTensor *self, THGenerator *gen) {
#if defined(TH_REAL_IS_BYTE)
  FILL(THRandom_random(gen) % (UCHAR_MAX + 1UL));
#elif defined(TH_REAL_IS_CHAR)
  FILL(THRandom_random(gen) % (SCHAR_MAX + 1UL));
#elif defined(TH_REAL_IS_SHORT)
  FILL(THRandom_random(gen) % (SHRT_MAX + 1UL));
#elif defined(TH_REAL_IS_INT)
  FILL(THRandom_random(gen) % (INT_MAX + 1UL));
#elif defined(TH_REAL_IS_LONG)
  FILL(THRandom_random64(gen) % (INT64_MAX + 1ULL));
#elif defined(TH_REAL_IS_FLOAT)
  FILL(THRandom_random(gen) % ((1UL << FLT_MANT_DIG) + 1));
#else
  FILL(THRandom_random64(gen) % ((1ULL << DBL_MANT_DIG) + 1));
#endif
}

void THTensor_(clampedRandom)(THTensor *self, THGenerator *gen, int64_t min, int64_t max) {
  THArgCheck(max > min, 2, "max must be greater than min, but got: min = %lld, max = %lld",
             (long long)min, (long long)max);
  const uint64_t range = (uint64_t)max - (uint64_t)min;
#if defined(TH_REAL_IS_LONG) || defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE)
  if (range >> 32) {
    FILL((int64_t)(THRandom_random64(gen) % range) + min);
    return;
  }
#endif
  FILL((int64_t)(THRandom_random(gen) % range) + min);
}

void THTensor_(cappedRandom)(THTensor *self, THGenerator *gen, int64_t max) {
  THArgCheck(max > 0, 1, "max must be positive, but got: max = %lld", (long long)max);
  THTensor_(clampedRandom)(self, gen, 0, max);
}

void THTensor_(geometric)(THTensor *self, THGenerator *gen, double p) {
  FILL(THRandom_geometric(gen, p));
}
void THTensor_(bernoulli)(THTensor *self, THGenerator *gen, double p) {
  FILL(THRandom_bernoulli(gen, p));
}
void THTensor_(bernoulli_FloatTensor)(THTensor *self, THGenerator *gen, THFloatTensor *p) {
  TH_TENSOR_APPLY2(real, self, float, p, *self_data = (real)THRandom_bernoulli(gen, *p_data););
}
void THTensor_(bernoulli_DoubleTensor)(THTensor *self, THGenerator *gen, THDoubleTensor *p) {
  TH_TENSOR_APPLY2(real, self, double, p, *self_data = (real)THRandom_bernoulli(gen, *p_data););
}

void THTensor_(randperm)(THTensor *r_, THGenerator *gen, int64_t n) {
  THArgCheck(n > 0, 1, "must be strictly positive");
  THTensor_(resize1d)(r_, n);
  real *data = DATA(r_);
  const int64_t step = r_->stride[0];
  for (int64_t i = 0; i < n; i++) data[i * step] = (real)i;
  for (int64_t i = 0; i < n - 1; i++) {
    const int64_t other = i + (int64_t)(THRandom_random(gen) % (uint64_t)(n - i));
    const real kept = data[i * step];
    data[i * step] = data[other * step];
    data[other * step] = kept;
  }
}

#ifdef TH_REAL_IS_BYTE
void THTensor_(getRNGState)(THGenerator *gen, THTensor *self) {
  THTensor_(resize1d)(self, sizeof *gen);
  THArgCheck(THTensor_(isContiguous)(self), 2, "RNG state needs to be contiguous");
  memcpy(self->storage->data + self->storageOffset, gen, sizeof *gen);
}

void THTensor_(setRNGState)(THGenerator *gen, THTensor *self) {
  THGenerator state;
  THArgCheck(THTensor_(nElement)(self) == sizeof *gen, 1, "RNG state is wrong size");
  THArgCheck(THTensor_(isContiguous)(self), 1, "RNG state needs to be contiguous");
  memcpy(&state, self->storage->data + self->storageOffset, sizeof state);
  THArgCheck(THGenerator_isValid(&state), 1, "Invalid RNG state");
  *gen = state;
}
#endif

#if defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE)
#ifdef TH_REAL_IS_FLOAT
#define UNIFORM(a, b) THRandom_uniformFloat(gen, (real)(a), (real)(b))
#else
#define UNIFORM(a, b) THRandom_uniform(gen, a, b)
#endif

void THTensor_(bernoulli_Tensor)(THTensor *self, THGenerator *gen, THTensor *p) {
  TH_TENSOR_APPLY2(real, self, real, p, *self_data = (real)THRandom_bernoulli(gen, *p_data););
}
void THTensor_(uniform)(THTensor *self, THGenerator *gen, double a, double b) {
  FILL(UNIFORM(a, b));
}
void THTensor_(exponential)(THTensor *self, THGenerator *gen, double lambda) {
  FILL(THRandom_exponential(gen, lambda));
}
void THTensor_(cauchy)(THTensor *self, THGenerator *gen, double median, double sigma) {
  FILL(THRandom_cauchy(gen, median, sigma));
}
void THTensor_(logNormal)(THTensor *self, THGenerator *gen, double mean, double stdv) {
  FILL(THRandom_logNormal(gen, mean, stdv));
}

void THTensor_(normal)(THTensor *self, THGenerator *gen, double mean, double stdv) {
  FILL(THRandom_normal(gen, mean, stdv));
}

void THTensor_(normal_means)(THTensor *self, THGenerator *gen, THTensor *means, double stddev) {
  THTensor_(resizeAs)(self, means);
  THTensor_(normal)(self, gen, 0, stddev);
  THTensor_(cadd)(self, self, 1, means);
}
void THTensor_(normal_stddevs)(THTensor *self, THGenerator *gen, double mean, THTensor *stddevs) {
  THTensor_(resizeAs)(self, stddevs);
  THTensor_(normal)(self, gen, 0, 1);
  THTensor_(cmul)(self, self, stddevs);
  THTensor_(add)(self, self, (real)mean);
}
void THTensor_(normal_means_stddevs)(THTensor *self, THGenerator *gen, THTensor *means,
                                     THTensor *stddevs) {
  THTensor_(resizeAs)(self, means);
  THTensor_(normal)(self, gen, 0, 1);
  THTensor_(cmul)(self, self, stddevs);
  THTensor_(cadd)(self, self, 1, means);
}

void THTensor_(rand)(THTensor *r_, THGenerator *gen, THLongStorage *size) {
  THTensor_(resize)(r_, size, NULL);
  THTensor_(uniform)(r_, gen, 0, 1);
}
void THTensor_(randn)(THTensor *r_, THGenerator *gen, THLongStorage *size) {
  THTensor_(resize)(r_, size, NULL);
  THTensor_(normal)(r_, gen, 0, 1);
}
#undef UNIFORM
#endif

#if defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE)
/* The first place whose running sum is not below the sample. */
static int64_t THTensor_(place_of)(const double *sums, int64_t n, double sample) {
  int64_t left = 0, right = n;
  while (left < right) {
    const int64_t middle = left + (right - left) / 2;
    if (sums[middle] < sample)
      left = middle + 1;
    else
      right = middle;
  }
  return left < n ? left : n - 1;
}

/* The running sums of the weights, as parts of their whole: from the last weight above 0 on they
 * are 1. */
static void THTensor_(add_up)(const double *weights, double *sums, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sums[i] = sum += weights[i];
  for (int64_t i = 0; i < n; i++) sums[i] /= sum;
}

void THTensor_(multinomial)(THLongTensor *self, THGenerator *generator, THTensor *prob_dist,
                            int n_sample, int with_replacement) {
  const int one = prob_dist->nDimension == 1;
  THArgCheck(one || prob_dist->nDimension == 2, 2, "prob_dist must be 1 or 2 dim");
  const int64_t rows = one ? 1 : prob_dist->size[0], n = prob_dist->size[one ? 0 : 1];
  THArgCheck(n_sample > 0, 2, "cannot sample n_sample < 0 samples");
  THArgCheck(with_replacement || n_sample <= n, 2,
             "cannot sample n_sample:%d > prob_dist:size(1):%ld samples without replacement",
             n_sample, (long)n);
  THTensor *dense FFI_HELD = THTensor_(newContiguous)(prob_dist);
  const real *p = THTensor_(data)(dense);
  for (int64_t r = 0; r < rows; r++) { /* all checks come before the first change */
    double sum = 0;
    int64_t possible = 0;
    for (int64_t i = 0; i < n; i++) {
      THArgCheck(p[r * n + i] >= 0, 2,
                 "invalid multinomial distribution (encountering probability entry < 0)");
      sum += p[r * n + i];
      possible += p[r * n + i] > 0;
    }
    THArgCheck(sum > 0, 2, "invalid multinomial distribution (sum of probabilities <= 0)");
    THArgCheck(with_replacement || n_sample <= possible, 2,
               "cannot sample n_sample:%d > %ld probabilities above 0 without replacement",
               n_sample, (long)possible);
  }
  THLongTensor_resize2d(self, rows, n_sample);
  int64_t *out = THLongTensor_data(self);
  const int64_t row_stride = self->stride[0], sample_stride = self->stride[1];
  double *weights FFI_HELD_MEMORY = THAlloc(2 * n * (ptrdiff_t)sizeof *weights);
  double *const sums = weights + n;
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = 0; i < n; i++) weights[i] = p[r * n + i];
    for (int k = 0; k < n_sample; k++) {
      if (k == 0 || !with_replacement) THTensor_(add_up)(weights, sums, n);
      const int64_t at = THTensor_(place_of)(sums, n, THRandom_uniform(generator, 0, 1));
      out[r * row_stride + k * sample_stride] = at;
      if (!with_replacement) weights[at] = 0;
    }
  }
  if (one) THLongTensor_resize1d(self, n_sample);
}

/* The alias method (Walker 1974, Vose 1991): each of the n columns has its own outcome with
 * probability q and another one, J, else. */
void THTensor_(multinomialAliasSetup)(THTensor *probs, THLongTensor *J, THTensor *q) {
  ffi_th_torch("multinomialAliasSetup", "wwt", J, q, probs);
}

void THTensor_(multinomialAliasDraw)(THLongTensor *self, THGenerator *generator, THLongTensor *J,
                                     THTensor *q) {
  const int64_t n = THLongTensor_nElement(J);
  THArgCheck(n > 0 && THTensor_(nElement)(q) == n, 3, "J and q must be of the same size");
  TH_TENSOR_APPLY(int64_t, self, {
    const int64_t column = (int64_t)THRandom_uniform(generator, 0, (double)n);
    const double own = THTensor_(get1d)(q, column);
    *self_data = THRandom_bernoulli(generator, own) ? column : THLongTensor_get1d(J, column);
  });
}
#endif

#endif
