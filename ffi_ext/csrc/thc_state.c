/* What remains of THC's state: torch has set it up, and numbers neither streams nor handles; its
 * generators are torch's. */
#define FFI_EXT_NO_CUDA_HEADERS
#include <stdlib.h>

#include "THC/THCGeneral.h"
#include "THC/THCTensorRandom.h"
#include "THC/THCThreadLocal.h"
#include "cuda_device.h"
#include "th_core.h"

/* clang-format off */
THCState *THCState_alloc(void) { extern THCState *state; return state; }
void THCState_free(THCState *s) {}
void THCudaInit(THCState *s) {}
void THCudaShutdown(THCState *s) {}
void THCMagma_init(THCState *s) {}
#define RESERVE(NAME, ...) void THCState_reserve##NAME(THCState *s, __VA_ARGS__)
RESERVE(Streams, int count, int non_blocking) {}
RESERVE(BlasHandles, int count) {}
RESERVE(SparseHandles, int count) {}
#define NUMBER(NAME, VALUE) int THCState_get##NAME(THCState *s) { return VALUE; }
NUMBER(NumStreams, 0)
NUMBER(NumBlasHandles, 1)
NUMBER(NumSparseHandles, 1)
NUMBER(CurrentStreamIndex, 0)
NUMBER(CurrentBlasHandleIndex, 1)
NUMBER(CurrentSparseHandleIndex, 1)
/* clang-format on */

#define ONLY(NAME, VALUE, WHAT)                                                              \
  void THCState_setCurrent##NAME(THCState *s, int number) {                                  \
    if (number != (VALUE)) THError(WHAT " of torch have no numbers: %d is not one", number); \
  }
ONLY(StreamIndex, 0, "streams")
ONLY(BlasHandleIndex, 1, "handles")
ONLY(SparseHandleIndex, 1, "handles")

cudaStream_t THCState_getDeviceStream(THCState *s, int device, int stream) {
  return THCState_getCurrentStreamOnDevice(s, device);
}
static void require_current(int device) {
  if (device != ffi_cuda_current() - 1)
    THError("torch has a library handle for the current GPU only, not for GPU %d", device);
}
cublasHandle_t THCState_getDeviceBlasHandle(THCState *s, int device, int handle) {
  require_current(device);
  return THCState_getCurrentBlasHandle(s);
}
cusparseHandle_t THCState_getDeviceSparseHandle(THCState *s, int device, int handle) {
  require_current(device);
  return THCState_getCurrentSparseHandle(s);
}

static int kernels_reach_peers;
int THCState_getKernelPeerToPeerAccessEnabled(THCState *s) { return kernels_reach_peers; }
void THCState_setKernelPeerToPeerAccessEnabled(THCState *s, int value) {
  kernels_reach_peers = value;
}

void THC_sleep(THCState *s, int64_t cycles) { ffi_cuda_ask("sleep", cycles); }

void THCRandom_manualSeed(THCState *s, uint64_t seed) {
  ffi_cuda_ask("manual_seed", (long long)seed);
}
void THCRandom_manualSeedAll(THCState *s, uint64_t seed) {
  ffi_cuda_ask("manual_seed_all", (long long)seed);
}
uint64_t THCRandom_initialSeed(THCState *s) { return (uint64_t)ffi_cuda_ask("initial_seed", 0); }

uint64_t THCRandom_seed(THCState *s) { return (uint64_t)ffi_cuda_ask("seed", 0); }
uint64_t THCRandom_seedAll(THCState *s) { return (uint64_t)ffi_cuda_ask("seed_all", 0); }
void THCRandom_getRNGState(THCState *s, THByteTensor *rng_state) {
  ffi_th_torch("getRNGState", "w", rng_state);
}
void THCRandom_setRNGState(THCState *s, THByteTensor *rng_state) {
  ffi_th_torch("setRNGState", "t", rng_state);
}
void THCRandom_init(THCState *s, int num_devices, int current_device) {}
void THCRandom_shutdown(THCState *s) {}

THCThreadLocal THCThreadLocal_alloc(void) {
  THCThreadLocal local = malloc(sizeof *local);
  if (!local || pthread_key_create(local, NULL)) {
    free(local);
    THError("$ Torch: no room for another value of threads");
  }
  return local;
}
void THCThreadLocal_free(THCThreadLocal local) {
  if (local) pthread_key_delete(*local);
  free(local);
}
void *THCThreadLocal_get(THCThreadLocal local) { return pthread_getspecific(*local); }
void THCThreadLocal_set(THCThreadLocal local, void *value) {
  if (pthread_setspecific(*local, value)) THError("$ Torch: no memory for a value of this thread");
}
