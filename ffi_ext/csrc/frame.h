/* One call's tensors: from torch tensors to records when it starts, and back to torch when it ends.
 */
#ifndef FFI_EXT_FRAME_H
#define FFI_EXT_FRAME_H

#include "ffi_ext/abi.h"
#include "torch_bridge.h"

typedef struct ffi_entry {
  ffi_tensor *tensor;
  ffi_storage *storage; /* the one it came with; kept by a reference of the frame's */
  PyObject *object;     /* borrowed: the arguments are alive during the call */
  void *key;            /* see ffi_key_of */
  void *identity;       /* StorageImpl, also of an empty tensor, whose record has no storage */
  ptrdiff_t storage_bytes;
  char bump; /* its data may change under autograd's eyes */
} ffi_entry;

typedef struct ffi_frame {
  int count;
  uint64_t keys, identities; /* a bit for each that is among the entries: see is_new() */
  ffi_entry entries[FFI_EXT_MAX_ARGUMENTS];
} ffi_frame;

/* The record of a tensor argument. `writable`: the C function may write to it. `whole_storage`: it
 * stands for its storage, which must have a record even when it is empty. `object` may differ from
 * the argument (a NumPy array's tensor) and must live until ffi_leave. NULL with MemoryError set
 * when there is no memory. */
ffi_tensor *ffi_enter(ffi_frame *frame, const ffi_view *view, PyObject *object, int writable,
                      int whole_storage);

/* Writes changed shapes back to torch and releases the records. Returns 0, or -1 with a Python
 * exception set when torch refuses a change. Call with the GIL held, no exception set, and once,
 * whatever the C function did. */
int ffi_leave(ffi_frame *frame);

/* results.c: a returned TH*Tensor * as a Python object (new reference), taking over the reference;
 * before ffi_leave. */
PyObject *ffi_tensor_result(ffi_frame *frame, ffi_tensor *t);
/* A returned TH*Storage * as a 1-dim tensor over all of it (new reference), taking over the
 * reference. */
PyObject *ffi_storage_result(ffi_frame *frame, ffi_storage *s);

/* A torch tensor on a record's memory as it stands (new reference; GIL held). */
PyObject *ffi_tensor_alias(ffi_tensor *t);

#endif
