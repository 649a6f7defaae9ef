/* What TH's functions are made of: operations on records, the same for every element type. */
#ifndef FFI_EXT_TH_CORE_H
#define FFI_EXT_TH_CORE_H

#include "TH/TH.h"
#include "record.h"

/* enum ffi_type of the type at hand, in files for every type. */
#define TYPE_NUMBER TH_CONCAT_2(FFI_, Real)

/* A tensor's first element, whatever its type. */
#define DATA(t) ((t)->storage ? (t)->storage->data + (t)->storageOffset : NULL)

/* `make analyze`: tools do not see that these return only where the condition holds. */
#ifdef FFI_ANALYZED
#undef THArgCheck
#undef THError
#define THArgCheck(condition, ...)                                                      \
  do {                                                                                  \
    if (!(condition)) (_THArgCheck(__FILE__, __LINE__, 0, __VA_ARGS__), ffi_throw("")); \
  } while (0)
#define THError(...) (_THError(__FILE__, __LINE__, __VA_ARGS__), ffi_throw(""))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* records.c: a variable with a tensor, or with memory of THAlloc's, that is let go of where its
 * block ends, be it by an error. `ffi_hand_over` takes a tensor out of its variable. */
#define FFI_HELD __attribute__((cleanup(ffi_let_go)))
#define FFI_HELD_MEMORY __attribute__((cleanup(ffi_free_memory)))
void ffi_let_go(void *variable);
void ffi_free_memory(void *variable);
void *ffi_hand_over(void *variable);
/* records.c: a storage on memory that is not torch's; allocator NULL: THDefaultAllocator. The
 * memory of one on a GPU. */
ffi_storage *ffi_th_storage_new_with(int type, void *data, ptrdiff_t size, THAllocator *allocator,
                                     void *context);
void ffi_cuda_storage_free(ffi_storage *s);

/* th_storage.c */
ffi_storage *ffi_th_storage_new_on(int type, int cuda, ptrdiff_t size);
ffi_storage *ffi_th_storage_new_mapped(int type, const char *path, ptrdiff_t size, int flags);
void ffi_th_storage_resize(ffi_storage *s, ptrdiff_t size);
void ffi_th_storage_swap(ffi_storage *a, ffi_storage *b);

/* th_tensor.c: `size` and `stride` may be NULL where TH allows it. */
ptrdiff_t ffi_th_elements(const ffi_tensor *t);
int ffi_th_is_contiguous(const ffi_tensor *t);
int ffi_th_same_size(const ffi_tensor *a, const ffi_tensor *b);
int64_t ffi_th_size(const ffi_tensor *t, int dimension);
int64_t ffi_th_stride(const ffi_tensor *t, int dimension);
/* Of the element at an index of n places, 1 to 4. */
ptrdiff_t ffi_th_offset(const ffi_tensor *t, int n, const int64_t *index);
void ffi_th_resize(ffi_tensor *t, int n, const int64_t *size, const int64_t *stride);
void ffi_th_resize_as(ffi_tensor *t, const ffi_tensor *source);
/* As LAPACK's results: a matrix of another size comes to lie in columns. */
void ffi_th_resize_columns(ffi_tensor *t, int n, const int64_t *size);
void ffi_th_set_storage(ffi_tensor *t, ffi_storage *s, ptrdiff_t offset, int n, const int64_t *size,
                        const int64_t *stride);
void ffi_th_set(ffi_tensor *t, ffi_tensor *source);
void ffi_th_narrow(ffi_tensor *t, ffi_tensor *source, int dimension, int64_t first, int64_t size);
void ffi_th_select(ffi_tensor *t, ffi_tensor *source, int dimension, int64_t index);
void ffi_th_transpose(ffi_tensor *t, ffi_tensor *source, int dimension1, int dimension2);
void ffi_th_unfold(ffi_tensor *t, ffi_tensor *source, int dimension, int64_t size, int64_t step);
void ffi_th_squeeze(ffi_tensor *t, ffi_tensor *source);
void ffi_th_squeeze1d(ffi_tensor *t, ffi_tensor *source, int dimension);
void ffi_th_unsqueeze1d(ffi_tensor *t, ffi_tensor *source, int dimension);
void ffi_th_view(ffi_tensor *t, ffi_tensor *source, THLongStorage *size);
void ffi_th_expand(ffi_tensor *t, ffi_tensor *source, THLongStorage *size);
#define FFI_MAX_TENSORS 64
#define FFI_MAX_DIMS 256 /* of a tensor */
void ffi_th_expand_together(ffi_tensor **results, ffi_tensor **sources, int count);
/* thc_general.c: what torch.cuda knows (ffi_ext/th/cuda_state.py); throws its error. The current
 * GPU's index + 1. A function of a CUDA library that torch has loaded. All throw where there is
 * none. */
long long ffi_cuda_ask(const char *name, long long number);
int ffi_cuda_current(void);
void *ffi_cuda_symbol(const char *name);
struct _THCDeviceAllocator;
/* thc_memory.c: storages on memory that is not torch's; allocator NULL: THCudaMalloc's. */
ffi_storage *ffi_cuda_storage_new_with(int type, void *data, ptrdiff_t size,
                                       struct _THCDeviceAllocator *allocator, void *context);
void ffi_cuda_storage_resize(ffi_storage *s, ptrdiff_t size);
/* thc_memory.c: fills a storage from raw memory of the same device. */
void ffi_cuda_copy(ffi_storage *to, const void *from);
/* th_torch.c: a function of TH's that torch does; TH/generic/THTensorMath.h says what the codes
 * mean. Throws. */
void ffi_th_torch(const char *name, const char *codes, ...);
/* Elements of one storage to another, of any types and devices, by torch. */
void ffi_th_copy_storage(ffi_storage *to, ffi_storage *from);
/* th_special.c */
double ffi_lgamma(double x);
/* th_sizes.c */
THLongStorage *ffi_th_numbers(int n, const int64_t *values);

#ifdef __cplusplus
}
#endif
#endif
