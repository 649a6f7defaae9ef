/* Records that C code keeps beyond a call: the registry of them, and what they own of torch. */
#ifndef FFI_EXT_KEPT_H
#define FFI_EXT_KEPT_H

#include "torch_bridge.h"

/* Once, when the runtime is loaded: 0, or -1 without resources. */
int ffi_kept_set_up(void);

/* The kept record of a torch tensor (see ffi_key_of) or storage, with a reference that is a call's;
 * NULL: there is none. Sets *reinterpreted if the storage is also kept as another element type. */
ffi_tensor *ffi_find_kept_tensor(void *key, int type);
ffi_storage *ffi_find_kept_storage(void *identity, int type, int *reinterpreted);
/* One that this thread's C changed and that is to be written back, with a reference to drop, or
 * NULL. */
ffi_tensor *ffi_find_changed_tensor(void);
/* A call's reference, which C may not give back, becomes one to drop. */
void ffi_take_back(int *lent);

/* A record that C still holds when the call ends gets references of its own, and is found again. */
void ffi_keep_tensor(ffi_tensor *t);
void ffi_keep_storage(ffi_storage *s);
/* The record has this reference on torch's tensor, and is found again when that is passed. */
void ffi_tensor_own_handle(ffi_tensor *t, void *handle);
/* Borrowed owners become our own: the tensor that was borrowed may be given another storage. 0, or
 * -1 without memory. */
int ffi_storage_own(ffi_storage *s);
/* Let go of torch's tensor behind a record. */
void ffi_tensor_release_handle(ffi_tensor *t);
void ffi_storage_release_owner(ffi_storage *s);

static inline int ffi_is_changed(const ffi_tensor *t) {
  return __atomic_load_n(&t->changed, __ATOMIC_ACQUIRE) != NULL;
}

#endif
