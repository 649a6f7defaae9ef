/* Records that C code keeps beyond a call. The same torch tensor or storage passed again must meet
 * the same record: two records of one storage would each remember an address, and a resize through
 * one would leave the other dangling. */
#include "kept.h"

#include <pthread.h>

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static ffi_tensor *kept_tensors;
static ffi_storage *kept_storages;

/* A child forked while another thread has the lock would wait for it forever. */
static void lock_kept(void) { pthread_mutex_lock(&kept_lock); }
static void unlock_kept(void) { pthread_mutex_unlock(&kept_lock); }

int ffi_kept_set_up(void) { return pthread_atfork(lock_kept, unlock_kept, unlock_kept) ? -1 : 0; }

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
  if (ffi_count(refcount) > __atomic_load_n(lent, __ATOMIC_RELAXED)) return 0;
  pthread_mutex_lock(&kept_lock);
  const int only = ffi_count(refcount) <= __atomic_load_n(lent, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&kept_lock);
  return only;
}

void ffi_take_back(int *lent) {
  pthread_mutex_lock(&kept_lock);
  __atomic_sub_fetch(lent, 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&kept_lock);
}

ffi_tensor *ffi_find_kept_tensor(void *key, int type) {
  if (!__atomic_load_n(&kept_tensors, __ATOMIC_ACQUIRE)) return NULL;
  pthread_mutex_lock(&kept_lock);
  ffi_tensor *t = kept_tensors;
  while (t && !(ffi_key_of(t->handle) == key && t->type == type && take(&t->refcount))) t = t->next;
  if (t) __atomic_add_fetch(&t->lent, 1, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&kept_lock);
  return t;
}

ffi_storage *ffi_find_kept_storage(void *identity, int type, int *reinterpreted) {
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

void ffi_tensor_own_handle(ffi_tensor *t, void *handle) {
  t->handle = handle;
  t->owned = 1;
  pthread_mutex_lock(&kept_lock);
  t->next = kept_tensors;
  __atomic_store_n(&kept_tensors, t, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&kept_lock);
}

void ffi_keep_tensor(ffi_tensor *t) {
  if (t->owned || !t->handle) return;
  void *owned = ffi_torch->keep(t->handle);
  if (owned) ffi_tensor_own_handle(t, owned);
}

int ffi_storage_own(ffi_storage *s) {
  if (s->owned || !s->owner) return 0;
  void *owned = ffi_torch->alias(s->owner);
  if (!owned) return -1;
  if (s->owned) { /* Python code ran, and another thread's call came first */
    ffi_torch->release(owned);
    return 0;
  }
  s->owner = owned;
  s->owned = 1;
  return 0;
}

void ffi_keep_storage(ffi_storage *s) {
  if (!s->owner || ffi_storage_own(s)) return;
  pthread_mutex_lock(&kept_lock);
  if (!s->kept) {
    s->kept = 1;
    s->next = kept_storages;
    __atomic_store_n(&kept_storages, s, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&kept_lock);
}

void ffi_tensor_release_handle(ffi_tensor *t) {
  REMOVE(kept_tensors, t);
  ffi_torch->release(t->handle);
  t->handle = NULL;
  t->owned = 0;
}

void ffi_storage_release_owner(ffi_storage *s) {
  if (s->kept) REMOVE(kept_storages, s);
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

static int is_ours_to_write_back(ffi_tensor *t) {
  const void *whose = __atomic_load_n(&t->changed, __ATOMIC_ACQUIRE);
  return whose && (whose == &nobody || whose == ffi_this_thread());
}

ffi_tensor *ffi_find_changed_tensor(void) {
  if (!__atomic_load_n(&kept_tensors, __ATOMIC_ACQUIRE)) return NULL;
  pthread_mutex_lock(&kept_lock);
  ffi_tensor *t = kept_tensors;
  while (t && !(is_ours_to_write_back(t) && take(&t->refcount))) t = t->next;
  pthread_mutex_unlock(&kept_lock);
  return t;
}
