/* Records that C returns, as torch tensors and storages. */
#include <string.h>

#include "frame.h"
#include "kept.h"
#include "turn.h"

static ffi_entry *entry_of(ffi_frame *frame, const ffi_tensor *t) {
  for (int i = 0; i < frame->count; i++)
    if (frame->entries[i].tensor == t) return &frame->entries[i];
  return NULL;
}

static PyObject *freed_result(void) {
  return ffi_raise(PyExc_RuntimeError, "the C function returned a record that it had freed");
}

/* A record made in C that nobody else has, on memory made for it in this call. */
static int is_new_and_alone(const ffi_tensor *t) {
  if (ffi_count(&t->refcount) != 1 || t->handle || t->cuda) return 0;
  const ffi_storage *s = t->storage;
  return t->nDimension && s && ffi_count(&s->refcount) == 1 && s->owned && !s->kept;
}

/* The storage's own tensor becomes the result. */
static PyObject *new_object(const ffi_tensor *t) {
  void *owner = t->storage->owner;
  char text[FFI_TEXT_ROOM];
  if (ffi_torch->assign(owner, owner, t, text)) return ffi_raise(PyExc_RuntimeError, text);
  return ffi_torch->object(owner);
}

/* A torch tensor on the memory of a record's storage, for the length of the call alone unless it
 * lasts; see ffi_operations.make. */
static PyObject *made_of(const ffi_tensor *t, int lasts, void **kept) {
  PyObject *adopted = NULL;
  void *owner = t->storage ? ffi_owner_of(t->storage, &adopted) : NULL;
  if (!owner && PyErr_Occurred()) return NULL;
  PyObject *result = ffi_torch->make(owner, t, kept);
  if (lasts) ffi_keep_in_place(t->storage, adopted);
  Py_XDECREF(adopted);
  return result;
}

/* The object of a record that C has kept, or may go on with. */
static PyObject *object_of(ffi_tensor *t) {
  if (t->handle) return ffi_torch->object(t->handle); /* from an earlier call */
  void *handle = NULL;
  PyObject *result = made_of(t, 1, ffi_count(&t->refcount) > 1 ? &handle : NULL);
  if (handle && t->handle) { /* Python code ran, and another thread's call has made its object */
    ffi_torch->release(handle);
    Py_DECREF(result);
    return ffi_torch->object(t->handle);
  }
  if (handle) { /* C goes on with this record: what it does to it must show in the tensor */
    ffi_tensor_own_handle(t, handle);
    if (t->storage) ffi_keep_storage(t->storage);
  }
  return result;
}

PyObject *ffi_tensor_result(ffi_frame *frame, ffi_tensor *t) {
  ffi_entry *entry = entry_of(frame, t);
  if (entry) { /* an argument: with a reference to take over (after retain), or without */
    if (ffi_count(&t->refcount) > 1) __atomic_sub_fetch(&t->refcount, 1, __ATOMIC_ACQ_REL);
    return Py_NewRef(entry->object);
  }
  if (ffi_count(&t->refcount) <= 0) return freed_result();
  ffi_turn turn;
  const int alone = is_new_and_alone(t);
  ffi_turn_begin(&turn, !alone);
  PyObject *result = alone ? new_object(t) : object_of(t);
  ffi_tensor_drop(t);
  ffi_turn_end(&turn);
  return result;
}

PyObject *ffi_tensor_alias(ffi_tensor *t) { return made_of(t, 0, NULL); }

/* A 1-dim tensor over all of the storage. */
static PyObject *whole_of(ffi_storage *s) {
  ffi_tensor whole;
  memset(&whole, 0, sizeof whole);
  int64_t size = s->size, stride = 1;
  whole.size = &size;
  whole.stride = &stride;
  whole.nDimension = 1;
  whole.storage = s;
  whole.type = s->type;
  whole.cuda = s->cuda;
  return made_of(&whole, 1, NULL);
}

PyObject *ffi_storage_result(ffi_frame *frame, ffi_storage *s) {
  if (ffi_count(&s->refcount) <= 0) return freed_result();
  ffi_turn turn;
  ffi_turn_begin(&turn, 1);
  PyObject *result = whole_of(s);
  int held = 0; /* by the frame: the reference of an argument's storage that was not retained is not
                   ours to drop */
  for (int i = 0; i < frame->count; i++)
    if (frame->entries[i].storage == s) held += 1 + (frame->entries[i].tensor->storage == s);
  if (ffi_count(&s->refcount) > 1 && !held) ffi_keep_storage(s);
  if (ffi_count(&s->refcount) > held && __atomic_sub_fetch(&s->refcount, 1, __ATOMIC_ACQ_REL) == 0)
    ffi_storage_dispose(s);
  ffi_turn_end(&turn);
  return result;
}
