/* TH<Type>Tensor_*: what works along dimensions, with indices, or on matrices: one line a function,
 * done by torch. The codes: w a result (resized), m one that is a matrix of LAPACK's, t a tensor, n
 * an array of them with its length, i int, l int64_t, d double, c a text. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/th_along.c"
#else

#if defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE)
#define REAL "d"
#elif defined(TH_REAL_IS_LONG)
#define REAL "l"
#else
#define REAL "i"
#endif

/* clang-format off */
#define VOID(NAME, PARAMETERS, CODES, ...) \
  void THTensor_(NAME) PARAMETERS { ffi_th_torch(#NAME, CODES, __VA_ARGS__); }

VOID(addmm, (THTensor *r, real beta, THTensor *t, real alpha, THTensor *a, THTensor *b), "w" REAL "t" REAL "tt", r, beta, t, alpha, a, b)
VOID(addmv, (THTensor *r, real beta, THTensor *t, real alpha, THTensor *a, THTensor *b), "w" REAL "t" REAL "tt", r, beta, t, alpha, a, b)
VOID(addr, (THTensor *r, real beta, THTensor *t, real alpha, THTensor *a, THTensor *b), "w" REAL "t" REAL "tt", r, beta, t, alpha, a, b)
VOID(addbmm, (THTensor *r, real beta, THTensor *t, real alpha, THTensor *a, THTensor *b), "w" REAL "t" REAL "tt", r, beta, t, alpha, a, b)
VOID(baddbmm, (THTensor *r, real beta, THTensor *t, real alpha, THTensor *a, THTensor *b), "w" REAL "t" REAL "tt", r, beta, t, alpha, a, b)
VOID(match, (THTensor *r, THTensor *a, THTensor *b, real gain), "wtt" REAL, r, a, b, gain)
VOID(cross, (THTensor *r, THTensor *a, THTensor *b, int dimension), "wtti", r, a, b, dimension)

VOID(sum, (THTensor *r, THTensor *t, int dimension, int keepdim), "wtii", r, t, dimension, keepdim)
VOID(prod, (THTensor *r, THTensor *t, int dimension, int keepdim), "wtii", r, t, dimension, keepdim)
VOID(cumsum, (THTensor *r, THTensor *t, int dimension), "wti", r, t, dimension)
VOID(cumprod, (THTensor *r, THTensor *t, int dimension), "wti", r, t, dimension)
VOID(max, (THTensor *v, THLongTensor *i, THTensor *t, int dimension, int keepdim), "wwtii", v, i, t, dimension, keepdim)
VOID(min, (THTensor *v, THLongTensor *i, THTensor *t, int dimension, int keepdim), "wwtii", v, i, t, dimension, keepdim)
VOID(median, (THTensor *v, THLongTensor *i, THTensor *t, int dimension, int keepdim), "wwtii", v, i, t, dimension, keepdim)
VOID(mode, (THTensor *v, THLongTensor *i, THTensor *t, int dimension, int keepdim), "wwtii", v, i, t, dimension, keepdim)
VOID(kthvalue, (THTensor *v, THLongTensor *i, THTensor *t, int64_t k, int dimension, int keepdim), "wwtlii", v, i, t, k, dimension, keepdim)
VOID(sort, (THTensor *v, THLongTensor *i, THTensor *t, int dimension, int descending), "wwtii", v, i, t, dimension, descending)
VOID(topk, (THTensor *v, THLongTensor *i, THTensor *t, int64_t k, int dim, int dir, int sorted), "wwtliii", v, i, t, k, dim, dir, sorted)

VOID(cat, (THTensor *r, THTensor *a, THTensor *b, int dimension), "wtti", r, a, b, dimension)
VOID(catArray, (THTensor *r, THTensor **inputs, int count, int dimension), "wni", r, inputs, count, dimension)
VOID(diag, (THTensor *r, THTensor *t, int k), "wti", r, t, k)
VOID(tril, (THTensor *r, THTensor *t, int64_t k), "wtl", r, t, k)
VOID(triu, (THTensor *r, THTensor *t, int64_t k), "wtl", r, t, k)
VOID(nonzero, (THLongTensor *r, THTensor *t), "wt", r, t)

VOID(gather, (THTensor *r, THTensor *src, int dim, THLongTensor *index), "wtit", r, src, dim, index)
VOID(scatter, (THTensor *t, int dim, THLongTensor *index, THTensor *src), "titt", t, dim, index, src)
VOID(scatterAdd, (THTensor *t, int dim, THLongTensor *index, THTensor *src), "titt", t, dim, index, src)
VOID(scatterFill, (THTensor *t, int dim, THLongTensor *index, real v), "tit" REAL, t, dim, index, v)
VOID(indexSelect, (THTensor *r, THTensor *src, int dim, THLongTensor *index), "wtit", r, src, dim, index)
VOID(indexCopy, (THTensor *t, int dim, THLongTensor *index, THTensor *src), "titt", t, dim, index, src)
VOID(indexAdd, (THTensor *t, int dim, THLongTensor *index, THTensor *src), "titt", t, dim, index, src)
VOID(indexFill, (THTensor *t, int dim, THLongTensor *index, real v), "tit" REAL, t, dim, index, v)
VOID(take, (THTensor *r, THTensor *src, THLongTensor *index), "wtt", r, src, index)
VOID(put, (THTensor *t, THLongTensor *index, THTensor *src, int accumulate), "ttti", t, index, src, accumulate)

#ifdef TH_REAL_IS_BYTE
VOID(logicalAnd, (THTensor *r, THTensor *t, int dimension, int keepdim), "wtii", r, t, dimension, keepdim)
VOID(logicalAny, (THTensor *r, THTensor *t, int dimension, int keepdim), "wtii", r, t, dimension, keepdim)
#endif

#if defined(TH_REAL_IS_FLOAT) || defined(TH_REAL_IS_DOUBLE)
VOID(mean, (THTensor *r, THTensor *t, int dimension, int keepdim), "wtii", r, t, dimension, keepdim)
VOID(std, (THTensor *r, THTensor *t, int dimension, int biased, int keepdim), "wtiii", r, t, dimension, biased, keepdim)
VOID(var, (THTensor *r, THTensor *t, int dimension, int biased, int keepdim), "wtiii", r, t, dimension, biased, keepdim)
VOID(norm, (THTensor *r, THTensor *t, real value, int dimension, int keepdim), "wtdii", r, t, value, dimension, keepdim)
VOID(renorm, (THTensor *r, THTensor *t, real value, int dimension, real maxnorm), "wtdid", r, t, value, dimension, maxnorm)
VOID(histc, (THTensor *r, THTensor *t, int64_t bins, real least, real most), "wtldd", r, t, bins, least, most)
VOID(bhistc, (THTensor *r, THTensor *t, int64_t bins, real least, real most), "wtldd", r, t, bins, least, most)

/* A matrix that is NULL is the result's own: LAPACK works in place. */
#define GIVEN(matrix, result) ((matrix) ? (matrix) : (result))
VOID(gesv, (THTensor *rb, THTensor *ra, THTensor *b, THTensor *a), "mmtt", rb, ra, GIVEN(b, rb), GIVEN(a, ra))
VOID(gels, (THTensor *rb, THTensor *ra, THTensor *b, THTensor *a), "mmtt", rb, ra, GIVEN(b, rb), GIVEN(a, ra))
VOID(syev, (THTensor *re, THTensor *rv, THTensor *a, const char *jobz, const char *uplo), "wmtcc", re, rv, GIVEN(a, rv), jobz, uplo)
VOID(geev, (THTensor *re, THTensor *rv, THTensor *a, const char *jobvr), "wmtc", re, rv, a, jobvr)
VOID(gesvd, (THTensor *ru, THTensor *rs, THTensor *rv, THTensor *a, const char *jobu), "mwwtc", ru, rs, rv, a, jobu)
VOID(gesvd2, (THTensor *ru, THTensor *rs, THTensor *rv, THTensor *ra, THTensor *a, const char *jobu), "mwwmtc", ru, rs, rv, ra, GIVEN(a, ra), jobu)
VOID(getri, (THTensor *ra, THTensor *a), "mt", ra, GIVEN(a, ra))
VOID(potrf, (THTensor *ra, THTensor *a, const char *uplo), "mtc", ra, GIVEN(a, ra), uplo)
VOID(potri, (THTensor *ra, THTensor *a, const char *uplo), "mtc", ra, GIVEN(a, ra), uplo)
VOID(potrs, (THTensor *rb, THTensor *b, THTensor *a, const char *uplo), "mttc", rb, GIVEN(b, rb), a, uplo)
VOID(qr, (THTensor *rq, THTensor *rr, THTensor *a), "mwt", rq, rr, a)
VOID(btrifact, (THTensor *ra, THIntTensor *rpivots, THIntTensor *rinfo, int pivot, THTensor *a), "wwwit", ra, rpivots, rinfo, pivot, a)
VOID(btrisolve, (THTensor *rb, THTensor *b, THTensor *atf, THIntTensor *pivots), "wttt", rb, b, atf, pivots)
VOID(trtrs, (THTensor *rb, THTensor *ra, THTensor *b, THTensor *a, const char *uplo, const char *trans, const char *diag), "mmttccc", rb, ra, GIVEN(b, rb), GIVEN(a, ra), uplo, trans, diag)
VOID(geqrf, (THTensor *ra, THTensor *rtau, THTensor *a), "mwt", ra, rtau, GIVEN(a, ra))
VOID(orgqr, (THTensor *ra, THTensor *a, THTensor *tau), "mtt", ra, GIVEN(a, ra), tau)
VOID(ormqr, (THTensor *ra, THTensor *a, THTensor *tau, THTensor *c, const char *side, const char *trans), "mtttcc", ra, GIVEN(a, ra), tau, c, side, trans)
VOID(pstrf, (THTensor *ra, THIntTensor *rpiv, THTensor *a, const char *uplo, real tol), "mwtcd", ra, rpiv, a, uplo, tol)
#endif
/* clang-format on */

real THTensor_(medianall)(THTensor *t) {
  THArgCheck(THTensor_(nElement)(t) > 0, 1, "tensor must have one dimension");
  THTensor *median FFI_HELD = THTensor_(newWithSize1d)(1);
  ffi_th_torch("medianall", "wt", median, t);
  return *median->storage->data;
}

#undef REAL
/* A result of an earlier call that has lost the reduced dimension gets it back, so that the
 * reduction meets the shape that it is going to write. */
void THTensor_(preserveReduceDimSemantics)(THTensor *r, int in_dims, int reduce_dimension,
                                           int keepdim) {
  if (!r || keepdim || r->nDimension == 0 || r->nDimension != in_dims - 1) return;
  THTensor_(unsqueeze1d)(r, r, reduce_dimension);
}

#endif
