/* The call: Python arguments to C slots, the C function without the GIL, its result or error back
 * to Python. */
#include <stdio.h>
#include <string.h>

#include "frame.h"
#include "function.h"
#include "guard.h"

ffi_hooks ffi_hook;

static const char element_codes[] = "FDLISCBH"; /* in the order of enum ffi_type */

static int parse_code(const char **at, ffi_parameter *p) {
  static const struct {
    char code;
    unsigned char kind, bits;
  } scalars[] = {
      {'v', FFI_VOID, 0},
      {'?', FFI_BOOL, 1},
      {'b', FFI_SIGNED, 8},
      {'B', FFI_UNSIGNED, 8},
      {'h', FFI_SIGNED, 16},
      {'H', FFI_UNSIGNED, 16},
      {'i', FFI_SIGNED, 32},
      {'I', FFI_UNSIGNED, 32},
      {'l', FFI_SIGNED, 8 * sizeof(long)},
      {'L', FFI_UNSIGNED, 8 * sizeof(long)},
      {'q', FFI_SIGNED, 64},
      {'Q', FFI_UNSIGNED, 64},
      {'f', FFI_FLOATING, 0},
      {'d', FFI_DOUBLED, 0},
      {'s', FFI_STRING, 0},
      {'A', FFI_ARRAY, 0},
      {'a', FFI_ARRAY, 0},
      {'c', FFI_CONVERTED, 0},
      {'p', FFI_CONVERTED, 0},
      {'x', FFI_CONVERTED, 0},
  };
  memset(p, 0, sizeof *p);
  p->constraint = -1;
  p->code = *(*at)++;
  p->writable = p->code == 'A';
  for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
    if (scalars[i].code != p->code) continue;
    p->kind = scalars[i].kind;
    p->bits = scalars[i].bits;
    return 0;
  }
  const char *tensor = strchr(FFI_EXT_TWO_LETTERS, p->code),
             *element = **at ? strchr(element_codes, **at) : NULL;
  if (!p->code || !tensor || !element) return -1;
  ++*at;
  p->kind = strchr("TtUu", p->code) ? FFI_TENSOR : FFI_STORAGE;
  p->writable = p->code >= 'A' && p->code <= 'Z';
  p->cuda = strchr("UuWw", p->code) != NULL;
  p->type = (unsigned char)(element - element_codes);
  return 0;
}

int ffi_parse_signature(const char *signature, ffi_parameter *result, ffi_parameter *parameters,
                        ffi_constraint *constraints, int *constraint_count) {
  int count = 0;
  ffi_size_names names = {0};
  if (parse_code(&signature, result)) return -1;
  for (; *signature; count++) {
    if (count == FFI_MAX_ARGUMENTS || parse_code(&signature, &parameters[count])) return -1;
    if (*signature != '[') continue;
    parameters[count].constraint = (short)*constraint_count;
    if (ffi_constraint_parse(&signature, &constraints[(*constraint_count)++], &names)) return -1;
  }
  return count;
}

#define VIEW_DIMS 8 /* for whose sizes and strides a call has room */

/* A call under way: what must be released when it ends. */
typedef struct call {
  ffi_function *function;
  const ffi_constraint *constraints; /* the function's, or NULL */
  ffi_frame frame;
  int cuda; /* of the first CUDA tensor among the arguments: the GPU's index + 1 */
  int kept;
  /* References of ours, beside the caller's on the arguments: two an argument, and the result's. */
  PyObject *keep[2 * FFI_MAX_ARGUMENTS + 1];
  ffi_ext_slot slots[FFI_MAX_ARGUMENTS + 1];
  int written; /* handles of ffi_ext_tensor arguments that autograd must hear of */
  void *bump[FFI_MAX_ARGUMENTS];
  /* Of functions with ffi_ext_tensor parameters or constraints: */
  ffi_ext_tensor arrays[FFI_MAX_ARGUMENTS];
  int64_t geometry[FFI_MAX_ARGUMENTS][2 * VIEW_DIMS];
  ffi_sizes sizes;
  ffi_seen seen[FFI_MAX_ARGUMENTS];
} call;

static void begin(call *c, ffi_function *function) {
  c->function = function;
  c->constraints = NULL;
  c->frame.count = 0;
  c->frame.keys = c->frame.identities = 0;
  c->cuda = c->kept = c->written = 0;
  c->sizes.known = 0;
}

static void refuse(call *c, int index, PyObject *value, PyObject *type) {
  PyObject *nothing =
      PyObject_CallFunction(ffi_hook.refuse, "OiOO", (PyObject *)c->function, index, value, type);
  Py_XDECREF(nothing);
  if (!PyErr_Occurred())
    PyErr_SetString(PyExc_SystemError, "ffi_ext: an argument was refused without a reason");
}

static int is_plain_tensor(PyObject *value) {
  PyTypeObject *type = Py_TYPE(value);
  return type == (PyTypeObject *)ffi_hook.tensor_type ||
         type == (PyTypeObject *)ffi_hook.parameter_type;
}

static int is_tensor(PyObject *value) {
  return is_plain_tensor(value) ||
         PyType_IsSubtype(Py_TYPE(value), (PyTypeObject *)ffi_hook.tensor_type);
}

static int is_cdata(PyObject *value) {
  return PyType_IsSubtype(Py_TYPE(value), (PyTypeObject *)ffi_hook.cdata_type);
}

/* An int from whatever has __index__ (NumPy's integers too), or a cdata integer; not from floats,
 * strings, tensors. */
static PyObject *as_integer(call *c, int index, PyObject *value) {
  PyObject *number = NULL;
  if (PyLong_Check(value)) {
    Py_INCREF(value);
    return value;
  }
  if (!is_tensor(value)) {
    if (PyIndex_Check(value)) return PyNumber_Index(value);
    PyObject *pair =
        PyObject_CallFunction(ffi_hook.convert, "OiO", (PyObject *)c->function, index, value);
    if (!pair) return NULL;
    number = PySequence_GetItem(pair, 0);
    Py_DECREF(pair);
    return number;
  }
  refuse(c, index, value, PyExc_TypeError);
  return NULL;
}

static int take_signed(call *c, int index, PyObject *value, unsigned bits, ffi_ext_slot *slot) {
  PyObject *number = as_integer(c, index, value);
  if (!number) return -1;
  int overflow = 0;
  long long taken = PyLong_AsLongLongAndOverflow(number, &overflow);
  Py_DECREF(number);
  if (taken == -1 && !overflow && PyErr_Occurred()) return -1;
  if (!overflow && bits < 64) overflow = taken >> (bits - 1) != 0 && taken >> (bits - 1) != -1;
  if (overflow) {
    refuse(c, index, value, PyExc_OverflowError);
    return -1;
  }
  slot->i = taken;
  return 0;
}

static int take_unsigned(call *c, int index, PyObject *value, unsigned bits, ffi_ext_slot *slot) {
  PyObject *number = as_integer(c, index, value);
  if (!number) return -1;
  unsigned long long taken = PyLong_AsUnsignedLongLong(number);
  Py_DECREF(number);
  int overflow = 0;
  if (taken == (unsigned long long)-1 && PyErr_Occurred()) {
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return -1;
    PyErr_Clear();
    overflow = 1;
  }
  if (overflow || (bits < 64 && taken >> bits)) {
    refuse(c, index, value, PyExc_OverflowError);
    return -1;
  }
  slot->u = taken;
  return 0;
}

static int take_double(call *c, int index, PyObject *value, double *out) {
  if (PyFloat_Check(value)) {
    *out = PyFloat_AsDouble(value);
    return 0;
  }
  if (is_tensor(value)) {
    refuse(c, index, value, PyExc_TypeError);
    return -1;
  }
  *out = PyFloat_AsDouble(value);
  if (*out != -1.0 || !PyErr_Occurred()) return 0;
  if (PyErr_ExceptionMatches(PyExc_TypeError)) {
    PyErr_Clear();
    refuse(c, index, value, PyExc_TypeError);
  }
  return -1;
}

/* cffi's own conversion, for what the dispatcher does not carry. */
static int take_converted(call *c, int index, PyObject *value, ffi_ext_slot *slot) {
  PyObject *pair =
      PyObject_CallFunction(ffi_hook.convert, "OiO", (PyObject *)c->function, index, value);
  if (!pair) return -1;
  PyObject *address = PySequence_GetItem(pair, 0);
  c->keep[c->kept++] = pair;
  if (!address) return -1;
  slot->u = PyLong_AsUnsignedLongLongMask(address);
  Py_DECREF(address);
  return PyErr_Occurred() ? -1 : 0;
}

/* Makes a view of an argument that the quick look did not accept: a NumPy array, a subclass, a
 * storage ... */
static int adapt(call *c, int index, PyObject *value, ffi_view *view, PyObject **object) {
  PyObject *pair =
      PyObject_CallFunction(ffi_hook.adapt, "OiO", (PyObject *)c->function, index, value);
  if (!pair) return -1;
  c->keep[c->kept++] = pair;
  PyObject *tensor, *facts;
  if (!PyArg_ParseTuple(pair, "OO", &tensor, &facts)) return -1;
  *object = tensor;
  if (ffi_python_describe(facts, tensor, view)) return -1;
  if (ffi_handle_offset) view->handle = (char *)tensor + ffi_handle_offset;
  return 0;
}

/* Copies sizes and strides from the tensor, or from the stack, to where they last for the call. */
static int keep_geometry(call *c, int index, ffi_view *view) {
  const size_t count = (size_t)view->ndim;
  int64_t *room = c->geometry[index];
  if (count > VIEW_DIMS) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(2 * count * sizeof *room));
    if (!bytes) return -1;
    c->keep[c->kept++] = bytes;
    room = (int64_t *)(void *)PyBytes_AsString(bytes);
  }
  memcpy(room, view->size, count * sizeof *room);
  memcpy(room + count, view->stride, count * sizeof *room);
  view->size = room;
  view->stride = room + count;
  return 0;
}

/* Raises what Python says of an argument that does not fit. */
static int unfit(call *c, int index, PyObject *const *args) {
  PyObject *given = PyTuple_New(index + 1);
  for (int i = 0; given && i <= index; i++) {
    Py_INCREF(args[i]);
    PyTuple_SetItem(given, i, args[i]);
  }
  PyObject *nothing =
      given ? PyObject_CallFunction(ffi_hook.unfit, "OO", (PyObject *)c->function, given) : NULL;
  Py_XDECREF(given);
  Py_XDECREF(nothing);
  if (!PyErr_Occurred())
    PyErr_SetString(PyExc_SystemError, "ffi_ext: an argument was refused without a reason");
  return -1;
}

/* Compares a tensor argument with its constraint, and with the earlier ones whose constraints speak
 * of others. */
static int check_constraint(call *c, int index, PyObject *const *args, const ffi_view *view) {
  const ffi_function *f = c->function;
  ffi_seen *t = &c->seen[index];
  const int bytes = ffi_scalar_bytes(view->scalar);
  *t = (ffi_seen){view->size, view->stride, view->ndim, view->scalar, view->cuda, 0, 0};
  int64_t last = view->offset;
  for (int i = 0; i < view->ndim && last >= 0; i++)
    last = view->size[i] ? last + (view->size[i] - 1) * view->stride[i] : -1;
  if (last >= 0) { /* an empty tensor has no memory */
    t->first = (uintptr_t)view->storage_data + (uintptr_t)(view->offset * bytes);
    t->end = (uintptr_t)view->storage_data + (uintptr_t)((last + 1) * bytes);
  }
  const short place = f->parameters[index].constraint;
  const ffi_constraint *own = place < 0 ? NULL : &c->constraints[place];
  int fits = !own || ffi_constraint_fits(own, c->seen, index, &c->sizes);
  for (int i = 0; fits && i < index; i++) {
    if (c->seen[i].ndim < 0) continue;
    const short others = f->parameters[i].constraint;
    const int apart = (own && own->output) || (others >= 0 && c->constraints[others].output);
    fits = c->seen[i].cuda == t->cuda && !(apart && ffi_seen_overlap(&c->seen[i], t));
  }
  return fits ? 0 : unfit(c, index, args);
}

static int take_array(call *c, int index, PyObject *const *args, const ffi_parameter *p,
                      ffi_ext_slot *slot) {
  ffi_view view;
  PyObject *value = args[index], *object = value;
  if (!is_plain_tensor(value) && is_cdata(value)) return take_converted(c, index, value, slot);
  if (!ffi_handle_offset || !is_tensor(value) || ffi_fields_describe(value, &view)) {
    if (adapt(c, index, value, &view, &object)) return -1;
  }
  if (keep_geometry(c, index, &view)) return -1;
  ffi_ext_tensor *t = &c->arrays[index];
  t->item_size = ffi_scalar_bytes(view.scalar);
  t->data = (char *)view.storage_data + view.offset * t->item_size;
  t->shape = view.size;
  t->stride = view.stride;
  t->ndim = view.ndim;
  t->numel = 1;
  for (int i = 0; i < view.ndim; i++) t->numel *= view.size[i];
  t->dtype = view.scalar;
  t->device_type = view.cuda ? FFI_EXT_CUDA : FFI_EXT_CPU;
  t->device = view.cuda ? view.cuda - 1 : 0;
  t->stream = NULL;
  if (view.cuda) {
    if (!c->cuda) c->cuda = view.cuda;
    PyObject *stream =
        PyObject_CallFunction(ffi_hook.cuda, "sL", "current_stream", view.cuda - 1LL);
    if (!stream) return -1;
    t->stream = PyLong_AsVoidPtr(stream);
    Py_DECREF(stream);
    if (!t->stream && PyErr_Occurred()) return -1;
  }
  if (p->writable && view.requires_grad) c->bump[c->written++] = view.handle;
  slot->p = t;
  return c->constraints ? check_constraint(c, index, args, &view) : 0;
}

static int take_tensor(call *c, int index, PyObject *const *args, const ffi_parameter *p,
                       ffi_ext_slot *slot) {
  ffi_view view;
  PyObject *value = args[index], *object = value;
  int storage = p->kind == FFI_STORAGE;
  if (!is_plain_tensor(value) && is_cdata(value))
    return take_converted(c, index, value, slot); /* _ffi.NULL, or a record's address */
  if (!ffi_handle_offset || storage || p->cuda || !is_tensor(value) ||
      ffi_fields_describe(value, &view) || view.type != p->type) {
    if (adapt(c, index, value, &view, &object)) return -1;
  }
  if (c->constraints && !storage) {
    if (keep_geometry(c, index, &view) || check_constraint(c, index, args, &view)) return -1;
  }
  if (view.cuda && !c->cuda) c->cuda = view.cuda;
  ffi_tensor *t = ffi_enter(&c->frame, &view, object, p->writable, storage);
  if (object != value && !storage && !is_tensor(value))
    t->fixed = 1; /* a NumPy array cannot follow a resize */
  slot->p = storage ? (void *)t->storage : (void *)t;
  return 0;
}

/* `void *` takes a tensor of any element type: C sees its record. */
static int take_argument(call *c, int index, PyObject *const *args) {
  PyObject *value = args[index];
  const ffi_parameter *p = &c->function->parameters[index];
  ffi_ext_slot *slot = &c->slots[index + 1];
  double number;
  switch (p->kind) {
    case FFI_TENSOR:
    case FFI_STORAGE: return take_tensor(c, index, args, p, slot);
    case FFI_ARRAY: return take_array(c, index, args, p, slot);
    case FFI_SIGNED: return take_signed(c, index, value, p->bits, slot);
    case FFI_UNSIGNED: return take_unsigned(c, index, value, p->bits, slot);
    case FFI_BOOL:
      if (value == Py_True || value == Py_False) {
        slot->i = value == Py_True;
        return 0;
      }
      if (take_unsigned(c, index, value, 1, slot)) return -1;
      slot->i = slot->u != 0;
      return 0;
    case FFI_FLOATING:
      if (take_double(c, index, value, &number)) return -1;
      slot->f = (float)number;
      return 0;
    case FFI_DOUBLED: return take_double(c, index, value, &slot->d);
    case FFI_STRING:
      if (PyBytes_Check(value)) {
        slot->p = PyBytes_AsString(value);
        return 0;
      }
      return take_converted(c, index, value, slot);
    default:
      if (p->code == 'p' && is_tensor(value)) { /* adapt accepts it for `void *` alone */
        ffi_view view;
        PyObject *object = value;
        if (adapt(c, index, value, &view, &object)) return -1;
        slot->p = ffi_enter(&c->frame, &view, object, 1, 0);
        return 0;
      }
      return take_converted(c, index, value, slot);
  }
}

static PyObject *call_result_hook(call *c, PyObject *value) {
  if (!value) return NULL;
  PyObject *result = PyObject_CallFunction(ffi_hook.result, "OO", (PyObject *)c->function, value);
  Py_DECREF(value);
  return result;
}

static PyObject *give_result(call *c) {
  const ffi_parameter *p = &c->function->result;
  const ffi_ext_slot *slot = &c->slots[0];
  switch (p->kind) {
    case FFI_VOID: Py_RETURN_NONE;
    case FFI_BOOL: return PyBool_FromLong(slot->i != 0);
    case FFI_SIGNED: return PyLong_FromLongLong(slot->i);
    case FFI_UNSIGNED: return PyLong_FromUnsignedLongLong(slot->u);
    case FFI_FLOATING: return PyFloat_FromDouble(slot->f);
    case FFI_DOUBLED: return PyFloat_FromDouble(slot->d);
    case FFI_TENSOR: return ffi_tensor_result(&c->frame, slot->p);
    case FFI_STORAGE:
      if (!slot->p) Py_RETURN_NONE;
      return call_result_hook(c, ffi_storage_result(&c->frame, slot->p));
    default: return call_result_hook(c, PyLong_FromUnsignedLongLong(slot->u));
  }
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
    for (int i = 0; i < function->count; i++) {
      if (PyUnicode_Compare(PyTuple_GetItem(function->names, i), name) || ordered[i]) continue;
      ordered[i] = args[nargs + k];
      filled++;
      break;
    }
  }
  if (nargs + named == function->count && filled == function->count) return 0;
  PyObject *names = kwnames ? kwnames : PyTuple_New(0);
  PyObject *nothing =
      PyObject_CallFunction(ffi_hook.arity, "OnO", (PyObject *)function, nargs, names);
  if (!kwnames) Py_XDECREF(names);
  Py_XDECREF(nothing);
  if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "wrong arguments");
  return -1;
}

static int allocate_result(call *c) {
  PyObject *pair = PyObject_CallFunction(ffi_hook.allocate, "O", (PyObject *)c->function);
  if (!pair) return -1;
  PyObject *address = PySequence_GetItem(pair, 0);
  c->keep[c->kept++] = pair;
  if (!address) return -1;
  c->slots[0].u = PyLong_AsUnsignedLongLongMask(address);
  Py_DECREF(address);
  return 0;
}

static PyObject *native_error(const char *text) {
  PyObject *message = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
  if (message) PyErr_SetObject(ffi_hook.native_error, message);
  Py_XDECREF(message);
  return NULL;
}

/* The current GPU during a call is that of the first CUDA tensor among the arguments, as torch's
 * own functions have it. `*before`: the GPU to go back to, as an index + 1; 0 when nothing changed.
 */
static int enter_device(const call *c, int *before) {
  if (!c->cuda) return 0;
  PyObject *old = PyObject_CallFunction(ffi_hook.cuda, "sL", "exchange_device", c->cuda - 1LL);
  const long index = old ? PyLong_AsLong(old) : -1;
  Py_XDECREF(old);
  if (index < 0 && PyErr_Occurred()) return -1;
  *before = index + 1 == c->cuda ? 0 : (int)index + 1;
  return 0;
}

static void leave_device(int before) {
  PyObject *old = PyObject_CallFunction(ffi_hook.cuda, "sL", "exchange_device", before - 1LL);
  if (!old) PyErr_Clear(); /* it was the current one a moment ago */
  Py_XDECREF(old);
}

static int launch_error(const ffi_ext_module_table *table, char *text) {
  const int error = table->cuda_error();
  if (!error) return 0;
  const char *words = table->cuda_error_text ? table->cuda_error_text(error) : "";
  snprintf(text, FFI_TEXT_ROOM,
           "cuda runtime error (%d) : %s, left by the function's own CUDA calls", error, words);
  return 1;
}

static PyObject *run(call *c, PyObject *const *args) {
  ffi_function *function = c->function;
  char text[2560]; /* TH formats up to 2048, and the place behind it */
  for (int i = 0; i < function->count; i++) {
    if (c->constraints) c->seen[i].ndim = -1;
    if (take_argument(c, i, args)) return NULL;
  }
  if (function->result.code == 'x' && allocate_result(c)) return NULL;

  int device = 0;
  if (function->has_cuda && enter_device(c, &device)) return NULL;
  PyThreadState *state = PyEval_SaveThread();
  int failed = ffi_guard_call(function->table, function->entry->call, c->slots, text, sizeof text);
  PyEval_RestoreThread(state);
  if (device) leave_device(device);
  if (!failed && function->has_cuda && function->table->cuda_error)
    failed = launch_error(function->table, text);

  return failed ? native_error(text) : give_result(c);
}

/* The end of a call, with its result or with the error that is set: that one comes before any that
 * the end itself meets, which may have to run Python. */
static PyObject *finish(call *c, PyObject *result) {
  PyObject *type = NULL, *value = NULL, *traceback = NULL;
  if (!result) PyErr_Fetch(&type, &value, &traceback);
  if (ffi_leave(&c->frame)) Py_CLEAR(result);
  for (int i = 0; i < c->written; i++) ffi_torch->bump_version(c->bump[i]);
  if (type) PyErr_Restore(type, value, traceback);
  for (int i = 0; i < c->kept; i++) Py_DECREF(c->keep[i]);
  return result;
}

/* The first call pays for what the import need not. */
static int set_up(void) {
  PyObject *done = PyObject_CallObject(ffi_hook.setup, NULL);
  Py_XDECREF(done);
  return done ? 0 : -1;
}

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
  int failed = *count < 1 || *count > FFI_MAX_ARGUMENTS + 1;
  for (Py_ssize_t i = 0; !failed && i < *count; i++) {
    const char *code = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(codes, i), NULL);
    failed = !code || parse_code(&code, &parameters[i]);
  }
  Py_XDECREF(codes);
  if (failed && !PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "too many parameters");
  return failed ? -1 : 0;
}

/* Tensor arguments become cdata pointers to their records; a variadic function's extra ones have no
 * declared type and go to cffi as they are. */
static PyObject *cffi_arguments(call *c, PyObject *args, const ffi_parameter *parameters,
                                Py_ssize_t count) {
  PyObject *values[FFI_MAX_ARGUMENTS];
  Py_ssize_t given = PyTuple_Size(args);
  PyObject *converted = PyTuple_New(given);
  for (Py_ssize_t i = 0; converted && i < given; i++) {
    PyObject *value = values[i] = PyTuple_GetItem(args, i), *made;
    const ffi_parameter *p = i + 1 < count ? &parameters[i + 1] : NULL;
    if (p && (p->kind == FFI_TENSOR || p->kind == FFI_STORAGE) && !is_cdata(value)) {
      ffi_ext_slot slot;
      made = take_tensor(c, (int)i, values, p, &slot)
                 ? NULL
                 : PyObject_CallFunction(ffi_hook.pointer, "OiK", (PyObject *)c->function, (int)i,
                                         (unsigned long long)(uintptr_t)slot.p);
    } else {
      Py_INCREF(value);
      made = value;
    }
    if (!made)
      Py_CLEAR(converted);
    else
      PyTuple_SetItem(converted, i, made);
  }
  return converted;
}

PyObject *ffi_call_cffi(PyObject *self, PyObject *arguments) {
  (void)self;
  PyObject *caller, *target, *args;
  ffi_parameter parameters[FFI_MAX_ARGUMENTS + 1];
  Py_ssize_t count;
  if (!ffi_torch && set_up()) return NULL;
  if (!PyArg_ParseTuple(arguments, "OOO!", &caller, &target, &PyTuple_Type, &args)) return NULL;
  if (parse_codes(caller, parameters, &count)) return NULL;
  if (PyTuple_Size(args) > FFI_MAX_ARGUMENTS) {
    PyErr_Format(PyExc_TypeError, "more than %d arguments", FFI_MAX_ARGUMENTS);
    return NULL;
  }
  call c;
  begin(&c,
        (ffi_function *)caller); /* the hooks take any object with the attributes that they read */
  PyObject *result = NULL, *converted = cffi_arguments(&c, args, parameters, count);
  if (converted) {
    char text[2560];
    c.slots[1].p = target;
    c.slots[2].p = converted;
    PyThreadState *state = PyThreadState_Get();
    if (ffi_guard_call(NULL, call_python, c.slots, text, sizeof text)) {
      PyEval_RestoreThread(state);
      native_error(text);
    } else {
      result = c.slots[0].p;
    }
  }
  if (result && (parameters[0].kind == FFI_TENSOR || parameters[0].kind == FFI_STORAGE)) {
    PyObject *address = PyObject_CallFunction(ffi_hook.address, "OO", caller, result);
    Py_DECREF(result);
    result = NULL;
    if (address) {
      void *record = (void *)(uintptr_t)PyLong_AsUnsignedLongLongMask(address);
      Py_DECREF(address);
      if (parameters[0].kind == FFI_TENSOR) {
        result = ffi_tensor_result(&c.frame, record);
      } else if (!record) {
        Py_INCREF(Py_None);
        result = Py_None;
      } else {
        result = call_result_hook(&c, ffi_storage_result(&c.frame, record));
      }
    }
  }
  result = finish(&c, result);
  Py_XDECREF(converted);
  return result;
}

PyObject *ffi_dispatch(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
  ffi_function *function = (ffi_function *)self;
  PyObject *ordered[FFI_MAX_ARGUMENTS];
  if (!ffi_torch && set_up()) return NULL;
  if (nargs != function->count || kwnames) {
    if (order_arguments(function, args, nargs, kwnames, ordered)) return NULL;
    args = ordered;
  }
  call c;
  begin(&c, function);
  c.constraints = function->constraints;
  return finish(&c, run(&c, args));
}
