/* Records of tensors and storages: made, pooled, released. */
#define FFI_EXT_NO_CUDA_HEADERS
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "THC/THCGeneral.h"
#include "kept.h"
#include "th_core.h"

/* A call makes two records for each tensor argument and drops them when it ends: a thread keeps the
 * last few, linked by `next`, until it ends.
 * initial-exec: the general way to a thread's variables is a function call each. It draws on a
 * small room that libraries loaded later share, hence two lists and no arrays. */
#define POOL 32
#define THREAD_LOCAL static __thread __attribute__((tls_model("initial-exec")))
THREAD_LOCAL ffi_tensor *tensor_pool;
THREAD_LOCAL ffi_storage *storage_pool;
THREAD_LOCAL int tensors_pooled, storages_pooled;
THREAD_LOCAL char noted; /* this thread's end empties its pools */
static pthread_key_t end_of_thread;

static void empty_pools(void *unused) {
  noted = 0; /* another destructor may drop more: then this one runs again */
  while (tensor_pool) {
    ffi_tensor *t = tensor_pool;
    tensor_pool = t->next;
    free(t);
  }
  while (storage_pool) {
    ffi_storage *s = storage_pool;
    storage_pool = s->next;
    free(s);
  }
  tensors_pooled = storages_pooled = 0;
}

static void note_thread(void) { noted = !pthread_setspecific(end_of_thread, &end_of_thread); }

int ffi_records_set_up(void) { return pthread_key_create(&end_of_thread, empty_pools) ? -1 : 0; }

static void *thrown_unless(void *record) {
  if (!record)
    ffi_throw("$ Torch: not enough memory: you tried to allocate a tensor record. Buy new RAM!");
  return record;
}

void ffi_clear_sizes(ffi_tensor *t) { memset(t->size, 0, (size_t)t->capacity * sizeof *t->size); }

ffi_tensor *ffi_tensor_alloc(int type) {
  ffi_tensor *t = thrown_unless(ffi_tensor_try_alloc(type));
  ffi_clear_sizes(t);
  return t;
}

ffi_storage *ffi_storage_alloc(int type) { return thrown_unless(ffi_storage_try_alloc(type)); }

ffi_tensor *ffi_tensor_try_alloc(int type) {
  ffi_tensor *t = tensor_pool;
  if (t) {
    tensor_pool = t->next;
    tensors_pooled--;
  } else {
    t = malloc(sizeof *t);
    if (!t) return NULL;
  }
  /* Of more, a call would be slower by a quarter. */
  memset(t, 0, offsetof(ffi_tensor, inline_size));
  t->type = (unsigned char)type;
  t->refcount = 1;
  t->flag = FFI_REFCOUNTED;
  t->size = t->inline_size;
  t->stride = t->inline_stride;
  t->capacity = FFI_INLINE_DIMS;
  return t;
}

ffi_storage *ffi_storage_try_alloc(int type) {
  ffi_storage *s = storage_pool;
  if (s) {
    storage_pool = s->next;
    storages_pooled--;
  } else {
    s = malloc(sizeof *s);
    if (!s) return NULL;
  }
  memset(s, 0, sizeof *s);
  s->type = (unsigned char)type;
  s->refcount = 1;
  s->flag = FFI_REFCOUNTED | FFI_RESIZABLE | FFI_FREEMEM;
  return s;
}

ffi_storage *ffi_th_storage_new_with(int type, void *data, ptrdiff_t size, THAllocator *allocator,
                                     void *context) {
  ffi_storage *s = ffi_storage_alloc(type);
  s->allocator = allocator ? allocator : &THDefaultAllocator;
  s->allocatorContext = context;
  s->data = data;
  s->size = size;
  return s;
}

void ffi_tensor_dispose(ffi_tensor *t) {
  t->refcount = 0;
  if (t->owned) ffi_tensor_release_handle(t);
  if (t->storage) ffi_storage_drop(t->storage);
  if (t->size != t->inline_size) free(t->size); /* stride lies in the same block */
  if (tensors_pooled == POOL) {
    free(t);
    return;
  }
  if (!noted) note_thread();
  t->next = tensor_pool;
  tensor_pool = t;
  tensors_pooled++;
}

void ffi_cuda_storage_free(ffi_storage *s) {
  if ((s->flag & FFI_FREEMEM) && s->data)
    ((THCDeviceAllocator *)s->allocator)->free(s->allocatorContext, s->data);
}

void ffi_storage_dispose(ffi_storage *s) {
  s->refcount = 0;
  if (s->allocator) {
    if (s->cuda)
      ffi_cuda_storage_free(s);
    else if (s->flag & FFI_FREEMEM) /* memory or none: it may let go of its context here */
      s->allocator->free(s->allocatorContext, s->data);
  } else if (s->owned) {
    ffi_storage_release_owner(s);
  }
  if (storages_pooled == POOL) {
    free(s);
    return;
  }
  if (!noted) note_thread();
  s->next = storage_pool;
  storage_pool = s;
  storages_pooled++;
}

void ffi_storage_drop(ffi_storage *s) {
  if (s && ffi_was_last(&s->refcount, s->owned)) ffi_storage_dispose(s);
}

void ffi_storage_take(ffi_storage *s) {
  if (s) __atomic_add_fetch(&s->refcount, 1, __ATOMIC_RELAXED);
}

void ffi_tensor_drop(ffi_tensor *t) {
  if (t && ffi_was_last(&t->refcount, t->owned)) ffi_tensor_dispose(t);
}

/* Variables are of any tensor's type, and pointers to them may not be cast. */
void *ffi_hand_over(void *variable) {
  void *const none = NULL;
  void *held;
  memcpy(&held, variable, sizeof held);
  memcpy(variable, &none, sizeof none);
  return held;
}

void ffi_let_go(void *variable) { ffi_tensor_drop(ffi_hand_over(variable)); }

void ffi_free_memory(void *variable) { THFree(ffi_hand_over(variable)); }

void ffi_tensor_give_back(ffi_tensor *t) {
  if (!ffi_only_lent(&t->refcount, &t->lent)) {
    ffi_tensor_drop(t);
    return;
  }
  /* FlowNet2's correlation and its many copies free two buffers that they were given: 0.3.1 then
   * read a freed record, which went well. The call's own reference makes good for one. */
  if (!ffi_count(&t->lent) || __atomic_exchange_n(&t->forgiven, 1, __ATOMIC_RELAXED))
    ffi_throw(
        "a tensor was freed once too often: C has no reference on it (an argument that it did not "
        "retain, or one that it had freed)");
}

void ffi_storage_give_back(ffi_storage *s) {
  if (ffi_only_lent(&s->refcount, &s->lent))
    ffi_throw(
        "a storage was freed once too often: C has no reference on it (an argument's that it did "
        "not retain, or one that it had freed)");
  ffi_storage_drop(s);
}

void ffi_tensor_reserve(ffi_tensor *t, int n) {
  if (ffi_tensor_try_reserve(t, n))
    ffi_throw("$ Torch: not enough memory: you tried to allocate a tensor's sizes. Buy new RAM!");
}

int ffi_tensor_try_reserve(ffi_tensor *t, int n) {
  if (n <= t->capacity) return 0;
  int64_t *block = malloc(2 * (size_t)n * sizeof *block);
  if (!block) return -1;
  if (t->size != t->inline_size) free(t->size);
  t->size = block;
  t->stride = block + n;
  t->capacity = n;
  return 0;
}
