/* TH<Type>Blas_*: the dense kernels on column-major matrices, for every element type. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/th_blas.c"
#else

void THBlas_(swap)(int64_t n, real *x, int64_t incx, real *y, int64_t incy) {
  for (int64_t i = 0; i < n; i++) {
    const real kept = x[i * incx];
    x[i * incx] = y[i * incy];
    y[i * incy] = kept;
  }
}

void THBlas_(scal)(int64_t n, real a, real *x, int64_t incx) {
  for (int64_t i = 0; i < n; i++) x[i * incx] = a == 0 ? 0 : x[i * incx] * a;
}

void THBlas_(copy)(int64_t n, real *x, int64_t incx, real *y, int64_t incy) {
  for (int64_t i = 0; i < n; i++) y[i * incy] = x[i * incx];
}

void THBlas_(axpy)(int64_t n, real a, real *x, int64_t incx, real *y, int64_t incy) {
  for (int64_t i = 0; i < n; i++) y[i * incy] += a * x[i * incx];
}

real THBlas_(dot)(int64_t n, real *x, int64_t incx, real *y, int64_t incy) {
  accreal sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (accreal)x[i * incx] * y[i * incy];
  return (real)sum;
}

/* y = alpha * op(a) * x + beta * y; a is m x n. */
void THBlas_(gemv)(char trans, int64_t m, int64_t n, real alpha, real *a, int64_t lda, real *x,
                   int64_t incx, real beta, real *y, int64_t incy) {
  const int transposed = trans == 't' || trans == 'T';
  const int64_t rows = transposed ? n : m, columns = transposed ? m : n;
  for (int64_t i = 0; i < rows; i++) {
    accreal sum = 0;
    for (int64_t j = 0; j < columns; j++)
      sum += (accreal)x[j * incx] * (transposed ? a[i * lda + j] : a[j * lda + i]);
    y[i * incy] = (real)(alpha * sum + (beta == 0 ? 0 : (accreal)beta * y[i * incy]));
  }
}

/* a += alpha * x * y'; a is m x n. */
void THBlas_(ger)(int64_t m, int64_t n, real alpha, real *x, int64_t incx, real *y, int64_t incy,
                  real *a, int64_t lda) {
  for (int64_t j = 0; j < n; j++)
    for (int64_t i = 0; i < m; i++) a[j * lda + i] += x[i * incx] * alpha * y[j * incy];
}

/* c = alpha * op(a) * op(b) + beta * c; c is m x n, the inner length k. */
void THBlas_(gemm)(char transa, char transb, int64_t m, int64_t n, int64_t k, real alpha, real *a,
                   int64_t lda, real *b, int64_t ldb, real beta, real *c, int64_t ldc) {
  const int ta = transa == 't' || transa == 'T', tb = transb == 't' || transb == 'T';
  /* A row of c's column is a sum each, unless there are enough rows to add them up side by side:
   * then a is turned once. */
  const int by_rows = ta && m < 4;
  real *turned FFI_HELD_MEMORY = ta && !by_rows ? THAlloc(m * k * (ptrdiff_t)sizeof *turned) : NULL;
  for (int64_t i = 0; i < m && turned; i++)
    for (int64_t l = 0; l < k; l++) turned[l * m + i] = a[i * lda + l];
  const real *columns = turned ? turned : a;
  const int64_t next = turned ? m : lda;
  for (int64_t j = 0; j < n; j++) {
    real *column = c + j * ldc;
    for (int64_t i = 0; i < m; i++) column[i] = beta == 0 ? 0 : (real)(beta * column[i]);
    for (int64_t l = 0; l < k && !by_rows; l++) {
      const real factor = (real)(alpha * (tb ? b[l * ldb + j] : b[j * ldb + l]));
      for (int64_t i = 0; i < m; i++) column[i] += columns[l * next + i] * factor;
    }
    for (int64_t i = 0; i < m && by_rows; i++) {
      accreal sum = 0;
      for (int64_t l = 0; l < k; l++)
        sum += (accreal)a[i * lda + l] * (tb ? b[l * ldb + j] : b[j * ldb + l]);
      column[i] = (real)(column[i] + alpha * sum);
    }
  }
}
#endif
