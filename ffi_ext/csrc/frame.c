/* A call's tensor records: made from torch tensors when it starts, written back and released when
 * it ends. */
#include "frame.h"

#include <pthread.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "guard.h"

PyObject *ffi_adopt_helper;
Py_ssize_t ffi_handle_offset;
const ffi_operations *ffi_torch;

const int ffi_scalar_type[FFI_TYPES] = {
    [FFI_FLOAT] = FFI_EXT_FLOAT32, [FFI_DOUBLE] = FFI_EXT_FLOAT64, [FFI_LONG] = FFI_EXT_INT64,
    [FFI_INT] = FFI_EXT_INT32,     [FFI_SHORT] = FFI_EXT_INT16,    [FFI_CHAR] = FFI_EXT_INT8,
    [FFI_BYTE] = FFI_EXT_UINT8,    [FFI_HALF] = FFI_EXT_FLOAT16,
};

int ffi_type_of_scalar(int scalar_type) {
  static const signed char types[8] = {
      [FFI_EXT_UINT8] = FFI_BYTE,    [FFI_EXT_INT8] = FFI_CHAR,      [FFI_EXT_INT16] = FFI_SHORT,
      [FFI_EXT_INT32] = FFI_INT,     [FFI_EXT_INT64] = FFI_LONG,     [FFI_EXT_FLOAT16] = FFI_HALF,
      [FFI_EXT_FLOAT32] = FFI_FLOAT, [FFI_EXT_FLOAT64] = FFI_DOUBLE,
  };
  return scalar_type >= 0 && scalar_type < 8 ? types[scalar_type] : -1;
}

int ffi_scalar_bytes(int scalar_type) {
  static const unsigned char bytes[30] = {
      [FFI_EXT_UINT8] = 1,     [FFI_EXT_INT8] = 1,        [FFI_EXT_INT16] = 2,
      [FFI_EXT_INT32] = 4,     [FFI_EXT_INT64] = 8,       [FFI_EXT_FLOAT16] = 2,
      [FFI_EXT_FLOAT32] = 4,   [FFI_EXT_FLOAT64] = 8,     [FFI_EXT_COMPLEX32] = 4,
      [FFI_EXT_COMPLEX64] = 8, [FFI_EXT_COMPLEX128] = 16, [FFI_EXT_BOOL] = 1,
      [FFI_EXT_BFLOAT16] = 2,  [FFI_EXT_FLOAT8_E5M2] = 1, [FFI_EXT_FLOAT8_E4M3FN] = 1,
      [FFI_EXT_UINT16] = 2,    [FFI_EXT_UINT32] = 4,      [FFI_EXT_UINT64] = 8,
  };
  return scalar_type >= 0 && scalar_type < 30 ? bytes[scalar_type] : 0;
}

/* Records that C code kept beyond a call. The same torch tensor or storage passed again must meet
 * the same record: two records of one storage would each remember an address, and a resize through
 * one would leave the other dangling. */
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static ffi_tensor *kept_tensors;
static ffi_storage *kept_storages;

/* A child forked while another thread has the lock would wait for it forever. */
static void lock_kept(void) { pthread_mutex_lock(&kept_lock); }
static void unlock_kept(void) { pthread_mutex_unlock(&kept_lock); }

int ffi_frame_set_up(void) { return pthread_atfork(lock_kept, unlock_kept, unlock_kept) ? -1 : 0; }

/* Takes a reference unless the record is on its way out. */
static int take(int *refcount) {
  int seen = __atomic_load_n(refcount, __ATOMIC_RELAXED);
  while (seen > 0)
    if (__atomic_compare_exchange_n(refcount, &seen, seen + 1, 1, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED))
      return 1;
  return 0;
}

/* Calls begin and end while C counts, so a first "yes" about a kept record is asked again under the
 * lock. */
int ffi_only_lent(const int *refcount, const int *lent) {
  if (__atomic_load_n(refcount, __ATOMIC_ACQUIRE) > __atomic_load_n(lent, __ATOMIC_RELAXED))
    return 0;
  pthread_mutex_lock(&kept_lock);
  const int only =
      __atomic_load_n(refcount, __ATOMIC_ACQUIRE) <= __atomic_load_n(lent, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&kept_lock);
  return only;
}

/* A call's reference, which C may not give back, becomes one to drop. */
static void take_back(int *lent) {
  pthread_mutex_lock(&kept_lock);
  __atomic_sub_fetch(lent, 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&kept_lock);
}

static void *key_of(void *handle) { return ffi_handle_offset ? *(void **)handle : handle; }

static ffi_tensor *find_kept_tensor(void *key, int type) {
  if (!__atomic_load_n(&kept_tensors, __ATOMIC_ACQUIRE)) return NULL;
  pthread_mutex_lock(&kept_lock);
  ffi_tensor *t = kept_tensors;
  while (t && !(key_of(t->handle) == key && t->type == type && take(&t->refcount))) t = t->next;
  if (t) __atomic_add_fetch(&t->lent, 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&kept_lock);
  return t;
}

/* Sets *reinterpreted if the storage is also kept as another element type. */
static ffi_storage *find_kept_storage(void *identity, int type, int *reinterpreted) {
  if (!__atomic_load_n(&kept_storages, __ATOMIC_ACQUIRE)) return NULL;
  ffi_storage *found = NULL;
  pthread_mutex_lock(&kept_lock);
  for (ffi_storage *s = kept_storages; s; s = s->next) {
    if (s->identity != identity) continue;
    if (s->type != type)
      *reinterpreted = 1;
    else if (!found && take(&s->refcount))
      found = s;
  }
  if (found) __atomic_add_fetch(&found->lent, 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&kept_lock);
  return found;
}

#define REMOVE(list, record)                                                                 \
  do {                                                                                       \
    pthread_mutex_lock(&kept_lock);                                                          \
    for (void **at = (void **)&(list); *at;) {                                               \
      if (*at == (void *)(record)) {                                                         \
        __atomic_store_n(at, (record)->next, __ATOMIC_RELEASE); /* may be the list's head */ \
        break;                                                                               \
      }                                                                                      \
      at = (void **)&((__typeof__(record))*at)->next;                                        \
    }                                                                                        \
    pthread_mutex_unlock(&kept_lock);                                                        \
  } while (0)

/* The record has this reference on torch's tensor, and is found again when that is passed. */
static void own_handle(ffi_tensor *t, void *handle) {
  t->handle = handle;
  t->owned = 1;
  pthread_mutex_lock(&kept_lock);
  t->next = kept_tensors;
  __atomic_store_n(&kept_tensors, t, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&kept_lock);
}

/* A record that C still holds when the call ends gets references of its own. */
static int keep_tensor(ffi_tensor *t) {
  if (t->owned || !t->handle) return 0;
  void *owned = ffi_torch->keep(t->handle);
  if (!owned) return -1;
  own_handle(t, owned);
  return 0;
}

/* Borrowed owners become our own: the tensor that was borrowed may be given another storage. */
static int own_storage(ffi_storage *s) {
  if (s->owned || !s->owner) return 0;
  void *owned = ffi_torch->alias(s->owner);
  if (!owned) return -1;
  s->owner = owned;
  s->owned = 1;
  return 0;
}

static int is_kept(const ffi_storage *s) {
  pthread_mutex_lock(&kept_lock);
  const ffi_storage *k = kept_storages;
  while (k && k != s) k = k->next;
  pthread_mutex_unlock(&kept_lock);
  return k != NULL;
}

static int keep_storage(ffi_storage *s) {
  if (!s->owner || is_kept(s)) return 0;
  if (own_storage(s)) return -1;
  pthread_mutex_lock(&kept_lock);
  s->next = kept_storages;
  __atomic_store_n(&kept_storages, s, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&kept_lock);
  return 0;
}

void ffi_tensor_release_handle(ffi_tensor *t) {
  REMOVE(kept_tensors, t);
  ffi_torch->release(t->handle);
  t->handle = NULL;
  t->owned = 0;
}

void ffi_storage_release_owner(ffi_storage *s) {
  if (__atomic_load_n(&kept_storages, __ATOMIC_ACQUIRE)) REMOVE(kept_storages, s);
  ffi_torch->release(s->owner);
  s->owner = NULL;
  s->owned = 0;
}

/* Whose change it is: a call's thread, whose C may go on changing the record until that call ends;
 * or `nobody`, a thread of C's own (OpenMP's ...), for whom the next call that ends writes it back.
 */
static char nobody;

void ffi_tensor_mark_changed(ffi_tensor *t) {
  if (t->handle)
    __atomic_store_n(&t->changed, ffi_calls_under_way() ? ffi_this_thread() : &nobody,
                     __ATOMIC_RELEASE);
}

static int is_changed(ffi_tensor *t) {
  return __atomic_load_n(&t->changed, __ATOMIC_ACQUIRE) != NULL;
}

static int is_ours_to_write_back(ffi_tensor *t) {
  const void *whose = __atomic_load_n(&t->changed, __ATOMIC_ACQUIRE);
  return whose && (whose == &nobody || whose == ffi_this_thread());
}

ptrdiff_t ffi_bytes_of(ptrdiff_t elements, int type) {
  ptrdiff_t bytes;
  if (elements < 0 || __builtin_mul_overflow(elements, (ptrdiff_t)ffi_type_size[type], &bytes))
    ffi_throw("$ Torch: invalid memory size -- maybe an overflow?");
  return bytes;
}

/* A page of 4 KiB costs a fault when it is first touched: for large results more than computing
 * them, so the kernel is asked for pages of 2 MiB, as NumPy does for its arrays of this size. */
static void ask_for_huge_pages(void *data, ptrdiff_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t least = 4 << 20, page = 4096;
  if (bytes < (ptrdiff_t)least) return;
  const uintptr_t first = ((uintptr_t)data + page - 1) & ~(page - 1);
  madvise((void *)first, (uintptr_t)data + (uintptr_t)bytes - first, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

void ffi_storage_new_memory(ffi_storage *s, ptrdiff_t elements) {
  char text[FFI_TEXT_ROOM];
  const ptrdiff_t bytes = ffi_bytes_of(elements, s->type);
  void *owner = ffi_torch->create(s->type, s->cuda, elements, &s->data, &s->identity, text);
  if (!owner) ffi_throw(text);
  if (!s->cuda) ask_for_huge_pages(s->data, bytes);
  s->owner = owner;
  s->owned = 1;
  s->size = elements;
}

void ffi_storage_resize_memory(ffi_storage *s, ptrdiff_t elements) {
  char text[FFI_TEXT_ROOM];
  ptrdiff_t bytes = ffi_bytes_of(elements, s->type);
  if (!s->owner) {
    ffi_storage_new_memory(s, elements);
    return;
  }
  void *data = s->data;
  if (ffi_torch->grow(s->owner, s->identity, bytes, &data, text)) ffi_throw(text);
  if (!s->cuda && data != s->data) ask_for_huge_pages(data, bytes);
  s->data = data;
  s->size = elements;
}

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
  ffi_storage *s = find_kept_storage(view->identity, view->type, &reinterpreted);
  if (s) {
    __atomic_add_fetch(&s->refcount, 1, __ATOMIC_RELAXED);
  } else {
    s = ffi_storage_try_alloc(view->type);
    if (!s) return NULL;
    s->owner = view->handle;
    s->refcount = 2;
    s->lent = 1;
  }
  set_storage(s, view);
  if (reinterpreted) s->flag &= ~FFI_RESIZABLE;
  return s;
}

static int set_geometry(ffi_tensor *t, const ffi_view *view, int whole_storage) {
  static const int64_t one = 1;
  int empty = view->ndim == 1 && view->size[0] == 0 && !whole_storage;
  int n = empty        ? 0
          : view->ndim ? view->ndim
                       : 1; /* C sees torch's () as [1] and its (0,) as the empty tensor */
  if (n > t->capacity && ffi_tensor_try_reserve(t, n)) return -1;
  for (int i = 0; i < n; i++) {
    t->size[i] = view->ndim ? view->size[i] : one;
    t->stride[i] = view->ndim ? view->stride[i] : one;
  }
  t->nDimension = n;
  t->storageOffset = empty ? 0 : view->offset;
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
  if (is_changed(t)) __atomic_store_n(&t->changed, NULL, __ATOMIC_RELAXED);
  return 0;
}

static ffi_tensor *out_of_memory(ffi_tensor *t) {
  PyErr_NoMemory();
  if (t) take_back(&t->lent);
  ffi_tensor_drop(t);
  return NULL;
}

ffi_tensor *ffi_enter(ffi_frame *frame, const ffi_view *view, PyObject *object, int writable,
                      int whole_storage) {
  void *key = key_of(view->handle);
  const int searched = is_new(&frame->keys, key) ? 0 : frame->count;
  for (int i = 0; i < searched; i++) {
    ffi_entry *entry = &frame->entries[i];
    if (entry->key != key || whole_storage != (entry->storage && !entry->tensor->nDimension))
      continue;
    entry->bump |= writable && view->requires_grad;
    return entry->tensor;
  }
  ffi_entry *entry = &frame->entries[frame->count];
  ffi_tensor *t = find_kept_tensor(key, view->type);
  if (t) {
    if (renew(t, view, whole_storage)) return out_of_memory(t);
  } else {
    t = ffi_tensor_try_alloc(view->type);
    if (!t) return out_of_memory(NULL);
    t->handle = view->handle;
    t->flag = FFI_REFCOUNTED;
    t->lent = 1;
    if (set_geometry(t, view, whole_storage)) return out_of_memory(t);
    t->fixed = view->requires_grad != 0;
    t->cuda = (unsigned char)view->cuda;
  }
  ffi_storage *before = t->storage; /* of a kept record */
  ffi_storage *s = t->nDimension ? enter_storage(frame, view) : NULL;
  if (t->nDimension && !s) return out_of_memory(t);
  if (s != before) t->storage = s;
  ffi_storage_drop(before);

  entry->tensor = t;
  entry->storage = s;
  entry->object = object;
  entry->key = key;
  entry->identity = view->identity;
  entry->storage_bytes = view->storage_bytes;
  entry->bump = writable && view->requires_grad;
  frame->count++;
  return t;
}

/* Foreign memory (a storage made from a C pointer or an allocator of the user's) as a tensor of
 * torch's. */
static void drop_capsule(PyObject *capsule) {
  ffi_storage *s = PyCapsule_GetPointer(capsule, NULL);
  ffi_storage_drop(s);
}

static PyObject *adopt(ffi_storage *s) {
  PyObject *capsule = PyCapsule_New(s, NULL, drop_capsule);
  if (!capsule) return NULL;
  __atomic_add_fetch(&s->refcount, 1, __ATOMIC_RELAXED);
  PyObject *tensor =
      PyObject_CallFunction(ffi_adopt_helper, "KniiO", (unsigned long long)(uintptr_t)s->data,
                            (Py_ssize_t)(s->size * (ptrdiff_t)ffi_type_size[s->type]),
                            ffi_scalar_type[s->type], s->cuda, capsule);
  Py_DECREF(capsule);
  return tensor;
}

/* A handle on a tensor whose storage is s; *adopted holds it alive where s has none of its own. Of
 * a tensor that outlives the call the memory must stay where it is: see keep_in_place(). */
static void *owner_of(ffi_storage *s, PyObject **adopted) {
  *adopted = NULL;
  if (s->owner || s->size == 0) return s->owner;
  *adopted = adopt(s);
  return *adopted ? (ffi_handle_offset ? (void *)((char *)*adopted + ffi_handle_offset)
                                       : (void *)*adopted)
                  : NULL;
}

static void keep_in_place(ffi_storage *s, PyObject *adopted) {
  if (adopted) s->flag &= ~FFI_RESIZABLE;
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
    void *owner = t->storage ? owner_of(t->storage, &adopted) : NULL;
    if (!owner && PyErr_Occurred()) return -1;
    failed = ffi_torch->assign(t->handle, owner ? owner : t->handle, t, text);
    keep_in_place(t->storage, adopted);
    Py_XDECREF(adopted);
  }
  if (failed) PyErr_SetString(PyExc_RuntimeError, text);
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
  for (ffi_tensor *t = NULL;; t = NULL) {
    if (!__atomic_load_n(&kept_tensors, __ATOMIC_ACQUIRE)) return;
    pthread_mutex_lock(&kept_lock);
    for (t = kept_tensors; t && !(is_ours_to_write_back(t) && take(&t->refcount));) t = t->next;
    pthread_mutex_unlock(&kept_lock);
    if (!t) return;
    ffi_entry entry = {.tensor = t, .storage = t->storage};
    if (write_back(&entry, text)) set_aside(error);
    ffi_tensor_drop(t);
  }
}

static void write_back_all(ffi_frame *frame, first_error *error) {
  char text[FFI_TEXT_ROOM];
  int changed = 0;
  for (int i = 0; i < frame->count; i++) {
    ffi_entry *entry = &frame->entries[i];
    if (!is_changed(entry->tensor)) continue;
    changed = 1;
    /* Two tensors that swap storages each need the other's from before. */
    ffi_storage *s = entry->tensor->storage;
    if (s && s != entry->storage && own_storage(s)) set_aside(error);
  }
  if (!changed && !__atomic_load_n(&kept_tensors, __ATOMIC_ACQUIRE)) return;
  for (int i = 0; i < frame->count; i++)
    if (is_changed(frame->entries[i].tensor) && write_back(&frame->entries[i], text))
      set_aside(error);
  write_back_kept(error);
}

static void leave_tensor(ffi_tensor *t) {
  take_back(&t->lent);
  if (__atomic_load_n(&t->refcount, __ATOMIC_ACQUIRE) > 1) keep_tensor(t);
  ffi_tensor_drop(t);
}

/* Nearly every argument: C kept neither the tensor nor the storage, nothing else of this call
 * shares them, and both still belong together. */
static int is_alone(const ffi_entry *entry) {
  const ffi_tensor *t = entry->tensor;
  const ffi_storage *s = entry->storage;
  return t->storage == s && !t->owned && __atomic_load_n(&t->refcount, __ATOMIC_ACQUIRE) == 1 &&
         (!s || (!s->owned && __atomic_load_n(&s->refcount, __ATOMIC_ACQUIRE) == 2));
}

/* A storage that C freed once without a reference of its own: the call's record and the call itself
 * hold one each, and need them. */
static void forgive(const ffi_frame *frame, ffi_storage *s) {
  int held = 0;
  for (int i = 0; s && i < frame->count; i++)
    held += (frame->entries[i].storage == s) + (frame->entries[i].tensor->storage == s);
  if (s && s->refcount < held) s->refcount = held;
}

int ffi_leave(ffi_frame *frame) {
  first_error error = {NULL, NULL, NULL};
  int rest = 0;
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
    if (t->refcount > 1 && t->storage) keep_storage(t->storage);
    leave_tensor(t);
  }
  for (int i = 0; i < frame->count; i++) {
    ffi_storage *s = frame->entries[i].storage;
    if (!s) continue;
    take_back(&s->lent);
    if (__atomic_load_n(&s->refcount, __ATOMIC_ACQUIRE) > 1) {
      int shared = 0; /* by a later entry of this call */
      for (int k = i + 1; k < frame->count; k++) shared += frame->entries[k].storage == s;
      if (s->refcount > 1 + shared) keep_storage(s);
    }
    ffi_storage_drop(s);
  }
  if (!error.type) return 0;
  PyErr_Restore(error.type, error.value, error.traceback);
  return -1;
}

static ffi_entry *entry_of(ffi_frame *frame, const ffi_tensor *t) {
  for (int i = 0; i < frame->count; i++)
    if (frame->entries[i].tensor == t) return &frame->entries[i];
  return NULL;
}

static PyObject *freed_result(void) {
  PyErr_SetString(PyExc_RuntimeError, "the C function returned a record that it had freed");
  return NULL;
}

/* A record made in C that nobody else has, on memory made for it in this call. */
static int is_new_and_alone(const ffi_tensor *t) {
  const ffi_storage *s = t->storage;
  return !t->cuda && t->nDimension && t->refcount == 1 && s && s->refcount == 1 && s->owned;
}

PyObject *ffi_tensor_result(ffi_frame *frame, ffi_tensor *t) {
  if (!t) Py_RETURN_NONE;
  ffi_entry *entry = entry_of(frame, t);
  if (entry) { /* an argument: with a reference to take over (after retain), or without */
    if (t->refcount > 1) __atomic_sub_fetch(&t->refcount, 1, __ATOMIC_ACQ_REL);
    Py_INCREF(entry->object);
    return entry->object;
  }
  if (t->refcount <= 0) return freed_result();
  PyObject *result, *adopted = NULL;
  if (t->handle) { /* a record kept from an earlier call */
    result = ffi_torch->object(t->handle);
  } else if (is_new_and_alone(t)) { /* the storage's own tensor becomes the result */
    void *owner = t->storage->owner;
    char text[FFI_TEXT_ROOM];
    const int failed = ffi_torch->assign(owner, owner, t, text);
    if (failed) PyErr_SetString(PyExc_RuntimeError, text);
    result = failed ? NULL : ffi_torch->object(owner);
  } else {
    int kept_in_c = __atomic_load_n(&t->refcount, __ATOMIC_ACQUIRE) > 1;
    void *owner = t->storage ? owner_of(t->storage, &adopted) : NULL, *handle = NULL;
    if (!owner && PyErr_Occurred()) return NULL;
    result = ffi_torch->make(owner, t, kept_in_c ? &handle : NULL);
    keep_in_place(t->storage, adopted);
    Py_XDECREF(adopted);
    if (handle) { /* C goes on with this record: what it does to it must show in the tensor */
      own_handle(t, handle);
      if (t->storage) keep_storage(t->storage);
    }
  }
  ffi_tensor_drop(t);
  return result;
}

PyObject *ffi_tensor_alias(ffi_tensor *t) {
  PyObject *adopted = NULL;
  void *owner = t->storage ? owner_of(t->storage, &adopted) : NULL;
  if (!owner && PyErr_Occurred()) return NULL;
  PyObject *result = ffi_torch->make(owner, t, NULL);
  Py_XDECREF(adopted);
  return result;
}

PyObject *ffi_storage_result(ffi_frame *frame, ffi_storage *s) {
  if (!s) Py_RETURN_NONE;
  if (s->refcount <= 0) return freed_result();
  ffi_tensor whole;
  memset(&whole, 0, sizeof whole);
  int64_t size = s->size, stride = 1;
  whole.size = &size;
  whole.stride = &stride;
  whole.nDimension = 1;
  whole.storage = s;
  whole.type = s->type;
  whole.cuda = s->cuda;
  PyObject *adopted;
  void *owner = owner_of(s, &adopted);
  if (!owner && PyErr_Occurred()) return NULL;
  PyObject *result = ffi_torch->make(owner, &whole, NULL);
  keep_in_place(s, adopted);
  Py_XDECREF(adopted);
  int held = 0; /* by the frame: the reference of an argument's storage that was not retained is not
                   ours to drop */
  for (int i = 0; i < frame->count; i++)
    if (frame->entries[i].storage == s) held += 1 + (frame->entries[i].tensor->storage == s);
  if (s->refcount > 1 && !held) keep_storage(s);
  if (s->refcount > held && __atomic_sub_fetch(&s->refcount, 1, __ATOMIC_ACQ_REL) == 0)
    ffi_storage_dispose(s);
  return result;
}
