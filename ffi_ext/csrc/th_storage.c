/* Storages of any element type. Memory belongs to torch unless the storage was given an allocator.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "th_core.h"

ffi_storage *ffi_th_storage_new_on(int type, int cuda, ptrdiff_t size) {
  if (size < 0) THError("$ Torch: invalid memory size -- maybe an overflow?");
  ffi_storage *s = ffi_storage_alloc(type);
  s->cuda = (unsigned char)cuda;
  s->device = cuda - 1;
  if (size) ffi_storage_new_memory(s, size);
  return s;
}

static void unmap(void *bytes, void *data) { munmap(data, (size_t)bytes); }
static THAllocator mapped = {NULL, NULL, unmap}; /* its context is the number of bytes */

/* A file's bytes: with TH_ALLOCATOR_MAPPED_SHARED what is written goes into the file, which is made
 * and lengthened as needed; without, into this process's own copy. size 0 takes all of it. */
ffi_storage *ffi_th_storage_new_mapped(int type, const char *path, ptrdiff_t size, int flags) {
  THArgCheck(!(flags & ~TH_ALLOCATOR_MAPPED_SHARED), 3,
             "expected 0 or TH_ALLOCATOR_MAPPED_SHARED, got %d; memory without a file is shared in "
             "Python, by tensor.share_memory_()",
             flags);
  const size_t item = (size_t)ffi_type_size(type);
  size_t bytes = size > 0 ? (size_t)ffi_bytes_of(size, type) : 0;
  const int file = open(path, (flags ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0600);
  struct stat about;
  void *data = MAP_FAILED;
  if (file >= 0 && fstat(file, &about) == 0) {
    const size_t there = (size_t)about.st_size;
    if (!bytes) bytes = there / item * item;
    errno = 0;
    /* What is mapped beyond a file's end ends the process when it is used. */
    if (bytes <= there || (flags && ftruncate(file, (off_t)bytes) == 0))
      data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags ? MAP_SHARED : MAP_PRIVATE, file, 0);
  }
  const int error = errno;
  if (file >= 0) close(file);
  if (data == MAP_FAILED)
    THError("unable to map %lld bytes of file <%s> in %s mode: %s", (long long)bytes, path,
            flags ? "read-write" : "read-only", error ? strerror(error) : "it is shorter");
  ffi_storage *s =
      ffi_th_storage_new_with(type, data, (ptrdiff_t)(bytes / item), &mapped, (void *)bytes);
  s->flag &= ~FFI_RESIZABLE;
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
  const ptrdiff_t kept = (size < s->size ? size : s->size) * ffi_type_size(s->type);
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
