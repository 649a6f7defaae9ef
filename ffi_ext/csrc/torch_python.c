/* The Python tier: the same operations through torch's Python interface, by hooks of
 * ffi_ext/calls/tiers.py. Slow, but any torch has it. A handle is the tensor's PyObject here. */
#include <stdio.h>
#include <string.h>

#include "function.h"
#include "torch_bridge.h"

int ffi_interrupted(char *text) {
  if (!PyErr_Occurred() && !PyErr_CheckSignals()) return 0;
  snprintf(text, FFI_TEXT_ROOM, "interrupted");
  return 1;
}

void ffi_take_error(char *text) {
  PyObject *type, *value, *traceback, *string = NULL;
  if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) {
    ffi_interrupted(text);
    return;
  }
  PyErr_Fetch(&type, &value, &traceback);
  if (value) string = PyObject_Str(value);
  const char *utf8 = string ? PyUnicode_AsUTF8AndSize(string, NULL) : NULL;
  snprintf(text, FFI_TEXT_ROOM, "%s", utf8 ? utf8 : "unknown Python error");
  PyErr_Clear();
  Py_XDECREF(string);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(traceback);
}

PyObject *ffi_raise(PyObject *type, const char *text) {
  if (PyErr_Occurred()) return NULL;
  PyObject *message = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
  if (message) PyErr_SetObject(type, message);
  Py_XDECREF(message);
  return NULL;
}

PyObject *ffi_number_tuple(const int64_t *values, int count) {
  PyObject *tuple = PyTuple_New(count);
  for (int i = 0; tuple && i < count; i++) ffi_tuple_set(&tuple, i, PyLong_FromLongLong(values[i]));
  return tuple;
}

int ffi_read_numbers(PyObject *tuple, int64_t *out, int room) {
  Py_ssize_t count = PyTuple_Size(tuple);
  if (count < 0 || count > room) return -1;
  for (Py_ssize_t i = 0; i < count; i++) out[i] = PyLong_AsLongLong(PyTuple_GetItem(tuple, i));
  return (int)count;
}

static void *keep(void *handle) {
  PyGILState_STATE gil = PyGILState_Ensure();
  Py_INCREF((PyObject *)handle);
  PyGILState_Release(gil);
  return handle;
}

static void release(void *owned) {
  PyGILState_STATE gil = PyGILState_Ensure();
  Py_DECREF((PyObject *)owned);
  PyGILState_Release(gil);
}

static void *alias(void *handle) {
  PyGILState_STATE gil = PyGILState_Ensure();
  PyObject *tensor = PyObject_CallFunction(ffi_hook.alias, "O", (PyObject *)handle);
  if (!tensor) PyErr_Clear(); /* the caller reports it */
  PyGILState_Release(gil);
  return tensor;
}

/* (tensor, identity, data) as a helper returns them. */
static int unpack(PyObject *triple, void **identity, void **data) {
  PyObject *tensor;
  unsigned long long identity_number, data_number;
  if (!PyArg_ParseTuple(triple, "OKK", &tensor, &identity_number, &data_number)) return -1;
  *identity = (void *)(uintptr_t)identity_number;
  *data = (void *)(uintptr_t)data_number;
  return 0;
}

PyObject *ffi_python_create(int type, int cuda, ptrdiff_t elements, void **data, void **identity,
                            char *text) {
  if (ffi_interrupted(text)) return NULL;
  PyObject *triple = PyObject_CallFunction(ffi_hook.create, "iin", ffi_scalar_type[type], cuda,
                                           (Py_ssize_t)elements);
  PyObject *tensor = NULL;
  if (triple && unpack(triple, identity, data) == 0) {
    tensor = PyTuple_GetItem(triple, 0);
    Py_XINCREF(tensor);
  }
  if (!tensor) ffi_take_error(text);
  Py_XDECREF(triple);
  return tensor;
}

static void *create(int type, int cuda, ptrdiff_t elements, void **data, void **identity,
                    char *text) {
  PyGILState_STATE gil = PyGILState_Ensure();
  PyObject *tensor = ffi_python_create(type, cuda, elements, data, identity, text);
  PyGILState_Release(gil);
  return tensor;
}

int ffi_python_grow(PyObject *tensor, ptrdiff_t bytes, void **data, char *text) {
  if (ffi_interrupted(text)) return -1;
  void *same;
  PyObject *triple = PyObject_CallFunction(ffi_hook.grow, "On", tensor, (Py_ssize_t)bytes);
  int failed = !triple || unpack(triple, &same, data);
  if (failed) ffi_take_error(text);
  Py_XDECREF(triple);
  return failed ? -1 : 0;
}

static int grow(void *handle, void *identity, ptrdiff_t bytes, void **data, char *text) {
  PyGILState_STATE gil = PyGILState_Ensure();
  int failed = ffi_python_grow(handle, bytes, data, text);
  PyGILState_Release(gil);
  return failed;
}

static PyObject *call_with_geometry(PyObject *hook, PyObject *first, PyObject *owner,
                                    const ffi_tensor *t) {
  return PyObject_CallFunction(hook, "OOnNN", first, owner, (Py_ssize_t)t->storageOffset,
                               ffi_number_tuple(t->size, t->nDimension),
                               ffi_number_tuple(t->stride, t->nDimension));
}

int ffi_python_assign(PyObject *target, PyObject *owner, const ffi_tensor *geometry, char *text) {
  if (ffi_interrupted(text)) return -1;
  PyObject *done = call_with_geometry(ffi_hook.assign, target, owner, geometry);
  if (!done) ffi_take_error(text);
  int failed = !done;
  Py_XDECREF(done);
  return failed ? -1 : 0;
}

static int assign(void *target, void *owner, const ffi_tensor *geometry, char *text) {
  PyGILState_STATE gil = PyGILState_Ensure();
  int failed = ffi_python_assign(target, owner, geometry, text);
  PyGILState_Release(gil);
  return failed;
}

PyObject *ffi_python_make(PyObject *owner, const ffi_tensor *geometry) {
  PyObject *place = Py_BuildValue("(ii)", ffi_scalar_type[geometry->type], geometry->cuda);
  if (!place) return NULL;
  PyObject *result = call_with_geometry(ffi_hook.make, place, owner ? owner : Py_None, geometry);
  Py_DECREF(place);
  return result;
}

static PyObject *make(void *owner, const ffi_tensor *geometry, void **kept) {
  PyObject *result = ffi_python_make(owner, geometry);
  if (result && kept) *kept = Py_NewRef(result);
  return result;
}

static PyObject *object(void *handle) { return Py_NewRef((PyObject *)handle); }

static void bump_version(void *handle, int always) {
  PyObject *done = PyObject_CallFunction(ffi_hook.bump_version, "Oi", (PyObject *)handle, always);
  if (!done) PyErr_Clear(); /* inference tensors have no version: nothing to tell anyone */
  Py_XDECREF(done);
}

const ffi_operations ffi_python_operations = {
    "python", keep, release, alias, create, grow, assign, make, object, bump_version,
};

/* `facts`: (scalar type, size, stride, offset, storage address, data address, bytes, requires
 * grad, GPU's index + 1). */
int ffi_python_describe(PyObject *facts, PyObject *tensor, ffi_view *view) {
  int scalar;
  PyObject *size, *stride;
  unsigned long long identity, data;
  long long offset, bytes;
  if (!PyArg_ParseTuple(facts, "iO!O!LKKLii", &scalar, &PyTuple_Type, &size, &PyTuple_Type, &stride,
                        &offset, &identity, &data, &bytes, &view->requires_grad, &view->cuda))
    return -1;
  view->ndim = ffi_read_numbers(size, view->buffer, 32);
  if (view->ndim < 0 || ffi_read_numbers(stride, view->buffer + 32, 32) != view->ndim) {
    if (!PyErr_Occurred())
      PyErr_SetString(PyExc_TypeError, "tensors of more than 32 dimensions are not supported");
    return -1;
  }
  view->scalar = scalar;
  view->type = ffi_type_of_scalar(scalar);
  view->size = view->buffer;
  view->stride = view->buffer + 32;
  view->offset = offset;
  view->identity = (void *)(uintptr_t)identity;
  view->storage_data = (void *)(uintptr_t)data;
  view->storage_bytes = (ptrdiff_t)bytes;
  view->handle = tensor;
  return 0;
}
