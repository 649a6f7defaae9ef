/* TH's functions along dimensions and on matrices go to torch: ffi_ext/th/th_maths.py and
 * th_algebra.py have their tables. */
#include <stdarg.h>
#include <string.h>

#include "frame.h"
#include "function.h"
#include "th_core.h"

#define MAX_RESULTS 4

static PyObject *tuple_of(ffi_tensor **tensors, int count) {
  PyObject *tuple = PyTuple_New(count);
  for (int i = 0; tuple && i < count; i++) ffi_tuple_set(&tuple, i, ffi_tensor_alias(tensors[i]));
  return tuple;
}

/* The next argument as a Python object, by its code. */
static PyObject *next_argument(char code, va_list *arguments) {
  switch (code) {
    case 't': return ffi_tensor_alias(va_arg(*arguments, ffi_tensor *));
    case 'i': return PyLong_FromLong(va_arg(*arguments, int));
    case 'l': return PyLong_FromLongLong(va_arg(*arguments, int64_t));
    case 'd': return PyFloat_FromDouble(va_arg(*arguments, double));
    case 'c': return PyUnicode_FromString(va_arg(*arguments, const char *));
    case 'h': return PyFloat_FromDouble(TH_half2float(va_arg(*arguments, THHalf)));
    case 'z': {
      const THLongStorage *sizes = va_arg(*arguments, THLongStorage *);
      return ffi_number_tuple(sizes->data, (int)sizes->size);
    }
    default: { /* 'n': an array of tensors and their number */
      ffi_tensor **tensors = va_arg(*arguments, ffi_tensor **);
      return tuple_of(tensors, va_arg(*arguments, int));
    }
  }
}

typedef struct resize_request {
  ffi_tensor *tensor;
  int columns, n;
  int64_t size[FFI_MAX_DIMS];
} resize_request;

static void resize(void *argument) {
  resize_request *request = argument;
  if (request->columns)
    ffi_th_resize_columns(request->tensor, request->n, request->size);
  else
    ffi_th_resize(request->tensor, request->n, request->size, NULL);
}

/* Gives the record the value's shape and elements. Returns -1 with the text or a Python error. */
static int give(ffi_tensor *to, int columns, PyObject *value, char *text) {
  resize_request request = {.tensor = to, .columns = columns};
  PyObject *size = PyObject_CallMethod(value, "size", NULL);
  if (!size) return -1;
  request.n = (int)PyTuple_Size(size);
  for (int i = 0; i < request.n && i < FFI_MAX_DIMS; i++)
    request.size[i] = PyLong_AsLongLong(PyTuple_GetItem(size, i));
  Py_DECREF(size);
  if (request.n == 0) request.size[request.n++] = 1; /* torch's () is [1] here */
  if (ffi_try(resize, &request, text)) return -1;    /* also of more dimensions */
  PyObject *alias = ffi_tensor_alias(to);
  PyObject *shaped = alias ? PyObject_CallMethod(value, "view_as", "O", alias) : NULL;
  PyObject *done = shaped ? PyObject_CallMethod(alias, "copy_", "O", shaped) : NULL;
  Py_XDECREF(alias);
  Py_XDECREF(shaped);
  Py_XDECREF(done);
  return done ? 0 : -1;
}

static int call(const char *name, const char *codes, va_list *arguments, char *text) {
  ffi_tensor *results[MAX_RESULTS];
  const char *const kinds = codes;
  int count = 0, failed = 0;
  for (; *codes == 'w' || *codes == 'm'; codes++)
    results[count++] = va_arg(*arguments, ffi_tensor *);
  Py_ssize_t inputs = (Py_ssize_t)strlen(codes);
  PyObject *tuple = PyTuple_New(inputs);
  for (Py_ssize_t i = 0; tuple && i < inputs; i++)
    ffi_tuple_set(&tuple, i, next_argument(codes[i], arguments));
  PyObject *values = tuple ? PyObject_CallFunction(ffi_hook.maths, "sOi", name, tuple,
                                                   count && results[0] ? results[0]->cuda : 0)
                           : NULL;
  Py_XDECREF(tuple);
  if (!values) return -1;
  for (int i = 0; i < count && !failed; i++) {
    PyObject *value = PySequence_GetItem(values, i);
    failed = !value ||
             (results[i] && value != Py_None && give(results[i], kinds[i] == 'm', value, text));
    Py_XDECREF(value);
  }
  Py_DECREF(values);
  return failed ? -1 : 0;
}

void ffi_th_torch(const char *name, const char *codes, ...) {
  char text[FFI_TEXT_ROOM];
  text[0] = '\0';
  int failed = -1;
  va_list arguments;
  va_start(arguments, codes);
  PyGILState_STATE gil = PyGILState_Ensure();
  if (!ffi_interrupted(text)) {
    failed = call(name, codes, &arguments, text);
    if (PyErr_Occurred()) ffi_take_error(text);
  }
  PyGILState_Release(gil);
  va_end(arguments);
  if (failed) ffi_throw(text);
}

static ffi_tensor *whole(ffi_storage *s) {
  const int64_t size = s->size, stride = 1;
  ffi_tensor *t = ffi_tensor_alloc(s->type);
  ffi_th_set_storage(t, s, 0, 1, &size, &stride);
  return t;
}

void ffi_th_copy_storage(ffi_storage *to, ffi_storage *from) {
  THArgCheck(to->size == from->size, 2, "size does not match");
  if (to->size == 0) return;
  ffi_tensor *target FFI_HELD = whole(to);
  ffi_tensor *source FFI_HELD = whole(from);
  ffi_th_torch("copy", "tt", target, source);
}
