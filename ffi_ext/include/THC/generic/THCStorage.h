/* THCuda<Type>Storage: the record and its functions. */
#ifndef THC_GENERIC_FILE
#define THC_GENERIC_FILE "generic/THCStorage.h"
#else

#ifndef FFI_EXT_DEFINE_THC /* the runtime includes this list again */
typedef struct THCStorage {
  real *data; /* on the device */
  ptrdiff_t size;
  int refcount;
  char flag;
  THCDeviceAllocator *allocator;
  void *allocatorContext;
  struct THCStorage *view;
  int device;
} THCStorage;
#endif

/* clang-format off: one line a function; what TH's function of that name does with the record. */
THC_FORWARD_STORAGE(void, clearFlag, (THCState *state, THCStorage *storage, const char flag), ((THStorage *)storage, flag))
THC_FORWARD_STORAGE(real *, data, (THCState *state, const THCStorage *storage), ((THStorage *)storage))
THC_FORWARD_STORAGE(int, elementSize, (THCState *state), ())
THC_FORWARD_STORAGE(void, free, (THCState *state, THCStorage *storage), ((THStorage *)storage))
THC_FORWARD_STORAGE(void, resize, (THCState *state, THCStorage *storage, ptrdiff_t size), ((THStorage *)storage, size))
THC_FORWARD_STORAGE(void, retain, (THCState *state, THCStorage *storage), ((THStorage *)storage))
THC_FORWARD_STORAGE(void, setFlag, (THCState *state, THCStorage *storage, const char flag), ((THStorage *)storage, flag))
THC_FORWARD_STORAGE(ptrdiff_t, size, (THCState *state, const THCStorage *storage), ((THStorage *)storage))
/* clang-format on */

THC_API void THCStorage_(fill)(THCState *state, THCStorage *storage, real value);
THC_API void THCStorage_(rawCopy)(THCState *state, THCStorage *storage, real *src);
THC_API real THCStorage_(get)(THCState *state, const THCStorage *storage, ptrdiff_t index);
THC_API int THCStorage_(getDevice)(THCState *state, const THCStorage *storage);
THC_API THCStorage *THCStorage_(new)(THCState *state);
THC_API THCStorage *THCStorage_(newWithSize)(THCState *state, ptrdiff_t size);
THC_API THCStorage *THCStorage_(newWithSize1)(THCState *state, real);
THC_API THCStorage *THCStorage_(newWithSize2)(THCState *state, real, real);
THC_API THCStorage *THCStorage_(newWithSize3)(THCState *state, real, real, real);
THC_API THCStorage *THCStorage_(newWithSize4)(THCState *state, real, real, real, real);
THC_API THCStorage *THCStorage_(newWithAllocator)(THCState *state, ptrdiff_t size,
                                                  THCDeviceAllocator *allocator,
                                                  void *allocatorContext);
THC_API THCStorage *THCStorage_(newWithData)(THCState *state, real *data, ptrdiff_t size);
THC_API THCStorage *THCStorage_(newWithDataAndAllocator)(THCState *state, real *data,
                                                         ptrdiff_t size,
                                                         THCDeviceAllocator *allocator,
                                                         void *allocatorContext);
THC_API THCStorage *THCStorage_(newWithMapping)(THCState *state, const char *filename,
                                                ptrdiff_t size, int shared);
THC_API void THCStorage_(set)(THCState *state, THCStorage *storage, ptrdiff_t index, real value);

#endif
