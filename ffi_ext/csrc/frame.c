/* A call's tensor records: made from torch tensors when it starts, written back and released when
 * it ends. */
#include "frame.h"

#include "kept.h"
#include "turn.h"

static void set_storage(ffi_storage *s, const ffi_view *view) {
  const ptrdiff_t size = view->storage_bytes >> ffi_type_shift[view->type];
  /* What C kept, other threads may be reading. */
  if (s->owned && s->data == view->storage_data && s->size == size) return;
  s->data = view->storage_data;
  s->size = size;
  s->identity = view->identity;
  s->cuda = (unsigned char)view->cuda;
  s->device = view->cuda - 1;
}

/* Whether a pointer is certainly none of those that were asked about before: spares the search for
 * it among the arguments. Torch's blocks are 64 bytes apart. */
static int is_new(uint64_t *seen, const void *pointer) {
  const uint64_t bit = UINT64_C(1) << ((uintptr_t)pointer >> 6 & 63);
  const int found = (*seen & bit) != 0;
  *seen |= bit;
  return !found;
}

/* Returns two references: the record's and the frame's. Tensors of this call that share a torch
 * storage share its record. */
static ffi_storage *enter_storage(ffi_frame *frame, const ffi_view *view) {
  int reinterpreted = 0;
  const int searched = is_new(&frame->identities, view->identity) ? 0 : frame->count;
  for (int i = 0; i < searched; i++) {
    ffi_storage *known = frame->entries[i].storage;
    if (!known || known->identity != view->identity) continue;
    if (known->type == view->type) {
      __atomic_add_fetch(&known->refcount, 2, __ATOMIC_RELAXED);
      __atomic_add_fetch(&known->lent, 1, __ATOMIC_RELAXED);
      return known;
    }
    /* The same bytes as another element type: growing them through one record would strand the
     * other. */
    known->flag &= ~FFI_RESIZABLE;
    reinterpreted = 1;
  }
  ffi_storage *s = ffi_find_kept_storage(view->identity, view->type, &reinterpreted);
  if (s) {
    __atomic_add_fetch(&s->refcount, 1, __ATOMIC_RELAXED);
  } else {
    s = ffi_storage_try_alloc(view->type);
    if (!s) return NULL;
    s->owner = view->handle;
    s->refcount = 2;
    s->lent = 1;
  }
  ffi_turn turn;
  ffi_turn_begin(&turn, s->owned);
  set_storage(s, view);
  if (reinterpreted) s->flag &= ~FFI_RESIZABLE;
  ffi_turn_end(&turn);
  return s;
}

static int set_geometry(ffi_tensor *t, const ffi_view *view, int whole_storage) {
  static const int64_t one = 1;
  if (view->ndim == 1 && view->size[0] == 0 && !whole_storage) { /* C sees (0,) as the empty one */
    ffi_clear_sizes(t);
    t->nDimension = 0;
    t->storageOffset = 0;
    return 0;
  }
  const int n = view->ndim ? view->ndim : 1; /* and torch's () as [1] */
  if (n > t->capacity && ffi_tensor_try_reserve(t, n)) return -1;
  for (int i = 0; i < n; i++) {
    t->size[i] = view->ndim ? view->size[i] : one;
    t->stride[i] = view->ndim ? view->stride[i] : one;
  }
  t->nDimension = n;
  t->storageOffset = view->offset;
  return 0;
}

/* Brings a record that C kept up to what torch says now. Other threads may be reading it in C:
 * what stands is not written again. */
static int renew(ffi_tensor *t, const ffi_view *view, int whole_storage) {
  int same = t->nDimension == view->ndim && t->nDimension && t->storageOffset == view->offset;
  for (int i = 0; same && i < view->ndim; i++)
    same = t->size[i] == view->size[i] && t->stride[i] == view->stride[i];
  if (!same && set_geometry(t, view, whole_storage)) return -1;
  if (t->fixed != (view->requires_grad != 0)) t->fixed = view->requires_grad != 0;
  if (ffi_is_changed(t)) __atomic_store_n(&t->changed, NULL, __ATOMIC_RELAXED);
  return 0;
}

static int begin(ffi_tensor *t, const ffi_view *view, int whole_storage) {
  t->handle = view->handle;
  t->flag = FFI_REFCOUNTED;
  t->lent = 1;
  t->fixed = view->requires_grad != 0;
  t->cuda = (unsigned char)view->cuda;
  return set_geometry(t, view, whole_storage);
}

/* The record's storage becomes that of the view, which a call has a reference on, too. */
static int join_storage(ffi_tensor *t, ffi_frame *frame, const ffi_view *view,
                        ffi_storage **joined) {
  ffi_storage *before = t->storage; /* of a kept record */
  ffi_storage *s = t->nDimension ? enter_storage(frame, view) : NULL;
  if (t->nDimension && !s) return -1;
  if (s != before) t->storage = s;
  ffi_storage_drop(before);
  *joined = s;
  return 0;
}

ffi_tensor *ffi_enter(ffi_frame *frame, const ffi_view *view, PyObject *object, int writable,
                      int whole_storage) {
  void *key = ffi_key_of(view->handle);
  const int searched = is_new(&frame->keys, key) ? 0 : frame->count;
  for (int i = 0; i < searched; i++) {
    ffi_entry *entry = &frame->entries[i];
    if (entry->key != key || whole_storage != (entry->storage && !entry->tensor->nDimension))
      continue;
    entry->bump |= writable && view->requires_grad;
    return entry->tensor;
  }
  ffi_entry *entry = &frame->entries[frame->count];
  ffi_tensor *kept = ffi_find_kept_tensor(key, view->type);
  ffi_tensor *t = kept ? kept : ffi_tensor_try_alloc(view->type);
  ffi_turn turn;
  ffi_turn_begin(&turn, kept != NULL);
  const int failed = !t || (kept ? renew(t, view, whole_storage) : begin(t, view, whole_storage)) ||
                     join_storage(t, frame, view, &entry->storage);
  ffi_turn_end(&turn);
  if (failed) {
    PyErr_NoMemory();
    if (t) ffi_take_back(&t->lent);
    ffi_tensor_drop(t);
    return NULL;
  }

  entry->tensor = t;
  entry->object = object;
  entry->key = key;
  entry->identity = view->identity;
  entry->storage_bytes = view->storage_bytes;
  entry->bump = writable && view->requires_grad;
  frame->count++;
  return t;
}

/* Torch says no to growing a storage that it does not own. An empty tensor's record has no storage
 * that could have been asked when C resized it, so it is asked now, by a resize to the size that it
 * has. */
static int may_replace(const ffi_entry *entry, char *text) {
  void *data;
  if (entry->storage || !entry->identity) return 0;
  return ffi_torch->grow(entry->tensor->handle, entry->identity, entry->storage_bytes, &data, text);
}

static int write_back(ffi_entry *entry, char *text) {
  ffi_tensor *t = entry->tensor;
  PyObject *adopted = NULL;
  __atomic_store_n(&t->changed, NULL, __ATOMIC_RELAXED);
  int failed = may_replace(entry, text);
  if (!failed) {
    void *owner = t->storage ? ffi_owner_of(t->storage, &adopted) : NULL;
    if (!owner && PyErr_Occurred()) return -1;
    failed = ffi_torch->assign(t->handle, owner ? owner : t->handle, t, text);
    ffi_keep_in_place(t->storage, adopted);
    Py_XDECREF(adopted);
  }
  if (failed) ffi_raise(PyExc_RuntimeError, text);
  return failed;
}

/* The first thing that went wrong while a call ended. What is left to do runs Python code, which
 * must not begin with an exception set. */
typedef struct first_error {
  PyObject *type, *value, *traceback;
} first_error;

static void set_aside(first_error *first) {
  if (first->type) {
    PyErr_Clear();
    return;
  }
  if (!PyErr_Occurred()) PyErr_NoMemory();
  PyErr_Fetch(&first->type, &first->value, &first->traceback);
}

/* Records that this thread's C kept and changed, whose tensors were not arguments of this call. */
static void write_back_kept(first_error *error) {
  char text[FFI_TEXT_ROOM];
  ffi_tensor *t;
  while ((t = ffi_find_changed_tensor())) {
    ffi_turn turn;
    ffi_turn_begin(&turn, 1);
    ffi_entry entry = {.tensor = t, .storage = t->storage};
    if (ffi_is_changed(t) && write_back(&entry, text)) set_aside(error);
    ffi_turn_end(&turn);
    ffi_tensor_drop(t);
  }
}

static void write_back_all(ffi_frame *frame, first_error *error) {
  char text[FFI_TEXT_ROOM];
  int changed = 0;
  for (int i = 0; i < frame->count; i++) {
    ffi_entry *entry = &frame->entries[i];
    if (!ffi_is_changed(entry->tensor)) continue;
    changed = 1;
    /* Two tensors that swap storages each need the other's from before. */
    ffi_storage *s = entry->tensor->storage;
    if (s && s != entry->storage && ffi_storage_own(s)) set_aside(error);
  }
  for (int i = 0; changed && i < frame->count; i++)
    if (ffi_is_changed(frame->entries[i].tensor) && write_back(&frame->entries[i], text))
      set_aside(error);
  write_back_kept(error);
}

static void leave_tensor(ffi_tensor *t) {
  ffi_take_back(&t->lent);
  if (ffi_count(&t->refcount) > 1) ffi_keep_tensor(t);
  ffi_tensor_drop(t);
}

/* Nearly every argument: C kept neither the tensor nor the storage, nothing else of this call
 * shares them, and both still belong together. */
static int is_alone(const ffi_entry *entry) {
  const ffi_tensor *t = entry->tensor;
  const ffi_storage *s = entry->storage;
  return !t->owned && ffi_count(&t->refcount) == 1 && t->storage == s &&
         (!s || (!s->owned && ffi_count(&s->refcount) == 2));
}

static inline int all_alone(const ffi_frame *frame) {
  for (int i = 0; i < frame->count; i++)
    if (!is_alone(&frame->entries[i])) return 0;
  return 1;
}

/* A storage that C freed once without a reference of its own: the call's record and the call itself
 * hold one each, and need them. */
static void forgive(const ffi_frame *frame, ffi_storage *s) {
  int held = 0;
  for (int i = 0; s && i < frame->count; i++)
    held += (frame->entries[i].storage == s) + (frame->entries[i].tensor->storage == s);
  if (s && ffi_count(&s->refcount) < held) s->refcount = held;
}

int ffi_leave(ffi_frame *frame) {
  first_error error = {NULL, NULL, NULL};
  int rest = 0;
  ffi_turn turn;
  ffi_turn_begin(&turn, !all_alone(frame));
  write_back_all(frame, &error);
  for (int i = 0; i < frame->count; i++) {
    ffi_entry *entry = &frame->entries[i];
    /* Not in an autograd Function, where recording is off: headers of old know no const, and what
     * they only read would look overwritten each time it is used again. mark_dirty is for the rest.
     */
    if (entry->bump) ffi_torch->bump_version(entry->tensor->handle, 0);
  }
  for (int i = 0; i < frame->count; i++) {
    ffi_entry *entry = &frame->entries[i];
    if (is_alone(entry)) {
      if (entry->storage) entry->storage->refcount = 1;
      ffi_tensor_dispose(entry->tensor);
    } else {
      frame->entries[rest++] = *entry;
    }
  }
  frame->count = rest;
  for (int i = 0; i < rest; i++) forgive(frame, frame->entries[i].storage);
  /* A kept tensor's storage must be kept too, while the tensor that it was borrowed from still has
   * it. */
  for (int i = 0; i < frame->count; i++) {
    ffi_tensor *t = frame->entries[i].tensor;
    if (ffi_count(&t->refcount) > 1 && t->storage) ffi_keep_storage(t->storage);
    leave_tensor(t);
  }
  for (int i = 0; i < frame->count; i++) {
    ffi_storage *s = frame->entries[i].storage;
    if (!s) continue;
    ffi_take_back(&s->lent);
    if (ffi_count(&s->refcount) > 1) {
      int shared = 0; /* by a later entry of this call */
      for (int k = i + 1; k < frame->count; k++) shared += frame->entries[k].storage == s;
      if (ffi_count(&s->refcount) > 1 + shared) ffi_keep_storage(s);
    }
    ffi_storage_drop(s);
  }
  ffi_turn_end(&turn);
  if (!error.type) return 0;
  PyErr_Restore(error.type, error.value, error.traceback);
  return -1;
}
