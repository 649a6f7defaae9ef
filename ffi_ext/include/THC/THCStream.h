/* Streams as counted records; the streams themselves are torch's. */
#ifndef THC_STREAM_INC
#define THC_STREAM_INC

#include "THCGeneral.h"

typedef struct THCStream {
  cudaStream_t stream;
  int device;
  int refcount;
} THCStream;

THC_API THCStream *THCStream_defaultStream(int device);
THC_API THCStream *THCStream_new(int flags);
THC_API THCStream *THCStream_newWithPriority(int flags, int priority);
THC_API void THCStream_free(THCStream *self);
THC_API void THCStream_retain(THCStream *self);
THC_API cudaStream_t THCStream_stream(THCStream *self);
THC_API int THCStream_device(THCStream *self);

/* Records live as long as the process, as the streams do: retain and free count. */
THC_API THCStream *THCState_getStream(THCState *state);
THC_API THCStream *THCState_getStreamOnDevice(THCState *state, int device);
THC_API void THCState_setStream(THCState *state, THCStream *stream);
THC_API void THCState_setStreamOnDevice(THCState *state, int device, THCStream *stream);

#endif
