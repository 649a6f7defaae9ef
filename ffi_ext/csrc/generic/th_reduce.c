/* TH<Type>Tensor_*: all elements to one number, and tensors filled by a rule. Sums run in
 * `accreal`. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/th_reduce.c"
#else

ptrdiff_t THTensor_(numel)(THTensor *t) { return THTensor_(nElement)(t); }

accreal THTensor_(sumall)(THTensor *t) {
  accreal sum = 0;
  TH_TENSOR_APPLY(real, t, sum += *t_data;);
  return sum;
}

accreal THTensor_(prodall)(THTensor *t) {
  accreal product = 1;
  TH_TENSOR_APPLY(real, t, product *= *t_data;);
  return product;
}

/* A NaN wins over every number. A tensor without elements, of whatever shape, had no dimension in
 * 0.3.1. */
real THTensor_(minall)(THTensor *t) {
  THArgCheck(THTensor_(nElement)(t) > 0, 1, "tensor must have one dimension");
  real least = *DATA(t);
  TH_TENSOR_APPLY(real, t, if (!(*t_data >= least) && least == least) least = *t_data;);
  return least;
}

real THTensor_(maxall)(THTensor *t) {
  THArgCheck(THTensor_(nElement)(t) > 0, 1, "tensor must have one dimension");
  real most = *DATA(t);
  TH_TENSOR_APPLY(real, t, if (!(*t_data <= most) && most == most) most = *t_data;);
  return most;
}

real THTensor_(medianall)(THTensor *t) {
  THArgCheck(THTensor_(nElement)(t) > 0, 1, "tensor must have one dimension");
  THTensor *median FFI_HELD = THTensor_(newWithSize1d)(1);
  ffi_th_torch("medianall", "wt", median, t);
  return *median->storage->data;
}

accreal THTensor_(dot)(THTensor *t, THTensor *src) {
  accreal sum = 0;
  TH_TENSOR_APPLY2(real, t, real, src, sum += (accreal)*t_data * *src_data;);
  return sum;
}

int THTensor_(equal)(THTensor *ta, THTensor *tb) {
  int same = 1;
  if (!THTensor_(isSameSizeAs)(ta, tb)) return 0;
  TH_TENSOR_APPLY2(real, ta, real, tb, if (*ta_data != *tb_data) same = 0;);
  return same;
}

accreal THTensor_(trace)(THTensor *t) {
  THArgCheck(t->nDimension == 2, 1, "expected a matrix");
  const int64_t n = THMin(t->size[0], t->size[1]);
  const real *data = DATA(t);
  accreal sum = 0;
  for (int64_t i = 0; i < n; i++) sum += data[i * (t->stride[0] + t->stride[1])];
  return sum;
}

/* A result of an earlier call that has lost the reduced dimension gets it back, so that the
 * reduction meets the shape that it is going to write. */
void THTensor_(preserveReduceDimSemantics)(THTensor *r, int in_dims, int reduce_dimension,
                                           int keepdim) {
  if (!r || keepdim || r->nDimension == 0 || r->nDimension != in_dims - 1) return;
  THTensor_(unsqueeze1d)(r, r, reduce_dimension);
}

void THTensor_(zeros)(THTensor *r_, THLongStorage *size) {
  THTensor_(resize)(r_, size, NULL);
  THTensor_(zero)(r_);
}
void THTensor_(ones)(THTensor *r_, THLongStorage *size) {
  THTensor_(resize)(r_, size, NULL);
  THTensor_(fill)(r_, 1);
}
void THTensor_(zerosLike)(THTensor *r_, THTensor *input) {
  THTensor_(resizeAs)(r_, input);
  THTensor_(zero)(r_);
}
void THTensor_(onesLike)(THTensor *r_, THTensor *input) {
  THTensor_(resizeAs)(r_, input);
  THTensor_(fill)(r_, 1);
}

void THTensor_(eye)(THTensor *r_, int64_t n, int64_t m) {
  THArgCheck(n > 0, 1, "invalid argument");
  if (m <= 0) m = n;
  THTensor_(resize2d)(r_, n, m);
  THTensor_(zero)(r_);
  real *data = DATA(r_);
  for (int64_t i = 0; i < THMin(n, m); i++) data[i * (r_->stride[0] + r_->stride[1])] = 1;
}

static void THTensor_(fillSteps)(THTensor *r_, ptrdiff_t count, accreal first, accreal step) {
  ptrdiff_t i = 0;
  if (THTensor_(nElement)(r_) != count) THTensor_(resize1d)(r_, count);
  TH_TENSOR_APPLY(real, r_, *r__data = (real)(first + (accreal)i++ * step););
}

static void THTensor_(checkSteps)(accreal xmin, accreal xmax, accreal step) {
  THArgCheck(step > 0 || step < 0, 3, "step must be nonzero");
  THArgCheck((step > 0 && xmin <= xmax) || (step < 0 && xmin >= xmax), 2,
             "upper bound and larger bound inconsistent with step sign");
}

/* With the last point, when a step meets it. */
void THTensor_(range)(THTensor *r_, accreal xmin, accreal xmax, accreal step) {
  THTensor_(checkSteps)(xmin, xmax, step);
  THTensor_(fillSteps)(r_, (ptrdiff_t)((xmax - xmin) / step + 1), xmin, step);
}

/* Without it. */
void THTensor_(arange)(THTensor *r_, accreal xmin, accreal xmax, accreal step) {
  THTensor_(checkSteps)(xmin, xmax, step);
  THTensor_(fillSteps)(r_, (ptrdiff_t)ceil((double)(xmax - xmin) / (double)step), xmin, step);
}

void THTensor_(reshape)(THTensor *r_, THTensor *t, THLongStorage *size) {
  THTensor *kept FFI_HELD = THTensor_(newContiguous)(t);
  THTensor_(resize)(r_, size, NULL);
  THTensor_(copy)(r_, kept);
}

#ifdef TH_REAL_IS_BYTE
int THTensor_(logicalAndAll)(THTensor *self) {
  int all = 1;
  TH_TENSOR_APPLY(real, self, if (!*self_data) all = 0;);
  return all;
}
int THTensor_(logicalAnyAll)(THTensor *self) {
  int any = 0;
  TH_TENSOR_APPLY(real, self, if (*self_data) any = 1;);
  return any;
}
int THTensor_(logicalall)(THTensor *self) { return THTensor_(logicalAndAll)(self); }
int THTensor_(logicalany)(THTensor *self) { return THTensor_(logicalAnyAll)(self); }
#endif

#if defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE)
accreal THTensor_(meanall)(THTensor *self) {
  THArgCheck(THTensor_(nElement)(self) > 0, 1, "empty Tensor");
  return THTensor_(sumall)(self) / (accreal)THTensor_(nElement)(self);
}

accreal THTensor_(varall)(THTensor *self, int biased) {
  const accreal mean = THTensor_(meanall)(self);
  accreal sum = 0;
  TH_TENSOR_APPLY(real, self, sum += (*self_data - mean) * (*self_data - mean););
  return sum / (accreal)(THTensor_(nElement)(self) - (biased ? 0 : 1));
}

accreal THTensor_(stdall)(THTensor *self, int biased) {
  return sqrt(THTensor_(varall)(self, biased));
}

accreal THTensor_(normall)(THTensor *t, real value) {
  accreal sum = 0;
  if (value == 0) {
    TH_TENSOR_APPLY(real, t, sum += *t_data != 0.0;);
    return sum;
  }
  if (value == 1) {
    TH_TENSOR_APPLY(real, t, sum += fabs(*t_data););
    return sum;
  }
  if (value == 2) {
    TH_TENSOR_APPLY(real, t, sum += (accreal)*t_data * *t_data;);
    return sqrt(sum);
  }
  TH_TENSOR_APPLY(real, t, sum += pow(fabs(*t_data), value););
  return pow(sum, 1.0 / value);
}

accreal THTensor_(dist)(THTensor *a, THTensor *b, real value) {
  accreal sum = 0;
  TH_TENSOR_APPLY2(real, a, real, b, sum += pow(fabs((double)*a_data - *b_data), value););
  return pow(sum, 1.0 / value);
}

void THTensor_(linspace)(THTensor *r_, real a, real b, int64_t n) {
  THArgCheck(n > 1 || (n == 1 && a == b), 3, "invalid number of points");
  THTensor_(fillSteps)(r_, n, a, n == 1 ? 0 : ((accreal)b - a) / (accreal)(n - 1));
}

void THTensor_(logspace)(THTensor *r_, real a, real b, int64_t n) {
  THTensor_(linspace)(r_, a, b, n);
  TH_TENSOR_APPLY(real, r_, *r__data = (real)pow(10.0, *r__data););
}
#endif

#endif
