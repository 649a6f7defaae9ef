/* THC's memory: of other allocators, pinned, copies within a GPU. */
#define FFI_EXT_NO_CUDA_HEADERS
#include <string.h>

#include "THC/THCGeneral.h"
#include "cuda_device.h"
#include "guard.h"
#include "th_core.h"

void ffi_cuda_copy(ffi_storage *to, const void *from) {
  const size_t bytes = (size_t)(to->size * ffi_type_size(to->type));
  if (!bytes) return;
  if (!to->cuda) {
    memmove(to->data, from, bytes);
    return;
  }
  typedef cudaError_t (*copy)(void *, const void *, size_t, int, cudaStream_t);
  const int device_to_device = 3;
  THCudaCheck(((copy)ffi_cuda_symbol("cudaMemcpyAsync"))(to->data, from, bytes, device_to_device,
                                                         THCState_getCurrentStream(NULL)));
}

static cudaError_t torch_malloc(void *context, void **pointer, size_t size, cudaStream_t stream) {
  return THCudaMalloc(NULL, pointer, size);
}
/* A storage may go when no C function runs that an error could end. */
static cudaError_t torch_free(void *context, void *pointer) {
  char text[FFI_TEXT_ROOM];
  return ffi_cuda_release(pointer, text) != 0;
}
static THCDeviceAllocator torch_allocator = {torch_malloc, NULL, torch_free, NULL, NULL, NULL};

THCDeviceAllocator *THCCachingAllocator_get(void) { return &torch_allocator; }
THCDeviceAllocator *THCState_getDeviceAllocator(THCState *s) { return &torch_allocator; }
void THCState_setDeviceAllocator(THCState *s, THCDeviceAllocator *allocator) {
  if (allocator != &torch_allocator)
    THError(
        "torch allocates the memory of CUDA tensors; give an allocator of your own to "
        "THCudaStorage_newWithAllocator");
}

static THCDeviceAllocator *allocator_of(const ffi_storage *s) {
  return (THCDeviceAllocator *)s->allocator;
}

ffi_storage *ffi_cuda_storage_new_with(int type, void *data, ptrdiff_t size,
                                       THCDeviceAllocator *allocator, void *context) {
  const int cuda = ffi_cuda_current();
  if (!allocator) allocator = &torch_allocator;
  ffi_storage *s = ffi_th_storage_new_with(type, data, size, (THAllocator *)allocator, context);
  s->cuda = (unsigned char)cuda;
  s->device = cuda - 1;
  return s;
}

void ffi_cuda_storage_resize(ffi_storage *s, ptrdiff_t size) {
  THCDeviceAllocator *a = allocator_of(s);
  const size_t before = (size_t)ffi_bytes_of(s->size, s->type);
  const size_t bytes = (size_t)ffi_bytes_of(size, s->type);
  cudaStream_t stream = THCState_getCurrentStreamOnDevice(NULL, s->device);
  if (a->realloc) {
    THCudaCheck(a->realloc(s->allocatorContext, &s->data, before, bytes, stream));
    s->size = size;
    return;
  }
  void *data = NULL;
  if (size) THCudaCheck(a->malloc(s->allocatorContext, &data, bytes, stream));
  ffi_storage old = *s;
  s->data = data;
  s->size = size < old.size ? size : old.size;
  ffi_cuda_copy(s, old.data);
  s->size = size;
  ffi_cuda_storage_free(&old);
}

void *THCudaHostAlloc(THCState *s, size_t size) {
  return size ? (void *)(uintptr_t)ffi_cuda_ask("host_malloc", (long long)size) : NULL;
}
void THCudaHostFree(THCState *s, void *pointer) {
  if (pointer) ffi_cuda_ask("host_free", (long long)(uintptr_t)pointer);
}
/* torch keeps pinned memory until its own copies that use it have ended; it is told of others. */
void THCudaHostRecord(THCState *s, void *pointer) {
  if (pointer) ffi_cuda_ask("host_record", (long long)(uintptr_t)pointer);
}

static void *host_malloc(void *context, ptrdiff_t size) {
  if (size < 0) THError("$ Torch: invalid memory size -- maybe an overflow?");
  return THCudaHostAlloc(NULL, (size_t)size);
}
static void host_free(void *context, void *pointer) {
  char text[FFI_TEXT_ROOM];
  long long nothing;
  if (pointer) ffi_cuda_answer("host_free", (long long)(uintptr_t)pointer, &nothing, text);
}
static THAllocator host_allocator = {host_malloc, NULL, host_free};
THAllocator *THCState_getCudaHostAllocator(THCState *s) { return &host_allocator; }

cudaError_t THCCachingAllocator_emptyCache(void) {
  ffi_cuda_ask("empty_cache", 0);
  return 0;
}
int THCState_isCachingAllocatorEnabled(THCState *s) { return 1; }
cudaError_t THCudaMemGetInfoCached(THCState *s, size_t *free_bytes, size_t *total_bytes,
                                   size_t *largest_block) {
  const cudaError_t error = THCudaMemGetInfo(s, free_bytes, total_bytes);
  *largest_block = *free_bytes;
  return error;
}
