/* Pointers between Python and C by cffi's own conversions, which it exports for the C that it
 * generates; the rest of what cffi converts goes through cffi_values.py. */
#include <string.h>

#include "call.h"

/* Places in the table behind `_cffi_backend._C_API`, the same in every version of cffi 1. */
enum { FROM_C_POINTER = 10, TO_C_POINTER = 11, PREPARE_POINTER = 23, ARRAY_FROM_OBJECT = 24 };

/* What cffi_values.types_of put into the function's state, of a parameter (place 0: of the result):
 * cffi's type and how many values a list must have at least (-1: it is no array). A borrowed
 * reference; NULL before that. */
static PyObject *type_of(const ffi_function *function, int place, Py_ssize_t *least) {
  PyObject *state = function->state;
  if (!PyTuple_Check(state) || PyTuple_Size(state) != 5) return NULL;
  PyObject *types = PyTuple_GetItem(state, 3), *lengths = PyTuple_GetItem(state, 4);
  if (!PyTuple_Check(types) || PyTuple_Size(types) <= place) return NULL;
  if (!PyTuple_Check(lengths) || PyTuple_Size(lengths) <= place) return NULL;
  PyObject *type = PyTuple_GetItem(types, place);
  *least = PyLong_AsSsize_t(PyTuple_GetItem(lengths, place));
  return Py_TYPE(type) == (PyTypeObject *)ffi_hook.ctype_type ? type : NULL;
}

static void *exported(int place) {
  void *const *table = PyCapsule_GetPointer(ffi_hook.cffi, "cffi");
  return table[place];
}

/* A list or tuple to an array of its own. The bytes that hold it, or NULL. */
static PyObject *array_of(PyObject *type, PyObject *value, void **out) {
  Py_ssize_t (*prepare)(PyObject *, PyObject *, char **) = exported(PREPARE_POINTER);
  int (*convert)(char *, PyObject *, PyObject *) = exported(ARRAY_FROM_OBJECT);
  const Py_ssize_t size = prepare(type, value, (char **)out);
  PyObject *bytes = size > 0 ? PyBytes_FromStringAndSize(NULL, size) : NULL;
  if (!bytes) return NULL;
  *out = memset(PyBytes_AsString(bytes), 0, (size_t)size);
  if (convert(*out, type, value)) Py_CLEAR(bytes);
  return bytes;
}

int ffi_pointer_from(ffi_call *c, int index, PyObject *value, void **out) {
  Py_ssize_t least;
  PyObject *type = type_of(c->function, index + 1, &least);
  if (!type) return -1;
  if (ffi_is_cdata(value)) {
    char *(*convert)(PyObject *, PyObject *) = exported(TO_C_POINTER);
    *out = convert(value, type);
    if (*out || !PyErr_Occurred()) return 0;
  } else if (least >= 0 && (PyList_Check(value) || PyTuple_Check(value)) &&
             PySequence_Size(value) >= least) {
    PyObject *bytes = array_of(type, value, out);
    if (bytes) {
      c->keep[c->kept++] = bytes;
      return 0;
    }
  }
  PyErr_Clear();
  return -1;
}

PyObject *ffi_cdata_from_pointer(const ffi_function *function, void *pointer) {
  Py_ssize_t least;
  PyObject *type = type_of(function, 0, &least);
  if (!type) return NULL;
  PyObject *(*make)(char *, PyObject *) = exported(FROM_C_POINTER);
  return make(pointer, type);
}
