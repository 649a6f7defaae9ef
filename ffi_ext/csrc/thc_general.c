/* THC's state: devices, memory, cuBLAS, all of them torch's. */
#define FFI_EXT_NO_CUDA_HEADERS
#include <dlfcn.h>

#include "THC/THCBlas.h"
#include "THC/THCGeneral.h"
#include "cuda_device.h"
#include "th_core.h"
#include "torch_bridge.h"

/* CUDA sources declare `extern THCState *state;` and pass it on; torch keeps the real state. */
struct THCState {
  int unused;
};
static struct THCState the_state;
struct THCState *state = &the_state;

long long ffi_cuda_ask(const char *name, long long number) {
  char text[FFI_TEXT_ROOM];
  long long value;
  if (ffi_cuda_answer(name, number, &value, text)) ffi_throw(text);
  return value;
}

void *ffi_cuda_symbol(const char *name) {
  void *found = dlsym(RTLD_DEFAULT, name);
  if (!found) found = ffi_native_symbol(name);
  if (!found) THError("%s was not found: torch has not loaded its CUDA library", name);
  return found;
}

int ffi_cuda_current(void) {
  char text[FFI_TEXT_ROOM];
  int device;
  if (ffi_cuda_current_device(&device, text)) ffi_throw(text);
  return device + 1;
}

int THCState_getNumDevices(THCState *s) { return (int)ffi_cuda_ask("device_count", 0); }
int THCState_getPeerToPeerAccess(THCState *s, int device, int other) {
  return (int)ffi_cuda_ask("peer_access", device * 1000LL + other); /* both in one number */
}

cudaStream_t THCState_getCurrentStreamOnDevice(THCState *s, int device) {
  char text[FFI_TEXT_ROOM];
  void *stream;
  if (ffi_cuda_current_stream(device, &stream, text)) ffi_throw(text);
  return stream;
}
cudaStream_t THCState_getCurrentStream(THCState *s) {
  return THCState_getCurrentStreamOnDevice(s, ffi_cuda_current() - 1);
}
cublasHandle_t THCState_getCurrentBlasHandle(THCState *s) {
  return (cublasHandle_t)(uintptr_t)ffi_cuda_ask("blas_handle", 0);
}

cudaError_t THCudaMalloc(THCState *s, void **pointer, size_t size) {
  char text[FFI_TEXT_ROOM];
  *pointer = NULL;
  if (size && ffi_cuda_allocate(size, pointer, text)) ffi_throw(text);
  return 0;
}
cudaError_t THCudaFree(THCState *s, void *pointer) {
  char text[FFI_TEXT_ROOM];
  if (pointer && ffi_cuda_release(pointer, text)) ffi_throw(text);
  return 0;
}
cudaError_t THCudaMemGetInfo(THCState *s, size_t *free_bytes, size_t *total_bytes) {
  *free_bytes = (size_t)ffi_cuda_ask("free_bytes", 0);
  *total_bytes = (size_t)ffi_cuda_ask("total_bytes", 0);
  return 0;
}
void THCHeapUpdate(THCState *s, ptrdiff_t size) {}

static const char *error_text(int error) {
  const char *(*name)(int) = (const char *(*)(int))dlsym(RTLD_DEFAULT, "cudaGetErrorString");
  return name ? name(error) : "see cudaError_t in the CUDA documentation";
}
void __THCudaCheck(cudaError_t error, const char *file, const int line) {
  if (error)
    _THError(file, line, "cuda runtime error (%d) : %s", (int)error, error_text((int)error));
}
void __THCudaCheckWarn(cudaError_t error, const char *file, const int line) {
  if (error)
    fprintf(stderr, "warning: cuda runtime error (%d) : %s at %s:%d\n", (int)error,
            error_text((int)error), file, line);
}
void __THCublasCheck(int status, const char *file, const int line) {
  if (status) _THError(file, line, "cublas runtime error : status %d", status);
}

void __THCusparseCheck(int status, const char *file, const int line) {
  if (status) _THError(file, line, "cusparse runtime error : status %d", status);
}

static int operation(char trans) {
  if (trans == 'n' || trans == 'N') return 0;
  if (trans == 't' || trans == 'T') return 1;
  if (trans == 'c' || trans == 'C') return 2;
  THError("trans must be one of: n, t, c");
  return 0;
}

/* cuBLAS takes sizes of 32 bits. */
static int narrow(int64_t size) {
  if (size > INT_MAX || size < INT_MIN)
    THError("cuBLAS takes sizes below 2^31, got %lld", (long long)size);
  return (int)size;
}

/* The leading dimension of a single column says nothing, and is often too small for cuBLAS. */
static void mend_leading(int opa, int opb, int64_t m, int64_t n, int64_t k, int64_t *lda,
                         int64_t *ldb, int64_t *ldc) {
  if (n == 1) *ldc = m;
  if (opa ? m == 1 : k == 1) *lda = opa ? k : m;
  if (opb ? k == 1 : n == 1) *ldb = opb ? n : k;
}

/* clang-format off */
#define BLAS(LETTER, TYPE)                                                                          \
  void THCudaBlas_##LETTER##gemm(THCState *s, char ta, char tb, int64_t m, int64_t n, int64_t k,    \
                                 TYPE alpha, TYPE *a, int64_t lda, TYPE *b, int64_t ldb, TYPE beta, \
                                 TYPE *c, int64_t ldc) {                                            \
    typedef int (*gemm)(cublasHandle_t, int, int, int, int, int, const TYPE *, const TYPE *, int,   \
                        const TYPE *, int, const TYPE *, TYPE *, int);                              \
    const int opa = operation(ta), opb = operation(tb);                                             \
    mend_leading(opa, opb, m, n, k, &lda, &ldb, &ldc);                                              \
    gemm function = (gemm)ffi_cuda_symbol("cublas" #LETTER "gemm_v2");                              \
    THCublasCheck(function(THCState_getCurrentBlasHandle(s), opa, opb, narrow(m), narrow(n), narrow(k),\
                           &alpha, a, narrow(lda), b, narrow(ldb), &beta, c, narrow(ldc)));         \
  }                                                                                                 \
  void THCudaBlas_##LETTER##gemv(THCState *s, char trans, int64_t m, int64_t n, TYPE alpha,         \
                                 TYPE *a, int64_t lda, TYPE *x, int64_t incx, TYPE beta, TYPE *y,   \
                                 int64_t incy) {                                                    \
    typedef int (*gemv)(cublasHandle_t, int, int, int, const TYPE *, const TYPE *, int,             \
                        const TYPE *, int, const TYPE *, TYPE *, int);                              \
    if (n == 1) lda = m;                                                                            \
    gemv function = (gemv)ffi_cuda_symbol("cublas" #LETTER "gemv_v2");                              \
    THCublasCheck(function(THCState_getCurrentBlasHandle(s), operation(trans), narrow(m), narrow(n),\
                           &alpha, a, narrow(lda), x, narrow(incx), &beta, y, narrow(incy)));       \
  }                                                                                                 \
  void THCudaBlas_##LETTER##ger(THCState *s, int64_t m, int64_t n, TYPE alpha, TYPE *x,             \
                                int64_t incx, TYPE *y, int64_t incy, TYPE *a, int64_t lda) {        \
    typedef int (*ger)(cublasHandle_t, int, int, const TYPE *, const TYPE *, int, const TYPE *,     \
                       int, TYPE *, int);                                                           \
    if (n == 1) lda = m;                                                                            \
    ger function = (ger)ffi_cuda_symbol("cublas" #LETTER "ger_v2");                                 \
    THCublasCheck(function(THCState_getCurrentBlasHandle(s), narrow(m), narrow(n), &alpha, x, narrow(incx),\
                           y, narrow(incy), a, narrow(lda)));                                       \
  }                                                                                                 \
  TYPE THCudaBlas_##LETTER##dot(THCState *s, int64_t n, TYPE *x, int64_t incx, TYPE *y,             \
                                int64_t incy) {                                                     \
    typedef int (*dot)(cublasHandle_t, int, const TYPE *, int, const TYPE *, int, TYPE *);          \
    if (n == 1) incx = incy = 1;                                                                    \
    TYPE result = 0;                                                                                \
    dot function = (dot)ffi_cuda_symbol("cublas" #LETTER "dot_v2");                                 \
    THCublasCheck(function(THCState_getCurrentBlasHandle(s), narrow(n), x, narrow(incx), y, narrow(incy),\
                           &result));                                                               \
    return result;                                                                                  \
  }
#define BATCHED(LETTER, TYPE)                                                                       \
  void THCudaBlas_##LETTER##gemmBatched(THCState *s, char ta, char tb, int64_t m, int64_t n,        \
                                        int64_t k, TYPE alpha, const TYPE *a[], int64_t lda,        \
                                        const TYPE *b[], int64_t ldb, TYPE beta, TYPE *c[],         \
                                        int64_t ldc, int64_t count) {                               \
    typedef int (*gemm)(cublasHandle_t, int, int, int, int, int, const TYPE *, const TYPE **, int,  \
                        const TYPE **, int, const TYPE *, TYPE **, int, int);                       \
    const int opa = operation(ta), opb = operation(tb);                                             \
    mend_leading(opa, opb, m, n, k, &lda, &ldb, &ldc);                                              \
    gemm function = (gemm)ffi_cuda_symbol("cublas" #LETTER "gemmBatched");                          \
    THCublasCheck(function(THCState_getCurrentBlasHandle(s), opa, opb, narrow(m), narrow(n),        \
                           narrow(k), &alpha, a, narrow(lda), b, narrow(ldb), &beta, c,             \
                           narrow(ldc), narrow(count)));                                            \
  }                                                                                                 \
  void THCudaBlas_##LETTER##getrf(THCState *s, int n, TYPE **a, int lda, int *pivot, int *info,     \
                                  int count) {                                                      \
    typedef int (*getrf)(cublasHandle_t, int, TYPE **, int, int *, int *, int);                     \
    getrf function = (getrf)ffi_cuda_symbol("cublas" #LETTER "getrfBatched");                       \
    THCublasCheck(function(THCState_getCurrentBlasHandle(s), n, a, lda, pivot, info, count));       \
  }                                                                                                 \
  void THCudaBlas_##LETTER##getrs(THCState *s, char trans, int n, int nrhs, const TYPE **a,         \
                                  int lda, int *pivot, TYPE **b, int ldb, int *info, int count) {   \
    typedef int (*getrs)(cublasHandle_t, int, int, int, const TYPE **, int, const int *, TYPE **,   \
                         int, int *, int);                                                          \
    getrs function = (getrs)ffi_cuda_symbol("cublas" #LETTER "getrsBatched");                       \
    THCublasCheck(function(THCState_getCurrentBlasHandle(s), operation(trans), n, nrhs, a, lda,     \
                           pivot, b, ldb, info, count));                                            \
  }                                                                                                 \
  void THCudaBlas_##LETTER##getri(THCState *s, int n, const TYPE **a, int lda, int *pivot,          \
                                  TYPE **c, int ldc, int *info, int count) {                        \
    typedef int (*getri)(cublasHandle_t, int, const TYPE **, int, const int *, TYPE **, int, int *, \
                         int);                                                                      \
    getri function = (getri)ffi_cuda_symbol("cublas" #LETTER "getriBatched");                       \
    THCublasCheck(                                                                                  \
        function(THCState_getCurrentBlasHandle(s), n, a, lda, pivot, c, ldc, info, count));         \
  }
/* clang-format on */

/* Added up in float, as the original did where a GPU had no arithmetic of halves. */
void THCudaBlas_Hgemm(THCState *s, char ta, char tb, int64_t m, int64_t n, int64_t k, THHalf alpha,
                      THHalf *a, int64_t lda, THHalf *b, int64_t ldb, THHalf beta, THHalf *c,
                      int64_t ldc) {
  typedef int (*gemm)(cublasHandle_t, int, int, int, int, int, const float *, const void *, int,
                      int, const void *, int, int, const float *, void *, int, int);
  const int opa = operation(ta), opb = operation(tb), half = 2; /* CUDA_R_16F */
  mend_leading(opa, opb, m, n, k, &lda, &ldb, &ldc);
  const float by = TH_half2float(alpha), old = TH_half2float(beta);
  gemm function = (gemm)ffi_cuda_symbol("cublasSgemmEx");
  THCublasCheck(function(THCState_getCurrentBlasHandle(s), opa, opb, narrow(m), narrow(n),
                         narrow(k), &by, a, half, narrow(lda), b, half, narrow(ldb), &old, c, half,
                         narrow(ldc)));
}
BLAS(S, float)
BLAS(D, double)
BATCHED(S, float)
BATCHED(D, double)
