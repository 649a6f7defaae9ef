/* Memory, sizes in words, atomics, and the small functions of THGeneral.h and its neighbours. */
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "th_core.h"

static void (*gc_handler)(void *data);
static void *gc_data;

void THSetGCHandler(void (*torchGCHandlerFunction)(void *data), void *data) {
  gc_handler = torchGCHandlerFunction;
  gc_data = data;
}

/* The original counted the bytes to decide when to collect garbage; Python does that by itself. */
void THHeapUpdate(ptrdiff_t size) {}

void *THAlloc(ptrdiff_t size) {
  void *memory = NULL;
  if (size < 0) THError("$ Torch: invalid memory size -- maybe an overflow?");
  if (size == 0) return NULL;
  int failed = posix_memalign(&memory, 64, (size_t)size);
  if (failed && gc_handler) {
    gc_handler(gc_data);
    failed = posix_memalign(&memory, 64, (size_t)size);
  }
  if (failed)
    THError("$ Torch: not enough memory: you tried to allocate %dGB. Buy new RAM!",
            (int)(size / 1073741824));
  return memory;
}

void *THRealloc(void *ptr, ptrdiff_t size) {
  if (!ptr) return THAlloc(size);
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  if (size < 0) THError("$ Torch: invalid memory size -- maybe an overflow?");
  void *memory = realloc(ptr, (size_t)size);
  if (!memory && gc_handler) {
    gc_handler(gc_data);
    memory = realloc(ptr, (size_t)size);
  }
  if (!memory)
    THError("$ Torch: not enough memory: you tried to reallocate %dGB. Buy new RAM!",
            (int)(size / 1073741824));
  return memory;
}

void THFree(void *ptr) { free(ptr); }

static void *default_malloc(void *ctx, ptrdiff_t size) { return THAlloc(size); }

static void *default_realloc(void *ctx, void *ptr, ptrdiff_t size) { return THRealloc(ptr, size); }

static void default_free(void *ctx, void *ptr) { THFree(ptr); }

THAllocator THDefaultAllocator = {default_malloc, default_realloc, default_free};

/* "[2 x 3]", cut with "..." where the buffer ends. */
THDescBuff _THSizeDesc(const int64_t *size, const int64_t ndim) {
  THDescBuff buffer;
  const size_t room = TH_DESC_BUFF_LEN;
  size_t used = 0;
  used += (size_t)snprintf(buffer.str, room, "[");
  for (int64_t i = 0; i < ndim && used < room; i++)
    used += (size_t)snprintf(buffer.str + used, room - used, i + 1 < ndim ? "%lld x " : "%lld",
                             (long long)size[i]);
  if (used < room - 1)
    snprintf(buffer.str + used, room - used, "]");
  else
    snprintf(buffer.str + room - 5, 5, "...]");
  return buffer;
}

THDescBuff THLongStorage_sizeDesc(const THLongStorage *size) {
  return _THSizeDesc(size->data, size->size);
}

int THSize_isSameSizeAs(const int64_t *sizeA, int64_t dimsA, const int64_t *sizeB, int64_t dimsB) {
  if (dimsA != dimsB) return 0;
  for (int64_t d = 0; d < dimsA; d++)
    if (sizeA[d] != sizeB[d]) return 0;
  return 1;
}

ptrdiff_t THSize_nElement(int64_t dims, int64_t *size) {
  ptrdiff_t elements = dims > 0;
  for (int64_t d = 0; d < dims; d++) elements *= size[d];
  return elements;
}

double THLog1p(const double x) { return log1p(x); }

/* OpenMP's, where the process has it; extensions and torch then share it. */
static void *openmp(const char *name) { return dlsym(RTLD_DEFAULT, name); }

int THGetNumThreads(void) {
  int (*get)(void) = (int (*)(void))openmp("omp_get_max_threads");
  return get ? get() : 1;
}
void THSetNumThreads(int num_threads) {
  void (*set)(int) = (void (*)(int))openmp("omp_set_num_threads");
  if (set && num_threads > 0) set(num_threads);
}
void THInferNumThreads(void) { THSetNumThreads(THGetNumCores()); }

int THGetNumCores(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }

void TH_float2halfbits(float *source, unsigned short *destination) {
  uint32_t bits;
  memcpy(&bits, source, sizeof bits);
  uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { /* NaN */
    *destination = (unsigned short)0x7fffu;
  } else if (magnitude > 0x477fefffu) { /* rounds to more than the largest half */
    *destination = (unsigned short)(sign | 0x7c00u);
  } else if (magnitude < 0x38800000u) { /* subnormal */
    float scaled;                       /* such that the float unit rounds to even for us */
    memcpy(&scaled, &magnitude, sizeof scaled);
    scaled *= 16777216.0f; /* 2^24 */
    *destination = (unsigned short)(sign | (uint32_t)rintf(scaled));
  } else {
    uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    *destination = (unsigned short)(sign | ((rounded - 0x38000000u) >> 13));
  }
}

void TH_halfbits2float(unsigned short *source, float *destination) {
  uint32_t half = *source, sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31u,
           fraction = half & 0x3ffu, bits;
  if (exponent == 0) {
    float value = (float)fraction / 16777216.0f;
    memcpy(&bits, &value, sizeof bits);
  } else {
    bits = (exponent == 31 ? 0x7f800000u : (exponent + 112u) << 23) | fraction << 13;
  }
  bits |= sign;
  memcpy(destination, &bits, sizeof bits);
}

THHalf TH_float2half(float value) {
  THHalf half;
  TH_float2halfbits(&value, &half.x);
  return half;
}

float TH_half2float(THHalf half) {
  float value;
  TH_halfbits2float(&half.x, &value);
  return value;
}

#define ATOMICS(SUFFIX, TYPE)                                                                 \
  void THAtomicSet##SUFFIX(TYPE volatile *a, TYPE newvalue) {                                 \
    __atomic_store_n(a, newvalue, __ATOMIC_SEQ_CST);                                          \
  }                                                                                           \
  TYPE THAtomicGet##SUFFIX(TYPE volatile *a) { return __atomic_load_n(a, __ATOMIC_SEQ_CST); } \
  TYPE THAtomicAdd##SUFFIX(TYPE volatile *a, TYPE value) {                                    \
    return __atomic_fetch_add(a, value, __ATOMIC_SEQ_CST);                                    \
  }                                                                                           \
  TYPE THAtomicCompareAndSwap##SUFFIX(TYPE volatile *a, TYPE oldvalue, TYPE newvalue) {       \
    return __atomic_compare_exchange_n(a, &oldvalue, newvalue, 0, __ATOMIC_SEQ_CST,           \
                                       __ATOMIC_SEQ_CST);                                     \
  }
ATOMICS(, int32_t)
ATOMICS(Long, int64_t)
ATOMICS(Ptrdiff, ptrdiff_t)

void THAtomicIncrementRef(int32_t volatile *a) { THAtomicAdd(a, 1); }
int32_t THAtomicDecrementRef(int32_t volatile *a) { return THAtomicAdd(a, -1) == 1; }
