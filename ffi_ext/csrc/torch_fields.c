/* The quick tier: reads a tensor's fields where this torch keeps them, found by probing and
 * verified before use.
 *
 * torch exports no getter for the dispatch keys or the storage's address, and ten getters for the
 * rest cost more than the whole call. The offsets are the same for every tensor of one torch build,
 * so they are looked for once: a field stands where all the probe tensors carry the value that
 * Python reports for them. If one is not found, or is found only by chance for some, the tier is
 * not used. */
#include "cuda_device.h"
#include "torch_bridge.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define MAX_PROBES 32
/* torch keeps up to so many sizes and strides inline, more behind a pointer; verified below */
#define INLINE_DIMS 5

typedef struct probe {
  const char *impl;    /* TensorImpl */
  size_t impl_bytes;   /* that may be read */
  const char *storage; /* StorageImpl */
  size_t storage_bytes;
  uint64_t keyset, data, bytes;
  int64_t offset, ndim, dtype, numel;
  int64_t size[16], stride[16];
} probe;

/* Byte offsets; `header` is where a tensor's PyObject keeps its at::Tensor. */
static struct {
  Py_ssize_t header;
  size_t keyset, storage, shape, offset, dtype, autograd;
  size_t data, deleter, bytes;
  uint64_t plain[8];    /* key sets of dense tensors without conj, neg, Python or functorch keys */
  int plain_count;      /* atomic */
  int cpu_count;        /* the first of them, of CPU tensors; the others were learned */
  int devices;          /* whether a tensor's device stands behind its element type */
  uint64_t ordinary[4]; /* deleters of storages that torch's CPU allocator made */
  int ordinary_count;
  uint64_t cow_deleter;
  bool (*requires_grad)(const void *impl);
} at;

static uint64_t word(const char *base, size_t offset) {
  uint64_t value;
  memcpy(&value, base + offset, sizeof value);
  return value;
}

static size_t readable(const void *block) {
#ifdef __GLIBC__
  size_t usable = malloc_usable_size((void *)block);
  if (usable >= 64) return usable < 512 ? usable : 512;
#endif
  return 0;
}

static int shape_fits(const probe *p, size_t offset) {
  if (offset + 8 * (1 + 2 * INLINE_DIMS) > p->impl_bytes ||
      word(p->impl, offset) != (uint64_t)p->ndim)
    return 0;
  const char *sizes = p->impl + offset + 8;
  size_t second = 8 * INLINE_DIMS;
  if (p->ndim > INLINE_DIMS) {
    uint64_t pointer = word(sizes, 0);
    if (pointer < 4096 || pointer % 8) return 0;
    if (readable((const void *)(uintptr_t)pointer) < 16 * (size_t)p->ndim) return 0;
    sizes = (const char *)(uintptr_t)pointer;
    second = 8 * (size_t)p->ndim;
  }
  return !memcmp(sizes, p->size, 8 * (size_t)p->ndim) &&
         !memcmp(sizes + second, p->stride, 8 * (size_t)p->ndim);
}

enum field { KEYSET, STORAGE, SHAPE, OFFSET, DTYPE, DATA, BYTES };

static int field_fits(const probe *p, enum field field, size_t offset) {
  switch (field) {
    case KEYSET: return offset + 8 <= p->impl_bytes && word(p->impl, offset) == p->keyset;
    case STORAGE:
      return offset + 8 <= p->impl_bytes &&
             word(p->impl, offset) == (uint64_t)(uintptr_t)p->storage;
    case SHAPE: return shape_fits(p, offset);
    case OFFSET:
      return offset + 16 <= p->impl_bytes && (int64_t)word(p->impl, offset) == p->offset &&
             (int64_t)word(p->impl, offset + 8) ==
                 p->numel; /* numel follows: tells it from other zeros */
    case DTYPE:
      return offset + 8 <= p->impl_bytes && (word(p->impl, offset) & 0xffff) == (uint64_t)p->dtype;
    case DATA: return offset + 24 <= p->storage_bytes && word(p->storage, offset) == p->data;
    case BYTES: return offset + 8 <= p->storage_bytes && word(p->storage, offset) == p->bytes;
  }
  return 0;
}

static int find(const probe *probes, int count, enum field field, size_t *found) {
  for (size_t offset = 8; offset < 512; offset += 8) {
    int i = 0;
    while (i < count && field_fits(&probes[i], field, offset)) i++;
    if (i == count) {
      *found = offset;
      return 0;
    }
  }
  return -1;
}

static int read_probe(PyObject *item, Py_ssize_t header, probe *p) {
  PyObject *tensor, *size, *stride;
  unsigned long long keyset, storage, data, bytes;
  long long offset, dtype;
  memset(p, 0, sizeof *p);
  if (!PyArg_ParseTuple(item, "OKOOLLKKK", &tensor, &keyset, &size, &stride, &offset, &dtype,
                        &storage, &data, &bytes))
    return -1;
  memcpy(&p->impl, (char *)tensor + header, sizeof p->impl);
  PyObject *cdata = PyObject_GetAttrString(tensor, "_cdata");
  if (!cdata) return -1;
  void *impl = PyLong_AsVoidPtr(cdata);
  Py_DECREF(cdata);
  if (impl != (void *)p->impl) return -1;
  p->impl_bytes = readable(p->impl);
  p->storage = (const char *)(uintptr_t)storage;
  p->storage_bytes = readable(p->storage);
  p->keyset = keyset, p->data = data, p->bytes = bytes, p->offset = offset, p->dtype = dtype;
  p->ndim = ffi_read_numbers(size, p->size, 16);
  if (p->ndim < 0 || ffi_read_numbers(stride, p->stride, 16) != p->ndim) return -1;
  p->numel = 1;
  for (int i = 0; i < p->ndim; i++) p->numel *= p->size[i];
  return 0;
}

static int place_of(const uint64_t *values, int count, uint64_t value) {
  for (int i = 0; i < count; i++)
    if (values[i] == value) return i;
  return -1;
}

static int among(const uint64_t *values, int count, uint64_t value) {
  return place_of(values, count, value) >= 0;
}

/* Calls in other threads may be reading the values: their number goes last. */
static int remember(uint64_t *values, int *count, int room, uint64_t value) {
  if (among(values, *count, value)) return 0;
  if (*count == room) return -1;
  values[*count] = value;
  __atomic_store_n(count, *count + 1, __ATOMIC_RELEASE);
  return 0;
}

/* An optional<Device> behind the element type: the device's type, its index, and that there is one.
 */
#define DEVICE(type, index) ((type) | ((index) & 0xff) << 8 | 1 << 16)
enum { CUDA = 1 }; /* c10::DeviceType */

static int device_of(const char *impl) { return (int)(word(impl, at.dtype) >> 16 & 0xffffff); }

int ffi_fields_calibrate(PyObject *probes, Py_ssize_t header) {
  probe p[MAX_PROBES];
  Py_ssize_t count = PySequence_Size(probes);
  if (count < 8 || count > MAX_PROBES) return -1;
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject *item = PySequence_GetItem(probes, i);
    int failed = !item || read_probe(item, header, &p[i]);
    Py_XDECREF(item);
    if (failed) {
      PyErr_Clear();
      return -1;
    }
  }
  at.header = header;
  struct {
    enum field field;
    size_t *where;
  } wanted[] = {
      {KEYSET, &at.keyset}, {STORAGE, &at.storage}, {SHAPE, &at.shape}, {OFFSET, &at.offset},
      {DTYPE, &at.dtype},   {DATA, &at.data},       {BYTES, &at.bytes},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (find(p, (int)count, wanted[i].field, wanted[i].where)) return -1;
  /* What follows is the neighbour of a field found above; autograd's record is NULL in a tensor
   * that never met it. */
  at.autograd = at.storage + 8;
  at.deleter = at.data + 8;
  at.plain_count = at.ordinary_count = 0;
  at.devices = 1;
  for (Py_ssize_t i = 0; i < count; i++) {
    if (remember(at.plain, &at.plain_count, 4, p[i].keyset) ||
        remember(at.ordinary, &at.ordinary_count, 4, word(p[i].storage, at.deleter)))
      return -1;
    at.devices &= device_of(p[i].impl) == DEVICE(0, -1);
  }
  at.cpu_count = at.plain_count;
  at.requires_grad =
      (bool (*)(const void *))ffi_native_symbol("_ZNK3c1010TensorImpl13requires_gradEv");
  at.cow_deleter = (uint64_t)(uintptr_t)ffi_native_symbol("_ZN3c104impl3cow11cow_deleterEPv");
  return at.requires_grad && at.cow_deleter ? 0 : -1;
}

void *ffi_fields_identity(void *handle) {
  const char *impl = *(const char **)handle;
  return (void *)(uintptr_t)word(impl, at.storage);
}

int64_t ffi_fields_offset(void *handle) {
  const char *impl = *(const char **)handle;
  return (int64_t)word(impl, at.offset);
}

void *ffi_fields_data(void *identity) { return (void *)(uintptr_t)word(identity, at.data); }

int ffi_fields_is_ordinary(void *identity) {
  return among(at.ordinary, at.ordinary_count, word(identity, at.deleter));
}

/* Fills the view from a dense tensor's fields; 1 when a closer look is needed. */
static inline __attribute__((always_inline)) int read_fields(const char *impl, ffi_view *view) {
  view->scalar = (int)(word(impl, at.dtype) & 0xffff);
  view->type = ffi_type_of_scalar(view->scalar);
  const int bytes = ffi_scalar_bytes(view->scalar);
  if (!bytes) return 1;

  view->ndim = (int)word(impl, at.shape);
  const char *sizes = impl + at.shape + 8;
  if (view->ndim > INLINE_DIMS) {
    view->size = (const int64_t *)(uintptr_t)word(sizes, 0);
    view->stride = view->size + view->ndim;
  } else {
    view->size = (const int64_t *)sizes;
    view->stride = view->size + INLINE_DIMS;
  }
  view->offset = (int64_t)word(impl, at.offset);
  view->requires_grad = word(impl, at.autograd) && at.requires_grad(impl);

  const char *storage = (const char *)(uintptr_t)word(impl, at.storage);
  if (!storage || word(storage, at.deleter) == at.cow_deleter) return 1;
  view->identity = (void *)storage;
  view->storage_data = (void *)(uintptr_t)word(storage, at.data);
  view->storage_bytes = (ptrdiff_t)word(storage, at.bytes);

  int64_t last = view->offset; /* the furthest element */
  for (int i = 0; i < view->ndim; i++) {
    if (view->size[i] == 0) return 0;
    last += (view->size[i] - 1) * view->stride[i];
  }
  return (last + 1) * bytes > view->storage_bytes || !view->storage_data;
}

int ffi_fields_describe(PyObject *tensor, ffi_view *view) {
  view->handle = (char *)tensor + at.header;
  const char *impl = *(const char **)view->handle;
  if (!impl) return 1;
  const int known = __atomic_load_n(&at.plain_count, __ATOMIC_ACQUIRE);
  const int place = place_of(at.plain, known, word(impl, at.keyset));
  if (place < 0) return 1;
  view->cuda = place < at.cpu_count ? 0 : (device_of(impl) >> 8 & 0xff) + 1;
  return read_fields(impl, view);
}

static pthread_mutex_t learning = PTHREAD_MUTEX_INITIALIZER;

/* Whether the key set is new, and kept. */
static int learn(uint64_t keyset) {
  pthread_mutex_lock(&learning);
  const int before = at.plain_count;
  remember(at.plain, &at.plain_count, sizeof at.plain / sizeof *at.plain, keyset);
  const int is_new = at.plain_count > before;
  pthread_mutex_unlock(&learning);
  return is_new;
}

void ffi_fields_learn(const ffi_view *said) {
  const char *impl = *(const char **)said->handle;
  const uint64_t keyset = word(impl, at.keyset);
  const size_t bytes = (size_t)said->ndim * sizeof(int64_t);
  ffi_view seen;
  if (!at.devices || read_fields(impl, &seen)) return;
  if (device_of(impl) != DEVICE(CUDA, said->cuda - 1) || seen.scalar != said->scalar ||
      seen.ndim != said->ndim || seen.offset != said->offset ||
      memcmp(seen.size, said->size, bytes) || memcmp(seen.stride, said->stride, bytes) ||
      seen.identity != said->identity || seen.storage_data != said->storage_data ||
      seen.storage_bytes != said->storage_bytes || seen.requires_grad != said->requires_grad)
    return;
  if (learn(keyset)) ffi_cuda_verify();
}
