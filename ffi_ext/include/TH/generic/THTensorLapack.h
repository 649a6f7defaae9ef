/* Linear algebra of one element type, see THTensorMath.h. LAPACK works in place: a matrix that is NULL is the result's. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/THTensorLapack.h"
#else

TH_FUNCTION(gesv, (THTensor *rb, THTensor *ra, THTensor *b, THTensor *a), "mmtt", rb, ra, TH_GIVEN(b, rb), TH_GIVEN(a, ra))
TH_FUNCTION(gels, (THTensor *rb, THTensor *ra, THTensor *b, THTensor *a), "mmtt", rb, ra, TH_GIVEN(b, rb), TH_GIVEN(a, ra))
TH_FUNCTION(syev, (THTensor *re, THTensor *rv, THTensor *a, const char *jobz, const char *uplo), "wmtcc", re, rv, TH_GIVEN(a, rv), jobz, uplo)
TH_FUNCTION(geev, (THTensor *re, THTensor *rv, THTensor *a, const char *jobvr), "wmtc", re, rv, a, jobvr)
TH_FUNCTION(gesvd, (THTensor *ru, THTensor *rs, THTensor *rv, THTensor *a, const char *jobu), "mwwtc", ru, rs, rv, a, jobu)
TH_FUNCTION(gesvd2, (THTensor *ru, THTensor *rs, THTensor *rv, THTensor *ra, THTensor *a, const char *jobu), "mwwmtc", ru, rs, rv, ra, TH_GIVEN(a, ra), jobu)
TH_FUNCTION(getri, (THTensor *ra, THTensor *a), "mt", ra, TH_GIVEN(a, ra))
TH_FUNCTION(potrf, (THTensor *ra, THTensor *a, const char *uplo), "mtc", ra, TH_GIVEN(a, ra), uplo)
TH_FUNCTION(potri, (THTensor *ra, THTensor *a, const char *uplo), "mtc", ra, TH_GIVEN(a, ra), uplo)
TH_FUNCTION(potrs, (THTensor *rb, THTensor *b, THTensor *a, const char *uplo), "mttc", rb, TH_GIVEN(b, rb), a, uplo)
TH_FUNCTION(qr, (THTensor *rq, THTensor *rr, THTensor *a), "mwt", rq, rr, a)
TH_FUNCTION(btrifact, (THTensor *ra, THIntTensor *rpivots, THIntTensor *rinfo, int pivot, THTensor *a), "wwwit", ra, rpivots, rinfo, pivot, a)
TH_FUNCTION(btrisolve, (THTensor *rb, THTensor *b, THTensor *atf, THIntTensor *pivots), "wttt", rb, b, atf, pivots)
TH_FUNCTION(trtrs, (THTensor *rb, THTensor *ra, THTensor *b, THTensor *a, const char *uplo, const char *trans, const char *diag), "mmttccc", rb, ra, TH_GIVEN(b, rb), TH_GIVEN(a, ra), uplo, trans, diag)
TH_FUNCTION(geqrf, (THTensor *ra, THTensor *rtau, THTensor *a), "mwt", ra, rtau, TH_GIVEN(a, ra))
TH_FUNCTION(orgqr, (THTensor *ra, THTensor *a, THTensor *tau), "mtt", ra, TH_GIVEN(a, ra), tau)
TH_FUNCTION(ormqr, (THTensor *ra, THTensor *a, THTensor *tau, THTensor *c, const char *side, const char *trans), "mtttcc", ra, TH_GIVEN(a, ra), tau, c, side, trans)
TH_FUNCTION(pstrf, (THTensor *ra, THIntTensor *rpiv, THTensor *a, const char *uplo, real tol), "mwtcd", ra, rpiv, a, uplo, tol)

#endif
