/* Maths on tensors of one element type.
 *
 * TH_FUNCTION is what works along dimensions, with indices, or on matrices: one line a function, done by torch. The
 * codes, for the runtime: w a result (resized), m one that is a matrix of LAPACK's, t a tensor, n an array of them with
 * its length, i int, l int64_t, d double, c a text. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/THTensorMath.h"
#else

#if defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE)
#define TH_CODE "d"
#elif defined(TH_REAL_IS_LONG)
#define TH_CODE "l"
#else
#define TH_CODE "i"
#endif

TH_FUNCTION(addmm, (THTensor *r, real beta, THTensor *t, real alpha, THTensor *a, THTensor *b), "w" TH_CODE "t" TH_CODE "tt", r, beta, t, alpha, a, b)
TH_FUNCTION(addmv, (THTensor *r, real beta, THTensor *t, real alpha, THTensor *a, THTensor *b), "w" TH_CODE "t" TH_CODE "tt", r, beta, t, alpha, a, b)
TH_FUNCTION(addr, (THTensor *r, real beta, THTensor *t, real alpha, THTensor *a, THTensor *b), "w" TH_CODE "t" TH_CODE "tt", r, beta, t, alpha, a, b)
TH_FUNCTION(addbmm, (THTensor *r, real beta, THTensor *t, real alpha, THTensor *a, THTensor *b), "w" TH_CODE "t" TH_CODE "tt", r, beta, t, alpha, a, b)
TH_FUNCTION(baddbmm, (THTensor *r, real beta, THTensor *t, real alpha, THTensor *a, THTensor *b), "w" TH_CODE "t" TH_CODE "tt", r, beta, t, alpha, a, b)
TH_FUNCTION(match, (THTensor *r, THTensor *a, THTensor *b, real gain), "wtt" TH_CODE, r, a, b, gain)
TH_FUNCTION(cross, (THTensor *r, THTensor *a, THTensor *b, int dimension), "wtti", r, a, b, dimension)
TH_FUNCTION(sum, (THTensor *r, THTensor *t, int dimension, int keepdim), "wtii", r, t, dimension, keepdim)
TH_FUNCTION(prod, (THTensor *r, THTensor *t, int dimension, int keepdim), "wtii", r, t, dimension, keepdim)
TH_FUNCTION(cumsum, (THTensor *r, THTensor *t, int dimension), "wti", r, t, dimension)
TH_FUNCTION(cumprod, (THTensor *r, THTensor *t, int dimension), "wti", r, t, dimension)
TH_FUNCTION(max, (THTensor *v, THLongTensor *i, THTensor *t, int dimension, int keepdim), "wwtii", v, i, t, dimension, keepdim)
TH_FUNCTION(min, (THTensor *v, THLongTensor *i, THTensor *t, int dimension, int keepdim), "wwtii", v, i, t, dimension, keepdim)
TH_FUNCTION(median, (THTensor *v, THLongTensor *i, THTensor *t, int dimension, int keepdim), "wwtii", v, i, t, dimension, keepdim)
TH_FUNCTION(mode, (THTensor *v, THLongTensor *i, THTensor *t, int dimension, int keepdim), "wwtii", v, i, t, dimension, keepdim)
TH_FUNCTION(kthvalue, (THTensor *v, THLongTensor *i, THTensor *t, int64_t k, int dimension, int keepdim), "wwtlii", v, i, t, k, dimension, keepdim)
TH_FUNCTION(sort, (THTensor *v, THLongTensor *i, THTensor *t, int dimension, int descending), "wwtii", v, i, t, dimension, descending)
TH_FUNCTION(topk, (THTensor *v, THLongTensor *i, THTensor *t, int64_t k, int dim, int dir, int sorted), "wwtliii", v, i, t, k, dim, dir, sorted)
TH_FUNCTION(cat, (THTensor *r, THTensor *a, THTensor *b, int dimension), "wtti", r, a, b, dimension)
TH_FUNCTION(catArray, (THTensor *r, THTensor **inputs, int count, int dimension), "wni", r, inputs, count, dimension)
TH_FUNCTION(diag, (THTensor *r, THTensor *t, int k), "wti", r, t, k)
TH_FUNCTION(tril, (THTensor *r, THTensor *t, int64_t k), "wtl", r, t, k)
TH_FUNCTION(triu, (THTensor *r, THTensor *t, int64_t k), "wtl", r, t, k)
TH_FUNCTION(nonzero, (THLongTensor *r, THTensor *t), "wt", r, t)
TH_FUNCTION(gather, (THTensor *r, THTensor *src, int dim, THLongTensor *index), "wtit", r, src, dim, index)
TH_FUNCTION(scatter, (THTensor *t, int dim, THLongTensor *index, THTensor *src), "titt", t, dim, index, src)
TH_FUNCTION(scatterAdd, (THTensor *t, int dim, THLongTensor *index, THTensor *src), "titt", t, dim, index, src)
TH_FUNCTION(scatterFill, (THTensor *t, int dim, THLongTensor *index, real v), "tit" TH_CODE, t, dim, index, v)
TH_FUNCTION(indexSelect, (THTensor *r, THTensor *src, int dim, THLongTensor *index), "wtit", r, src, dim, index)
TH_FUNCTION(indexCopy, (THTensor *t, int dim, THLongTensor *index, THTensor *src), "titt", t, dim, index, src)
TH_FUNCTION(indexAdd, (THTensor *t, int dim, THLongTensor *index, THTensor *src), "titt", t, dim, index, src)
TH_FUNCTION(indexFill, (THTensor *t, int dim, THLongTensor *index, real v), "tit" TH_CODE, t, dim, index, v)
TH_FUNCTION(take, (THTensor *r, THTensor *src, THLongTensor *index), "wtt", r, src, index)
TH_FUNCTION(put, (THTensor *t, THLongTensor *index, THTensor *src, int accumulate), "ttti", t, index, src, accumulate)

#if defined(TH_REAL_IS_BYTE)
TH_FUNCTION(logicalAnd, (THTensor *r, THTensor *t, int dimension, int keepdim), "wtii", r, t, dimension, keepdim)
TH_FUNCTION(logicalAny, (THTensor *r, THTensor *t, int dimension, int keepdim), "wtii", r, t, dimension, keepdim)
#endif

#if defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE)
TH_FUNCTION(mean, (THTensor *r, THTensor *t, int dimension, int keepdim), "wtii", r, t, dimension, keepdim)
TH_FUNCTION(std, (THTensor *r, THTensor *t, int dimension, int biased, int keepdim), "wtiii", r, t, dimension, biased, keepdim)
TH_FUNCTION(var, (THTensor *r, THTensor *t, int dimension, int biased, int keepdim), "wtiii", r, t, dimension, biased, keepdim)
TH_FUNCTION(norm, (THTensor *r, THTensor *t, real value, int dimension, int keepdim), "wtdii", r, t, value, dimension, keepdim)
TH_FUNCTION(renorm, (THTensor *r, THTensor *t, real value, int dimension, real maxnorm), "wtdid", r, t, value, dimension, maxnorm)
TH_FUNCTION(histc, (THTensor *r, THTensor *t, int64_t bins, real least, real most), "wtldd", r, t, bins, least, most)
TH_FUNCTION(bhistc, (THTensor *r, THTensor *t, int64_t bins, real least, real most), "wtldd", r, t, bins, least, most)
#endif
#undef TH_CODE

TH_API void THTensor_(preserveReduceDimSemantics)(THTensor *r_, int in_dims, int reduce_dimension,
    int keepdim);
TH_API void THTensor_(add)(THTensor *r_, THTensor *t, real value);
TH_API void THTensor_(add_scaled)(THTensor *r_, THTensor *t, real value, real alpha);
TH_API void THTensor_(addcdiv)(THTensor *r_, THTensor *t, real value, THTensor *src1,
    THTensor *src2);
TH_API void THTensor_(addcmul)(THTensor *r_, THTensor *t, real value, THTensor *src1,
    THTensor *src2);
TH_API void THTensor_(arange)(THTensor *r_, accreal xmin, accreal xmax, accreal step);
TH_API void THTensor_(bitand)(THTensor *r_, THTensor *t, real value);
TH_API void THTensor_(bitor)(THTensor *r_, THTensor *t, real value);
TH_API void THTensor_(bitxor)(THTensor *r_, THTensor *t, real value);
TH_API void THTensor_(cadd)(THTensor *r_, THTensor *t, real value, THTensor *src);
TH_API void THTensor_(cbitand)(THTensor *r_, THTensor *t, THTensor *src);
TH_API void THTensor_(cbitor)(THTensor *r_, THTensor *t, THTensor *src);
TH_API void THTensor_(cbitxor)(THTensor *r_, THTensor *t, THTensor *src);
TH_API void THTensor_(cdiv)(THTensor *r_, THTensor *t, THTensor *src);
TH_API void THTensor_(cfmod)(THTensor *r_, THTensor *t, THTensor *src);
TH_API void THTensor_(cinv)(THTensor *self, THTensor *src);
TH_API void THTensor_(clamp)(THTensor *r_, THTensor *t, real min_value, real max_value);
TH_API void THTensor_(clshift)(THTensor *r_, THTensor *t, THTensor *src);
TH_API void THTensor_(cmax)(THTensor *r, THTensor *t, THTensor *src);
TH_API void THTensor_(cmaxValue)(THTensor *r, THTensor *t, real value);
TH_API void THTensor_(cmin)(THTensor *r, THTensor *t, THTensor *src);
TH_API void THTensor_(cminValue)(THTensor *r, THTensor *t, real value);
TH_API void THTensor_(cmul)(THTensor *r_, THTensor *t, THTensor *src);
TH_API void THTensor_(cpow)(THTensor *r_, THTensor *t, THTensor *src);
TH_API void THTensor_(cremainder)(THTensor *r_, THTensor *t, THTensor *src);
TH_API void THTensor_(crshift)(THTensor *r_, THTensor *t, THTensor *src);
TH_API void THTensor_(csub)(THTensor *self, THTensor *src1, real value, THTensor *src2);
TH_API void THTensor_(div)(THTensor *r_, THTensor *t, real value);
TH_API accreal THTensor_(dot)(THTensor *t, THTensor *src);
TH_API void THTensor_(eqTensor)(THByteTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(eqTensorT)(THTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(eqValue)(THByteTensor *r_, THTensor* t, real value);
TH_API void THTensor_(eqValueT)(THTensor *r_, THTensor* t, real value);
TH_API int THTensor_(equal)(THTensor *ta, THTensor *tb);
TH_API void THTensor_(eye)(THTensor *r_, int64_t n, int64_t m);
TH_API void THTensor_(fill)(THTensor *r_, real value);
TH_API void THTensor_(fmod)(THTensor *r_, THTensor *t, real value);
TH_API void THTensor_(geTensor)(THByteTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(geTensorT)(THTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(geValue)(THByteTensor *r_, THTensor* t, real value);
TH_API void THTensor_(geValueT)(THTensor *r_, THTensor* t, real value);
TH_API void THTensor_(gtTensor)(THByteTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(gtTensorT)(THTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(gtValue)(THByteTensor *r_, THTensor* t, real value);
TH_API void THTensor_(gtValueT)(THTensor *r_, THTensor* t, real value);
TH_API void THTensor_(leTensor)(THByteTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(leTensorT)(THTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(leValue)(THByteTensor *r_, THTensor* t, real value);
TH_API void THTensor_(leValueT)(THTensor *r_, THTensor* t, real value);
TH_API void THTensor_(lshift)(THTensor *r_, THTensor *t, real value);
TH_API void THTensor_(ltTensor)(THByteTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(ltTensorT)(THTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(ltValue)(THByteTensor *r_, THTensor* t, real value);
TH_API void THTensor_(ltValueT)(THTensor *r_, THTensor* t, real value);
TH_API void THTensor_(maskedCopy)(THTensor *tensor, THByteTensor *mask, THTensor* src);
TH_API void THTensor_(maskedFill)(THTensor *tensor, THByteTensor *mask, real value);
TH_API void THTensor_(maskedSelect)(THTensor *tensor, THTensor* src, THByteTensor *mask);
TH_API real THTensor_(maxall)(THTensor *t);
TH_API real THTensor_(medianall)(THTensor *t);
TH_API real THTensor_(minall)(THTensor *t);
TH_API void THTensor_(mul)(THTensor *r_, THTensor *t, real value);
TH_API void THTensor_(neTensor)(THByteTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(neTensorT)(THTensor *r_, THTensor *ta, THTensor *tb);
TH_API void THTensor_(neValue)(THByteTensor *r_, THTensor* t, real value);
TH_API void THTensor_(neValueT)(THTensor *r_, THTensor* t, real value);
TH_API void THTensor_(neg)(THTensor *self, THTensor *src);
TH_API ptrdiff_t THTensor_(numel)(THTensor *t);
TH_API void THTensor_(ones)(THTensor *r_, THLongStorage *size);
TH_API void THTensor_(onesLike)(THTensor *r_, THTensor *input);
TH_API accreal THTensor_(prodall)(THTensor *t);
TH_API void THTensor_(range)(THTensor *r_, accreal xmin, accreal xmax, accreal step);
TH_API void THTensor_(remainder)(THTensor *r_, THTensor *t, real value);
TH_API void THTensor_(reshape)(THTensor *r_, THTensor *t, THLongStorage *size);
TH_API void THTensor_(rshift)(THTensor *r_, THTensor *t, real value);
TH_API void THTensor_(sign)(THTensor *r_, THTensor *t);
TH_API void THTensor_(sub)(THTensor *r_, THTensor *t, real value);
TH_API void THTensor_(sub_scaled)(THTensor *r_, THTensor *t, real value, real alpha);
TH_API accreal THTensor_(sumall)(THTensor *t);
TH_API accreal THTensor_(trace)(THTensor *t);
TH_API void THTensor_(zero)(THTensor *r_);
TH_API void THTensor_(zeros)(THTensor *r_, THLongStorage *size);
TH_API void THTensor_(zerosLike)(THTensor *r_, THTensor *input);

#if defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE) || \
    defined(TH_REAL_IS_SHORT) || defined(TH_REAL_IS_INT) || defined(TH_REAL_IS_LONG)
TH_API void THTensor_(abs)(THTensor *r_, THTensor *t);
#endif

#if defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE)
TH_API void THTensor_(acos)(THTensor *r_, THTensor *t);
TH_API void THTensor_(asin)(THTensor *r_, THTensor *t);
TH_API void THTensor_(atan)(THTensor *r_, THTensor *t);
TH_API void THTensor_(atan2)(THTensor *r_, THTensor *tx, THTensor *ty);
TH_API void THTensor_(ceil)(THTensor *r_, THTensor *t);
TH_API void THTensor_(cos)(THTensor *r_, THTensor *t);
TH_API void THTensor_(cosh)(THTensor *r_, THTensor *t);
TH_API void THTensor_(digamma)(THTensor *r_, THTensor *t);
TH_API accreal THTensor_(dist)(THTensor *a, THTensor *b, real value);
TH_API void THTensor_(erf)(THTensor *r_, THTensor *t);
TH_API void THTensor_(erfc)(THTensor *r_, THTensor *t);
TH_API void THTensor_(erfinv)(THTensor *r_, THTensor *t);
TH_API void THTensor_(exp)(THTensor *r_, THTensor *t);
TH_API void THTensor_(expm1)(THTensor *r_, THTensor *t);
TH_API void THTensor_(floor)(THTensor *r_, THTensor *t);
TH_API void THTensor_(frac)(THTensor *r_, THTensor *t);
TH_API void THTensor_(lerp)(THTensor *r_, THTensor *a, THTensor *b, real weight);
TH_API void THTensor_(lgamma)(THTensor *r_, THTensor *t);
TH_API void THTensor_(linspace)(THTensor *r_, real a, real b, int64_t n);
TH_API void THTensor_(log)(THTensor *r_, THTensor *t);
TH_API void THTensor_(log10)(THTensor *r_, THTensor *t);
TH_API void THTensor_(log1p)(THTensor *r_, THTensor *t);
TH_API void THTensor_(log2)(THTensor *r_, THTensor *t);
TH_API void THTensor_(logspace)(THTensor *r_, real a, real b, int64_t n);
TH_API accreal THTensor_(meanall)(THTensor *self);
TH_API accreal THTensor_(normall)(THTensor *t, real value);
TH_API void THTensor_(polygamma)(THTensor *r_, int64_t n, THTensor *t);
TH_API void THTensor_(pow)(THTensor *r_, THTensor *t, real value);
TH_API void THTensor_(rand)(THTensor *r_, THGenerator *_generator, THLongStorage *size);
TH_API void THTensor_(randn)(THTensor *r_, THGenerator *_generator, THLongStorage *size);
TH_API void THTensor_(round)(THTensor *r_, THTensor *t);
TH_API void THTensor_(rsqrt)(THTensor *r_, THTensor *t);
TH_API void THTensor_(sigmoid)(THTensor *r_, THTensor *t);
TH_API void THTensor_(sin)(THTensor *r_, THTensor *t);
TH_API void THTensor_(sinh)(THTensor *r_, THTensor *t);
TH_API void THTensor_(sqrt)(THTensor *r_, THTensor *t);
TH_API accreal THTensor_(stdall)(THTensor *self, int biased);
TH_API void THTensor_(tan)(THTensor *r_, THTensor *t);
TH_API void THTensor_(tanh)(THTensor *r_, THTensor *t);
TH_API void THTensor_(tpow)(THTensor *r_, real value, THTensor *t);
TH_API void THTensor_(trigamma)(THTensor *r_, THTensor *t);
TH_API void THTensor_(trunc)(THTensor *r_, THTensor *t);
TH_API accreal THTensor_(varall)(THTensor *self, int biased);
#endif

#if defined(TH_REAL_IS_BYTE)
TH_API int THTensor_(logicalAndAll)(THTensor *self);
TH_API int THTensor_(logicalAnyAll)(THTensor *self);
TH_API int THTensor_(logicalall)(THTensor *self);
TH_API int THTensor_(logicalany)(THTensor *self);
#endif

#endif
