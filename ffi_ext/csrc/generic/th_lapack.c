/* TH<Type>Lapack_*: LAPACK's routines on matrices in columns, by torch (ffi_ext/th_lapack.py). */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/th_lapack.c"
#else

#define REALS(data, n) ffi_th_borrowed(TYPE_NUMBER, data, 1, (const int64_t[]){n}, NULL)
#define MATRIX(data, rows, columns, leading)                              \
  ffi_th_borrowed(TYPE_NUMBER, data, 2, (const int64_t[]){rows, columns}, \
                  (const int64_t[]){1, leading})
#define INTS(data, n) ffi_th_borrowed(FFI_INT, data, 1, (const int64_t[]){n}, NULL)
/* The routine with its letters, and the tensors in LAPACK's order. */
#define CALL(NAME, LETTERS, ...)                                              \
  do {                                                                        \
    ffi_tensor *tensors[] = {__VA_ARGS__};                                    \
    ffi_th_lapack(#NAME, LETTERS, tensors, sizeof tensors / sizeof *tensors); \
  } while (0)
#define LETTERS(...) ((const char[]){__VA_ARGS__, 0})
/* lwork -1 asks for the workspace's best size: torch has its own. */
#define ASKED_FOR_WORKSPACE \
  if (lwork == -1) {        \
    *work = 1;              \
    *info = 0;              \
    return;                 \
  }

void THLapack_(getrf)(int m, int n, real *a, int lda, int *ipiv, int *info) {
  CALL(getrf, "", MATRIX(a, m, n, lda), INTS(ipiv, m < n ? m : n), INTS(info, 1));
}
void THLapack_(getrs)(char trans, int n, int nrhs, real *a, int lda, int *ipiv, real *b, int ldb,
                      int *info) {
  CALL(getrs, LETTERS(trans), MATRIX(a, n, n, lda), INTS(ipiv, n), MATRIX(b, n, nrhs, ldb),
       INTS(info, 1));
}
void THLapack_(gesv)(int n, int nrhs, real *a, int lda, int *ipiv, real *b, int ldb, int *info) {
  CALL(gesv, "", MATRIX(a, n, n, lda), INTS(ipiv, n), MATRIX(b, n, nrhs, ldb), INTS(info, 1));
}
void THLapack_(getri)(int n, real *a, int lda, int *ipiv, real *work, int lwork, int *info) {
  ASKED_FOR_WORKSPACE
  CALL(getri, "", MATRIX(a, n, n, lda), INTS(ipiv, n), INTS(info, 1));
}
void THLapack_(trtrs)(char uplo, char trans, char diag, int n, int nrhs, real *a, int lda, real *b,
                      int ldb, int *info) {
  CALL(trtrs, LETTERS(uplo, trans, diag), MATRIX(a, n, n, lda), MATRIX(b, n, nrhs, ldb),
       INTS(info, 1));
}
void THLapack_(potrf)(char uplo, int n, real *a, int lda, int *info) {
  CALL(potrf, LETTERS(uplo), MATRIX(a, n, n, lda), INTS(info, 1));
}
void THLapack_(potri)(char uplo, int n, real *a, int lda, int *info) {
  CALL(potri, LETTERS(uplo), MATRIX(a, n, n, lda), INTS(info, 1));
}
void THLapack_(potrs)(char uplo, int n, int nrhs, real *a, int lda, real *b, int ldb, int *info) {
  CALL(potrs, LETTERS(uplo), MATRIX(a, n, n, lda), MATRIX(b, n, nrhs, ldb), INTS(info, 1));
}
void THLapack_(pstrf)(char uplo, int n, real *a, int lda, int *piv, int *rank, real tol, real *work,
                      int *info) {
  (void)work;
  CALL(pstrf, LETTERS(uplo), MATRIX(a, n, n, lda), INTS(piv, n), INTS(rank, 1), REALS(&tol, 1),
       INTS(info, 1));
}
void THLapack_(geqrf)(int m, int n, real *a, int lda, real *tau, real *work, int lwork, int *info) {
  ASKED_FOR_WORKSPACE
  CALL(geqrf, "", MATRIX(a, m, n, lda), REALS(tau, m < n ? m : n), INTS(info, 1));
}
void THLapack_(orgqr)(int m, int n, int k, real *a, int lda, real *tau, real *work, int lwork,
                      int *info) {
  ASKED_FOR_WORKSPACE
  CALL(orgqr, "", MATRIX(a, m, n, lda), REALS(tau, k), INTS(info, 1));
}
void THLapack_(ormqr)(char side, char trans, int m, int n, int k, real *a, int lda, real *tau,
                      real *c, int ldc, real *work, int lwork, int *info) {
  ASKED_FOR_WORKSPACE
  const int rows = side == 'l' || side == 'L' ? m : n;
  CALL(ormqr, LETTERS(side, trans), MATRIX(a, rows, k, lda), REALS(tau, k), MATRIX(c, m, n, ldc),
       INTS(info, 1));
}
void THLapack_(gels)(char trans, int m, int n, int nrhs, real *a, int lda, real *b, int ldb,
                     real *work, int lwork, int *info) {
  ASKED_FOR_WORKSPACE
  CALL(gels, LETTERS(trans), MATRIX(a, m, n, lda), MATRIX(b, m > n ? m : n, nrhs, ldb),
       INTS(info, 1));
}
void THLapack_(syev)(char jobz, char uplo, int n, real *a, int lda, real *w, real *work, int lwork,
                     int *info) {
  ASKED_FOR_WORKSPACE
  CALL(syev, LETTERS(jobz, uplo), MATRIX(a, n, n, lda), REALS(w, n), INTS(info, 1));
}
/* What is not asked for may be NULL, or of any size. */
void THLapack_(geev)(char jobvl, char jobvr, int n, real *a, int lda, real *wr, real *wi, real *vl,
                     int ldvl, real *vr, int ldvr, real *work, int lwork, int *info) {
  ASKED_FOR_WORKSPACE
  const int left = jobvl == 'v' || jobvl == 'V' ? n : 0;
  const int right = jobvr == 'v' || jobvr == 'V' ? n : 0;
  CALL(geev, LETTERS(jobvl, jobvr), MATRIX(a, n, n, lda), REALS(wr, n), REALS(wi, n),
       MATRIX(vl, left, left, ldvl), MATRIX(vr, right, right, ldvr), INTS(info, 1));
}
void THLapack_(gesvd)(char jobu, char jobvt, int m, int n, real *a, int lda, real *s, real *u,
                      int ldu, real *vt, int ldvt, real *work, int lwork, int *info) {
  ASKED_FOR_WORKSPACE
  const int smaller = m < n ? m : n;
  const int columns = jobu == 'a' || jobu == 'A' ? m : jobu == 's' || jobu == 'S' ? smaller : 0;
  const int rows = jobvt == 'a' || jobvt == 'A' ? n : jobvt == 's' || jobvt == 'S' ? smaller : 0;
  CALL(gesvd, LETTERS(jobu, jobvt), MATRIX(a, m, n, lda), REALS(s, smaller),
       MATRIX(u, m, columns, ldu), MATRIX(vt, rows, n, ldvt), INTS(info, 1));
}

void THTensor_(pstrf)(THTensor *ra, THIntTensor *rpiv, THTensor *a, const char *uplo, real tol) {
  THArgCheck(a->nDimension == 2 && a->size[0] == a->size[1], 1, "A should be square");
  const int n = (int)a->size[0];
  int rank = 0, info = 0;
  THTensor *columns FFI_HELD = THTensor_(newTranspose)(a, 0, 1);
  THTensor *factor FFI_HELD = THTensor_(newClone)(columns);
  THIntTensor_resize1d(rpiv, n);
  THIntTensor *pivots FFI_HELD = THIntTensor_newContiguous(rpiv);
  THLapack_(pstrf)(*uplo, n, THTensor_(data)(factor), n, THIntTensor_data(pivots), &rank, tol, NULL,
                   &info);
  if (pivots != rpiv) THIntTensor_copy(rpiv, pivots);
  THTensor_(transpose)(factor, NULL, 0, 1);
  ffi_th_resize_columns((ffi_tensor *)ra, 2, factor->size);
  if (*uplo == 'U' || *uplo == 'u')
    THTensor_(triu)(ra, factor, 0);
  else
    THTensor_(tril)(ra, factor, 0);
}

#undef REALS
#undef MATRIX
#undef INTS
#undef CALL
#undef LETTERS
#undef ASKED_FOR_WORKSPACE
#endif
