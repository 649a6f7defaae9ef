/* Tensor and storage records: what C code sees as THFloatTensor and friends, and what the runtime
 * keeps behind them. */
#ifndef FFI_EXT_RECORD_H
#define FFI_EXT_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "element_types.h"
#include "ffi_ext/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of 0.3.1. */
#define FFI_REFCOUNTED 1
#define FFI_RESIZABLE 2
#define FFI_FREEMEM 4

struct THAllocator;

/* The first fields are THStorage's of PyTorch 0.3.1, of whatever element type; C code reads them.
 */
typedef struct ffi_storage {
  void *data;
  ptrdiff_t size; /* elements */
  int refcount;   /* atomic */
  char flag;
  struct THAllocator *allocator; /* NULL: torch owns the memory (`owner`); of a CUDA storage a
                                    THCDeviceAllocator */
  void *allocatorContext;
  struct ffi_storage *view;
  int device; /* THC's: the index of the GPU */

  unsigned char type;
  unsigned char cuda; /* device + 1; 0: on the CPU */
  char owned; /* `owner` is a reference of ours, to release; else it is borrowed for the length of a
                 call */
  char kept;  /* it is in the registry; written under its lock */
  void *owner;    /* a torch tensor handle (at::Tensor *) on this storage; NULL: no torch storage
                     behind it */
  void *identity; /* torch's StorageImpl, or NULL */
  int lent;       /* calls under way that hold a reference; atomic as refcount */
  struct ffi_storage *next; /* in the pool or in the registry of kept records */
} ffi_storage;

#define FFI_INLINE_DIMS 8

/* The first fields are THTensor's of PyTorch 0.3.1. `size` and `stride` point to the inline arrays
 * up to 8 dimensions. */
typedef struct ffi_tensor {
  int64_t *size;
  int64_t *stride;
  int nDimension;
  ffi_storage *storage; /* NULL for an empty tensor */
  ptrdiff_t storageOffset;
  int refcount; /* atomic */
  char flag;

  unsigned char type;
  unsigned char cuda; /* as of a storage; says where a storage goes that is made when it grows */
  char owned;         /* `handle` is a reference of ours */
  char fixed;         /* may not change its geometry: a leaf that requires grad */
  char forgiven;      /* atomic. C has freed it once without a reference */
  int capacity;       /* dimensions that size and stride have room for */
  int lent;           /* as of a storage */
  void *changed; /* atomic. Not NULL: geometry or storage differ from the torch tensor's, and the
                    runtime writes them back after the call; it says whose (kept.c) */
  void *handle;  /* the torch tensor (at::Tensor *) that this record is a view on; NULL for one made
                    in C */
  struct ffi_tensor *next;
  int64_t inline_size[FFI_INLINE_DIMS];
  int64_t inline_stride[FFI_INLINE_DIMS];
} ffi_tensor;

/* How many references there are: others may be counting. */
static inline int ffi_count(const int *refcount) {
  return __atomic_load_n(refcount, __ATOMIC_ACQUIRE);
}

/* Gives up a reference; whether it was the last. An atomic step costs as much as the rest of a
 * record's way back to the pool, and the last reference needs none: nobody else can have one, but
 * for records that C kept (`owned`), which other calls find in a registry. */
static inline int ffi_was_last(int *refcount, char owned) {
  if (!owned && ffi_count(refcount) == 1) return 1;
  return __atomic_sub_fetch(refcount, 1, __ATOMIC_ACQ_REL) == 0;
}

/* records.c: from the thread's pool; refcount 1, everything else zero. They do not touch torch. */
ffi_tensor *ffi_tensor_alloc(int type);
/* Of the empty tensor, which has no dimensions: C that loops up to size[0] ends there. */
__attribute__((cold)) void ffi_clear_sizes(ffi_tensor *t);
ffi_storage *ffi_storage_alloc(int type);
/* The same where no C function is under way that an error could end: NULL or -1, no memory. */
ffi_tensor *ffi_tensor_try_alloc(int type);
ffi_storage *ffi_storage_try_alloc(int type);
int ffi_tensor_try_reserve(ffi_tensor *t, int n);
/* The last reference is gone: release what the record holds and put it back into the pool. */
void ffi_tensor_dispose(ffi_tensor *t);
void ffi_storage_dispose(ffi_storage *s);
/* References, NULL allowed. */
void ffi_storage_take(ffi_storage *s);
/* What C gives back (THTensor_free ...): throws where it has no reference, since it freed the
 * record before or never retained an argument; one that a call holds may be freed once. */
void ffi_storage_give_back(ffi_storage *s);
void ffi_tensor_give_back(ffi_tensor *t);
void ffi_storage_drop(ffi_storage *s);
void ffi_tensor_drop(ffi_tensor *t);
/* Once, when the runtime is loaded: 0, or -1 without resources. */
int ffi_records_set_up(void);
/* kept.c: whether every reference is a call's, or none is left. */
int ffi_only_lent(const int *refcount, const int *lent);
/* Make room for n dimensions, whose sizes and strides the caller sets. Throws without memory. */
void ffi_tensor_reserve(ffi_tensor *t, int n);
/* kept.c. Call after any change of size, stride, nDimension, storage or storageOffset of a record.
 */
void ffi_tensor_mark_changed(ffi_tensor *t);

/* storage_memory.c: throws where there is no such size. */
ptrdiff_t ffi_bytes_of(ptrdiff_t elements, int type);

/* storage_memory.c: the bytes of a storage whose allocator is NULL live in torch. Each throws
 * (ffi_throw) and leaves the storage as it was when it fails; `resize` keeps the data and never
 * runs on another thread's storage. Both set data and size. */
void ffi_storage_new_memory(ffi_storage *s, ptrdiff_t elements);
void ffi_storage_resize_memory(ffi_storage *s, ptrdiff_t elements);

/* guard.cpp: raises in C. A thread that no call waits for prints the text and aborts. Never
 * returns. */
void ffi_throw(const char *message) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif
#endif
