/* Pointers and structs between Python and C by cffi's own conversions, which it exports for the C
 * that it generates; the rest of what cffi converts goes through cffi_values.py. */
#include <string.h>

#include "call.h"

/* Places in the table behind `_cffi_backend._C_API`, which C of an older cffi relies on, too. */
enum {
  FROM_C_POINTER = 10,
  TO_C_POINTER = 11,
  TO_C = 17,
  FROM_C_STRUCT = 18,
  PREPARE_POINTER = 23,
  ARRAY_FROM_OBJECT = 24
};

static PyObject *types_of(const ffi_function *function) {
  PyObject *found = __atomic_load_n(&function->types, __ATOMIC_ACQUIRE);
  if (found != Py_None) return found;
  PyObject *c_types = PyObject_CallFunctionObjArgs(ffi_hook.types, (PyObject *)function, NULL);
  if (!c_types) PyErr_Clear(); /* the hook that converts instead raises it again */
  Py_XDECREF(c_types);
  return __atomic_load_n(&function->types, __ATOMIC_ACQUIRE);
}

static PyObject *fact_of(PyObject *types, int fact, int place) {
  return PyTuple_GetItem(PyTuple_GetItem(types, fact), place);
}

/* What cffi_values.types_of finds of a parameter (place 0: of the result): cffi's type, a borrowed
 * reference, and its number. NULL if it finds nothing. */
static PyObject *type_of(const ffi_function *function, int place, Py_ssize_t *number) {
  PyObject *found = types_of(function);
  if (found == Py_None) return NULL;
  PyObject *type = fact_of(found, FFI_C_TYPE, place);
  *number = PyLong_AsSsize_t(fact_of(found, FFI_NUMBER, place));
  return Py_TYPE(type) == (PyTypeObject *)ffi_hook.ctype_type ? type : NULL;
}

int ffi_element_of(const ffi_function *function, int place, Py_ssize_t *bytes) {
  PyObject *found = types_of(function);
  if (found == Py_None) return -1;
  *bytes = PyLong_AsSsize_t(fact_of(found, FFI_BYTES, place));
  return (int)PyLong_AsLong(fact_of(found, FFI_ELEMENT, place));
}

static void *exported(int place) {
  void *const *table = PyCapsule_GetPointer(ffi_hook.cffi, "cffi");
  return table[place];
}

/* Zeros that last for the call; aligned for the widest vectors, which structs may be made for:
 * bytes alone suit 16 bytes, and the processor refuses the rest. NULL with an exception. */
static void *memory(ffi_call *c, Py_ssize_t size) {
  enum { ALIGNMENT = 64 };
  PyObject *bytes = size > PY_SSIZE_T_MAX - ALIGNMENT
                        ? PyErr_NoMemory()
                        : PyBytes_FromStringAndSize(NULL, size + ALIGNMENT);
  if (!bytes) return NULL;
  c->keep[c->kept++] = bytes;
  char *at = PyBytes_AsString(bytes);
  return memset(at + -(uintptr_t)at % ALIGNMENT, 0, (size_t)size);
}

static int array_of(ffi_call *c, PyObject *type, PyObject *items, void **out) {
  Py_ssize_t (*prepare)(PyObject *, PyObject *, char **) = exported(PREPARE_POINTER);
  int (*convert)(char *, PyObject *, PyObject *) = exported(ARRAY_FROM_OBJECT);
  const Py_ssize_t size = prepare(type, items, (char **)out);
  if (size <= 0) return size < 0 ? -1 : 1;
  *out = memory(c, size);
  return *out && convert(*out, type, items) == 0 ? 0 : -1;
}

/* Whether cffi puts a list's items into memory as they are: into integers it would put int() of a
 * NumPy float or of a tensor, cut. */
static int are_kept(const ffi_function *function, int place, PyObject *items) {
  Py_ssize_t bytes;
  const int element = ffi_element_of(function, place, &bytes);
  if (element < 0 || (element >= FFI_EXT_FLOAT16 && element <= FFI_EXT_COMPLEX128)) return 1;
  for (Py_ssize_t i = 0, n = PyTuple_Size(items); i < n; i++) {
    PyObject *item = PyTuple_GetItem(items, i);
    if (!PyLong_Check(item) && !PyList_Check(item) && !PyTuple_Check(item)) return 0;
  }
  return 1;
}

static int struct_of(ffi_call *c, PyObject *type, PyObject *value, Py_ssize_t size, void **out) {
  int (*convert)(char *, PyObject *, PyObject *) = exported(TO_C);
  *out = memory(c, size);
  return *out && convert(*out, type, value) == 0 ? 0 : -1;
}

static int pointer_of(PyObject *type, PyObject *value, void **out) {
  char *(*convert)(PyObject *, PyObject *) = exported(TO_C_POINTER);
  *out = convert(value, type);
  return *out || !PyErr_Occurred() ? 0 : -1;
}

int ffi_take_cffi(ffi_call *c, int index, PyObject *value, void **out) {
  Py_ssize_t number;
  int failed = 1;
  const char code = c->function->parameters[index].code;
  PyObject *type = type_of(c->function, index + 1, &number);
  if (!type || code == 'c') return 1;
  if (code == 'x') {
    if (number > 0) failed = struct_of(c, type, value, number, out);
  } else if (ffi_is_cdata(value)) {
    failed = pointer_of(type, value, out);
  } else if (number >= 0 && (PyList_Check(value) || PyTuple_Check(value))) {
    PyObject *items = PySequence_Tuple(value); /* as they are now: a list may change meanwhile */
    if (items) c->keep[c->kept++] = items;
    if (!items)
      failed = -1;
    else if (PyTuple_Size(items) >= number && are_kept(c->function, index + 1, items))
      failed = array_of(c, type, items, out);
  }
  if (failed < 0 && PyErr_ExceptionMatches(PyExc_Exception)) { /* no KeyboardInterrupt */
    PyErr_Clear();
    return 1;
  }
  return failed;
}

int ffi_struct_room(ffi_call *c) {
  Py_ssize_t size;
  if (!type_of(c->function, 0, &size) || size <= 0) return -1;
  c->slots[0].p = memory(c, size);
  if (!c->slots[0].p) PyErr_Clear();
  return c->slots[0].p ? 0 : -1;
}

PyObject *ffi_cffi_result(const ffi_function *function, void *pointer) {
  Py_ssize_t number;
  PyObject *type = type_of(function, 0, &number);
  const int by_value = function->result.code == 'x';
  if (!type || (by_value && number <= 0)) return NULL;
  PyObject *(*make)(char *, PyObject *) = exported(by_value ? FROM_C_STRUCT : FROM_C_POINTER);
  return make(pointer, type);
}
