/* The memory of storages: torch's, and C's own as a tensor of torch's. */
#include "function.h"
#include "torch_bridge.h"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

ptrdiff_t ffi_bytes_of(ptrdiff_t elements, int type) {
  ptrdiff_t bytes;
  if (elements < 0 || __builtin_mul_overflow(elements, ffi_type_size(type), &bytes))
    ffi_throw("$ Torch: invalid memory size -- maybe an overflow?");
  return bytes;
}

/* A page of 4 KiB costs a fault when it is first touched: for large results more than computing
 * them, so the kernel is asked for pages of 2 MiB, as NumPy does for its arrays of this size. It
 * refuses a start that is not a page's, and those of ARM may have 16 or 64 KiB. */
static void ask_for_huge_pages(void *data, ptrdiff_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t least = 4 << 20, page = (uintptr_t)sysconf(_SC_PAGESIZE);
  if (bytes < (ptrdiff_t)least) return;
  const uintptr_t first = ((uintptr_t)data + page - 1) & ~(page - 1);
  madvise((void *)first, (uintptr_t)data + (uintptr_t)bytes - first, MADV_HUGEPAGE);
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
  PyObject *tensor = PyObject_CallFunction(
      ffi_hook.adopt, "KniiO", (unsigned long long)(uintptr_t)s->data,
      (Py_ssize_t)(s->size * ffi_type_size(s->type)), ffi_scalar_type[s->type], s->cuda, capsule);
  Py_DECREF(capsule);
  return tensor;
}

void *ffi_owner_of(ffi_storage *s, PyObject **adopted) {
  *adopted = NULL;
  if (s->owner || s->size == 0) return s->owner;
  *adopted = adopt(s);
  return *adopted ? (char *)*adopted + ffi_handle_offset : NULL;
}

void ffi_keep_in_place(ffi_storage *s, PyObject *adopted) {
  if (adopted) s->flag &= ~FFI_RESIZABLE;
}
