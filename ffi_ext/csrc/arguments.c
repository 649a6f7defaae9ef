/* Python arguments to C slots. */
#include <string.h>

#include "call.h"
#include "cuda_device.h"

/* What a hook that only raises has returned: nothing. */
static int raised(PyObject *nothing) {
  Py_XDECREF(nothing);
  if (!PyErr_Occurred())
    PyErr_SetString(PyExc_SystemError, "ffi_ext: an argument was refused without a reason");
  return -1;
}

static int refuse(ffi_call *c, int index, PyObject *value, PyObject *type) {
  return raised(
      PyObject_CallFunction(ffi_hook.refuse, "OiOO", (PyObject *)c->function, index, value, type));
}

/* An int from whatever has __index__ (NumPy's integers too), or a cdata integer; not from floats,
 * strings, tensors. */
static PyObject *as_integer(ffi_call *c, int index, PyObject *value) {
  if (PyLong_Check(value)) return Py_NewRef(value);
  if (ffi_is_tensor(value)) {
    refuse(c, index, value, PyExc_TypeError);
    return NULL;
  }
  PyObject *number;
  if (PyIndex_Check(value)) {
    number = PyNumber_Index(value);
    if (!number && PyErr_ExceptionMatches(PyExc_TypeError)) { /* an array of several */
      PyErr_Clear();
      refuse(c, index, value, PyExc_TypeError);
    }
    return number;
  }
  PyObject *pair =
      PyObject_CallFunction(ffi_hook.convert, "OiO", (PyObject *)c->function, index, value);
  number = pair ? PySequence_GetItem(pair, 0) : NULL;
  Py_XDECREF(pair);
  return number;
}

static int take_signed(ffi_call *c, int index, PyObject *value, unsigned bits, ffi_ext_slot *slot) {
  PyObject *number = as_integer(c, index, value);
  if (!number) return -1;
  int overflow = 0;
  long long taken = PyLong_AsLongLongAndOverflow(number, &overflow);
  Py_DECREF(number);
  if (taken == -1 && !overflow && PyErr_Occurred()) return -1;
  if (!overflow && bits < 64) overflow = taken >> (bits - 1) != 0 && taken >> (bits - 1) != -1;
  if (overflow) return refuse(c, index, value, PyExc_OverflowError);
  slot->i = taken;
  return 0;
}

static int take_unsigned(ffi_call *c, int index, PyObject *value, unsigned bits,
                         ffi_ext_slot *slot) {
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
  if (overflow || (bits < 64 && taken >> bits)) return refuse(c, index, value, PyExc_OverflowError);
  slot->u = taken;
  return 0;
}

static int take_double(ffi_call *c, int index, PyObject *value, double *out) {
  if (PyFloat_Check(value)) {
    *out = PyFloat_AsDouble(value);
    return 0;
  }
  if (ffi_is_tensor(value)) return refuse(c, index, value, PyExc_TypeError);
  *out = PyFloat_AsDouble(value);
  if (*out != -1.0 || !PyErr_Occurred()) return 0;
  const int other = PyErr_ExceptionMatches(PyExc_TypeError);
  if (!other && !PyLong_Check(value)) return -1; /* of its own __float__ */
  PyErr_Clear();
  return refuse(c, index, value, other ? PyExc_TypeError : PyExc_OverflowError);
}

int ffi_take_pair(ffi_call *c, PyObject *pair, ffi_ext_slot *slot) {
  if (!pair) return -1;
  PyObject *address = PySequence_GetItem(pair, 0);
  c->keep[c->kept++] = pair;
  if (!address) return -1;
  slot->u = PyLong_AsUnsignedLongLongMask(address);
  Py_DECREF(address);
  return PyErr_Occurred() ? -1 : 0;
}

/* cffi's own conversion, for what the dispatcher does not carry. */
static int take_converted(ffi_call *c, int index, PyObject *value, ffi_ext_slot *slot) {
  const int taken = ffi_take_cffi(c, index, value, &slot->p);
  if (taken <= 0) return taken;
  PyObject *pair =
      PyObject_CallFunction(ffi_hook.convert, "OiO", (PyObject *)c->function, index, value);
  return ffi_take_pair(c, pair, slot);
}

/* What stands for a tensor's record: _ffi.NULL, None where the header says optional, or a record's
 * address. 1: the value is none of these. */
static int take_record(ffi_call *c, int index, PyObject *value, const ffi_parameter *p,
                       ffi_ext_slot *slot) {
  const int optional = p->constraint >= 0 && c->constraints[p->constraint].optional;
  if (value == ffi_hook.null || (optional && value == Py_None)) return slot->p = NULL, 0;
  return ffi_is_cdata(value) ? take_converted(c, index, value, slot) : 1;
}

/* Makes a view of an argument that the quick look did not accept: a NumPy array, a subclass, a
 * storage ... */
static int adapt(ffi_call *c, int index, PyObject *value, ffi_view *view, PyObject **object) {
  PyObject *pair =
      PyObject_CallFunction(ffi_hook.adapt, "OiO", (PyObject *)c->function, index, value);
  if (!pair) return -1;
  c->keep[c->kept++] = pair;
  PyObject *tensor, *facts;
  if (!PyArg_ParseTuple(pair, "OO", &tensor, &facts)) return -1;
  *object = tensor;
  if (ffi_python_describe(facts, tensor, view)) return -1;
  if (!ffi_handle_offset) return 0;
  view->handle = (char *)tensor + ffi_handle_offset;
  if (view->cuda && ffi_is_plain_tensor(tensor)) ffi_fields_learn(view);
  return 0;
}

/* Copies sizes and strides from the tensor, or from the stack, to where they last for the call. */
static int keep_geometry(ffi_call *c, int index, ffi_view *view) {
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
static int unfit(ffi_call *c, int index, PyObject *const *args) {
  PyObject *given = PyTuple_New(index + 1);
  for (int i = 0; given && i <= index; i++) PyTuple_SetItem(given, i, Py_NewRef(args[i]));
  PyObject *nothing =
      given ? PyObject_CallFunction(ffi_hook.unfit, "OO", (PyObject *)c->function, given) : NULL;
  Py_XDECREF(given);
  return raised(nothing);
}

/* The call's GPU is that of its CUDA tensors, which lie on one. */
static int take_device(ffi_call *c, int index, PyObject *const *args, const ffi_view *view) {
  if (!view->cuda) return 0;
  if (c->cuda && c->cuda != view->cuda) return unfit(c, index, args);
  c->cuda = view->cuda;
  return 0;
}

/* Compares a tensor argument with its constraint, and with the earlier ones whose constraints speak
 * of others. */
static int check_constraint(ffi_call *c, int index, PyObject *const *args, const ffi_view *view) {
  const ffi_constraint *constraints = c->constraints;
  if (!c->compares) return 0;
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
  const ffi_constraint *own = place < 0 ? NULL : &constraints[place];
  int fits = !own || ffi_constraint_fits(own, c->seen, index, &c->sizes);
  for (int i = 0; fits && i < index; i++) {
    if (c->seen[i].ndim < 0) continue;
    const short others = f->parameters[i].constraint;
    const int apart = (own && own->output) || (others >= 0 && constraints[others].output);
    fits = c->seen[i].cuda == t->cuda && !(apart && ffi_seen_overlap(&c->seen[i], t));
  }
  return fits ? 0 : unfit(c, index, args);
}

static int take_array(ffi_call *c, int index, PyObject *const *args, const ffi_parameter *p,
                      ffi_ext_slot *slot) {
  ffi_view view;
  PyObject *value = args[index], *object = value;
  if (!ffi_is_plain_tensor(value)) {
    const int taken = take_record(c, index, value, p, slot);
    if (taken <= 0) return taken;
  }
  const int devices = p->constraint < 0 ? FFI_ON_CPU : c->constraints[p->constraint].devices;
  const int tensor = ffi_is_tensor(value);
  const int described = tensor ? ffi_handle_offset && !ffi_fields_describe(value, &view)
                               : !ffi_numpy_describe(value, p->writable, &view);
  if (!described || !(devices & (view.cuda ? FFI_ON_CUDA : FFI_ON_CPU))) {
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
  if (take_device(c, index, args, &view)) return -1;
  if (view.cuda) {
    char text[FFI_TEXT_ROOM];
    if (ffi_cuda_current_stream(view.cuda - 1, &t->stream, text)) {
      ffi_raise(PyExc_RuntimeError, text);
      return -1;
    }
  }
  if (p->writable && view.handle) c->bump[c->written++] = view.handle;
  slot->p = t;
  return check_constraint(c, index, args, &view);
}

static int is_contiguous(const ffi_view *view, Py_ssize_t *count) {
  *count = 1;
  for (int i = view->ndim - 1; i >= 0; i--) {
    if (view->size[i] != 1 && view->stride[i] != *count) return 0;
    *count *= view->size[i];
  }
  return 1;
}

/* The memory of a tensor or a NumPy array; what else a pointer may be, cffi converts. */
static int take_memory(ffi_call *c, int index, PyObject *value, const ffi_parameter *p,
                       ffi_ext_slot *slot) {
  ffi_view view;
  PyObject *object = value;
  Py_ssize_t bytes, count;
  const int tensor = ffi_is_tensor(value);
  if (!tensor && !ffi_is_array(value)) return take_converted(c, index, value, slot);
  const int element = ffi_element_of(c->function, index + 1, &bytes);
  const int described = element < 0 ? 0
                        : tensor    ? ffi_handle_offset && ffi_is_plain_tensor(value) &&
                                          !ffi_fields_describe(value, &view)
                                    : !ffi_numpy_describe(value, p->writable, &view);
  if (!described || view.cuda || (element != FFI_ANY_ELEMENT && view.scalar != element) ||
      !is_contiguous(&view, &count) || count * ffi_scalar_bytes(view.scalar) < bytes) {
    if (adapt(c, index, value, &view, &object)) return -1;
  }
  slot->p = (char *)view.storage_data + view.offset * ffi_scalar_bytes(view.scalar);
  if (p->writable && view.handle) c->bump[c->written++] = view.handle;
  return 0;
}

/* A tensor on the memory of a NumPy array; everything else as it is. */
static PyObject *tensor_of(ffi_call *c, PyObject *value, ffi_view *view) {
  if (ffi_is_tensor(value) || ffi_numpy_describe(value, 1, view)) return value;
  PyObject *tensor = PyObject_CallFunctionObjArgs(ffi_hook.from_numpy, value, NULL);
  if (!tensor) PyErr_Clear(); /* Python says what is wrong */
  if (tensor) c->keep[c->kept++] = tensor;
  return tensor ? tensor : value;
}

int ffi_take_tensor(ffi_call *c, int index, PyObject *const *args, const ffi_parameter *p,
                    ffi_ext_slot *slot) {
  ffi_view view;
  PyObject *value = args[index], *object = value;
  int storage = p->kind == FFI_STORAGE;
  if (!ffi_is_plain_tensor(value)) {
    const int taken = take_record(c, index, value, p, slot);
    if (taken <= 0) return taken;
  }
  if (ffi_handle_offset && !storage) object = tensor_of(c, value, &view);
  if (!ffi_handle_offset || storage || !ffi_is_tensor(object) ||
      ffi_fields_describe(object, &view) || view.type != p->type || !view.cuda != !p->cuda) {
    if (adapt(c, index, value, &view, &object)) return -1;
  }
  if (c->compares && !storage) {
    if (keep_geometry(c, index, &view) || check_constraint(c, index, args, &view)) return -1;
  }
  if (storage && view.cuda && !c->cuda) c->cuda = view.cuda;
  if (!storage && take_device(c, index, args, &view)) return -1;
  ffi_tensor *t = ffi_enter(&c->frame, &view, object, p->writable, storage);
  if (!t) return -1;
  if (object != value && !storage && !ffi_is_tensor(value))
    t->fixed = 1; /* a NumPy array cannot follow a resize */
  slot->p = storage ? (void *)t->storage : (void *)t;
  return 0;
}

int ffi_take_argument(ffi_call *c, int index, PyObject *const *args) {
  PyObject *value = args[index];
  const ffi_parameter *p = &c->function->parameters[index];
  ffi_ext_slot *slot = &c->slots[index + 1];
  double number;
  switch (p->kind) {
    case FFI_TENSOR:
    case FFI_STORAGE: return ffi_take_tensor(c, index, args, p, slot);
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
      return take_memory(c, index, value, p, slot);
    case FFI_MEMORY: return take_memory(c, index, value, p, slot);
    default:
      if (p->code == 'c' && PyBytes_Check(value) && PyBytes_Size(value) == 1) {
        slot->i = *PyBytes_AsString(value);
        return 0;
      }
      /* `void *` takes a tensor of any element type: C sees its record. Adapt accepts one for
       * `void *` alone. */
      if (p->code == 'p' && ffi_is_tensor(value)) {
        ffi_view view;
        PyObject *object = value;
        Py_ssize_t bytes;
        const int quick = ffi_handle_offset && ffi_is_plain_tensor(value) &&
                          ffi_element_of(c->function, index + 1, &bytes) == FFI_ANY_ELEMENT &&
                          !ffi_fields_describe(value, &view) && !view.cuda && view.type >= 0;
        if (!quick && adapt(c, index, value, &view, &object)) return -1;
        slot->p = ffi_enter(&c->frame, &view, object, 1, 0);
        return slot->p ? 0 : -1;
      }
      return take_converted(c, index, value, slot);
  }
}
