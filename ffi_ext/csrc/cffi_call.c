/* Calls through cffi's own functions: variadic ones, and modules that were built without our table.
 */
#include "call.h"

/* A call through cffi's own function, for what has no trampoline: `target` is lib.f, `caller` an
 * object with the codes, names and doc that the hooks want. cffi releases the GIL around the C
 * function, so an exception arrives without it. The function is called where it lies, not by
 * PyObject_Call: that counts the depth of recursion, and an exception that passes would leave the
 * count raised for good. */
static void call_python(ffi_ext_slot *slots) {
  PyObject *target = slots[1].p, *args = slots[2].p;
  if (PyCFunction_Check(target)) {
    PyCFunction function = PyCFunction_GetFunction(target);
    int flags = PyCFunction_GetFlags(target) & (METH_VARARGS | METH_NOARGS | METH_O);
    PyObject *only = flags == METH_VARARGS ? args
                     : flags == METH_O     ? PyTuple_GetItem(args, 0)
                                           : NULL;
    if (PyTuple_Size(args) != (flags == METH_O) && flags != METH_VARARGS)
      slots[0].p = PyObject_CallObject(target, args);
    else
      slots[0].p = function(PyCFunction_GetSelf(target), only);
  } else {
    ternaryfunc function = (ternaryfunc)PyType_GetSlot(Py_TYPE(target), Py_tp_call);
    slots[0].p = function(target, args, NULL);
  }
}

static int parse_codes(PyObject *caller, ffi_parameter *parameters, Py_ssize_t *count) {
  PyObject *codes = PyObject_GetAttrString(caller, "codes");
  *count = codes ? PyTuple_Size(codes) : -1;
  int failed = *count < 1 || *count > FFI_EXT_MAX_ARGUMENTS + 1;
  for (Py_ssize_t i = 0; !failed && i < *count; i++) {
    const char *code = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(codes, i), NULL);
    failed = !code || ffi_parse_code(&code, &parameters[i]);
  }
  Py_XDECREF(codes);
  if (failed && !PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "too many parameters");
  return failed ? -1 : 0;
}

/* Tensor arguments become cdata pointers to their records; a variadic function's extra ones have no
 * declared type and go to cffi as they are. */
static PyObject *cffi_arguments(ffi_call *c, PyObject *args, const ffi_parameter *parameters,
                                Py_ssize_t count) {
  PyObject *values[FFI_EXT_MAX_ARGUMENTS];
  Py_ssize_t given = PyTuple_Size(args);
  PyObject *converted = PyTuple_New(given);
  for (Py_ssize_t i = 0; converted && i < given; i++) {
    PyObject *value = values[i] = PyTuple_GetItem(args, i), *made;
    const ffi_parameter *p = i + 1 < count ? &parameters[i + 1] : NULL;
    if (p && (p->kind == FFI_TENSOR || p->kind == FFI_STORAGE) && !ffi_is_cdata(value)) {
      ffi_ext_slot slot;
      made = ffi_take_tensor(c, (int)i, values, p, &slot)
                 ? NULL
                 : PyObject_CallFunction(ffi_hook.pointer, "OiK", (PyObject *)c->function, (int)i,
                                         (unsigned long long)(uintptr_t)slot.p);
    } else {
      made = Py_NewRef(value);
    }
    ffi_tuple_set(&converted, i, made);
  }
  return converted;
}

PyObject *ffi_call_cffi(PyObject *self, PyObject *arguments) {
  PyObject *caller, *target, *args;
  ffi_parameter parameters[FFI_EXT_MAX_ARGUMENTS + 1];
  Py_ssize_t count;
  if (ffi_set_up()) return NULL;
  if (!PyArg_ParseTuple(arguments, "OOO!", &caller, &target, &PyTuple_Type, &args)) return NULL;
  if (parse_codes(caller, parameters, &count)) return NULL;
  if (PyTuple_Size(args) > FFI_EXT_MAX_ARGUMENTS) {
    PyErr_Format(PyExc_TypeError, "more than %d arguments", FFI_EXT_MAX_ARGUMENTS);
    return NULL;
  }
  ffi_call c;
  /* The hooks take any object with the attributes that they read. */
  ffi_call_begin(&c, (ffi_function *)caller, NULL);
  int device = 0;
  PyObject *result = NULL, *converted = cffi_arguments(&c, args, parameters, count);
  if (converted && ffi_enter_device(&c, &device) == 0) {
    char text[FFI_ERROR_ROOM];
    c.slots[1].p = target;
    c.slots[2].p = converted;
    PyThreadState *state = PyThreadState_Get();
    if (ffi_guard_call(NULL, call_python, c.slots, text)) {
      PyEval_RestoreThread(state);
      ffi_raise(ffi_hook.native_error, text);
    } else {
      result = c.slots[0].p;
    }
    if (device) ffi_leave_device(device);
  }
  if (result && (parameters[0].kind == FFI_TENSOR || parameters[0].kind == FFI_STORAGE)) {
    PyObject *address = PyObject_CallFunction(ffi_hook.address, "OO", caller, result);
    Py_DECREF(result);
    result = NULL;
    if (address) {
      void *record = (void *)(uintptr_t)PyLong_AsUnsignedLongLongMask(address);
      Py_DECREF(address);
      result = ffi_record_result(&c, parameters[0].kind, record);
    }
  }
  result = ffi_call_finish(&c, result);
  Py_XDECREF(converted);
  return result;
}
