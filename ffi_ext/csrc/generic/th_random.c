/* TH<Type>Tensor_*: tensors filled with random numbers, element after element, in the original's
 * order of draws. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/th_random.c"
#else

#define DATA(t) ((t)->storage ? (t)->storage->data + (t)->storageOffset : NULL)
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
  if (range >> 32) {
    FILL((int64_t)(THRandom_random64(gen) % range) + min);
  } else {
    FILL((int64_t)(THRandom_random(gen) % range) + min);
  }
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
  THArgCheck(THGenerator_isValid(&state), 1, "Invalid generator state");
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

/* Sixteen uniform numbers to sixteen normal ones. */
static void THTensor_(normal16)(real *data, double mean, double stdv) {
  for (int j = 0; j < 8; j++) {
    const real u1 = 1 - data[j], u2 = data[j + 8]; /* 1 - [0, 1): the logarithm never meets 0 */
    const real radius = (real)sqrt(-2 * log(u1)), theta = (real)(2.0 * M_PI * u2);
    data[j] = (real)(radius * cos(theta) * stdv + mean);
    data[j + 8] = (real)(radius * sin(theta) * stdv + mean);
  }
}

/* Sixteen and more in blocks; an incomplete last block is drawn anew as the last sixteen elements.
 */
void THTensor_(normal)(THTensor *self, THGenerator *gen, double mean, double stdv) {
  const ptrdiff_t n = THTensor_(nElement)(self);
  if (n < 16 || !THTensor_(isContiguous)(self)) {
    FILL(THRandom_normal(gen, mean, stdv));
    return;
  }
  real *data = DATA(self);
  for (ptrdiff_t i = 0; i < n; i++) data[i] = (real)UNIFORM(0, 1);
  for (ptrdiff_t i = 0; i + 16 <= n; i += 16) THTensor_(normal16)(data + i, mean, stdv);
  if (n % 16 == 0) return;
  for (ptrdiff_t i = n - 16; i < n; i++) data[i] = (real)UNIFORM(0, 1);
  THTensor_(normal16)(data + n - 16, mean, stdv);
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

#undef DATA
#undef FILL
#endif
