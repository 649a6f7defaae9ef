/* The current GPU and its current stream, which are torch's. */
#ifndef FFI_EXT_CUDA_DEVICE_H
#define FFI_EXT_CUDA_DEVICE_H

#include <stddef.h>

/* Each returns 0, or -1 with the error's text (at most FFI_TEXT_ROOM bytes). None needs the GIL. */
int ffi_cuda_current_device(int *device, char *text);
int ffi_cuda_exchange_device(int device, int *before, char *text);
/* To the one from before. If nobody has used that, it gets no context, which is hundreds of MB of
 * its memory: torch makes it the current one when it is. */
int ffi_cuda_return_to_device(int device, char *text);
int ffi_cuda_current_stream(int device, void **stream, char *text);
/* Memory of torch's caching allocator, on the current GPU and stream. */
int ffi_cuda_allocate(size_t bytes, void **memory, char *text);
int ffi_cuda_release(void *memory, char *text);
/* What torch.cuda knows: ffi_ext/th/cuda_state.py. */
int ffi_cuda_answer(const char *name, long long number, long long *value, char *text);

/* Looks for torch's own functions. Once, when the native tier is chosen. */
void ffi_cuda_look_up(void);
/* Takes them in place of Python's, if they say the same. A GPU must be there; GIL held. */
void ffi_cuda_verify(void);

#endif
