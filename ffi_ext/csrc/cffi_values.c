/* Pointers between Python and C by cffi's own conversions, which it exports for the C that it
 * generates; the rest of what cffi converts goes through cffi_values.py. */
#include "call.h"

/* Places in the table behind `_cffi_backend._C_API`, the same in every version of cffi 1. */
enum { FROM_C_POINTER = 10, TO_C_POINTER = 11 };

/* cffi's type of a parameter (place 0: of the result), a borrowed reference; NULL before
 * cffi_values.types_of has put them into the function's state. */
static PyObject *type_of(const ffi_function *function, int place) {
  PyObject *state = function->state;
  if (!PyTuple_Check(state) || PyTuple_Size(state) != 4) return NULL;
  PyObject *types = PyTuple_GetItem(state, 3);
  if (!PyTuple_Check(types) || PyTuple_Size(types) <= place) return NULL;
  PyObject *type = PyTuple_GetItem(types, place);
  return Py_TYPE(type) == (PyTypeObject *)ffi_hook.ctype_type ? type : NULL;
}

static void *exported(int place) {
  void *const *table = PyCapsule_GetPointer(ffi_hook.cffi, "cffi");
  return table[place];
}

int ffi_pointer_from_cdata(const ffi_function *function, int index, PyObject *value, void **out) {
  PyObject *type = type_of(function, index + 1);
  if (!type || !ffi_is_cdata(value)) return -1;
  char *(*convert)(PyObject *, PyObject *) = exported(TO_C_POINTER);
  *out = convert(value, type);
  if (*out || !PyErr_Occurred()) return 0;
  PyErr_Clear();
  return -1;
}

PyObject *ffi_cdata_from_pointer(const ffi_function *function, void *pointer) {
  PyObject *type = type_of(function, 0);
  if (!type) return NULL;
  PyObject *(*make)(char *, PyObject *) = exported(FROM_C_POINTER);
  return make(pointer, type);
}
