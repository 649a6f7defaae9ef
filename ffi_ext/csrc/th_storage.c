/* Storages of any element type. Memory belongs to torch unless the storage was given an allocator.
 */
#include "th_core.h"

ffi_storage *ffi_th_storage_new(int type, ptrdiff_t size) {
  return ffi_th_storage_new_on(type, 0, size);
}

ffi_storage *ffi_th_storage_new_on(int type, int cuda, ptrdiff_t size) {
  if (size < 0) THError("$ Torch: invalid memory size -- maybe an overflow?");
  ffi_storage *s = ffi_storage_alloc(type);
  s->cuda = (unsigned char)cuda;
  s->device = cuda - 1;
  if (size) ffi_storage_new_memory(s, size);
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

void ffi_th_storage_resize(ffi_storage *s, ptrdiff_t size) {
  if (!(s->flag & FFI_RESIZABLE)) THError("Trying to resize storage that is not resizable");
  if (!s->allocator) {
    ffi_storage_resize_memory(s, size);
    return;
  }
  if (s->cuda) {
    ffi_cuda_storage_resize(s, size);
    return;
  }
  const ptrdiff_t bytes = ffi_bytes_of(size, s->type);
  const ptrdiff_t kept = (size < s->size ? size : s->size) * (ptrdiff_t)ffi_type_size[s->type];
  void *data;
  if (s->allocator->realloc) {
    data = s->allocator->realloc(s->allocatorContext, s->data, bytes);
  } else {
    data = size ? s->allocator->malloc(s->allocatorContext, bytes) : NULL;
    if (data && s->data) memcpy(data, s->data, (size_t)kept);
    if (s->data && (s->flag & FFI_FREEMEM)) s->allocator->free(s->allocatorContext, s->data);
  }
  s->data = data;
  s->size = size;
}

/* The records change places, not the references on them, nor their places in the registry. */
void ffi_th_storage_swap(ffi_storage *a, ffi_storage *b) {
  ffi_storage old = *a;
  const ffi_storage other = *b;
  *a = other;
  *b = old;
  a->refcount = old.refcount;
  a->lent = old.lent;
  a->kept = old.kept;
  a->next = old.next;
  b->refcount = other.refcount;
  b->lent = other.lent;
  b->kept = other.kept;
  b->next = other.next;
}
