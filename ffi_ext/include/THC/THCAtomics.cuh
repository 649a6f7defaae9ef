/* atomicAdd for the types that CUDA has none for, by compare-and-swap of the word around the value. */
#ifndef THC_ATOMICS_INC
#define THC_ATOMICS_INC

#include "THCHalf.h"

template <typename T>
static inline __device__ void ffi_ext_atomic_add_small(T *address, T value) {
  const size_t place = (size_t)address & 3;
  unsigned int *word = (unsigned int *)((char *)address - place);
  const unsigned int shift = 8 * (unsigned int)place;
  const unsigned int mask = (sizeof(T) == 1 ? 0xffu : 0xffffu) << shift;
  unsigned int old = *word, seen;
  do {
    seen = old;
    const T sum = (T)((T)((seen & mask) >> shift) + value);
    const unsigned int bits = ((unsigned int)sum << shift) & mask;
    old = atomicCAS(word, seen, (seen & ~mask) | bits);
  } while (old != seen);
}

static inline __device__ void atomicAdd(unsigned char *a, unsigned char v) { ffi_ext_atomic_add_small(a, v); }
static inline __device__ void atomicAdd(signed char *a, signed char v) { ffi_ext_atomic_add_small(a, v); }
static inline __device__ void atomicAdd(char *a, char v) { ffi_ext_atomic_add_small(a, v); }
static inline __device__ void atomicAdd(short *a, short v) { ffi_ext_atomic_add_small(a, v); }
/* Two's complement: the unsigned sum has the same bits. */
static inline __device__ void atomicAdd(int64_t *a, int64_t v) {
  atomicAdd((unsigned long long *)a, (unsigned long long)v);
}

/* What GPUs before Pascal and Volta have no instruction for: toolkits declare these for later ones only. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 600
static inline __device__ void atomicAdd(double *a, double v) {
  unsigned long long *word = (unsigned long long *)a, old = *word, seen;
  do {
    seen = old;
    old = atomicCAS(word, seen, (unsigned long long)__double_as_longlong(__longlong_as_double((long long)seen) + v));
  } while (old != seen);
}
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 700
static inline __device__ void atomicAdd(half *a, half v) {
  const unsigned int shift = 8 * (unsigned int)((size_t)a & 2);
  unsigned int *word = (unsigned int *)((size_t)a & ~(size_t)2), old = *word, seen;
  do {
    seen = old;
    const half sum = __float2half(__half2float(__ushort_as_half((unsigned short)(seen >> shift))) + __half2float(v));
    old = atomicCAS(word, seen, (seen & ~(0xffffu << shift)) | (unsigned int)__half_as_ushort(sum) << shift);
  } while (old != seen);
}
#endif

#endif
