/* NumPy arrays as C sees them, by the structure that they offer (NumPy's manual, "The array
 * interface protocol"). */
#include "call.h"

enum { ALIGNED = 0x100, NATIVE_BYTES = 0x200, WRITABLE = 0x400 };

typedef struct {
  int two;
  int ndim;
  char kind;
  int item_size;
  int flags;
  Py_ssize_t *shape;
  Py_ssize_t *strides; /* in bytes */
  void *data;
} array_interface;

static int scalar_of(char kind, int bytes) {
#define ROW(NAME, SCALAR, BYTES, KIND) {KIND, BYTES, FFI_EXT_##SCALAR},
  static const struct {
    char kind;
    unsigned char bytes, scalar;
  } known[] = {FFI_SCALARS(ROW)};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].kind == kind && known[i].bytes == bytes) return known[i].scalar;
  return -1;
}

static int fill(const array_interface *array, int writable, ffi_view *view) {
  const int wanted = ALIGNED | NATIVE_BYTES | (writable ? WRITABLE : 0);
  const int room = sizeof view->buffer / sizeof *view->buffer;
  const int scalar = scalar_of(array->kind, array->item_size);
  if (array->two != 2 || (array->flags & wanted) != wanted || scalar < 0 || 2 * array->ndim > room)
    return -1;
  int64_t *size = view->buffer, *stride = size + array->ndim;
  for (int i = 0; i < array->ndim; i++) {
    size[i] = array->shape[i];
    stride[i] = array->strides[i] / array->item_size;
    if (array->strides[i] < 0 || array->strides[i] % array->item_size) return -1;
  }
  view->handle = view->identity = NULL; /* no tensor's */
  view->storage_data = array->data;
  view->size = size;
  view->stride = stride;
  view->ndim = array->ndim;
  view->offset = 0;
  view->scalar = scalar;
  view->cuda = 0;
  return 0;
}

static PyObject *name;

int ffi_numpy_set_up(void) {
  name = PyUnicode_InternFromString("__array_struct__");
  return name ? 0 : -1;
}

int ffi_numpy_describe(PyObject *value, int writable, ffi_view *view) {
  if (!ffi_is_array(value)) return -1;
  PyObject *capsule = PyObject_GetAttr(value, name);
  const array_interface *array = capsule ? PyCapsule_GetPointer(capsule, NULL) : NULL;
  const int failed = !array || fill(array, writable, view);
  Py_XDECREF(capsule);
  if (!array) PyErr_Clear();
  return failed ? -1 : 0;
}
