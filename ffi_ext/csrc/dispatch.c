/* The call: arguments, the C function, most often without the GIL, its result or error back to
 * Python. */
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "cuda_device.h"

ffi_hooks ffi_hook;
int ffi_ready;

/* A result that Python makes of an address or a tensor, whose reference is consumed. */
static PyObject *hooked_result(ffi_call *c, PyObject *value) {
  if (!value) return NULL;
  PyObject *result = PyObject_CallFunction(ffi_hook.result, "OO", (PyObject *)c->function, value);
  Py_DECREF(value);
  return result;
}

PyObject *ffi_record_result(ffi_call *c, int kind, void *record) {
  if (!record) Py_RETURN_NONE;
  if (kind == FFI_TENSOR) return ffi_tensor_result(&c->frame, record);
  return hooked_result(c, ffi_storage_result(&c->frame, record));
}

static PyObject *give_result(ffi_call *c) {
  const ffi_parameter *p = &c->function->result;
  const ffi_ext_slot *slot = &c->slots[0];
  switch (p->kind) {
    case FFI_VOID: Py_RETURN_NONE;
    case FFI_BOOL: return PyBool_FromLong(slot->i != 0);
    case FFI_SIGNED: return PyLong_FromLongLong(slot->i);
    case FFI_UNSIGNED: return PyLong_FromUnsignedLongLong(slot->u);
    case FFI_FLOATING: return PyFloat_FromDouble(slot->f);
    case FFI_DOUBLED: return PyFloat_FromDouble(slot->d);
    case FFI_TENSOR:
    case FFI_STORAGE: return ffi_record_result(c, p->kind, slot->p);
    default: break;
  }
  const char letter = (char)slot->i;
  if (p->code == 'c') return PyBytes_FromStringAndSize(&letter, 1);
  PyObject *result = ffi_cffi_result(c->function, slot->p);
  if (result || PyErr_Occurred()) return result;
  return hooked_result(c, PyLong_FromUnsignedLongLong(slot->u));
}

/* Puts positional and keyword arguments in the order of the parameters. Returns -1 with an
 * exception. */
static int order_arguments(ffi_function *function, PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames, PyObject **ordered) {
  Py_ssize_t named = kwnames ? PyTuple_Size(kwnames) : 0;
  int filled = 0;
  memset(ordered, 0, (size_t)function->count * sizeof *ordered);
  for (Py_ssize_t i = 0; i < nargs && i < function->count; i++, filled++) ordered[i] = args[i];
  for (Py_ssize_t k = 0; k < named && nargs <= function->count; k++) {
    PyObject *name = PyTuple_GetItem(kwnames, k);
    for (int tried = 0; tried < function->count; tried++) {
      const int i = (int)((nargs + k + tried) % function->count); /* most are in order */
      if (PyUnicode_Compare(PyTuple_GetItem(function->names, i), name) || ordered[i]) continue;
      ordered[i] = args[nargs + k];
      filled++;
      break;
    }
  }
  if (nargs + named == function->count && filled == function->count) return 0;
  Py_XDECREF(PyObject_CallFunction(ffi_hook.arity, "OnO", (PyObject *)function, nargs,
                                   kwnames ? kwnames : Py_None)); /* raises */
  return -1;
}

static int allocate_result(ffi_call *c) {
  if (!ffi_struct_room(c)) return 0;
  PyObject *pair = PyObject_CallFunction(ffi_hook.allocate, "O", (PyObject *)c->function);
  return ffi_take_pair(c, pair, &c->slots[0]);
}

int ffi_enter_device(const ffi_call *c, int *before) {
  if (!c->cuda) return 0;
  char text[FFI_TEXT_ROOM];
  int index;
  if (ffi_cuda_exchange_device(c->cuda - 1, &index, text)) {
    ffi_raise(PyExc_RuntimeError, text);
    return -1;
  }
  *before = index + 1 == c->cuda ? 0 : index + 1;
  return 0;
}

void ffi_leave_device(int before) {
  char text[FFI_TEXT_ROOM]; /* of no error: it was the current one a moment ago */
  ffi_cuda_return_to_device(before - 1, text);
}

/* An illegal address, a time-out, an assertion and the like: the CUDA call that returns it did not
 * cause it. */
static int is_of_a_kernel(int error) {
  return error == 700 || error == 702 || error == 710 || (error >= 714 && error <= 719);
}

/* Takes the function's last CUDA error, so that the next call is not blamed for it. Returns whether
 * the call failed, by its own error or else by this one. */
static int launch_error(const ffi_ext_module_table *table, int failed, char *text) {
  const int error = table->cuda_error(), not_ready = 600; /* of cudaStreamQuery: no error */
  if (failed || !error || error == not_ready) return failed;
  const char *words = table->cuda_error_text ? table->cuda_error_text(error) : "";
  snprintf(text, FFI_TEXT_ROOM, "cuda runtime error (%d) : %s, %s", error, words,
           is_of_a_kernel(error) ? "of a kernel of this call or of one before; "
                                   "CUDA_LAUNCH_BLOCKING=1 tells which"
                                 : "left by the function's own CUDA calls");
  return 1;
}

/* Whether C gets an argument's memory by a parameter that need not be a tensor. */
static int is_by_pointer(const ffi_parameter *p, PyObject *value) {
  if (p->code == 'p') return ffi_is_tensor(value);
  return (p->kind == FFI_MEMORY || p->kind == FFI_STRING) && !PyBytes_Check(value) &&
         (ffi_is_tensor(value) || ffi_is_array(value));
}

static PyObject *run(ffi_call *c, PyObject *const *args) {
  ffi_function *function = c->function;
  char text[FFI_ERROR_ROOM];
  /* Tensors last: a conversion that runs Python code (__index__ ...) may change a tensor, and C
   * must not get the address from before. */
  int pointers = 0; /* parameters of other pointer types that were given tensors or arrays */
  if (c->compares)
    for (int i = 0; i < function->count; i++) c->seen[i].ndim = -1;
  for (int k = 0; k < function->count; k++) {
    const int i = function->order[k];
    if (is_by_pointer(&function->parameters[i], args[i]))
      pointers++;
    else if (ffi_take_argument(c, i, args))
      return NULL;
  }
  for (int i = 0; pointers && i < function->count; i++)
    if (is_by_pointer(&function->parameters[i], args[i]) && ffi_take_argument(c, i, args))
      return NULL;
  if (function->result.code == 'x' && allocate_result(c)) return NULL;

  int device = 0;
  if (function->has_cuda && ffi_enter_device(c, &device)) return NULL;
  PyThreadState *state = function->table->keeps_gil ? NULL : PyEval_SaveThread();
  int failed = ffi_guard_call(function->table, function->entry->call, c->slots, text);
  if (state) PyEval_RestoreThread(state);
  if (device) ffi_leave_device(device);
  if (function->launches) failed = launch_error(function->table, failed, text);

  if (failed) return ffi_raise(ffi_hook.native_error, text);
  return PyErr_Occurred() ? NULL : give_result(c); /* C that has Python's functions sets errors */
}

PyObject *ffi_call_finish(ffi_call *c, PyObject *result) {
  PyObject *type = NULL, *value = NULL, *traceback = NULL;
  /* Of a signal that came while C was at work, before the Python tier hears it and goes on. */
  if (result && !ffi_handle_offset && PyErr_CheckSignals()) Py_CLEAR(result);
  if (!result) PyErr_Fetch(&type, &value, &traceback);
  for (int i = 0; i < c->written; i++) ffi_torch->bump_version(c->bump[i], 1);
  if (ffi_leave(&c->frame)) Py_CLEAR(result);
  if (type) PyErr_Restore(type, value, traceback);
  for (int i = 0; i < c->kept; i++) Py_DECREF(c->keep[i]);
  return result;
}

/* The first call of all pays for what the import need not. */
int ffi_set_up(void) {
  if (ffi_calls_under_way() >= FFI_DEEPEST) {
    PyErr_Format(PyExc_RecursionError,
                 "C functions and Python functions call each other more than %d deep", FFI_DEEPEST);
    return -1;
  }
  if (__atomic_load_n(&ffi_ready, __ATOMIC_ACQUIRE)) return 0;
  PyObject *done = PyObject_CallObject(ffi_hook.setup, NULL);
  Py_XDECREF(done);
  return done ? 0 : -1;
}

PyObject *ffi_dispatch(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
  ffi_function *function = (ffi_function *)self;
  PyObject *ordered[FFI_EXT_MAX_ARGUMENTS];
  if (ffi_set_up()) return NULL;
  if (nargs != function->count || kwnames) {
    if (order_arguments(function, args, nargs, kwnames, ordered)) return NULL;
    args = ordered;
  }
  ffi_call c;
  ffi_call_begin(&c, function, function->constraints);
  return ffi_call_finish(&c, run(&c, args));
}
