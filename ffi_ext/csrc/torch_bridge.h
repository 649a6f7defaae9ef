/* How the runtime reads and makes torch tensors: one table of operations, filled by the best tier
 * that works. */
#ifndef FFI_EXT_TORCH_BRIDGE_H
#define FFI_EXT_TORCH_BRIDGE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "guard.h"
#include "record.h"

/* Puts an item, whose reference is consumed, into a new tuple. Without memory for the item the
 * tuple is released: nobody may see one with a hole. */
static inline void ffi_tuple_set(PyObject **tuple, Py_ssize_t index, PyObject *item) {
  if (!item || PyTuple_SetItem(*tuple, index, item)) Py_CLEAR(*tuple);
}

/* torch_python.c: numbers as a tuple of Python's (new reference), and back: how many there are, or
 * -1, perhaps with an exception. */
PyObject *ffi_number_tuple(const int64_t *values, int count);
int ffi_read_numbers(PyObject *tuple, int64_t *out, int room);

/* A torch tensor as it stands: pointers into the tensor itself, good for as long as it is not
 * changed. */
typedef struct ffi_view {
  void *handle;   /* what the operations below take: at::Tensor * in the native tier, PyObject * in
                     the Python tier */
  void *identity; /* StorageImpl * */
  void *storage_data;
  ptrdiff_t storage_bytes;
  const int64_t *size;
  const int64_t *stride;
  int64_t offset; /* elements */
  int ndim;
  int type;   /* enum ffi_type, or -1: TH has no such elements */
  int scalar; /* torch's ScalarType number */
  int requires_grad;
  int cuda;           /* the GPU's index + 1; 0: on the CPU */
  int64_t buffer[64]; /* where a tier without pointers into the tensor keeps size and stride */
} ffi_view;

/* Operations that make or change tensors. None needs the GIL held by the caller unless it says so;
 * each reports failure by returning NULL or -1 after writing a text of at most FFI_TEXT_ROOM bytes.
 */

typedef struct ffi_operations {
  const char *name;
  /* A new reference on the tensor, and its release. */
  void *(*keep)(void *handle);
  void (*release)(void *owned);
  /* Another tensor on the same storage (owned), for when the first may be given a different one. */
  void *(*alias)(void *handle);
  /* A 1-dim tensor of its own memory. Returns an owned handle, fills data and identity. */
  void *(*create)(int type, int cuda, ptrdiff_t elements, void **data, void **identity, char *text);
  /* Enlarge the storage to `bytes`, keeping what is in it. */
  int (*grow)(void *handle, void *identity, ptrdiff_t bytes, void **data, char *text);
  /* Give the tensor `target` the storage of `owner` and this geometry. */
  int (*assign)(void *target, void *owner, const ffi_tensor *geometry, char *text);
  /* The Python object (new reference; GIL held) of a tensor with this geometry on the storage of
   * `owner`; when `kept` is not NULL, an owned handle on the same tensor goes there. NULL with a
   * Python exception set. */
  PyObject *(*make)(void *owner, const ffi_tensor *geometry, void **kept);
  /* The Python object of an existing tensor (new reference; GIL held). */
  PyObject *(*object)(void *handle);
  /* Tell autograd that the data changed; only where it records, unless `always`. GIL held. */
  void (*bump_version)(void *handle, int always);
} ffi_operations;

extern const ffi_operations *ffi_torch; /* module.c */

/* module.c: where the at::Tensor lies in a torch.Tensor object; 0: the handle is the object itself
 * (Python tier). */
extern Py_ssize_t ffi_handle_offset;

/* What tells torch tensors apart: the TensorImpl, or the PyObject in the Python tier. */
static inline void *ffi_key_of(void *handle) {
  return ffi_handle_offset ? *(void **)handle : handle;
}

/* storage_memory.c: a handle on a tensor whose storage is s; *adopted holds it alive where s has
 * none of its own. Of a tensor that outlives the call the memory must stay where it is: see
 * ffi_keep_in_place(). NULL for an empty storage, or with an exception. */
void *ffi_owner_of(ffi_storage *s, PyObject **adopted);
void ffi_keep_in_place(ffi_storage *s, PyObject *adopted);

/* torch_fields.c: finds where this torch keeps a tensor's fields, by looking for known values in
 * known tensors. `probes`: a list of (tensor, keyset, size, stride, offset, dtype code, storage
 * address, data address, bytes). Returns 0 when every probe agreed, -1 when it did not (no
 * exception set): the Python tier serves then. */
int ffi_fields_calibrate(PyObject *probes, Py_ssize_t header);
/* Returns 0 and fills the view when the object (an instance of torch.Tensor) is a plain, dense CPU
 * tensor whose storage covers its geometry; 1 when a closer look is needed. */
int ffi_fields_describe(PyObject *tensor, ffi_view *view);
/* Reads tensors like this one quickly, too, from now on: a CUDA tensor that Python described, if
 * what stands in its fields is what Python said. */
void ffi_fields_learn(const ffi_view *view);
void *ffi_fields_identity(void *handle);
int64_t ffi_fields_offset(void *handle);
void *ffi_fields_data(void *identity);
/* Whether the storage's memory came from torch's CPU allocator. */
int ffi_fields_is_ordinary(void *identity);

/* torch_native.c: the libraries that `import torch` has loaded, by their paths; 0 when they are. */
int ffi_native_open(PyObject *libraries);
/* A function of theirs, or NULL. */
void *ffi_native_symbol(const char *name);
/* Operations through the functions that they export; NULL when one was not found. */
const ffi_operations *ffi_native_load(void);

/* torch_python.c: the same through Python. */
extern const ffi_operations ffi_python_operations;
/* Whether an exception is set, or a signal that came while C was at work raises one now;
 * "interrupted" is the text then. No Python code may run with it: C is ended by the text, again and
 * again where C++ catches it, and ffi_raise() leaves the exception to be the call's. GIL held. */
int ffi_interrupted(char *text);
/* The text of the Python error that is set, which is cleared: but KeyboardInterrupt and the like,
 * which are no errors of torch's or of C's, stay, as above. GIL held. */
void ffi_take_error(char *text);
/* Raises an error with that text, or another. Returns NULL. */
PyObject *ffi_raise(PyObject *type, const char *text);
/* For tensors that are on no CPU, in the native tier, too: `target`, `owner` are Python objects. */
PyObject *ffi_python_create(int type, int cuda, ptrdiff_t elements, void **data, void **identity,
                            char *text);
int ffi_python_assign(PyObject *target, PyObject *owner, const ffi_tensor *geometry, char *text);
PyObject *ffi_python_make(PyObject *owner, const ffi_tensor *geometry);
int ffi_python_grow(PyObject *tensor, ptrdiff_t bytes, void **data, char *text);
int ffi_python_describe(PyObject *facts, PyObject *tensor, ffi_view *view);

#endif
