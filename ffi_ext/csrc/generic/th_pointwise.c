/* TH<Type>Tensor_*: maths on each element by itself, one line a function. `x` and `y` are the
 * elements of the inputs, `v` and `w` the scalar arguments. Integers divided by zero raise; the
 * original ended the process. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/th_pointwise.c"
#else

#if defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE)
#define FLOATING 1
#else
#define FLOATING 0
#endif

#define RECORD(t) ((ffi_tensor *)(t))

/* out[i] = CODE(x, y, ...) in element order; tensors that are contiguous go through one plain loop.
 */
#define EACH1(OUT_TYPE, out, a, CODE)                                    \
  if (THTensor_(isContiguous)(a) && ffi_th_is_contiguous(RECORD(out))) { \
    const ptrdiff_t n_ = ffi_th_elements(RECORD(a));                     \
    const real *a_ = DATA(a);                                            \
    OUT_TYPE *out_ = DATA(out);                                          \
    for (ptrdiff_t i_ = 0; i_ < n_; i_++) {                              \
      const real x = a_[i_];                                             \
      out_[i_] = (OUT_TYPE)(CODE);                                       \
    }                                                                    \
  } else {                                                               \
    TH_TENSOR_APPLY2(OUT_TYPE, out, real, a, const real x = *a##_data;   \
                     *out##_data = (OUT_TYPE)(CODE););                   \
  }

#define EACH2(OUT_TYPE, out, a, b, CODE)                                         \
  if (THTensor_(isContiguous)(a) && THTensor_(isContiguous)(b) &&                \
      ffi_th_is_contiguous(RECORD(out))) {                                       \
    const ptrdiff_t n_ = ffi_th_elements(RECORD(a));                             \
    const real *a_ = DATA(a), *b_ = DATA(b);                                     \
    OUT_TYPE *out_ = DATA(out);                                                  \
    for (ptrdiff_t i_ = 0; i_ < n_; i_++) {                                      \
      const real x = a_[i_], y = b_[i_];                                         \
      out_[i_] = (OUT_TYPE)(CODE);                                               \
    }                                                                            \
  } else {                                                                       \
    TH_TENSOR_APPLY3(OUT_TYPE, out, real, a, real, b, const real x = *a##_data;  \
                     const real y = *b##_data; *out##_data = (OUT_TYPE)(CODE);); \
  }

#define UNARY(NAME, CODE)                             \
  void THTensor_(NAME)(THTensor * r_, THTensor * t) { \
    THTensor_(resizeAs)(r_, t);                       \
    EACH1(real, r_, t, CODE)                          \
  }
/* CHECK runs once, before anything changes. */
#define WITH_VALUE(NAME, CHECK, CODE)                         \
  void THTensor_(NAME)(THTensor * r_, THTensor * t, real v) { \
    CHECK;                                                    \
    THTensor_(resizeAs)(r_, t);                               \
    EACH1(real, r_, t, CODE)                                  \
  }
#define BINARY(NAME, CHECK, CODE)                                     \
  void THTensor_(NAME)(THTensor * r_, THTensor * t, THTensor * src) { \
    CHECK;                                                            \
    SAME_COUNT(t, src);                                               \
    THTensor_(resizeAs)(r_, t);                                       \
    EACH2(real, r_, t, src, CODE)                                     \
  }
/* Before the result is resized: it may be one of the two, whose new elements were never set. */
#define SAME_COUNT(a, b)                                                                  \
  do {                                                                                    \
    const int64_t a##_n = ffi_th_elements(RECORD(a)), b##_n = ffi_th_elements(RECORD(b)); \
    TH_TENSOR_APPLY_SAME_COUNT(a, b)                                                      \
  } while (0)
#define COMPARE(NAME, OPERATOR)                                                   \
  void THTensor_(NAME##Value)(THByteTensor * r_, THTensor * t, real v) {          \
    THByteTensor_resizeNd(r_, t->nDimension, t->size, NULL);                      \
    EACH1(uint8_t, r_, t, x OPERATOR v)                                           \
  }                                                                               \
  void THTensor_(NAME##ValueT)(THTensor * r_, THTensor * t, real v) {             \
    THTensor_(resizeAs)(r_, t);                                                   \
    EACH1(real, r_, t, x OPERATOR v)                                              \
  }                                                                               \
  void THTensor_(NAME##Tensor)(THByteTensor * r_, THTensor * ta, THTensor * tb) { \
    SAME_COUNT(ta, tb);                                                           \
    THByteTensor_resizeNd(r_, ta->nDimension, ta->size, NULL);                    \
    EACH2(uint8_t, r_, ta, tb, x OPERATOR y)                                      \
  }                                                                               \
  void THTensor_(NAME##TensorT)(THTensor * r_, THTensor * ta, THTensor * tb) {    \
    SAME_COUNT(ta, tb);                                                           \
    THTensor_(resizeAs)(r_, ta);                                                  \
    EACH2(real, r_, ta, tb, x OPERATOR y)                                         \
  }

#if FLOATING
#define NOT_ZERO(value) (void)0
#define NO_ZERO_IN(t) (void)0
#define DIVISOR(y) (y)
#define MOD(x, y) fmod(x, y)
#define REMAINDER(x, y) ((x) - (y) * floor((x) / (y)))
#define LEFT(x, y) ((x) * pow(2, y))
#define RIGHT(x, y) ((x) / pow(2, y))
#define BITS(NAME) THError(NAME " is only supported for integer type tensors")
#define AND(x, y) ((void)(y), x)
#define OR(x, y) ((void)(y), x)
#define XOR(x, y) ((void)(y), x)
#else
#define NOT_ZERO(value) THArgCheck((value) != 0, 3, "an integer tensor cannot be divided by zero")
#define NO_ZERO_IN(t) TH_TENSOR_APPLY(real, t, NOT_ZERO(*t##_data);)
/* Where the result overlaps with it, zeros come on the way: they would end the process. */
static inline real THTensor_(divisor)(real y) {
  if (y == 0) NOT_ZERO(y);
  return y;
}
#define DIVISOR(y) THTensor_(divisor)(y)
#ifdef TH_REAL_IS_BYTE
#define MOD(x, y) ((x) % (y))
#define REMAINDER(x, y) MOD(x, y)
#else
/* The quotient of the least integer and -1 does not exist either: it wraps. */
#define MOD(x, y) ((y) == -1 ? 0 : (x) % (y))
#define REMAINDER(x, y) \
  (MOD(x, y) != 0 && (MOD(x, y) < 0) != ((y) < 0) ? MOD(x, y) + (y) : MOD(x, y))
#endif
#define UNSIGNED(x) TH_CONCAT_2(ffi_unsigned_, Real)(x)
#define LEFT(x, y) (UNSIGNED(x) << (y))
#define RIGHT(x, y) (UNSIGNED(x) >> (y))
#define BITS(NAME) (void)0
#define AND(x, y) ((x) & (y))
#define OR(x, y) ((x) | (y))
#define XOR(x, y) ((x) ^ (y))
#endif
#if FLOATING || defined(TH_REAL_IS_BYTE)
#define QUOTIENT(x, y) ((x) / (y))
#else
#define QUOTIENT(x, y) ((y) == -1 ? (real)(0 - UNSIGNED(x)) : (x) / (y))
#endif

/* A tensor and a number. */
WITH_VALUE(add, (void)0, x + v)
WITH_VALUE(sub, (void)0, x - v)
WITH_VALUE(mul, (void)0, x *v)
WITH_VALUE(div, NOT_ZERO(v), QUOTIENT(x, v))
WITH_VALUE(fmod, NOT_ZERO(v), MOD(x, v))
WITH_VALUE(remainder, NOT_ZERO(v), REMAINDER(x, v))
WITH_VALUE(lshift, (void)0, LEFT(x, v))
WITH_VALUE(rshift, (void)0, RIGHT(x, v))
WITH_VALUE(bitand, BITS("bitand"), AND(x, v))
WITH_VALUE(bitor, BITS("bitor"), OR(x, v))
WITH_VALUE(bitxor, BITS("bitxor"), XOR(x, v))
WITH_VALUE(cmaxValue, (void)0, x > v ? x : v)
WITH_VALUE(cminValue, (void)0, x < v ? x : v)

void THTensor_(add_scaled)(THTensor *r_, THTensor *t, real value, real alpha) {
  THTensor_(add)(r_, t, value * alpha);
}
void THTensor_(sub_scaled)(THTensor *r_, THTensor *t, real value, real alpha) {
  THTensor_(sub)(r_, t, value * alpha);
}
void THTensor_(clamp)(THTensor *r_, THTensor *t, real v, real w) {
  THTensor_(resizeAs)(r_, t);
  EACH1(real, r_, t, x < v ? v : x > w ? w : x)
}

/* Two tensors of the same number of elements; the result has the first one's shape. */
BINARY(cmul, (void)0, x *y)
BINARY(cdiv, NO_ZERO_IN(src), QUOTIENT(x, DIVISOR(y)))
BINARY(cpow, (void)0, pow(x, y))
BINARY(cfmod, NO_ZERO_IN(src), MOD(x, DIVISOR(y)))
BINARY(cremainder, NO_ZERO_IN(src), REMAINDER(x, DIVISOR(y)))
BINARY(clshift, (void)0, LEFT(x, y))
BINARY(crshift, (void)0, RIGHT(x, y))
BINARY(cbitand, BITS("cbitand"), AND(x, y))
BINARY(cbitor, BITS("cbitor"), OR(x, y))
BINARY(cbitxor, BITS("cbitxor"), XOR(x, y))
BINARY(cmax, (void)0, x > y ? x : y)
BINARY(cmin, (void)0, x < y ? x : y)

void THTensor_(cadd)(THTensor *r_, THTensor *t, real v, THTensor *src) {
  SAME_COUNT(t, src);
  THTensor_(resizeAs)(r_, t);
  EACH2(real, r_, t, src, x + v * y)
}
void THTensor_(csub)(THTensor *self, THTensor *src1, real v, THTensor *src2) {
  SAME_COUNT(src1, src2);
  THTensor_(resizeAs)(self, src1);
  EACH2(real, self, src1, src2, x - v * y)
}

/* r_ = t + v * src1 * src2, and the quotient likewise. */
void THTensor_(addcmul)(THTensor *r_, THTensor *t, real v, THTensor *src1, THTensor *src2) {
  if (r_ != t) {
    THTensor_(resizeAs)(r_, t);
    THTensor_(copy)(r_, t);
  }
  TH_TENSOR_APPLY3(real, r_, real, src1, real, src2,
                   *r__data = (real)(*r__data + v * *src1_data * *src2_data););
}
void THTensor_(addcdiv)(THTensor *r_, THTensor *t, real v, THTensor *src1, THTensor *src2) {
  NO_ZERO_IN(src2);
  if (r_ != t) {
    THTensor_(resizeAs)(r_, t);
    THTensor_(copy)(r_, t);
  }
  TH_TENSOR_APPLY3(real, r_, real, src1, real, src2,
                   *r__data = (real)(*r__data + QUOTIENT(v * *src1_data, DIVISOR(*src2_data))););
}

COMPARE(lt, <)
COMPARE(le, <=)
COMPARE(gt, >)
COMPARE(ge, >=)
COMPARE(eq, ==)
COMPARE(ne, !=)

#ifdef TH_REAL_IS_BYTE
UNARY(neg, 0 - x)
UNARY(sign, x > 0)
#else
UNARY(neg, -x)
UNARY(sign, (x > 0) - (x < 0))
#endif

void THTensor_(cinv)(THTensor *self, THTensor *src) {
  NO_ZERO_IN(src);
  THTensor_(resizeAs)(self, src);
  EACH1(real, self, src, QUOTIENT(1, DIVISOR(x)))
}

#if !defined(TH_REAL_IS_BYTE) && !defined(TH_REAL_IS_CHAR)
UNARY(abs, x <= 0 ? 0 - x : x) /* of -0, too */
#endif

#if FLOATING
#ifdef TH_REAL_IS_FLOAT
#define F(NAME) NAME##f
#else
#define F(NAME) NAME
#endif
UNARY(acos, F(acos)(x))
UNARY(asin, F(asin)(x))
UNARY(atan, F(atan)(x))
UNARY(ceil, F(ceil)(x))
UNARY(cos, F(cos)(x))
UNARY(cosh, F(cosh)(x))
UNARY(digamma, TH_digamma(x))
UNARY(erf, F(erf)(x))
UNARY(erfc, F(erfc)(x))
UNARY(erfinv, TH_erfinv(x))
UNARY(exp, F(exp)(x))
UNARY(expm1, F(expm1)(x))
UNARY(floor, F(floor)(x))
UNARY(frac, x - F(trunc)(x))
UNARY(lgamma, ffi_lgamma(x))
UNARY(log, F(log)(x))
UNARY(log10, F(log10)(x))
UNARY(log1p, F(log1p)(x))
UNARY(log2, F(log2)(x))
UNARY(round, F(nearbyint)(x))
UNARY(rsqrt, 1 / F(sqrt)(x))
UNARY(sigmoid, 1 / (1 + F(exp)(-x)))
UNARY(sin, F(sin)(x))
UNARY(sinh, F(sinh)(x))
UNARY(sqrt, F(sqrt)(x))
UNARY(tan, F(tan)(x))
UNARY(tanh, F(tanh)(x))
UNARY(trigamma, TH_trigamma(x))
UNARY(trunc, F(trunc)(x))
WITH_VALUE(pow, (void)0, v == 2 ? x * x : F(pow)(x, v))

void THTensor_(tpow)(THTensor *r_, real v, THTensor *t) {
  THTensor_(resizeAs)(r_, t);
  EACH1(real, r_, t, F(pow)(v, x))
}
BINARY(atan2, (void)0, F(atan2)(x, y))

void THTensor_(lerp)(THTensor *r_, THTensor *a, THTensor *b, real v) {
  THArgCheck(THTensor_(nElement)(a) == THTensor_(nElement)(b), 2, "sizes do not match");
  THTensor_(resizeAs)(r_, a);
  EACH2(real, r_, a, b, x + v * (y - x))
}
void THTensor_(polygamma)(THTensor *r_, int64_t n, THTensor *t) {
  if (n == 0)
    THTensor_(digamma)(r_, t);
  else if (n == 1)
    THTensor_(trigamma)(r_, t);
  else
    THError("polygamma(n,x) is not implemented for n>=2");
}
#undef F
#endif

/* n numbers in memory: the functions that every TH had. */
void THVector_(copy)(real *y, const real *x, const ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i++) y[i] = x[i];
}
void THVector_(fill)(real *x, const real v, const ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i++) x[i] = v;
}
void THVector_(cadd)(real *z, const real *x, const real *y, const real v, const ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i++) z[i] = (real)(x[i] + v * y[i]);
}
void THVector_(adds)(real *y, const real *x, const real v, const ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i++) y[i] = (real)(x[i] + v);
}
void THVector_(muls)(real *y, const real *x, const real v, const ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i++) y[i] = (real)(x[i] * v);
}
void THVector_(divs)(real *y, const real *x, const real v, const ptrdiff_t n) {
  NOT_ZERO(v);
  for (ptrdiff_t i = 0; i < n; i++) y[i] = (real)QUOTIENT(x[i], v);
}
void THVector_(cmul)(real *z, const real *x, const real *y, const ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i++) z[i] = (real)(x[i] * y[i]);
}
void THVector_(cdiv)(real *z, const real *x, const real *y, const ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n && !FLOATING; i++) NOT_ZERO(y[i]);
  for (ptrdiff_t i = 0; i < n; i++) z[i] = (real)QUOTIENT(x[i], DIVISOR(y[i]));
}

/* Masks hold 0 and 1. */
#define CHECK_MASK(value) \
  if ((value) > 1) THError("Mask tensor can take 0 and 1 values only")

void THTensor_(maskedFill)(THTensor *tensor, THByteTensor *mask, real value) {
  TH_TENSOR_APPLY(uint8_t, mask, CHECK_MASK(*mask_data););
  TH_TENSOR_APPLY2(real, tensor, uint8_t, mask, if (*mask_data) *tensor_data = value;);
}

void THTensor_(maskedCopy)(THTensor *tensor, THByteTensor *mask, THTensor *src) {
  ptrdiff_t wanted = 0, next = 0;
  TH_TENSOR_APPLY(uint8_t, mask, CHECK_MASK(*mask_data); wanted += *mask_data;);
  if (THTensor_(nElement)(tensor) != THByteTensor_nElement(mask))
    THError("Number of elements of destination tensor != Number of elements in mask");
  if (wanted > THTensor_(nElement)(src))
    THError("Number of elements of src < number of ones in mask");
  THTensor *source FFI_HELD = THTensor_(newContiguous)(src);
  const real *values = DATA(source);
  TH_TENSOR_APPLY2(real, tensor, uint8_t, mask, if (*mask_data) *tensor_data = values[next++];);
}

void THTensor_(maskedSelect)(THTensor *tensor, THTensor *src, THByteTensor *mask) {
  ptrdiff_t count = 0, next = 0;
  TH_TENSOR_APPLY(uint8_t, mask, CHECK_MASK(*mask_data); count += *mask_data;);
  if (THTensor_(nElement)(src) != THByteTensor_nElement(mask))
    THError(
        "inconsistent tensor size, expected tensor and mask to have the same number of elements");
  THTensor *picked FFI_HELD = THTensor_(newWithSize1d)(count);
  real *values = DATA(picked);
  TH_TENSOR_APPLY2(real, src, uint8_t, mask, if (*mask_data) values[next++] = *src_data;);
  THTensor_(resize1d)(tensor, count);
  THTensor_(copy)(tensor, picked);
}

#undef FLOATING
#undef NOT_ZERO
#undef NO_ZERO_IN
#undef DIVISOR
#undef MOD
#undef REMAINDER
#undef LEFT
#undef RIGHT
#undef BITS
#undef AND
#undef OR
#undef XOR
#undef QUOTIENT
#endif
