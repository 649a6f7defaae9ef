/* The types of the THC C interface of PyTorch 0.3.1: what a header with THCuda*Tensor * parameters needs.
 *
 * The functions on them are not part of this version: a source that calls one fails at build time, by name. */
#ifndef THC_INC
#define THC_INC

#include <TH/TH.h>

#if defined(__has_include)
#if __has_include(<cuda_runtime.h>)
#include <cuda_runtime.h>
#endif
#endif

#define THC_API TH_API
#define THC_EXTERNC TH_EXTERNC

typedef struct THCState THCState;

/* Fields as in THStorage and THTensor, and the device. */
#define THC_RECORDS(NAME, TYPE)                \
  typedef struct THCuda##NAME##Storage {       \
    TYPE *data;                                \
    ptrdiff_t size;                            \
    int refcount;                              \
    char flag;                                 \
    THAllocator *allocator;                    \
    void *allocatorContext;                    \
    struct THCuda##NAME##Storage *view;        \
    int device;                                \
  } THCuda##NAME##Storage;                     \
  typedef struct THCuda##NAME##Tensor {        \
    int64_t *size;                             \
    int64_t *stride;                           \
    int nDimension;                            \
    THCuda##NAME##Storage *storage;            \
    ptrdiff_t storageOffset;                   \
    int refcount;                              \
    char flag;                                 \
  } THCuda##NAME##Tensor;

THC_RECORDS(, float)
THC_RECORDS(Double, double)
THC_RECORDS(Byte, uint8_t)
THC_RECORDS(Char, int8_t)
THC_RECORDS(Short, int16_t)
THC_RECORDS(Int, int32_t)
THC_RECORDS(Long, int64_t)
THC_RECORDS(Half, THHalf)

#undef THC_RECORDS

#endif
