/* THC's streams, which are torch's, and what THC keeps for each of them: scratch space, a cuSPARSE
 * handle. */
#define FFI_EXT_NO_CUDA_HEADERS
#include "THC/THCStream.h"

#include <pthread.h>
#include <stdlib.h>

#include "THC/THCGeneral.h"
#include "cuda_device.h"
#include "guard.h"
#include "th_core.h"

/* Torch's streams are from a pool that lives as long as the process, and so do their records. */
typedef struct known_stream {
  THCStream stream;
  void *scratch;
  cusparseHandle_t sparse;
  struct known_stream *next;
} known_stream;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static known_stream *streams;

static known_stream *record_of(cudaStream_t stream, int device) {
  pthread_mutex_lock(&lock);
  known_stream *known = streams;
  while (known && (known->stream.stream != stream || known->stream.device != device))
    known = known->next;
  if (!known && (known = calloc(1, sizeof *known))) {
    known->stream = (THCStream){stream, device, 1};
    known->next = streams;
    streams = known;
  }
  pthread_mutex_unlock(&lock);
  if (!known) THError("$ Torch: not enough memory for a stream's record");
  return known;
}

static known_stream *current_on(THCState *s, int device) {
  return record_of(THCState_getCurrentStreamOnDevice(s, device), device);
}

THCStream *THCStream_newWithPriority(int flags, int priority) {
  /* torch's streams do not block on the default one, whatever the flags say */
  return &record_of((cudaStream_t)(uintptr_t)ffi_cuda_ask("new_stream", priority),
                    ffi_cuda_current() - 1)
              ->stream;
}
THCStream *THCStream_new(int flags) { return THCStream_newWithPriority(flags, 0); }
THCStream *THCStream_defaultStream(int device) { return &record_of(NULL, device)->stream; }
void THCStream_retain(THCStream *self) { __atomic_add_fetch(&self->refcount, 1, __ATOMIC_RELAXED); }
void THCStream_free(THCStream *self) {
  if (self) __atomic_sub_fetch(&self->refcount, 1, __ATOMIC_RELAXED);
}
cudaStream_t THCStream_stream(THCStream *self) { return self->stream; }
int THCStream_device(THCStream *self) { return self->device; }

THCStream *THCState_getStreamOnDevice(THCState *s, int device) {
  return &current_on(s, device)->stream;
}
THCStream *THCState_getStream(THCState *s) {
  return THCState_getStreamOnDevice(s, ffi_cuda_current() - 1);
}

static int exchange_device(int device) {
  char text[FFI_TEXT_ROOM];
  int before;
  if (ffi_cuda_exchange_device(device, &before, text)) ffi_throw(text);
  return before;
}

static void return_to_device(int device) {
  char text[FFI_TEXT_ROOM];
  if (ffi_cuda_return_to_device(device, text)) ffi_throw(text);
}

/* torch sets the current GPU's stream. */
void THCState_setStreamOnDevice(THCState *s, int device, THCStream *stream) {
  if (stream->device != device)
    THError("the stream is of GPU %d, not of GPU %d", stream->device, device);
  const int before = exchange_device(device);
  char text[FFI_TEXT_ROOM];
  long long nothing;
  const int failed =
      ffi_cuda_answer("set_stream", (long long)(uintptr_t)stream->stream, &nothing, text);
  return_to_device(before);
  if (failed) ffi_throw(text);
}
void THCState_setStream(THCState *s, THCStream *stream) {
  THCState_setStreamOnDevice(s, stream->device, stream);
}

/* 0.3.1 has 16 bytes for each multiprocessor; no GPU has more than a few hundred. */
static const size_t scratch_bytes = 1 << 16;

/* Of the current stream: torch's have no numbers. */
void *THCState_getDeviceScratchSpace(THCState *s, int device, int stream) {
  known_stream *known = current_on(s, device);
  void *space = __atomic_load_n(&known->scratch, __ATOMIC_ACQUIRE);
  if (space) return space;
  const int before = exchange_device(device);
  char text[FFI_TEXT_ROOM];
  long long address;
  const int failed = ffi_cuda_answer("malloc", (long long)scratch_bytes, &address, text);
  return_to_device(before);
  if (failed) ffi_throw(text);
  void *none = NULL;
  space = (void *)(uintptr_t)address;
  if (__atomic_compare_exchange_n(&known->scratch, &none, space, 0, __ATOMIC_ACQ_REL,
                                  __ATOMIC_ACQUIRE))
    return space;
  THCudaFree(s, space); /* another thread was quicker */
  return none;
}
size_t THCState_getDeviceScratchSpaceSize(THCState *s, int device) { return scratch_bytes; }
void *THCState_getCurrentDeviceScratchSpace(THCState *s) {
  return THCState_getDeviceScratchSpace(s, ffi_cuda_current() - 1, 0);
}
size_t THCState_getCurrentDeviceScratchSpaceSize(THCState *s) {
  return THCState_getDeviceScratchSpaceSize(s, 0);
}

/* torch shows its cuSPARSE handles to nobody. A handle works on one stream, so each has its own. */
cusparseHandle_t THCState_getCurrentSparseHandle(THCState *s) {
  typedef int (*create)(cusparseHandle_t *);
  typedef int (*set)(cusparseHandle_t, cudaStream_t);
  const create make = (create)ffi_cuda_symbol("cusparseCreate");
  const set set_stream = (set)ffi_cuda_symbol("cusparseSetStream");
  known_stream *known = current_on(s, ffi_cuda_current() - 1);
  int status = 0;
  pthread_mutex_lock(&lock);
  if (!known->sparse) {
    cusparseHandle_t handle;
    status = make(&handle);
    if (!status) status = set_stream(handle, known->stream.stream);
    if (!status) known->sparse = handle;
  }
  pthread_mutex_unlock(&lock);
  THCusparseCheck(status);
  return known->sparse;
}
