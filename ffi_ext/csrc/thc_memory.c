/* THC's streams, memory of other allocators, pinned memory, scratch space. */
#define FFI_EXT_NO_CUDA_HEADERS
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "THC/THCGeneral.h"
#include "THC/THCStream.h"
#include "cuda_device.h"
#include "guard.h"
#include "th_core.h"

#define MAX_DEVICES 256

static THCStream *new_stream(cudaStream_t stream, int device) {
  THCStream *self = malloc(sizeof *self);
  if (!self) THError("$ Torch: not enough memory for a stream's record");
  *self = (THCStream){stream, device, 1};
  return self;
}

/* torch.cuda.Stream objects are from a pool that lives as long as the process. */
THCStream *THCStream_newWithPriority(int flags, int priority) {
  (void)flags; /* torch's streams do not block on the default one */
  return new_stream((cudaStream_t)(uintptr_t)ffi_cuda_ask("new_stream", priority),
                    ffi_cuda_current() - 1);
}
THCStream *THCStream_new(int flags) { return THCStream_newWithPriority(flags, 0); }
THCStream *THCStream_defaultStream(int device) { return new_stream(NULL, device); }
void THCStream_retain(THCStream *self) {
  if (self->stream) __atomic_add_fetch(&self->refcount, 1, __ATOMIC_RELAXED);
}
void THCStream_free(THCStream *self) {
  if (self && self->stream && __atomic_sub_fetch(&self->refcount, 1, __ATOMIC_ACQ_REL) == 0)
    free(self);
}
cudaStream_t THCStream_stream(THCStream *self) { return self->stream; }
int THCStream_device(THCStream *self) { return self->device; }

THCStream *THCState_getStreamOnDevice(THCState *s, int device) {
  return new_stream(THCState_getCurrentStreamOnDevice(s, device), device);
}
THCStream *THCState_getStream(THCState *s) {
  return THCState_getStreamOnDevice(s, ffi_cuda_current() - 1);
}
void THCState_setStreamOnDevice(THCState *s, int device, THCStream *stream) {
  if (stream->device != device)
    THError("the stream is of GPU %d, not of GPU %d", stream->device, device);
  THCState_setStreamHandle(s, stream->stream);
}
void THCState_setStream(THCState *s, THCStream *stream) {
  THCState_setStreamOnDevice(s, stream->device, stream);
}

void ffi_cuda_copy(THCState *s, ffi_storage *to, const void *from) {
  const size_t bytes = (size_t)to->size * ffi_type_size[to->type];
  if (!bytes) return;
  if (!to->cuda) {
    memmove(to->data, from, bytes);
    return;
  }
  typedef cudaError_t (*copy)(void *, const void *, size_t, int, cudaStream_t);
  const int device_to_device = 3;
  THCudaCheck(((copy)ffi_cuda_symbol("cudaMemcpyAsync"))(to->data, from, bytes, device_to_device,
                                                         THCState_getCurrentStream(s)));
}

static cudaError_t torch_malloc(void *context, void **pointer, size_t size, cudaStream_t stream) {
  (void)context;
  (void)stream;
  return THCudaMalloc(NULL, pointer, size);
}
/* A storage may go when no C function runs that an error could end. */
static int give_back(const char *how, void *pointer) {
  char text[FFI_TEXT_ROOM];
  long long nothing;
  return ffi_cuda_answer(how, (long long)(uintptr_t)pointer, &nothing, text) != 0;
}
static cudaError_t torch_free(void *context, void *pointer) {
  (void)context;
  return give_back("free", pointer);
}
static THCDeviceAllocator torch_allocator = {torch_malloc, NULL, torch_free, NULL, NULL, NULL};

THCDeviceAllocator *THCCachingAllocator_get(void) { return &torch_allocator; }
THCDeviceAllocator *THCState_getDeviceAllocator(THCState *s) {
  (void)s;
  return &torch_allocator;
}
void THCState_setDeviceAllocator(THCState *s, THCDeviceAllocator *allocator) {
  (void)s;
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

void ffi_cuda_storage_free(ffi_storage *s) {
  if ((s->flag & FFI_FREEMEM) && s->data) allocator_of(s)->free(s->allocatorContext, s->data);
}

void ffi_cuda_storage_resize(ffi_storage *s, ptrdiff_t size) {
  THCDeviceAllocator *a = allocator_of(s);
  const size_t element = ffi_type_size[s->type];
  const size_t before = (size_t)s->size * element, bytes = (size_t)size * element;
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
  ffi_cuda_copy(NULL, s, old.data);
  s->size = size;
  ffi_cuda_storage_free(&old);
}

void *THCudaHostAlloc(THCState *s, size_t size) {
  (void)s;
  return size ? (void *)(uintptr_t)ffi_cuda_ask("host_malloc", (long long)size) : NULL;
}
void THCudaHostFree(THCState *s, void *pointer) {
  (void)s;
  if (pointer) ffi_cuda_ask("host_free", (long long)(uintptr_t)pointer);
}
/* torch keeps pinned memory until the copies that use it have ended. */
void THCudaHostRecord(THCState *s, void *pointer) {
  (void)s;
  (void)pointer;
}

static void *host_malloc(void *context, ptrdiff_t size) {
  (void)context;
  if (size < 0) THError("$ Torch: invalid memory size -- maybe an overflow?");
  return THCudaHostAlloc(NULL, (size_t)size);
}
static void host_free(void *context, void *pointer) {
  (void)context;
  if (pointer) give_back("host_free", pointer);
}
static THAllocator host_allocator = {host_malloc, NULL, host_free};
THAllocator *THCState_getCudaHostAllocator(THCState *s) {
  (void)s;
  return &host_allocator;
}

cudaError_t THCCachingAllocator_emptyCache(void) {
  ffi_cuda_ask("empty_cache", 0);
  return 0;
}
int THCState_isCachingAllocatorEnabled(THCState *s) {
  (void)s;
  return 1;
}
cudaError_t THCudaMemGetInfoCached(THCState *s, size_t *free_bytes, size_t *total_bytes,
                                   size_t *largest_block) {
  const cudaError_t error = THCudaMemGetInfo(s, free_bytes, total_bytes);
  *largest_block = *free_bytes;
  return error;
}

/* 0.3.1 has 16 bytes for each multiprocessor; no GPU has more than a few hundred. */
static const size_t scratch_bytes = 1 << 16;
void *THCState_getDeviceScratchSpace(THCState *s, int device, int stream) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static void *spaces[MAX_DEVICES];
  (void)stream;
  THArgCheck(device >= 0 && device < MAX_DEVICES, 2, "device %d", device);
  void *space = NULL, *unused = NULL;
  if (!__atomic_load_n(&spaces[device], __ATOMIC_ACQUIRE)) THCudaMalloc(s, &space, scratch_bytes);
  pthread_mutex_lock(&lock);
  if (space && !spaces[device])
    __atomic_store_n(&spaces[device], space, __ATOMIC_RELEASE);
  else
    unused = space;
  pthread_mutex_unlock(&lock);
  if (unused) THCudaFree(s, unused);
  return spaces[device];
}
size_t THCState_getDeviceScratchSpaceSize(THCState *s, int device) {
  (void)s;
  (void)device;
  return scratch_bytes;
}
void *THCState_getCurrentDeviceScratchSpace(THCState *s) {
  return THCState_getDeviceScratchSpace(s, ffi_cuda_current() - 1, 0);
}
size_t THCState_getCurrentDeviceScratchSpaceSize(THCState *s) {
  return THCState_getDeviceScratchSpaceSize(s, 0);
}
