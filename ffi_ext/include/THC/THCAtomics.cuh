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

#endif
