/* Storages of one element type: the record and its functions. */
#ifndef TH_GENERIC_FILE
#define TH_GENERIC_FILE "generic/THStorage.h"
#else

typedef struct THStorage {
  real *data;
  ptrdiff_t size;
  int refcount;
  char flag;
  THAllocator *allocator;
  void *allocatorContext;
  struct THStorage *view;
} THStorage;

TH_API void THStorage_(clearFlag)(THStorage *storage, const char flag);
TH_API real* THStorage_(data)(const THStorage*);
TH_API size_t THStorage_(elementSize)(void);
TH_API void THStorage_(fill)(THStorage *storage, real value);
TH_API void THStorage_(free)(THStorage *storage);
TH_API real THStorage_(get)(const THStorage*, ptrdiff_t);
TH_API THStorage* THStorage_(new)(void);
TH_API THStorage* THStorage_(newWithAllocator)(ptrdiff_t size, THAllocator* allocator,
    void *allocatorContext);
TH_API THStorage* THStorage_(newWithData)(real *data, ptrdiff_t size);
TH_API THStorage* THStorage_(newWithDataAndAllocator)( real* data, ptrdiff_t size,
    THAllocator* allocator, void *allocatorContext);
TH_API THStorage* THStorage_(newWithMapping)(const char *filename, ptrdiff_t size, int flags);
TH_API THStorage* THStorage_(newWithSize)(ptrdiff_t size);
TH_API THStorage* THStorage_(newWithSize1)(real);
TH_API THStorage* THStorage_(newWithSize2)(real, real);
TH_API THStorage* THStorage_(newWithSize3)(real, real, real);
TH_API THStorage* THStorage_(newWithSize4)(real, real, real, real);
TH_API void THStorage_(resize)(THStorage *storage, ptrdiff_t size);
TH_API void THStorage_(retain)(THStorage *storage);
TH_API void THStorage_(set)(THStorage*, ptrdiff_t, real);
TH_API void THStorage_(setFlag)(THStorage *storage, const char flag);
TH_API ptrdiff_t THStorage_(size)(const THStorage*);
TH_API void THStorage_(swap)(THStorage *storage1, THStorage *storage2);

#if defined(TH_REAL_IS_LONG)
TH_API int THLongStorage_inferExpandGeometry(int64_t *tensorSizes, int64_t *tensorStrides,
    int64_t tensorDim, THLongStorage *sizes, int64_t **expandedSizes, int64_t **expandedStrides,
    char *error_buffer, int buffer_len);
TH_API int THLongStorage_inferSize2(THLongStorage *output, int64_t *sizesA, int64_t dimsA,
    int64_t *sizesB, int64_t dimsB, char *error_buffer, int buffer_len);
TH_API int THLongStorage_inferSizeN(THLongStorage *output, int n, int64_t **sizes, int64_t *dims,
    char *error_buffer, int buffer_len);
TH_API THLongStorage * THLongStorage_newInferSize(THLongStorage *size, ptrdiff_t nElement);
TH_API THDescBuff THLongStorage_sizeDesc(const THLongStorage *size);
#endif

#endif
